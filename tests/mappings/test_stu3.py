"""STU3 zib2017 becomes R4 nl-core: statuses, directives, medication and measurements keep what they mean."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from mappings.model import NotMappable, Origin, Translation
from mappings.translation import guess, translate
from profiles.exact import decode, encode
from profiles.validation import validate
from tests.slack import slack

ORIGIN = Origin("90000001", "hospital", "2026-01-05T10:00:00+01:00")
NL = "http://nictiz.nl/fhir/StructureDefinition/"
EXAMPLES = Path(__file__).parent / "data" / "fhir-stu3"
SHARED = Path(__file__).parents[2].parent / "shared" / "data"
DIRECTIVE = "zib-TreatmentDirective-"


def stu3(resource: dict[str, Any]) -> Translation:
    return translate(encode(resource), "fhir-stu3", ORIGIN)


def one(resource: dict[str, Any]) -> dict[str, Any]:
    result = stu3({"id": "x", **resource})
    assert [str(issue) for issue in validate(result.resources[0]) if issue.is_error] == []
    return result.resources[0]


def coded(system: str, code: str) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code}]}


@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("*.input.json")), ids=lambda p: p.name)
def test_examples(example: Path) -> None:
    result = translate(example.read_bytes(), "fhir-stu3", ORIGIN)
    expected = decode(example.with_name(example.name.replace(".input.", ".expected.")).read_bytes())
    assert list(result.resources) == expected["resources"]
    assert [[loss.path, loss.kind] for loss in result.losses] == expected["losses"]


def directive(decision: str | None, restriction: str = "") -> dict[str, Any]:
    made: dict[str, Any] = {
        "resourceType": "Consent",
        "status": "active",
        "category": [coded("http://snomed.info/sct", "11291000146105")],
        "patient": {"reference": "Patient/p"},
        "policy": [{"uri": "http://wetten.overheid.nl/"}],
        "extension": [
            {"url": f"{NL}{DIRECTIVE}Treatment", "valueCodeableConcept": coded("http://snomed.info/sct", "89666000")}
        ],
    }
    if decision:
        permitted = coded("urn:oid:2.16.840.1.113883.2.4.3.11.60.40.4", decision)
        made["modifierExtension"] = [{"url": f"{NL}{DIRECTIVE}TreatmentPermitted", "valueCodeableConcept": permitted}]
    if restriction:
        made["except"] = [
            {"type": "deny", "extension": [{"url": f"{NL}{DIRECTIVE}Restrictions", "valueString": restriction}]}
        ]
    return made


@pytest.mark.parametrize(
    ("decision", "restriction", "kind", "text"),
    [
        ("JA", "", "permit", None),
        ("NEE", "", "deny", None),
        ("JA_MAAR", "Maximaal 48 uur beademen.", None, "Maximaal 48 uur beademen."),
        ("JA_MAAR", "", None, "Ja, maar met beperkingen"),
        ("JA", "Alleen na overleg.", None, "Alleen na overleg."),
        (None, "", None, "Besluit onbekend"),
        ("WEET_NIET", "", None, "Besluit onbekend"),
    ],
)
def test_a_treatment_directive_says_exactly_what_it_said(
    decision: str | None, restriction: str, kind: str | None, text: str | None
) -> None:
    made = one(directive(decision, restriction))
    assert made["provision"].get("type") == kind
    others = [x["valueString"] for x in made.get("modifierExtension", []) if x["url"].endswith("SpecificationOther")]
    assert others == ([text] if text else [])
    assert made["scope"]["coding"][0]["code"] == "treatment"
    assert [c["code"] for c in made["category"][0]["coding"]] == ["129125009", "11291000146105"]
    assert made["meta"]["profile"] == [NL + "nl-core-TreatmentDirective2"]


def test_a_refusal_with_restrictions_stays_a_refusal_and_keeps_its_text() -> None:
    made = one(directive("NEE", "Tenzij reversibel."))
    assert made["provision"]["type"] == "deny"
    assert made["extension"][0]["valueString"] == "Tenzij reversibel."


def test_an_allergy_entered_in_error_is_not_active() -> None:
    made = one({"resourceType": "AllergyIntolerance", "clinicalStatus": "active", "verificationStatus": "entered-in-error",
                "patient": {"reference": "Patient/p"}})  # fmt: skip
    assert "clinicalStatus" not in made
    assert made["verificationStatus"]["coding"][0]["code"] == "entered-in-error"


def test_a_refuted_problem_stays_refuted() -> None:
    made = one({"resourceType": "Condition", "verificationStatus": "refuted", "subject": {"reference": "Patient/p"},
                "assertedDate": "2019", "context": {"reference": "Encounter/e"}})  # fmt: skip
    assert made["verificationStatus"]["coding"][0]["code"] == "refuted"
    assert made["recordedDate"] == "2019"
    assert made["encounter"]["reference"] == "Encounter/e"


@pytest.mark.parametrize(
    ("status", "taken", "expected"),
    [
        ("active", "y", "active"),
        ("active", "n", "not-taken"),
        ("active", "unk", "unknown"),
        ("stopped", "unk", "stopped"),
        ("entered-in-error", "n", "entered-in-error"),
        ("entered-in-error", "y", "entered-in-error"),
        ("completed", "na", "completed"),
    ],
)
def test_taken_and_status_become_one(status: str, taken: str, expected: str) -> None:
    made = one({"resourceType": "MedicationStatement", "status": status, "taken": taken,
                "medicationCodeableConcept": {"text": "m"}, "subject": {"reference": "Patient/p"},
                "category": coded("urn:oid:2.16.840.1.113883.2.4.3.11.60.20.77.5.3", "6")})  # fmt: skip
    assert made["status"] == expected
    assert [c["code"] for c in made["category"]["coding"]] == ["422979000", "6"]


@pytest.mark.parametrize(
    ("kind", "flag", "when"), [("Procedure", "notDone", {}), ("Immunization", "notGiven", {"date": "2020"})]
)
def test_what_was_not_done_never_becomes_done(kind: str, flag: str, when: dict[str, Any]) -> None:
    who = {"subject": {"reference": "Patient/p"}, "patient": {"reference": "Patient/p"}}
    who.pop("patient" if kind == "Procedure" else "subject")
    base = {"resourceType": kind, "status": "completed", **who, **when}
    if kind == "Immunization":
        base["vaccineCode"] = {"text": "v"}
    assert one({**base, flag: True})["status"] == "not-done"
    assert one({**base, flag: False})["status"] == "completed"


def test_measurements_keep_digits_and_members() -> None:
    body = b"""{"resourceType":"Observation","id":"o","status":"final","code":{"text":"t"},"comment":"rustig",
      "valueQuantity":{"value":1.50,"unit":"kg"},"related":[{"type":"has-member","target":{"reference":"Observation/m"}},
      {"type":"replaces","target":{"reference":"Observation/r"}}]}"""
    result = translate(body, "fhir-stu3", ORIGIN)
    assert b'"value":1.50' in encode(result.resources[0])
    assert result.resources[0]["hasMember"] == [{"reference": "Observation/m"}]
    assert result.resources[0]["note"] == [{"text": "rustig"}]
    url = "http://hl7.org/fhir/3.0/StructureDefinition/Observation.replaces"
    assert result.resources[0]["extension"] == [{"url": url, "valueReference": {"reference": "Observation/r"}}]
    assert result.losses == ()


def test_a_request_keeps_its_name_everywhere() -> None:
    result = stu3({"resourceType": "Bundle", "type": "searchset", "entry": [
        {"resource": {"resourceType": "ProcedureRequest", "id": "r", "status": "active", "intent": "order",
                      "subject": {"reference": "Patient/p"}}},
        {"resource": {"resourceType": "Procedure", "id": "q", "status": "completed", "subject": {"reference": "Patient/p"},
                      "basedOn": [{"reference": "ProcedureRequest/r"}]}}]})  # fmt: skip
    assert result.keys == ("ServiceRequest/r", "Procedure/q")
    assert result.resources[1]["basedOn"] == [{"reference": "ServiceRequest/r"}]


def test_a_type_without_map_is_a_loss() -> None:
    result = stu3({"resourceType": "Questionnaire", "id": "q"})
    assert result.resources == ()
    assert [loss.kind for loss in result.losses] == ["unmapped"]
    body = b'{"resourceType":"Questionnaire","id":"q","status":"active","item":[{"linkId":"1","type":"string"}]}'
    whole = translate(body, "fhir-stu3", ORIGIN, whole=True)
    assert whole.resources[0]["item"] == [{"linkId": "1", "type": "string"}]


def test_a_type_of_a_patient_without_a_map_of_its_own_is_read_by_what_kept_its_name() -> None:
    source = {
        "resourceType": "DiagnosticReport", "id": "d", "status": "final", "code": {"text": "t"},
        "subject": {"reference": "Patient/p"}, "context": {"reference": "Encounter/e"},
        "codedDiagnosis": [{"text": "c"}], "unknownHere": "x",
    }  # fmt: skip
    result = stu3(source)
    (made,) = result.resources
    assert made["encounter"] == {"reference": "Encounter/e"}
    assert made["conclusionCode"] == [{"text": "c"}]
    assert [loss.path for loss in result.losses] == ["DiagnosticReport.unknownHere"]


def test_a_medication_that_was_not_given_never_becomes_one_that_was() -> None:
    source = {"resourceType": "MedicationAdministration", "id": "x", "status": "completed", "notGiven": True,
              "medicationCodeableConcept": {"text": "m"}, "subject": {"reference": "Patient/p"}, "effectiveDateTime": "2026"}  # fmt: skip
    assert stu3(source).resources[0]["status"] == "not-done"


def test_a_reference_to_a_contained_resource_that_was_not_sent_keeps_its_words() -> None:
    source = {"resourceType": "MedicationStatement", "id": "m", "status": "active", "taken": "y",
              "subject": {"reference": "Patient/p"}, "medicationReference": {"reference": "#gone", "display": "pil"}}  # fmt: skip
    result = stu3(source)
    assert result.resources[0]["medicationReference"] == {"display": "pil"}
    assert [loss.kind for loss in result.losses] == ["dropped"]


def test_codes_of_systems_that_were_renamed_keep_what_was_sent_beside_them() -> None:
    source = {"resourceType": "Condition", "id": "c", "subject": {"reference": "Patient/p"},
              "severity": coded("http://hl7.org/fhir/v3/ObservationValue", "H")}  # fmt: skip
    systems = [one["system"] for one in stu3(source).resources[0]["severity"]["coding"]]
    assert systems == [
        "http://terminology.hl7.org/CodeSystem/v3-ObservationValue",
        "http://hl7.org/fhir/v3/ObservationValue",
    ]


def test_xml_reads_like_json() -> None:
    xml = b"""<Patient xmlns="http://hl7.org/fhir"><id value="p"/><active value="true"/><name><given value="A"/></name>
      <birthDate><extension url="http://hl7.org/fhir/StructureDefinition/data-absent-reason">
      <valueCode value="unknown"/></extension></birthDate></Patient>"""
    (made,) = translate(xml, "fhir-stu3", ORIGIN).resources
    assert made["active"] is True
    assert made["name"] == [{"given": ["A"]}]
    assert made["_birthDate"]["extension"][0]["valueCode"] == "unknown"
    assert guess(xml) == "fhir-r4"  # nothing in it is of STU3 only


def test_an_xml_bundle_with_one_entry_is_read() -> None:
    xml = b"""<Bundle xmlns="http://hl7.org/fhir"><type value="searchset"/><entry><fullUrl value="https://s/Patient/p"/>
      <resource><Patient><id value="p"/><gender value="male"/></Patient></resource></entry></Bundle>"""
    result = translate(xml, "fhir-stu3", ORIGIN)
    assert result.keys == ("Patient/p",)
    assert result.resources[0]["gender"] == "male"


def test_contained_resources_are_lifted_too() -> None:
    medication = {"resourceType": "Medication", "id": "m", "ingredient": [{"itemCodeableConcept": {"text": "i"},
                  "amount": {"numerator": {"value": 500}}}]}  # fmt: skip
    made = one({"resourceType": "MedicationRequest", "intent": "order", "contained": [medication],
                "medicationReference": {"reference": "#m"}, "subject": {"reference": "Patient/p"}})  # fmt: skip
    assert made["contained"][0]["ingredient"][0]["strength"] == {"numerator": {"value": 500}}


def test_a_loss_never_repeats_content_that_stands_as_a_name() -> None:
    result = stu3(
        {"resourceType": "Patient", "id": "p", "Jan de Vries": "x", "name": [{"Jan Pieters": "y", "family": "z"}]}
    )
    assert [loss.path for loss in result.losses] == ["Patient.name[0].?", "Patient.?"]


@pytest.mark.parametrize(
    "body",
    [b"<", b"<a/>", b'<!DOCTYPE x [<!ENTITY a "b">]><Patient xmlns="http://hl7.org/fhir"/>', b"{", b"",
     b'<Patient xmlns="http://hl7.org/fhir">' + b"<x>" * 100 + b"</x>" * 100 + b"</Patient>"],
)  # fmt: skip
def test_hostile_bytes_are_refused(body: bytes) -> None:
    with pytest.raises(NotMappable):
        translate(body, "fhir-stu3", ORIGIN)


@pytest.mark.real_inputs
def test_real_inputs_run_and_are_valid_r4() -> None:
    if not SHARED.exists():
        pytest.skip("third-party examples are not beside the project")
    files = [
        *(SHARED / "nl-bgz-msz2-stu3" / "resources").glob("*.xml"),
        *(SHARED / "pairs" / "stu3-r4-ms").glob("*.input.json"),
    ]
    mapped = refused = losses = 0
    # Inputs that lack what R4 demands: templates for dates, references to what is not contained, unstructured agents.
    wanting = ("BgZ-Metadata", "Provenance", "MedicationStatement.input")
    for file in files:
        started = time.perf_counter()
        try:
            result = translate(file.read_bytes(), "fhir-stu3", ORIGIN)
        except NotMappable:
            refused += 1
            continue
        assert time.perf_counter() - started < 2 * slack()
        mapped, losses = mapped + len(result.resources), losses + len(result.losses)
        for resource in result.resources:
            errors = [str(issue) for issue in validate(resource) if issue.is_error]
            assert not errors or file.name.startswith(wanting), (file.name, errors)
    print(f"{len(files)} files: {mapped} resources, {losses} losses, {refused} refused")
    assert mapped >= 100


def test_a_signature_has_the_names_of_r4() -> None:
    signature = {
        "type": [{"system": "urn:iso-astm:E1762-95:2013", "code": "1.2.840.10065.1.12.1.1"}],
        "when": "2020-01-01T10:00:00Z",
        "whoReference": {"reference": "Practitioner/p"},
        "contentType": "application/signature+xml",
        "blob": "dGVzdA==",
    }
    made = one(
        {
            "resourceType": "Provenance",
            "target": [{"reference": "Condition/c"}],
            "recorded": "2020-01-01T10:00:00Z",
            "agent": [{"whoReference": {"reference": "Practitioner/p"}}],
            "signature": [signature],
        }
    )
    assert made["signature"] == [
        {
            "type": signature["type"],
            "when": "2020-01-01T10:00:00Z",
            "who": {"reference": "Practitioner/p"},
            "sigFormat": "application/signature+xml",
            "data": "dGVzdA==",
        }
    ]


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ("http://hl7.org/fhir/v2/0131", "http://terminology.hl7.org/CodeSystem/v2-0131"),
        ("http://hl7.org/fhir/v3/ParticipationFunction", "http://terminology.hl7.org/CodeSystem/v3-ParticipationFunction"),
        ("http://hl7.org/fhir/consentaction", "http://terminology.hl7.org/CodeSystem/consentaction"),
    ],
)  # fmt: skip
def test_every_system_that_only_begins_otherwise_stands_under_both_names(older: str, newer: str) -> None:
    made = one({"resourceType": "Condition", "subject": {"reference": "Patient/p"}, "code": coded(older, "X")})
    assert [coding["system"] for coding in made["code"]["coding"]] == [newer, older]
