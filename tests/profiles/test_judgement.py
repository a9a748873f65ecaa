"""What profiles ask is found at its element, in both tiers, on a set made for the test and on the shipped one."""

from __future__ import annotations

from copy import deepcopy
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from typing import Any

import pytest

from benchmarks.clinical import bundle, observation, patient
from profiles.exact import Json, decode, encode
from profiles.expansion import Expansions
from profiles.judgement import accepts, judge
from profiles.library import Library, shipped
from profiles.packages import Package
from profiles.sets import Definitions, compiled, packed, read_pruned
from profiles.terminology import Question, ValueSet
from tests.profiles.examples import DOCUMENT, PATIENT, changed

pytestmark = pytest.mark.slow
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
P = "https://profiles.example/StructureDefinition/"
V = "https://profiles.example/ValueSet/"
CORE = "http://hl7.org/fhir/StructureDefinition/"
LOINC = "http://loinc.org"


def profile(name: str, kind: str, *elements: Json, base: str = "") -> Json:
    made = [{"id": one.get("id", one["path"])} | one for one in elements]
    return {
        "resourceType": "StructureDefinition", "url": P + name, "type": kind, "kind": "resource", "fhirVersion": "4.0.1",
        "derivation": "constraint", "baseDefinition": base or CORE + kind, "differential": {"element": made},
    }  # fmt: skip


def sliced(path: str, kind: str, at: str, rules: str = "open", ordered: bool = False) -> Json:
    slicing = {"discriminator": [{"type": kind, "path": at}], "rules": rules, "ordered": ordered}
    return {"path": path, "slicing": slicing}


def part(path: str, name: str, **more: Any) -> Json:
    return {"path": path, "id": f"{path}:{name}", "sliceName": name} | more


def within(path: str, name: str, below: str, **more: Any) -> Json:
    return {"path": f"{path}.{below}", "id": f"{path}:{name}.{below}"} | more


CODE = {"coding": [{"system": LOINC, "code": "1-8"}]}
OTHER = {"coding": [{"system": LOINC, "code": "2-6"}]}
EXTENSION = {
    "resourceType": "StructureDefinition", "url": P + "color", "type": "Extension", "kind": "complex-type", "fhirVersion": "4.0.1",
    "derivation": "constraint", "baseDefinition": CORE + "Extension", "context": [{"type": "element", "expression": "Patient.contact"}],
    "differential": {"element": [
        {"id": "Extension", "path": "Extension"},
        {"id": "Extension.url", "path": "Extension.url", "fixedUri": P + "color"},
        {"id": "Extension.value[x]", "path": "Extension.value[x]", "min": 1, "type": [{"code": "code"}],
         "binding": {"strength": "required", "valueSet": V + "colors"}},
    ]},
}  # fmt: skip
PROFILES = [
    EXTENSION,
    profile("counts", "Patient", {"path": "Patient.birthDate", "min": 1}, {"path": "Patient.name", "max": "1"},
            {"path": "Patient.photo", "max": "0"}),
    profile("values", "Observation", {"path": "Observation.status", "fixedCode": "final"},
            {"path": "Observation.code", "patternCodeableConcept": CODE},
            {"path": "Observation.value[x]", "type": [{"code": "Quantity"}, {"code": "integer"}],
             "maxValueQuantity": {"value": 10, "system": "http://unitsofmeasure.org", "code": "mg"}},
            {"path": "Observation.method", "binding": {"strength": "required", "valueSet": V + "colors"}},
            {"path": "Observation.bodySite", "binding": {"strength": "extensible", "valueSet": V + "colors"}},
            {"path": "Observation.issued", "minValueInstant": "2020-01-01T00:00:00Z"}),
    profile("by-value", "Observation", sliced("Observation.component", "value", "code"),
            part("Observation.component", "one", min=1, max="1"),
            within("Observation.component", "one", "code", patternCodeableConcept=CODE),
            within("Observation.component", "one", "value[x]", type=[{"code": "integer"}])),
    profile("closed", "Observation", sliced("Observation.category", "pattern", "$this", "closed", ordered=True),
            part("Observation.category", "a", patternCodeableConcept=CODE),
            part("Observation.category", "b", patternCodeableConcept=OTHER)),
    profile("by-exists", "Observation", sliced("Observation.note", "exists", "time"),
            part("Observation.note", "timed", max="1"), within("Observation.note", "timed", "time", min=1),
            part("Observation.note", "plain", max="1"), within("Observation.note", "plain", "time", max="0")),
    profile("by-type", "Observation", sliced("Observation.value[x]", "type", "$this", "closed"),
            part("Observation.value[x]", "valueString", type=[{"code": "string"}], maxLength=5)),
    profile("by-profile", "Observation", sliced("Observation.hasMember", "profile", "resolve()"),
            part("Observation.hasMember", "closed", max="1", type=[{"code": "Reference", "targetProfile": [P + "closed"]}])),
    profile("targets", "Observation", {"path": "Observation.subject", "min": 1,
            "type": [{"code": "Reference", "targetProfile": [P + "counts"], "aggregation": ["contained", "bundled"]}]}),
    profile("ruled", "Patient", {"path": "Patient", "constraint": [
        {"key": "p-1", "severity": "error", "human": "x", "expression": "name.exists() implies birthDate.exists()"},
        {"key": "p-2", "severity": "warning", "human": "x", "expression": "telecom.exists()"}]}),
]  # fmt: skip


