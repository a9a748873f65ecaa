"""The maps as data: they lint clean, the linter sees mistakes, and the engine reports what it did not read."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from mappings.definition import MapError, conditions, definition, line, path
from mappings.downgrade import downgrade_bytes
from mappings.engine import CompiledMap, Compiler
from mappings.er7_linting import er7_problems
from mappings.er7_paths import claim_of
from mappings.library import RESERVED
from mappings.linting import _definition, check_maps
from mappings.model import Loss, Origin
from mappings.reading import Reading
from mappings.source_linting import source_problems
from mappings.stu3_definitions import stu3_definitions
from mappings.tables import names
from mappings.translation import translate

ORIGIN = Origin("90000001", "source", "2026-01-05T10:00:00+01:00")
DATA = Path(__file__).parent / "data"
TYPES: dict[str, Any] = {
    "Element": {"id": "string", "extension": ["Extension"]},
    "Backbone": {},
    "Resource": {"id": "id"},
    "Extension": {"url": "uri", "value[x]": "string | code"},
    "Coding": {"system": "uri", "code": "code"},
    "CodeableConcept": {"coding": ["Coding"], "text": "string"},
}


def run(elements: dict[str, Any], source: dict[str, Any], **more: Any) -> tuple[dict[str, Any], list[Loss]]:
    found = definition("test", {"version": 1, "source": "X", "target": "Y", "elements": elements, **more})
    reading = Reading({"resourceType": "X", **source}, ORIGIN)
    made = Compiler(TYPES, shadows=True).compile(found).run(reading, reading.root)
    return made, reading.losses("X", frozenset(found.ignored))


@pytest.mark.slow
def test_all_maps_lint_clean() -> None:
    assert check_maps() == []


def test_every_map_there_and_back_has_an_example_that_uses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    used: set[str] = set()
    run = CompiledMap.run

    def noted(compiled: CompiledMap, reading: Reading, node: Any) -> Any:
        used.add(compiled.definition.name)
        return run(compiled, reading, node)

    monkeypatch.setattr(CompiledMap, "run", noted)
    for example in sorted((DATA / "to-stu3").glob("*.input.json")):
        downgrade_bytes(example.read_bytes())
    assert set(names("maps/to-stu3")) - RESERVED - used == set()
    used.clear()
    for example in sorted((DATA / "fhir-stu3").glob("*.input.json")):
        translate(example.read_bytes(), "fhir-stu3", ORIGIN)
    assert set(names("maps/fhir-stu3")) - RESERVED - used == set()


def test_a_line_copies_and_what_is_not_read_is_reported_at_its_highest_node() -> None:
    made, losses = run({"name": "string"}, {"name": "a", "other": {"deep": [{"x": 1}]}, "two": [1]})
    assert made == {"resourceType": "Y", "name": "a"}
    assert [(loss.path, loss.kind) for loss in losses] == [("X.other", "unmapped"), ("X.two", "unmapped")]


def test_an_ignored_entry_silences() -> None:
    assert run({}, {"other": "x"}, ignored={"other": "said elsewhere"})[1] == []


def test_a_value_of_the_wrong_type_is_a_loss_and_never_an_error() -> None:
    elements = {"a": "string", "b": "boolean", "c": "date", "d": "CodeableConcept", "e": ["Coding"], "f": "decimal"}
    made, losses = run(elements, {"a": 1, "b": "x", "c": "2026-13-01", "d": "y", "e": [None, 3], "f": {}})
    assert made == {"resourceType": "Y"}
    assert {loss.kind for loss in losses} == {"invalid"} | ({"unmapped"} & {loss.kind for loss in losses})
    assert {loss.path for loss in losses} >= {"X.a", "X.b", "X.c", "X.d", "X.e[1]"}


@pytest.mark.parametrize("text", ["1.50", "0.10", "100", "-3.000", "1234567890.12345678901234567890", "1E-7"])
def test_decimals_keep_their_digits(text: str) -> None:
    made, _ = run({"v": "decimal"}, {"v": text})
    assert str(made["v"]) == text
    assert run({"v": "decimal"}, {"v": Decimal(text)})[0]["v"] == Decimal(text)


def test_extensions_of_primitives_travel_along() -> None:
    shadow = {"extension": [{"url": "http://x", "valueString": "y"}]}
    made, losses = run({"to": {"type": "date", "from": "from"}}, {"from": "2026", "_from": shadow})
    assert made == {"resourceType": "Y", "to": "2026", "_to": shadow}
    assert losses == []


def test_an_extension_a_line_reads_is_not_copied_as_well() -> None:
    elements = {"a": {"type": "string", "from": "extension(http://x).valueString"}, "extension": ["Extension"]}
    source = {"extension": [{"url": "http://x", "valueString": "y"}, {"url": "http://z", "valueCode": "c"}]}
    made, losses = run(elements, source)
    assert made["a"] == "y"
    assert made["extension"] == [{"url": "http://z", "valueCode": "c"}]
    assert losses == []


def test_an_unknown_code_is_reported_and_the_original_stays() -> None:
    elements = {"s": {"type": "CodeableConcept", "concept": "allergy-status"}}
    made, losses = run(elements, {"s": "weird"})
    assert {"system": "http://terminology.hl7.org/CodeSystem/v2-0438", "code": "weird"} in made["s"]["coding"]
    assert [loss.kind for loss in losses] == ["unknown-code"]
    assert "weird" not in losses[0].reason


def test_the_first_line_whose_condition_holds_wins() -> None:
    elements = {
        "s": [{"from": "no", "with": "constant", "arguments": "not-done", "when": "no = true"}, {"type": "code"}]
    }
    assert run(elements, {"no": True, "s": "completed"})[0]["s"] == "not-done"
    assert run(elements, {"no": False, "s": "completed"})[0]["s"] == "completed"


@pytest.mark.parametrize("text", ["a..b", "a(", "-1", "a b"])
def test_what_is_no_path_is_refused(text: str) -> None:
    with pytest.raises(MapError):
        path(text)


def test_conditions_are_read_in_words() -> None:
    (one,) = conditions("not extension(url=Verified).x")
    assert one.negated
    assert one.path.steps[0].filter_value == "Verified"
    (two,) = conditions("a.b in x, y")
    assert two.values == ("x", "y")
    reading = Reading({"a": [{"b": "Patient/1"}, {"b": "x"}]}, ORIGIN)
    held = {text: all(reading.holds(one, reading.root) for one in conditions(text)) for text in (
        "a.b contains Patient/", "not a.b contains Patient/", "a.b contains Group/", "several a", "not several a", "several a.c",
    )}  # fmt: skip
    assert held == {
        "a.b contains Patient/": True,
        "not a.b contains Patient/": False,
        "a.b contains Group/": False,
        "several a": True,
        "not several a": False,
        "several a.c": False,
    }
    for text in ("3 contains x", "several 3"):
        with pytest.raises(MapError):
            claim_of(conditions(text)[0], on_segment=True)


def test_a_path_its_source_does_not_have_is_found() -> None:
    """Maps of FHIR are held against the definition of what they read, lines, conditions and `ignored` alike."""
    content = {
        "version": 1,
        "source": "Condition",
        "target": "Condition",
        "when": "recordedDate",
        "elements": {
            "recordedDate": {"type": "dateTime", "from": "assertedDate"},
            "onset[x]": "dateTime | string",
            "subject": {"type": "Reference", "from": ["subject", "patient"]},
            "stage": {"type": ["Element"], "from": "stage", "elements": {"summary": {"from": "sumary"}}},
            "extension": {"from": "extension(http://x).valueString"},
        },
        "ignored": {"evidence.code": "why", "evidence.kode": "why"},
        "refused": {"doNotPerform = true": "why"},
    }
    found = list(source_problems(definition("test", content), stu3_definitions().types))
    assert [one.split(": ")[:-1] for one in found] == [
        ["recordedDate"],
        ["doNotPerform"],
        ["subject", "patient"],
        ["stage.summary", "sumary"],
        ["ignored", "evidence.kode"],
    ]
    unknown = definition("test", {**content, "source": "Conditon"})
    assert list(source_problems(unknown, stu3_definitions().types)) == ["Conditon is no type of the source"]


def test_the_linter_names_each_mistake() -> None:
    elements = {
        "a": "Nonsense",
        "b": {"with": "nonsense"},
        "c": {"type": "code", "concept": "nonsense"},
        "d": [{"type": "code", "default": "x"}, {"type": "code", "from": "e"}],
    }
    content = {
        "version": 1,
        "source": "X",
        "target": "Y",
        "elements": elements,
        "requires": ["z"],
        "after": ["nonsense"],
    }
    problems = "\n".join(_definition(definition("test", content), TYPES))
    for word in (
        "no specification",
        "settlement",
        "requires 'z'",
        "unknown type",
        "unknown transform",
        "missing code map",
        "never reached",
    ):
        assert word in problems
    with pytest.raises(MapError, match="unknown words"):
        line("a", {"form": "typo"})


ER7_TYPES: dict[str, Any] = {
    "XPN": {"family": {"from": "1.1", "type": "string"}, "suffix": {"from": "14", "type": "string"}}
}


@pytest.mark.parametrize(
    ("elements", "said"),
    [
        ({"a": {"from": "41", "type": "string"}}, "a: 41: PID of HL7 v2 has no such field"),
        ({"a": {"from": "3.13", "type": "string"}}, "a: 3.13: CX of HL7 v2 has no such component"),
        ({"a": {"from": "3.4.4", "type": "string"}}, "a: 3.4.4: HD of HL7 v2 has no such component"),
        ({"a": {"from": "8.2", "type": "string"}}, ""),  # administrative sex is coded since 2.8
        ({"a": {"from": "25.2", "type": "string"}}, "a: 25.2: NM of HL7 v2 has no such component"),
        ({"a": {"from": "/PV1-60", "type": "string"}}, "a: PV1.60: PV1 of HL7 v2 has no such field"),
        ({"a": {"from": "/PVX-1", "type": "string"}}, "a: PVX: HL7 v2 has no such segment"),
        ({"a": {"from": "PD1-99", "type": "string"}}, "a: PD1.99: PD1 of HL7 v2 has no such field"),
        ({"a": {"from": "/ZXX-99.9", "type": "string"}}, ""),
        ({"a": {"from": "5", "type": "string", "when": "not 77"}}, "a: 77: PID of HL7 v2 has no such field"),
        ({"a": {"from": "8", "type": "dateTime"}}, "a: a dateTime of CWE|IS"),
        ({"a": {"from": "25", "type": "boolean"}}, "a: a boolean of NM"),
        ({"a": {"from": "7", "type": "decimal"}}, "a: a decimal of DTM|TS"),
        ({"a": {"from": "7", "type": "dateTime"}}, ""),
        ({"a": {"from": "5", "type": "XPN"}}, ""),
        ({"a": {"from": "7", "type": "XPN"}}, "a.suffix: 14: DTM|TS of HL7 v2 has no such component"),
        ({"a": {"from": "11", "elements": {"b": {"from": "99", "type": "string"}}}}, "a.b: 99: XAD of HL7 v2 has no such component"),
        ({"a": {"from": "/OBX-5", "elements": {"b": {"from": "9.9", "type": "string"}}}}, ""),
    ],
)  # fmt: skip
def test_a_path_no_version_of_hl7_v2_has_is_found(elements: dict[str, Any], said: str) -> None:
    found = definition("t", {"version": 1, "source": "PID", "target": "Patient", "spec": "s", "elements": elements})
    problems = list(er7_problems(found, ER7_TYPES))
    assert [one for one in problems if said and one.startswith(said)] or problems == [], problems
    assert bool(problems) == bool(said)


def test_keys_conditions_and_ignored_entries_are_held_against_it_too() -> None:
    content = {
        "version": 1, "source": "OBX", "target": "Observation", "spec": "s", "elements": {"a": {"from": "^.99", "type": "string"}},
        "key": ["99"], "when": "98", "ignored": {"OBX-97": "why", "OBX-5": "why"},
    }  # fmt: skip
    assert [one.partition(" of HL7")[0] for one in er7_problems(definition("t", content), {})] == [
        "98: OBX", "99: OBX", "a: ^.99: OBR|RXA|RXD|RXE|RXO|SPM|TXA", "ignored: OBX.97: OBX",
    ]  # fmt: skip


def test_a_line_whose_conditions_never_hold_together_is_found() -> None:
    elements = {"status": {"value": "final", "when": ["11", "not 11"]}}
    found = definition("t", {"version": 1, "source": "OBX", "target": "Observation", "spec": "s", "elements": elements})
    assert list(_definition(found, {})) == ["status: conditions that never hold together"]
