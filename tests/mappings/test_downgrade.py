"""R4 becomes STU3 for receivers that still ask it: nothing gets another meaning, what STU3 cannot carry is said."""

from __future__ import annotations

import importlib
import json
import warnings
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from mappings.downgrade import STU3_VERSION, Downgraded, downgrade, downgrade_bytes, r4_type, stu3_type
from mappings.model import NotMappable, Origin
from mappings.stu3_definitions import stu3_definitions
from mappings.translation import translate
from profiles.exact import decode, encode

ORIGIN = Origin("90000001", "hospital", "2026-01-05T10:00:00+01:00")
NL = "http://nictiz.nl/fhir/StructureDefinition/"
SHARED = Path(__file__).parents[2].parent / "shared" / "data"
EXAMPLES = Path(__file__).parent / "data" / "to-stu3"
PATIENT = {"reference": "Patient/p"}
HL7 = "http://terminology.hl7.org/CodeSystem/"


def coded(system: str, code: str) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code}]}


def older(resource: dict[str, Any]) -> dict[str, Any]:
    made = downgrade({"id": "x", **resource})
    assert made.resource is not None, made.losses
    return made.resource


def reasons(made: Downgraded) -> list[str]:
    return [loss.reason for loss in made.losses]


def facts(node: Any, where: str = "") -> Iterator[tuple[str, str]]:
    """Every value with the names that lead to it; where a list stands in another order nothing is lost."""
    if isinstance(node, dict):
        for name, child in node.items():
            yield from facts(child, f"{where}.{name}")
    elif isinstance(node, list):
        for child in node:
            yield from facts(child, where)
    else:
        yield where, str(node)


@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("*.input.json")), ids=lambda p: p.name)
def test_examples(example: Path) -> None:
    made, losses = downgrade_bytes(example.read_bytes())
    expected = decode(example.with_name(example.name.replace(".input.", ".expected.")).read_bytes())
    assert [one["resource"] for one in decode(made)["entry"]] == expected["resources"]
    assert [[loss.path, loss.kind] for loss in losses] == expected["losses"]


def test_a_language_a_policy_group_and_repeats_go_back() -> None:
    language = {"language": coded("urn:ietf:bcp:47", "nl"), "preferred": True}
    assert older({"resourceType": "Patient", "communication": [language]})["communication"] == [language]
    classes = [{"type": coded(HL7 + "coverage-class", "group"), "value": "G1"}, {"type": coded(HL7 + "coverage-class", "plan"), "value": "B"}]  # fmt: skip
    coverage = {"resourceType": "Coverage", "status": "active", "beneficiary": PATIENT, "payor": [{"display": "P"}], "class": classes}  # fmt: skip
    assert older(coverage)["grouping"] == {"group": "G1", "plan": "B"}
    request = {"resourceType": "MedicationRequest", "status": "active", "intent": "order", "subject": PATIENT, "medicationCodeableConcept": {"text": "x"}}  # fmt: skip
    assert older({**request, "dispenseRequest": {"numberOfRepeatsAllowed": 2}})["dispenseRequest"] == {"numberOfRepeatsAllowed": 2}  # fmt: skip
    none = downgrade({"id": "x", **request, "dispenseRequest": {"numberOfRepeatsAllowed": 0}})
    assert "dispenseRequest" not in (none.resource or {}), "STU3 counts repeats from one"
    assert [loss.kind for loss in none.losses] == ["unmapped"]


def test_statuses_become_codes_and_keep_what_else_was_said() -> None:
    made = older({"resourceType": "Condition", "subject": PATIENT, "recordedDate": "2020-05", "encounter": {"reference": "Encounter/e"},
                  "clinicalStatus": {"coding": [{"system": HL7 + "condition-clinical", "code": "relapse"}, {"system": "http://snomed.info/sct", "code": "55561003"}]},
                  "verificationStatus": coded(HL7 + "condition-ver-status", "unconfirmed")})  # fmt: skip
    assert made["clinicalStatus"] == "recurrence"
    specified = made["_clinicalStatus"]["extension"][0]
    assert specified["url"] == NL + "code-specification"
    assert [one["code"] for one in specified["valueCodeableConcept"]["coding"]] == ["relapse", "55561003"]
    assert made["verificationStatus"] == "unknown"
    assert (made["assertedDate"], made["context"]) == ("2020-05", {"reference": "Encounter/e"})