@cache
def library() -> Library:
    from importlib.resources import files

    raw = files("profiles.definitions").joinpath("roaz-2026.1-definitions.json.xz").read_bytes()
    made = read_pruned(raw)
    colors = {"resourceType": "ValueSet", "url": V + "colors",
              "compose": {"include": [{"system": "urn:c", "concept": [{"code": "red"}]}, {"system": LOINC}]}}  # fmt: skip
    own = {"StructureDefinition": list(PROFILES), "ValueSet": [colors]}
    made.add(Package("test.profiles", "1", "CC0-1.0", "4.0.1", own))
    small = Definitions()
    small.structures = {
        url: one for url, one in made.structures.items() if url.startswith(P) or one.get("derivation") != "constraint"
    }
    small.value_sets, small.code_systems, small.packages = made.value_sets, made.code_systems, made.packages
    return Library(packed(compiled("test", small), 0))


def found(resource: Json, *names: str, severity: str = "error") -> set[tuple[str, str]]:
    """Judge in both tiers, which must agree; give rule and element."""
    asked = [P + name for name in names]
    verdict = judge(resource, library(), asked)
    assert accepts(resource, library(), asked) is verdict.is_valid
    return {(issue.rule, issue.expression) for issue in verdict.issues if issue.severity == severity}


BARE: Json = {"resourceType": "Observation", "status": "final", "code": CODE, "subject": {"reference": "Patient/1"}}
QUANTITY: Json = {"value": 7, "unit": "mg", "system": "http://unitsofmeasure.org", "code": "mg"}


@pytest.mark.parametrize(
    ("name", "resource", "rule", "expression"),
    [
        ("counts", changed(PATIENT, birthDate=...), "profile-min", "Patient.birthDate"),
        ("counts", changed(PATIENT, name=[{"text": "a"}, {"text": "b"}]), "profile-max", "Patient.name[1]"),
        ("counts", changed(PATIENT, photo=[{"title": "x"}]), "profile-max", "Patient.photo[0]"),
        ("counts", BARE, "profile-of-another-type", "Observation"),
        ("values", BARE | {"status": "amended"}, "profile-fixed", "Observation.status"),
        ("values", BARE | {"code": OTHER}, "profile-pattern", "Observation.code"),
        ("values", BARE | {"valueString": "x"}, "profile-type", "Observation.value.ofType(string)"),
        ("values", BARE | {"valueQuantity": QUANTITY | {"value": 11}}, "profile-most", "Observation.value.ofType(Quantity)"),
        ("values", BARE | {"issued": "2019-12-31T23:59:59Z"}, "profile-least", "Observation.issued"),
        ("values", BARE | {"method": {"coding": [{"system": "urn:c", "code": "blue"}]}}, "profile-binding", "Observation.method"),
        ("values", BARE | {"method": {"text": "red"}}, "profile-binding", "Observation.method"),
        ("by-value", BARE | {"component": [{"code": OTHER}]}, "slice-min", "Observation.component"),
        ("by-value", BARE, "slice-min", "Observation.component"),
        ("by-value", BARE | {"component": [{"code": CODE}] * 2}, "slice-max", "Observation.component[1]"),
        ("by-value", BARE | {"component": [{"code": CODE, "valueString": "x"}]}, "profile-type",
         "Observation.component[0].value.ofType(string)"),
        ("closed", BARE | {"category": [CODE, {"text": "x"}]}, "slice-closed", "Observation.category[1]"),
        ("closed", BARE | {"category": [OTHER, CODE]}, "slice-order", "Observation.category[1]"),
        ("by-exists", BARE | {"note": [{"text": "a"}, {"text": "b"}]}, "slice-max", "Observation.note[1]"),
        ("by-type", BARE | {"valueBoolean": True}, "slice-closed", "Observation.value.ofType(boolean)"),
        ("by-type", BARE | {"valueString": "longer"}, "profile-longest", "Observation.value.ofType(string)"),
        ("targets", BARE | {"subject": {"reference": "Group/1"}}, "reference-target", "Observation.subject.reference"),
        ("targets", BARE, "reference-aggregation", "Observation.subject.reference"),
        ("targets", BARE | {"subject": {"reference": "#p"}, "contained": [{"resourceType": "Patient", "id": "p", "active": True}]},
         "reference-profile", "Observation.subject"),
        ("ruled", changed(PATIENT, birthDate=...), "p-1", "Patient"),
        ("nothing", PATIENT, "profile-asked-unknown", "Patient"),
    ],
)  # fmt: skip
def test_what_a_profile_forbids_is_found_at_its_element(name: str, resource: Json, rule: str, expression: str) -> None:
    assert (rule, expression) in found(resource, name)


