"""Base FHIR R4: what is valid is accepted, what is broken is rejected at the right element, nothing raises."""

from __future__ import annotations

import re
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from profiles.exact import Json, decode, encode
from profiles.validation import accepts, validate
from tests.profiles import examples
from tests.profiles.examples import ALL, BINARY, CONDITION, DOCUMENT, OBSERVATION, PATIENT, TRANSACTION, changed
from tests.profiles.mutants import Mutant, mutants
from tests.slack import slack

REAL = Path(__file__).parents[2].parent / "shared" / "data"
# Published in a test collection, but not valid R4: why.
NOT_R4 = {
    "bundle-questionnaire.json": ("required", "linkId is required also on display items"),
    "devicemetric-example.json": ("reference-target", "parent points to a DeviceDefinition"),
    "deviceusestatement-example.json": ("reference-target", "reasonReference points to a Procedure"),
    "medicationrequest0301.json": ("reference-target", "dispenseRequest.performer points to a Practitioner"),
}


def rules(resource: Any) -> set[tuple[str, str]]:
    found = validate(resource)
    assert accepts(resource) is not any(issue.is_error for issue in found)
    return {(issue.rule, issue.expression) for issue in found if issue.is_error}


@pytest.mark.parametrize("name", ALL)
def test_valid_resources_are_accepted(name: str) -> None:
    assert rules(ALL[name]) == set()
    assert rules(decode(encode(ALL[name]))) == set()


@pytest.mark.real_inputs
@pytest.mark.skipif(not REAL.is_dir(), reason="published examples are not beside the project")
@pytest.mark.parametrize("folder", ["r4-examples", "ips-examples"])
def test_published_examples_are_accepted(folder: str) -> None:
    files = sorted((REAL / folder).glob("*.json"))
    assert files
    for file in files:
        found = rules(decode(file.read_bytes()))
        if file.name in NOT_R4:
            assert {rule for rule, _ in found} == {NOT_R4[file.name][0]}, NOT_R4[file.name][1]
        else:
            assert not found, file.name


def _spoken(mutant: Mutant) -> str:
    """Write the place of a mutant as an issue would, with the JSON names of choice elements."""
    text = ""
    resource: Any = mutant.resource
    for step in mutant.place:
        text += f"[{step}]" if isinstance(step, int) else "." + step.removeprefix("_")
    return str(resource["resourceType"]) + text


def _plain(expression: str) -> str:
    return re.sub(r"\.ofType\((\w)(\w*)\)", lambda match: match[1].upper() + match[2], expression)


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL)
def test_mutants_are_rejected_where_they_are_broken(name: str) -> None:
    for mutant in mutants(ALL[name], seed=4, count=120):
        found = rules(mutant.resource)
        at = _spoken(mutant)
        near = {at, re.sub(r"\[\d+\]$", "", at), at.rpartition(".")[0]}
        expressions = {_plain(expression) for _, expression in found}
        # A wrong kind of value may be noticed inside it, on it, or on what has to hold it.
        assert any(e in near or e.startswith(at) for e in expressions), (mutant.kind, at, found)