@pytest.mark.parametrize(
    ("kind", "who", "more", "flag"),
    [
        ("Procedure", "subject", {}, "notDone"),
        (
            "Immunization",
            "patient",
            {"vaccineCode": {"text": "v"}, "occurrenceDateTime": "2020", "primarySource": True},
            "notGiven",
        ),
        ("Communication", "subject", {}, "notDone"),
        (
            "MedicationAdministration",
            "subject",
            {"medicationCodeableConcept": {"text": "m"}, "effectiveDateTime": "2020"},
            "notGiven",
        ),
    ],
)
def test_what_was_not_done_never_becomes_done(kind: str, who: str, more: dict[str, Any], flag: str) -> None:
    made = older({"resourceType": kind, "status": "not-done", who: PATIENT, **more})
    assert made[flag] is True
    done = older({"resourceType": kind, "status": "completed", who: PATIENT, **more})
    assert done.get(flag, False) is False
    assert done["status"] == "completed"


@pytest.mark.parametrize(
    ("status", "older_status", "taken"),
    [
        ("active", "active", "y"),
        ("completed", "completed", "y"),
        ("not-taken", "stopped", "n"),
        ("stopped", "stopped", "unk"),
        ("intended", "intended", "na"),
        ("unknown", None, "unk"),
        ("entered-in-error", "entered-in-error", "unk"),
    ],
)
def test_status_and_taken_are_taken_apart(status: str, older_status: str | None, taken: str) -> None:
    made = older({"resourceType": "MedicationStatement", "status": status, "subject": PATIENT,
                  "medicationCodeableConcept": {"text": "m"}, "category": coded("http://snomed.info/sct", "422979000")})  # fmt: skip
    assert made.get("status") == older_status
    assert made["taken"] == taken
    assert made["category"]["coding"][0] == {"system": "urn:oid:2.16.840.1.113883.2.4.3.11.60.20.77.5.3", "code": "6"}
    assert ("_status" in made) is (older_status is None)


OTHER = NL + "ext-TreatmentDirective2.SpecificationOther"


@pytest.mark.parametrize(
    ("provision", "other", "said"),
    [
        ("permit", "", "JA"),
        ("deny", "", "NEE"),
        (None, "Alleen op de IC.", "JA_MAAR"),
        ("permit", "Alleen op de IC.", "JA_MAAR"),
        ("deny", "Tenzij reversibel.", "NEE"),
        (None, "Besluit onbekend", None),
        (None, "", None),
    ],
)
def test_a_treatment_directive_says_exactly_what_it_said(provision: str | None, other: str, said: str | None) -> None:
    source: dict[str, Any] = {"resourceType": "Consent", "status": "active", "patient": PATIENT, "scope": coded(HL7 + "consentscope", "treatment"),
              "category": [coded("http://snomed.info/sct", "129125009")], "provision": {"code": [coded("http://snomed.info/sct", "89666000")]}}  # fmt: skip
    if provision:
        source["provision"]["type"] = provision
    if other:
        source["modifierExtension"] = [{"url": OTHER, "valueString": other}]
    made = older(source)
    permitted = [one["valueCodeableConcept"]["coding"][0]["code"] for one in made.get("modifierExtension", []) if one["url"].endswith("TreatmentPermitted")]  # fmt: skip
    assert permitted == ([said] if said else [])
    texts = [inner["valueString"] for one in made.get("except", []) for inner in one["extension"]]
    assert texts == ([other] if other else [])
    back = translate(encode(made), "fhir-stu3", ORIGIN).resources[0]
    assert back["provision"].get("type") == (provision if said in {"JA", "NEE"} else None)