@pytest.mark.parametrize(
    ("name", "resource"),
    [
        ("counts", changed(PATIENT, name=[{"text": "a"}])),
        ("values", BARE | {"valueQuantity": QUANTITY | {"value": Decimal("10.00")}}),
        ("values", BARE | {"valueQuantity": QUANTITY | {"value": 11, "code": "g", "unit": "g"}}),
        ("values", BARE | {"method": {"coding": [{"system": "urn:x", "code": "y"}, {"system": "urn:c", "code": "red"}]}}),
        ("by-value", BARE | {"component": [{"code": OTHER}, {"code": CODE, "valueInteger": 1}]}),
        ("closed", BARE | {"category": [CODE, OTHER, OTHER]}),
        ("by-exists", BARE | {"note": [{"text": "a"}, {"text": "b", "time": "2026"}]}),
        ("by-type", BARE | {"valueString": "short"}),
        ("by-profile", BARE | {"hasMember": [{"reference": "Observation/1"}, {"reference": "Observation/2"}]}),
        ("targets", BARE | {"subject": {"reference": "#p"},
                            "contained": [{"resourceType": "Patient", "id": "p", "birthDate": "1970"}]}),
        ("ruled", changed(PATIENT, telecom=...)),
    ],
)  # fmt: skip
def test_what_a_profile_allows_is_accepted(name: str, resource: Json) -> None:
    assert found(resource, name) == set()


def test_advice_is_a_warning_and_what_is_not_known_is_said() -> None:
    blue = BARE | {"bodySite": {"coding": [{"system": "urn:c", "code": "blue"}]}}
    assert ("profile-binding-extensible", "Observation.bodySite") in found(blue, "values", severity="warning")
    assert ("p-2", "Patient") in found(changed(PATIENT, telecom=...), "ruled", severity="warning")
    asked = BARE | {"method": {"coding": [{"system": LOINC, "code": "3-4"}]}}
    assert ("not-judged", "Observation.method") in found(asked, "values", severity="information")


def test_a_question_is_answered_in_a_second_call() -> None:
    asked = BARE | {"method": {"coding": [{"system": LOINC, "code": "3-4"}]}}
    first = judge(asked, library(), [P + "values"])
    question = Question(LOINC, "3-4", V + "colors")
    assert (first.is_valid, first.questions) == (True, (question,))
    for answer in (True, False):
        again = judge(asked, library(), [P + "values"], {question: answer})
        assert (again.is_valid, again.questions) == (answer, ())
        assert accepts(asked, library(), [P + "values"], {question: answer}) is answer


def extended(value: Json, url: str = P + "color", name: str = "extension") -> Json:
    return changed(PATIENT, contact=[{"name": {"text": "x"}, name: [{"url": url} | value]}])


@pytest.mark.parametrize(
    ("resource", "rule", "expression"),
    [
        (extended({"valueString": "red"}), "profile-type", "Patient.contact[0].extension[0].value.ofType(string)"),
        (extended({"valueCode": "red"}, name="modifierExtension"), "extension-modifier", "Patient.contact[0].modifierExtension[0]"),
        (changed(PATIENT, extension=[{"url": P + "color", "valueCode": "red"}]), "extension-context", "Patient.extension[0]"),
        (extended({"valueCode": "red"}, url="color"), "extension-relative", "Patient.contact[0].extension[0]"),
    ],
)  # fmt: skip
def test_an_extension_is_what_its_definition_says_and_where_it_may(resource: Json, rule: str, expression: str) -> None:
    said = found(resource) | found(resource, severity="warning")
    assert (rule, expression) in said
    assert found(extended({"valueCode": "red"})) == set()


