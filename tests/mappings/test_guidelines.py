"""Guidelines: the mapping guide is followed to the letter, and a message type unknown to the code works after adding a folder."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.adapters.guidelines import use_guidelines
from gateway.cli import main
from gateway.errors import StartError
from mappings.library import forget
from mappings.linting import check_maps
from mappings.model import NotMappable, Origin
from mappings.translation import translate
from profiles import layers
from profiles.exact import encode

GUIDE = Path(__file__).parents[2] / "docs" / "mapping-guide.md"
pytestmark = pytest.mark.slow
ORIGIN = Origin("90000001", "example", "2026-01-05T10:16:00+01:00")
FILE = re.compile(r"^`([\w./-]+)`:\n\n```\w*\n(.*?)```", re.MULTILINE | re.DOTALL)
CONSOLE = re.compile(r"```console\n(.*?)```", re.DOTALL)


@pytest.fixture(autouse=True)
def _ours_again() -> Iterator[None]:
    yield
    layers.lift()
    forget()


@pytest.fixture
def guide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with every file the guide tells to write."""
    monkeypatch.chdir(tmp_path)
    for name, content in FILE.findall(GUIDE.read_text(encoding="utf-8")):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    return tmp_path


def forgotten() -> None:
    """Each command is a process of its own."""
    layers.lift()
    forget()


def with_example(guide: Path) -> None:
    examples = guide / "rit" / "examples"
    examples.mkdir(exist_ok=True)
    source = (guide / "run.hl7").read_bytes()
    (examples / "run.input.hl7").write_bytes(source)
    (guide / "all" / "rit").parent.mkdir(exist_ok=True)
    (guide / "all" / "rit").symlink_to(guide / "rit")
    use_guidelines(guide / "all")
    made = translate(source, "hl7v2", ORIGIN)
    expected = {"resources": list(made.resources), "losses": [[one.path, one.kind] for one in made.losses]}
    (examples / "run.expected.json").write_bytes(encode(expected))
    forgotten()


def test_the_guide_is_followed_to_the_letter(guide: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blocks = CONSOLE.findall(GUIDE.read_text(encoding="utf-8"))
    assert len(blocks) == 3
    for number, block in enumerate(blocks):
        if number == 1:
            with_example(guide)
        for command, said in re.findall(r"\$ gateway (.*)\n(.*)\n", block):
            forgotten()
            main(command.split(), {})
            assert said in capsys.readouterr().err, command


def test_a_message_type_unknown_to_the_code_works_after_adding_a_folder(guide: Path) -> None:
    body = (guide / "run.hl7").read_bytes()
    with pytest.raises(NotMappable):
        translate(body, "hl7v2", ORIGIN)
    with_example(guide)
    assert main(["guideline", "add", "rit"], {}) == 0
    forgotten()
    (found,) = use_guidelines(guide / "guidelines")
    assert found.name == "rit"
    result = translate(body, "hl7v2", ORIGIN)
    observation = result.resources[1]
    assert observation["valueQuantity"]["code"] == "/min"
    assert observation["code"]["coding"][0] == {"system": "http://snomed.info/sct", "code": "86290005"}
    assert result.losses == ()
    assert result.facts["contact"] == "true"
    assert check_maps() == []


def test_what_is_wrong_is_found_before_it_is_added(guide: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = guide / "rit" / "maps" / "hl7v2" / "Observation-zvs.yaml"
    path.write_text(
        path.read_text()
        .replace("effectiveDateTime", "effectiveWhen")
        .replace("category: {value: [", "category: {value: ")
        .replace("vital-signs}]}]}", "vital-signs}]}}")
    )
    assert main(["guideline", "add", "rit"], {}) == 1
    said = capsys.readouterr().out
    assert "Observation has no such element" in said
    assert "the element repeats" in said
    assert not (guide / "guidelines").exists()


def test_an_example_that_comes_out_otherwise_is_a_finding(guide: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with_example(guide)
    expected = guide / "rit" / "examples" / "run.expected.json"
    expected.write_text(expected.read_text().replace("86290005", "1"))
    assert main(["guideline", "test", "rit"], {}) == 1
    assert "examples/run: other resources than expected" in capsys.readouterr().out


def test_a_diff_shows_what_a_map_of_the_region_changes(guide: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = guide / "rit" / "maps" / "hl7v2" / "RelatedPerson.yaml"
    own.write_text("version: 9\n")
    assert main(["guideline", "diff", "rit"], {}) == 0
    said = capsys.readouterr().out
    assert "+version: 9" in said
    assert "-source: NK1" in said


def test_a_folder_that_is_no_guideline_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    with pytest.raises(StartError, match="no guideline"):
        use_guidelines(tmp_path)


def test_the_report_lists_every_loss(guide: Path) -> None:
    with_example(guide)
    run = guide / "run.hl7"
    run.write_text(run.read_text().rstrip("\n") + "|extra\nZZZ|1\n")
    main(["guideline", "add", "rit"], {})
    forgotten()
    assert main(["map", "run.hl7", "--report-file", "losses.json"], {}) == 0
    report = json.loads((guide / "losses.json").read_bytes())
    assert [(one["path"], one["kind"]) for one in report["losses"]] == [("ZVS-7", "unmapped"), ("ZZZ", "unmapped")]
    assert all(one["reason"] for one in report["losses"])


def test_fhir_that_does_not_say_its_version_is_read_as_the_one_of_which_more_is_valid(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "observation.json"
    source.write_text('{"resourceType":"Observation","id":"o","status":"final","code":{"text":"t"},"comment":"rustig"}')
    assert main(["map", str(source)], {}) == 0
    told = capsys.readouterr()
    assert "map fhir-stu3/zib2017" in told.err
    assert json.loads(told.out)["entry"][0]["resource"]["note"] == [{"text": "rustig"}]