@pytest.mark.parametrize(
    ("resource", "reason"),
    [
        ({"resourceType": "MedicationRequest", "doNotPerform": True, "status": "active", "intent": "order", "subject": PATIENT, "medicationCodeableConcept": {"text": "m"}}, "must not be given"),
        ({"resourceType": "Observation", "status": "final", "code": {"text": "c"}, "focus": [{"reference": "RelatedPerson/m"}]}, "somebody"),
        ({"resourceType": "Immunization", "status": "completed", "isSubpotent": True, "patient": PATIENT, "vaccineCode": {"text": "v"}}, "too weak"),
        ({"resourceType": "Consent", "status": "active", "patient": PATIENT, "category": [{"text": "privacy"}], "provision": {"type": "deny"}}, "denies"),
        ({"resourceType": "MedicationKnowledge", "status": "active"}, "no such resource"),
        ({"resourceType": "Flag", "status": "active", "code": {"text": "c"}}, "Flag.subject"),
    ],
)  # fmt: skip
def test_what_stu3_cannot_say_safely_is_left_out(resource: dict[str, Any], reason: str) -> None:
    made = downgrade({"id": "x", **resource})
    assert made.resource is None
    assert reason in made.losses[-1].reason
    with pytest.raises(NotMappable):
        downgrade_bytes(encode(resource))
    holder = {"resourceType": "List", "status": "current", "mode": "working", "contained": [{"id": "c", **resource}]}
    assert "contained" not in older(holder)


def test_of_several_doses_none_is_the_dose() -> None:
    dose = [{"doseQuantity": {"value": Decimal("1.0")}}, {"doseQuantity": {"value": Decimal("2.0")}}]
    base = {"resourceType": "MedicationStatement", "status": "active", "subject": PATIENT, "medicationCodeableConcept": {"text": "m"}}  # fmt: skip
    made = downgrade({**base, "dosage": [{"text": "zie lijst", "doseAndRate": dose}]})
    assert made.resource is not None
    assert made.resource["dosage"] == [{"text": "zie lijst"}]
    assert [loss.path for loss in made.losses] == ["MedicationStatement.dosage[0].doseAndRate"]
    single = older({**base, "dosage": [{"doseAndRate": dose[:1]}]})
    assert encode(single["dosage"]) == b'[{"doseQuantity":{"value":1.0}}]'


def test_references_follow_roles_and_renamed_types() -> None:
    role = {"resourceType": "PractitionerRole", "id": "r", "practitioner": {"reference": "Practitioner/d"}}
    asked = {"resourceType": "ServiceRequest", "id": "s", "status": "revoked", "intent": "order", "code": {"text": "c"}, "subject": PATIENT}  # fmt: skip
    done = {"resourceType": "Procedure", "id": "q", "status": "completed", "subject": PATIENT, "basedOn": [{"reference": "ServiceRequest/s", "type": "ServiceRequest"}],
            "performer": [{"actor": {"reference": "PractitionerRole/r", "display": "chirurg"}}]}  # fmt: skip
    bundle = {"resourceType": "Bundle", "type": "searchset", "total": 3, "entry": [{"fullUrl": f"https://g/{one['resourceType']}/{one['id']}", "resource": one, "search": {"mode": "match"}} for one in (role, asked, done)]}  # fmt: skip
    before = encode(bundle)
    made = downgrade(bundle)
    assert encode(bundle) == before
    assert made.losses == ()
    assert made.resource is not None
    entries = made.resource["entry"]
    assert [one["resource"]["resourceType"] for one in entries] == ["PractitionerRole", "ProcedureRequest", "Procedure"]
    assert [one["fullUrl"] for one in entries] == ["https://g/PractitionerRole/r", "https://g/ProcedureRequest/s", "https://g/Procedure/q"]  # fmt: skip
    assert entries[1]["resource"]["status"] == "cancelled"
    assert entries[2]["resource"]["basedOn"] == [{"reference": "ProcedureRequest/s"}]
    actor = entries[2]["resource"]["performer"][0]["actor"]
    assert actor["reference"] == "Practitioner/d"
    assert actor["extension"][0]["valueReference"] == {"reference": "PractitionerRole/r", "display": "chirurg"}