def test_an_unknown_modifier_is_a_warning_and_an_unknown_extension_a_remark() -> None:
    unknown = changed(PATIENT, modifierExtension=[{"url": "urn:m:x", "valueBoolean": True}])
    assert ("modifier-unknown", "Patient.modifierExtension[0]") in found(unknown, severity="warning")
    plain = changed(PATIENT, extension=[{"url": "urn:m:x", "valueBoolean": True}])
    assert ("extension-unknown", "Patient.extension[0]") in found(plain, severity="information")


@pytest.mark.parametrize(
    ("attached", "rule"),
    [
        ({"data": "SGVsbG8=", "hash": "9/+ei3uy4Jtwk1pdeF4MxdnQq/A=", "size": 5}, ""),
        ({"data": "", "size": 0}, "ele-1"),
        ({"data": "SGVsbG8=", "hash": "9/+ei3uy4Jtwk1pdeF4MxdnQq/B="}, "attachment-hash"),
        ({"data": "SGVsbG8=", "size": 6}, "attachment-size"),
        ({"url": "https://files.example/1", "hash": "9/+ei3uy4Jtwk1pdeF4MxdnQq/A=", "size": 6}, ""),
    ],
)
def test_what_an_attachment_says_of_its_data_is_true(attached: Json, rule: str) -> None:
    said = {rule for rule, _ in found(changed(PATIENT, photo=[{"contentType": "text/plain"} | attached]))}
    assert said == ({rule} if rule else set())


VITAL: Json = BARE | {
    "category": [
        {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "vital-signs"}]}
    ],
    "code": {"coding": [{"system": LOINC, "code": "8310-5"}]},
    "effectiveDateTime": "2026-01-01",
    "valueQuantity": {"value": 37, "unit": "C", "system": "http://unitsofmeasure.org", "code": "Cel"},
}


def rules(resource: Json, severity: str = "error") -> set[str]:
    verdict = judge(resource, shipped(), now=NOW)
    assert accepts(resource, shipped()) is verdict.is_valid
    return {issue.rule for issue in verdict.issues if issue.severity == severity}


def test_a_vital_sign_is_held_to_its_profile_without_claiming_it() -> None:
    assert rules(VITAL) == set()
    assert "slice-min" in rules(VITAL | {"category": [{"text": "x"}]})
    assert {"vital-unit", "profile-binding"} & rules(
        VITAL | {"valueQuantity": {**VITAL["valueQuantity"], "code": "mm[Hg]"}}
    )


@pytest.mark.parametrize(
    ("resource", "rule", "severity"),
    [
        (changed(PATIENT, identifier=[{"system": "http://fhir.nl/fhir/NamingSystem/bsn", "value": "999990018"}]), "bsn", "error"),
        ({"resourceType": "Consent", "status": "active", "scope": {"text": "x"}, "policyRule": {"text": "x"},
          "category": [{"coding": [{"system": "http://snomed.info/sct", "code": "129125009"}]}], "provision": {"type": "deny"},
          "modifierExtension": [{"url": "http://nictiz.nl/fhir/StructureDefinition/ext-TreatmentDirective2.SpecificationOther",
                                 "valueString": "alleen zuurstof"}]}, "directive-contradiction", "error"),
        ({"resourceType": "AllergyIntolerance", "patient": {"reference": "Patient/1"},
          "clinicalStatus": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical", "code": "active"}]},
          "code": {"coding": [{"system": "http://snomed.info/sct", "code": "716186003"}]},
          "reaction": [{"manifestation": [{"text": "shock"}]}]}, "none-with-reaction", "error"),
        (BARE | {"code": {"coding": [{"system": LOINC, "code": "59408-5"}]}}, "saturation-code", "warning"),
        (changed(PATIENT, birthDate="2031-01-01"), "future-date", "warning"),
        (BARE | {"valueQuantity": QUANTITY | {"unit": "g"}}, "unit-text", "error"),
    ],
)  # fmt: skip
def test_own_rules_speak_where_profiles_are_silent(resource: Json, rule: str, severity: str) -> None:
    assert rule in rules(resource, severity)