CASES: list[tuple[str, Json, str, str]] = [
    ("gender outside the value set", changed(PATIENT, gender="vrouw"), "binding", "Patient.gender"),
    ("31 February", changed(PATIENT, birthDate="2026-02-31"), "calendar", "Patient.birthDate"),
    ("no leap year", changed(PATIENT, birthDate="2025-02-29"), "calendar", "Patient.birthDate"),
    ("date with time", changed(PATIENT, birthDate="2025-02-03T10:00:00Z"), "primitive-format", "Patient.birthDate"),
    ("time without zone", changed(OBSERVATION, issued="2026-03-01T08:15:00"), "primitive-format", "Observation.issued"),
    ("newline at the end", changed(PATIENT, id="p1\n"), "primitive-format", "Patient.id"),
    ("full-width digits in an id", changed(PATIENT, id="１２"), "primitive-format", "Patient.id"),
    ("id of 65", changed(PATIENT, id="x" * 65), "primitive-format", "Patient.id"),
    ("uri with a space", changed(PATIENT, implicitRules="http://a b"), "primitive-format", "Patient.implicitRules"),
    ("code with two spaces", changed(PATIENT, language="nl  NL"), "primitive-format", "Patient.language"),
    ("two choices", changed(PATIENT, deceasedDateTime="2026"), "one-choice", "Patient.deceased"),
    ("missing status", changed(OBSERVATION, status=...), "required", "Observation.status"),
    ("missing choice", changed(examples.MEDICATION_REQUEST, medicationReference=...), "required", "MedicationRequest.medication"),
    ("wrong target", changed(OBSERVATION, subject={"reference": "Slot/1"}), "reference-target", "Observation.subject.reference"),
    ("wrong target type", changed(OBSERVATION, subject={"type": "Slot"}), "reference-target", "Observation.subject.type"),
    (
        "contradiction",
        changed(OBSERVATION, subject={"reference": "Patient/1", "type": "Group"}),
        "reference-type",
        "Observation.subject",
    ),
    ("nothing contained", changed(OBSERVATION, subject={"reference": "#p"}), "ref-1", "Observation.subject.reference"),
    ("1.0 is no integer", changed(PATIENT, deceasedBoolean=..., multipleBirthInteger=Decimal("1.0")), "primitive-type",
     "Patient.multipleBirth.ofType(integer)"),
    ("integer of 5000 digits", changed(PATIENT, multipleBirthInteger=10**5000), "range",
     "Patient.multipleBirth.ofType(integer)"),
    ("base64", changed(BINARY, data="JVBERi0"), "primitive-format", "Binary.data"),
    ("unit code without system", changed(OBSERVATION, valueQuantity={"value": 1, "code": "g"}), "present-with",
     "Observation.value.ofType(Quantity).system"),
    ("empty contact", changed(PATIENT, contact=[{"relationship": [{"text": "x"}]}]), "present-some", "Patient.contact[0]"),
    ("period", changed(PATIENT, identifier=[{"period": {"start": "2020-01-02", "end": "2020-01-01"}}]), "per-1",
     "Patient.identifier[0].period"),
    ("extension without value", changed(PATIENT, extension=[{"url": "http://a"}]), "ext-1", "Patient.extension[0]"),
    ("extension without url", changed(PATIENT, extension=[{"valueString": "a"}]), "required", "Patient.extension[0].url"),
    ("extension with both", changed(PATIENT, extension=[
        {"url": "http://a", "valueString": "b", "extension": [{"url": "c", "valueString": "d"}]}
    ]), "ext-1", "Patient.extension[0]"),
    ("two values", changed(PATIENT, extension=[{"url": "http://a", "valueString": "b", "valueCode": "d"}]), "one-choice",
     "Patient.extension[0].value"),
    ("only an id", changed(PATIENT, name=[{"id": "n"}]), "ele-1", "Patient.name[0]"),
    ("sibling without extension", changed(PATIENT, birthDate=..., _birthDate={"id": "x"}), "ele-1", "Patient.birthDate"),
    ("sibling lists of other length", changed(PATIENT, name=[{"given": ["A", "B"], "_given": [None]}]), "array-lengths",
     "Patient.name[0].given"),
    ("null on both sides", changed(PATIENT, name=[{"given": ["A", None], "_given": [None, None]}]), "null-value",
     "Patient.name[0].given[1]"),
    ("lone surrogate", changed(PATIENT, name=[{"text": "a\ud800"}]), "not-unicode", "Patient.name[0].text"),
    ("status outside its systems", changed(CONDITION, clinicalStatus={"coding": [{"system": "urn:x", "code": "active"}]}),
     "binding", "Condition.clinicalStatus.coding"),
    ("comparator in a simple quantity", changed(OBSERVATION, referenceRange=[{"low": {"value": 1, "comparator": "<"}}]),
     "unknown-element", "Observation.referenceRange[0].low.comparator"),
    ("contained in contained", changed(OBSERVATION, contained=[{**PATIENT, "contained": [{"resourceType": "Basic"}]}]),
     "dom-2", "Observation.contained[0].contained"),
    ("version of a contained resource", changed(OBSERVATION, contained=[changed(PATIENT, meta={"versionId": "1"})]),
     "dom-4", "Observation.contained[0].meta"),
    ("the same contained id", changed(OBSERVATION, contained=[PATIENT, PATIENT]), "contained-id", "Observation.contained"),
    ("document without timestamp", changed(DOCUMENT, timestamp=...), "bdl-10", "Bundle"),
    ("document without identifier", changed(DOCUMENT, identifier=...), "bdl-9", "Bundle.identifier"),
    ("document without composition", changed(DOCUMENT, entry=[{"resource": PATIENT}]), "bdl-11", "Bundle"),
    ("total in a document", changed(DOCUMENT, total=1), "bdl-1", "Bundle.total"),
    ("the same fullUrl", changed(DOCUMENT, entry=[DOCUMENT["entry"][0]] * 2), "bdl-7", "Bundle.entry[1].fullUrl"),
    ("fullUrl of a version", changed(DOCUMENT, entry=[DOCUMENT["entry"][0] | {"fullUrl": "http://a/b/_history/1"}]),
     "bdl-8", "Bundle.entry[0].fullUrl"),
    ("request in a document", changed(TRANSACTION, type="collection"), "bdl-3", "Bundle.entry[0]"),
    ("answer to nothing", changed(TRANSACTION, type="transaction-response"), "bdl-4", "Bundle.entry[0]"),
    ("empty entry", changed(DOCUMENT, entry=[*DOCUMENT["entry"], {"fullUrl": "urn:x:y"}]), "bdl-5", "Bundle.entry[3]"),
    ("message without header", {"resourceType": "Bundle", "type": "message"}, "bdl-12", "Bundle"),
    ("broken entry", changed(DOCUMENT, entry=[*DOCUMENT["entry"], {"resource": changed(PATIENT, gender="x")}]), "binding",
     "Bundle.entry[3].resource.gender"),
    ("entry of no type", changed(DOCUMENT, entry=[*DOCUMENT["entry"], {"resource": {"id": "x"}}]), "not-a-resource",
     "Bundle.entry[3].resource"),
    ("type of a later version", {"resourceType": "SubscriptionStatus", "id": "x"}, "unknown-resource-type", "SubscriptionStatus"),
    ("abstract type", {"resourceType": "DomainResource", "id": "x"}, "unknown-resource-type", "DomainResource"),
    ("element of another package", changed(PATIENT, meta={"project": "x"}), "unknown-element", "Patient.meta.project"),
    ("nothing but a type", {"resourceType": "Patient"}, "ele-1", "Patient"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("resource", "rule", "expression"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_each_rule_reports_its_element(resource: Json, rule: str, expression: str) -> None:
    assert (rule, expression) in rules(resource)


VALID: dict[str, Json] = {
    "leap day": changed(PATIENT, birthDate="2024-02-29"),
    "extension instead of a value": changed(
        PATIENT, birthDate=..., _birthDate={"extension": [{"url": "http://a", "valueCode": "unknown"}]}
    ),
    "null beside an extension": changed(
        PATIENT,
        name=[{"given": [None, "B"], "_given": [{"extension": [{"url": "http://a", "valueCode": "unknown"}]}, None]}],
    ),
    "required element by extension": changed(
        OBSERVATION, status=..., _status={"extension": [{"url": "http://a", "valueCode": "unknown"}]}
    ),
    "partial dates that overlap": changed(PATIENT, identifier=[{"period": {"start": "2020-06", "end": "2020"}}]),
    "many given names": changed(PATIENT, name=[{"given": list("ABCDEF"), "_given": [{"id": "a"}] * 6}]),
    "base64 with line ends": changed(BINARY, data="JVBE\r\nRi0x"),
    "reference by URL that shows no type": changed(OBSERVATION, subject={"reference": "http://a.example/x?y=z"}),
    "conditional reference": changed(OBSERVATION, subject={"reference": "Patient?identifier=urn:x|1"}),
    "negative decimal with exponent": changed(OBSERVATION, valueQuantity={"value": Decimal("-1.50E-3")}),
    "history repeats fullUrl": {
        "resourceType": "Bundle",
        "type": "history",
        "entry": [
            {
                "fullUrl": "http://a/Patient/p1",
                "resource": PATIENT,
                "request": {"method": "PUT", "url": "Patient/p1"},
                "response": {"status": "200"},
            }
        ]
        * 2,
    },
    "Bundle in a Bundle": {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": DOCUMENT}]},
    "resource in Parameters": {"resourceType": "Parameters", "parameter": [{"name": "x", "resource": PATIENT}]},
}


@pytest.mark.parametrize("name", VALID)
def test_rare_but_valid_forms(name: str) -> None:
    assert rules(VALID[name]) == set()


def test_an_unused_contained_resource_is_only_a_warning() -> None:
    found = validate(changed(OBSERVATION, contained=[changed(PATIENT, meta=...)]))
    assert [(issue.rule, issue.severity) for issue in found] == [("dom-3", "warning")]


def test_no_issue_repeats_a_value_or_a_made_up_name() -> None:
    resource = changed(PATIENT, gender="999990019", birthDate="Jansen", id="<script>")
    resource |= {"<b>": 1, "999990019": 2, "x" * 80: 3}
    found = validate(resource)
    assert len(found) >= 6
    for issue in found:
        text = repr(issue)
        assert not any(value in text for value in ("999990019", "Jansen", "<", "xxx"))
        assert issue.text_en
        assert issue.text_nl
        assert "{" not in issue.text_en + issue.text_nl


def _nested(levels: int, key: str = "extension") -> Any:
    value: Any = {"url": "http://a", "valueString": "x"}
    for _ in range(levels):
        value = {"url": "http://a", key: [value]}
    return value


HOSTILE: list[Any] = [
    None,
    5,
    "Patient",
    [],
    {},
    {"resourceType": None},
    {"resourceType": ["Patient"]},
    {"resourceType": "999990019"},
    {"resourceType": "Patient", 5: "x"},
    {"resourceType": "Patient", "extension": [_nested(100_000)]},
    {"resourceType": "Patient", "extension": [_nested(90)]},
    {"resourceType": "Patient", "name": [[[[]]]]},
    {"resourceType": "Patient", "text": {"status": "generated", "div": "<div>" * 100_000}},
    {"resourceType": "Patient", "contained": {"id": "x"}, "text": 5, "_text": [], "_name": {"x": None}},
    {"resourceType": "Patient", "contained": [None, 5, {"resourceType": {}}, {"resourceType": "Bundle", "entry": 5}]},
    {"resourceType": "Patient", "birthDate": Decimal("NaN"), "multipleBirthInteger": Decimal("sNaN")},
    {"resourceType": "Observation", "valueQuantity": {"value": float("nan")}},
    {"resourceType": "Observation", "valueQuantity": {"value": Decimal("sNaN")}, "subject": 5, "code": {"coding": [5]}},
    {
        "resourceType": "Observation",
        "subject": {"reference": 5, "type": []},
        "effectivePeriod": {"start": 5, "end": {}},
    },
    {"resourceType": "Condition", "clinicalStatus": {"coding": [None, {"system": [], "code": {}}]}},
    {
        "resourceType": "Bundle",
        "type": [],
        "entry": [None, 5, {"fullUrl": [], "resource": {"meta": 5}}],
        "identifier": [],
    },
    {"resourceType": "Bundle", "type": "document", "entry": {}},
    {"resourceType": "Binary", "data": " " * 200_000 + "!"},
    {"resourceType": "Observation", "subject": {"reference": "a/" * 100_000}},
    {"resourceType": "Patient", "language": "a  b" * 100_000},
    {"resourceType": "Patient", "name": [{"text": object()}]},
]


@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_hostile_input_is_an_answer_and_no_exception(number: int) -> None:
    started = time.perf_counter()
    assert rules(HOSTILE[number])
    assert time.perf_counter() - started < 2 * slack()


def test_many_faults_are_listed_up_to_a_bound() -> None:
    found = validate({"resourceType": "Patient", "name": [{}] * 50_000})
    assert len(found) == 201
    assert found[-1].rule == "too-many-issues"


def test_bundles_in_bundles_stop_at_the_depth() -> None:
    bundle: Json = {"resourceType": "Bundle", "type": "collection"}
    for _ in range(400):
        bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": bundle}]}
    assert rules(bundle) == {("too-deep", "")}