def test_in_a_bundle_what_is_left_out_is_said_in_its_place() -> None:
    about_mother = {"resourceType": "Observation", "id": "o", "status": "final", "code": {"text": "c"}, "focus": [{"reference": "RelatedPerson/m"}]}  # fmt: skip
    made = downgrade({"resourceType": "Bundle", "type": "searchset", "total": 1, "entry": [{"fullUrl": "https://g/Observation/o", "resource": about_mother, "search": {"mode": "match"}}]})  # fmt: skip
    assert made.resource is not None
    entry = made.resource["entry"][0]
    assert entry["search"] == {"mode": "outcome"}
    assert entry["resource"]["issue"][0]["code"] == "not-supported"
    assert "fullUrl" not in entry
    assert made.losses[0].path == "entry[0].resource"


ANSWERS: tuple[dict[str, Any], ...] = (
    {
        "resourceType": "OperationOutcome",
        "issue": [{"severity": "error", "code": "multiple-matches", "diagnostics": "d"}],
    },
    {"resourceType": "Bundle", "type": "searchset", "total": 0},
    {"resourceType": "Bundle", "type": "searchset", "total": 0, "entry": []},
    {
        "resourceType": "Parameters",
        "parameter": [{"name": "return", "resource": {"resourceType": "Patient", "id": "p"}}],
    },
    {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": "2026",
        "kind": "instance",
        "fhirVersion": "4.0.1",
        "format": ["json"],
    },
)


