"""What a guideline says otherwise than the shipped tables: new rows are free, a changed rule is named, nothing is taken away."""

from __future__ import annotations

from pathlib import Path

import pytest

from consent import roles
from gateway.adapters.guideline_proof import findings_of
from gateway.adapters.guideline_rules import changes
from gateway.adapters.guidelines import read_guideline, refusals, use_before, use_guidelines
from gateway.errors import StartError
from gateway.policy import build
from gateway.settings import Settings
from profiles import layers
from profiles.layers import ReadBefore, joined, lay, lift, toml

FREE = {
    "categories.toml": '[category]\nWounds = {types = ["Observation"], observation = ["wounds"]}\n'
    '[[content]]\nlabel = "sensitive"\ntypes = ["Flag"]\ncodes = ["1"]\n',
    "roles.toml": '[role]\n"98.000" = {nl = "a", en = "b", kind = "wound-nurse"}\n[kind.wound-nurse]\nview = "wounds"\n'
    'writes = []\npurposes = []\n[views]\nwounds = ["Wounds"]\n',
    "sections.toml": '[[sections]]\nkey = "wounds"\n',
    "dialects/360-1.0.toml": '[[queries]]\nname = "wounds-of-a-kind"\n',
    "dialects/region-1.0.toml": 'name = "region@1.0"\n',
}


def test_a_new_row_changes_no_rule() -> None:
    found = changes(FREE)
    assert len(found) == 8
    assert all(one.allowed for one in found), found


@pytest.mark.parametrize(
    ("path", "text", "rule"),
    [
        ("roles.toml", '[views]\ndispatch = ["Procedure"]', "roles.views.dispatch"),
        ("roles.toml", '[kind.auditor]\nview = "full"', "roles.kind.auditor.view"),
        ("roles.toml", '[role]\n"01.008" = {kind = "physician"}', "roles.role.01.008.kind"),
        ("roles.toml", '[system]\npurposes = ["spoed"]', "roles.system.purposes"),
        ("roles.toml", '[origins]\ndispatch = ""', "roles.origins.dispatch"),
        ("roles.toml", '[origins]\nanybody = ""', "roles.origins.anybody"),
        ("categories.toml", '[category]\nMine = {types = ["Condition"]}', "categories.category.Mine"),
        ("categories.toml", '[category]\nMine = {types = ["Basic"], patient = false}', "categories.category.Mine"),
        ("categories.toml", '[category]\nMine = {types = ["Basic"], directory = true}', "categories.category.Mine"),
        ("categories.toml", '[category]\nMine = {types = ["Observation"], observation = ["laboratory"]}', "categories.category.Mine"),
        ("categories.toml", "[category]\nCondition = {patient = false}", "categories.category.Condition.patient"),
        ("categories.toml", '[observation.codes]\nMine = ["8867-4"]', "categories.observation.codes.Mine"),
        ("categories.toml", '[labels.system."http://mine"]\nplain = ["R"]', "categories.labels.system.http://mine"),
        ("categories.toml", "[anything]\na = 1", "categories.anything"),
        ("sections.toml", '[modifiers]\nunderstood = ["http://mine"]', "sections.modifiers.understood"),
        ("sections.toml", '[[sections]]\nkey = "allergies"\nnone = ["sct|1"]', "sections.sections.allergies.none"),
        ("sections.toml", '[[sections]]\nkey = "mine"\nrules = [{type = "AllergyIntolerance"}]', "sections.sections.mine"),
        ("dialects/360-1.0.toml", '[[queries]]\nname = "laboratory"\ncategories = ["Condition"]', "dialects/360-1.0.queries.laboratory.categories"),
        ("dialects/360-1.0.toml", 'method = "POST"', "dialects/360-1.0.method"),
    ],
)  # fmt: skip
def test_what_touches_a_shipped_row_must_be_allowed_by_name(path: str, text: str, rule: str) -> None:
    found = changes({path: text})
    assert [(one.rule, one.allowed) for one in found] == [(rule, False)]


def test_the_same_said_again_is_no_change() -> None:
    said = '[views]\nnone = []\ndirectory = ["Practitioner"]\n[kind.auditor]\nview = "log"\n[origins]\ncaller = ""'
    assert changes({"roles.toml": said}) == []


def test_rows_join_by_their_name_and_nothing_goes_away() -> None:
    ours = {"a": ["1"], "rows": [{"key": "x", "n": 1}, {"key": "z", "n": 2}], "word": "old"}
    theirs = {"a": ["1", "2"], "rows": [{"key": "y", "before": "z"}, {"key": "x", "m": 3}, {"key": "w"}], "word": "new"}
    assert joined(ours, theirs) == {
        "a": ["1", "2"],
        "rows": [{"key": "x", "n": 1, "m": 3}, {"key": "y"}, {"key": "z", "n": 2}, {"key": "w"}],
        "word": "new",
    }


def test_a_table_that_was_read_is_never_another_one_later() -> None:
    toml("consent", "roles.toml")
    with pytest.raises(ReadBefore, match="roles"):
        lay("late", {"roles.toml": "[views]\nnone = ['Condition']"})
    assert "Condition" not in toml("consent", "roles.toml")["views"]["none"]


def pack(folder: Path, **files: str) -> Path:
    folder.mkdir(parents=True)
    (folder / "guideline.toml").write_text(f'name = "{folder.name}"\nversion = "1"\n')
    for name, text in files.items():
        (folder / f"{name}.toml").write_text(text)
    return folder


def test_a_table_that_is_no_toml_is_named(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="roles"):
        read_guideline(pack(tmp_path / "x", roles="[views"))


def test_a_guideline_put_there_by_hand_needs_leave_as_well(tmp_path: Path) -> None:
    one = read_guideline(pack(tmp_path / "guidelines" / "x", roles='[views]\nlog = ["Condition"]'))
    assert refusals(one, frozenset()) == ["roles.views.log"]
    assert refusals(one, frozenset({"roles.views.log"})) == []
    with pytest.raises(StartError, match=r"changes roles\.views\.log, which nobody allowed"):
        use_guidelines(tmp_path / "guidelines")
    (tmp_path / "region.toml").write_text("[gateway]\nname = 'x'\n")
    with pytest.raises(StartError, match="nobody allowed"):
        use_before(["serve", "--config", str(tmp_path / "region.toml")], {})
    elsewhere = {"GATEWAY__GATEWAY__GUIDELINES": "elsewhere"}
    use_before(["serve", f"--config={tmp_path / 'region.toml'}"], elsewhere)


def test_what_is_decided_by_another_table_is_another_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = build(Settings()).revision
    monkeypatch.setitem(layers._LAYERS, "x", {"roles.toml": "", "sections.toml": ""})
    assert build(Settings()).revision != shipped
    monkeypatch.setitem(layers._LAYERS, "x", {"sections.toml": ""})
    assert build(Settings()).revision == shipped


@pytest.mark.slow
def test_tables_that_do_not_fit_together_are_findings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = read_guideline(pack(tmp_path / "x"))
    assert findings_of(empty) == []
    monkeypatch.setitem(roles.VIEWS, "wounds", frozenset({"Wounds"}))
    assert findings_of(empty) == ["roles: view wounds: unknown category 'Wounds'"]
    lift()