def test_none_known_beside_an_entry_is_found_in_a_bundle() -> None:
    def allergy(code: str) -> Json:
        concept = {"coding": [{"system": "http://snomed.info/sct", "code": code}]}
        status = {
            "coding": [
                {"system": "http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical", "code": "active"}
            ]
        }
        return {
            "resourceType": "AllergyIntolerance",
            "patient": {"reference": "Patient/1"},
            "code": concept,
            "clinicalStatus": status,
        }

    def both(*codes: str) -> Json:
        entries = [{"fullUrl": f"urn:oid:1.2.{n}", "resource": allergy(code)} for n, code in enumerate(codes)]
        return {"resourceType": "Bundle", "type": "collection", "entry": entries}

    assert "none-beside-present" in rules(both("716186003", "91936005"), "warning")
    assert "none-beside-present" not in rules(both("716186003"), "warning")


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (lambda b: b["entry"][0].update(fullUrl="urn:uuid:NOT"), "bundle-uuid"),
        (lambda b: b["entry"][0].pop("fullUrl"), "bundle-full-url"),
        (lambda b: b["entry"][1].update(fullUrl="https://a.example/fhir/Patient/other"), "bundle-identity"),
        (lambda b: b["entry"][0]["resource"].update(subject={"reference": "urn:uuid:99999999-9999-4999-8999-999999999999"}),
         "document-includes"),
    ],
)  # fmt: skip
def test_entries_of_a_bundle_are_held_against_each_other(change: Any, rule: str) -> None:
    resource = deepcopy(DOCUMENT)
    resource["entry"][2]["fullUrl"] = "urn:oid:1.2.3"
    resource["entry"][0]["resource"]["section"][0]["entry"] = [{"reference": "urn:oid:1.2.3"}]
    assert rule not in rules(resource)
    change(resource)
    assert rule in rules(resource)


def test_the_resources_of_the_benchmark_are_accepted_and_the_order_is_stable() -> None:
    for resource in (patient(), observation(), bundle(3)):
        read = decode(encode(resource))
        assert rules(read) == set()
        assert judge(read, shipped()).issues == judge(decode(encode(resource)), shipped()).issues


@pytest.mark.parametrize("resource", [None, [], {}, {"resourceType": "Bundle", "entry": [{}, 5]},
    {"resourceType": "Observation", "code": 5, "meta": {"profile": 7}}, {"resourceType": "Patient", "meta": {"profile": [{}]}},
    {"resourceType": "Observation", "code": {"coding": [{"code": {}}]}}])  # fmt: skip
def test_hostile_input_is_an_answer(resource: Any) -> None:
    assert not judge(resource, shipped()).is_valid
    assert not accepts(resource, shipped())


def test_value_sets_as_far_as_they_are_known() -> None:
    systems = {"urn:s": {"content": "complete", "concept": [
        {"code": "a", "concept": [{"code": "b"}, {"code": "c"}]}, {"code": "d", "property": [{"code": "kind", "valueCode": "x"}]}]}}  # fmt: skip

    def of(**compose: Any) -> Any:
        return Expansions({"urn:v": {"url": "urn:v", "compose": compose}, "urn:w": {"url": "urn:w", "compose": {
            "include": [{"system": "urn:s", "concept": [{"code": "b"}, {"code": "d"}]}]}}}, systems).expansion("urn:v")  # fmt: skip

    below = [{"property": "concept", "op": "is-a", "value": "a"}]
    assert of(include=[{"system": "urn:s", "filter": below}])["codes"] == {"urn:s": ["a", "b", "c"]}
    assert of(include=[{"system": "urn:s", "valueSet": ["urn:w"]}])["codes"] == {"urn:s": ["b", "d"]}
    assert of(include=[{"system": "urn:s"}], exclude=[{"valueSet": ["urn:w"]}])["codes"] == {"urn:s": ["a", "c"]}
    assert of(include=[{"system": "urn:s", "filter": [{"property": "kind", "op": "=", "value": "x"}]}])["codes"] == {
        "urn:s": ["d"]
    }
    assert of(include=[{"system": "urn:far"}]) == {"codes": {}, "open": ["urn:far"]}
    made = ValueSet.of("urn:v", of(include=[{"system": "urn:s"}, {"system": "urn:far"}]))
    assert made.has("urn:s", "a", {}) is True
    assert made.has("urn:s", "z", {}) is False
    assert made.has("urn:far", "z", {}) == (Question("urn:far", "z", "urn:v"),)