def test_an_answer_of_any_kind_has_a_form() -> None:
    for resource in ANSWERS:
        made = downgrade(resource)
        assert made.resource is not None
        assert made.resource["resourceType"] == resource["resourceType"]
    outcome = downgrade({"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "deleted"}]})
    assert outcome.resource is not None
    assert outcome.resource["issue"][0]["code"] == "not-found"


def test_what_r4_alone_knows_is_a_loss_by_its_place() -> None:
    made = downgrade({"resourceType": "Encounter", "id": "e", "status": "finished", "class": {"system": HL7 + "v3-ActCode", "code": "EMER"},
                      "subject": PATIENT, "serviceType": {"text": "SEH"}, "reasonReference": [{"reference": "Condition/c"}]})  # fmt: skip
    assert [loss.path for loss in made.losses] == ["Encounter.serviceType", "Encounter.reasonReference"]
    assert made.resource is not None
    assert made.resource["class"] == {"system": "http://hl7.org/fhir/v3/ActCode", "code": "EMER"}


def test_an_unknown_that_stu3_asks_is_said_to_be_unknown() -> None:
    made = downgrade(
        {
            "resourceType": "Immunization",
            "status": "completed",
            "patient": PATIENT,
            "vaccineCode": {"text": "v"},
            "occurrenceString": "als kind",
        }
    )
    assert made.resource is not None
    assert made.resource["_primarySource"]["extension"][0]["valueCode"] == "unknown"
    assert "STU3 asks Immunization.primarySource, which is not known" in reasons(made)
    assert "Immunization.occurrenceString" in [loss.path for loss in made.losses]


def test_the_source_of_a_resource_comes_along_both_ways() -> None:
    source = {"resourceType": "Flag", "id": "x", "meta": {"source": "urn:roaz:hospital#Flag/1", "profile": [NL + "nl-core-Alert"]},
              "status": "active", "code": {"text": "c"}, "subject": PATIENT}  # fmt: skip
    made = older(source)
    assert made["meta"]["profile"] == [NL + "zib-Alert"]
    back = translate(encode(made), "fhir-stu3", ORIGIN)
    assert back.resources[0] == source
    assert back.losses == ()


def test_types_have_a_name_in_both() -> None:
    assert stu3_definitions().version == STU3_VERSION
    assert (stu3_type("ServiceRequest"), r4_type("ProcedureRequest"), r4_type("ReferralRequest")) == ("ProcedureRequest", "ServiceRequest", "ServiceRequest")  # fmt: skip
    assert (stu3_type("Condition"), r4_type("Condition"), stu3_type("MedicationKnowledge")) == (
        "Condition",
        "Condition",
        "",
    )


def test_digits_survive() -> None:
    body, losses = downgrade_bytes(b'{"resourceType":"Observation","id":"o","status":"final","code":{"text":"c"},"valueQuantity":{"value":1.50}}')  # fmt: skip
    assert b'"value":1.50' in body
    assert losses == ()
    with pytest.raises(NotMappable):
        downgrade_bytes(b"{")


@pytest.mark.slow
def test_an_answer_of_any_kind_is_stu3_to_a_library() -> None:
    for resource in ANSWERS:
        made = downgrade(resource)
        assert made.resource is not None
        _checked(made.resource)


@pytest.mark.slow
def test_the_definition_of_stu3_is_what_the_library_knows() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the library names fields as its own base class does
        library = importlib.import_module("tests.mappings.stu3_library")
    assert json.loads(library.TABLE.read_text(encoding="utf-8")) == library.known()


def _checked(resource: dict[str, Any]) -> None:
    """A library for STU3 reads it; INVARIANT of the result, not of the map."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = importlib.import_module(f"fhir.resources.STU3.{resource['resourceType'].lower()}")
        getattr(module, resource["resourceType"]).model_validate_json(encode(_without_values_unsaid(resource)))


def _without_values_unsaid(node: Any) -> Any:
    """The library knows no extension in place of the value of an extension, which FHIR allows."""
    if isinstance(node, dict):
        return {name: _without_values_unsaid(child) for name, child in node.items() if not name.startswith("_value")}
    return [_without_values_unsaid(one) for one in node] if isinstance(node, list) else node


STU3_FILES = (
    ("nl-bgz-msz2-stu3/resources", "*.xml"),
    ("pairs/nl-bgz-nuts-stu3-r4", "bgz-example.json"),
    ("pairs/stu3-r4-ms", "*.input.json"),
)
# Definitions of other things, not of a patient, which no receiver of summaries asks.
TECHNICAL = {"StructureDefinition", "CapabilityStatement", "SearchParameter", "ConceptMap", "ValueSet"}


@pytest.mark.real_inputs
def test_round_trip_of_third_party_stu3_keeps_every_fact_both_can_carry() -> None:
    files = [path for folder, pattern in STU3_FILES for path in sorted((SHARED / folder).glob(pattern))]
    if not files:
        pytest.skip("the third-party STU3 examples are not beside the project")
    lost: Counter[tuple[str, str]] = Counter()
    seen = 0
    for path in files:
        for first in translate(path.read_bytes(), "fhir-stu3", ORIGIN, whole=True).resources:
            if first["resourceType"] in TECHNICAL:
                continue
            made = downgrade(first)
            assert made.resource is not None, (path.name, made.losses)
            _checked(made.resource)
            again = translate(encode(made.resource), "fhir-stu3", ORIGIN, whole=True).resources[0]
            gone = Counter(facts(first)) - Counter(facts(again))
            reported = {loss.path.partition(".")[2].partition("[")[0].partition(".")[0] for loss in made.losses}
            for where, _ in gone:
                if where.split(".")[1] not in reported:
                    lost[first["resourceType"], where] += 1
            seen += 1
    assert not lost
    assert seen > 150


@pytest.mark.real_inputs
@pytest.mark.parametrize("folder", ["nl-core-examples", "ips-examples", "r4-examples"])
def test_third_party_r4_becomes_stu3_that_a_library_reads(folder: str) -> None:
    files = [path for path in sorted((SHARED / folder).rglob("*")) if path.suffix in {".xml", ".json"}]
    if not files:
        pytest.skip("the third-party R4 examples are not beside the project")
    left_out: Counter[str] = Counter()
    for path in files:
        for resource in translate(path.read_bytes(), "fhir-r4", ORIGIN, whole=True).resources:
            if resource["resourceType"] in {*TECHNICAL, "AuditEvent", "MessageDefinition", "MessageHeader"}:
                continue
            made = downgrade(resource)
            if made.resource is None:
                left_out[made.losses[-1].reason] += 1
            else:
                _checked(made.resource)
                decode(encode(made.resource))
    assert sum(left_out.values()) <= 1, left_out
