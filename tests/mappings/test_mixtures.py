"""What vendors send in R4 that is of STU3 or of neither is mended by a row of a table, and what was sent stays."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from mappings.model import Origin, Translation
from mappings.translation import translate
from profiles.exact import encode
from profiles.validation import validate

ORIGIN = Origin("90000001", "gp", "2026-01-05T10:00:00+01:00")
HL7 = "http://terminology.hl7.org/CodeSystem/"
NHG = "https://referentiemodel.nhg.org/tabellen/nhg-tabel-45-diagnostische-bepalingen"
PATIENT = {"reference": "Patient/p"}


def sent(resource: dict[str, Any]) -> Translation:
    made = translate(encode({"id": "x", **resource}), "fhir-r4", ORIGIN)
    assert [str(issue) for issue in validate(made.resources[0]) if issue.is_error] == []
    return made


def observed(**other: Any) -> dict[str, Any]:
    base = {"resourceType": "Observation", "status": "final", "code": {"text": "pols"}, "subject": PATIENT}
    return sent({**base, **other}).resources[0]


@pytest.mark.parametrize(
    ("kind", "who", "system"),
    [("Condition", "subject", "condition-clinical"), ("AllergyIntolerance", "patient", "allergyintolerance-clinical")],
)
@pytest.mark.parametrize(
    "status",
    [
        {"coding": [{"system": "urn:oid:2.16.840.1.113883.5.14", "code": "active"}]},
        {"coding": [{"code": "active"}], "text": "actief"},
        "active",
    ],
)
def test_a_status_under_another_system_is_said_in_the_one_r4_asks(kind: str, who: str, system: str, status: Any) -> None:  # fmt: skip
    made = sent({"resourceType": kind, "clinicalStatus": status, who: PATIENT, "code": {"text": "c"}})
    codings = made.resources[0]["clinicalStatus"]["coding"]
    assert codings[0] == {"system": HL7 + system, "code": "active"}
    before = status["coding"] if isinstance(status, dict) else []
    assert [one for one in before if "system" in one] == codings[1:]
    assert [(one.path, one.kind) for one in made.losses] == [(f"{kind}.clinicalStatus", "approximate")]


def test_a_status_of_r4_and_one_nobody_knows_are_left_alone() -> None:
    good = {"coding": [{"system": HL7 + "condition-clinical", "code": "active"}]}
    made = sent({"resourceType": "Condition", "clinicalStatus": good, "subject": PATIENT})
    assert made.resources[0]["clinicalStatus"] == good
    assert made.losses == ()
    odd = {"coding": [{"system": "urn:oid:1.2.3", "code": "lopend"}]}
    unread = translate(encode({"resourceType": "Condition", "id": "x", "clinicalStatus": odd, "subject": PATIENT}), "fhir-r4", ORIGIN)  # fmt: skip
    assert unread.resources[0]["clinicalStatus"] == odd


@pytest.mark.parametrize(
    ("text", "value", "unit", "code"),
    [
        ("80 aantal/min", "80", "aantal/min", "/min"),
        ("36,50 °C", "36.50", "°C", "Cel"),
        ("120.0 mmHg", "120.0", "mmHg", "mm[Hg]"),
    ],
)
def test_a_number_with_a_unit_that_was_sent_as_text_is_a_quantity(text: str, value: str, unit: str, code: str) -> None:
    made = observed(valueString=text)
    assert made["valueQuantity"] == {"value": Decimal(value), "unit": unit, "system": "http://unitsofmeasure.org", "code": code}  # fmt: skip
    assert str(made["valueQuantity"]["value"]) == value
    assert "valueString" not in made


@pytest.mark.parametrize("text", ["80", "3 maal", "120/80 mmHg", "geen", "80 kg of meer", "1e3 kg", "zie 80 kg"])
def test_any_other_text_stays_text(text: str) -> None:
    assert observed(valueString=text)["valueString"] == text


def test_a_system_that_fhir_renamed_stands_under_both_names() -> None:
    old = {"system": "http://hl7.org/fhir/observation-category", "code": "laboratory"}
    made = observed(category=[{"coding": [old]}])
    assert made["category"][0]["coding"] == [{"system": HL7 + "observation-category", "code": "laboratory"}, old]
    assert made["meta"]["profile"] == ["http://nictiz.nl/fhir/StructureDefinition/nl-core-LaboratoryTestResult"]
    both = [{"system": HL7 + "observation-category", "code": "laboratory"}, old]
    assert observed(category=[{"coding": both}])["category"][0]["coding"] == both


def test_a_profile_of_2017_is_claimed_as_the_one_of_2020() -> None:
    made = observed(meta={"profile": ["http://nictiz.nl/fhir/StructureDefinition/zib-BodyWeight", "http://vendor.example/p"]})  # fmt: skip
    assert made["meta"]["profile"] == [
        "http://nictiz.nl/fhir/StructureDefinition/nl-core-BodyWeight",
        "http://vendor.example/p",
    ]


@pytest.mark.parametrize("code", ["1591", "2418", "2422", "3022", "1739"])
def test_lifestyle_by_nhg_code_is_social_history(code: str) -> None:
    vital = {"coding": [{"system": HL7 + "observation-category", "code": "vital-signs"}]}
    made = observed(code={"coding": [{"system": NHG, "code": code}]}, category=[vital])
    assert [one["coding"][0]["code"] for one in made["category"]] == ["social-history", "vital-signs"]
    other = observed(code={"coding": [{"system": NHG, "code": "1744"}]}, category=[vital])
    assert other["category"] == [vital]


def test_broken_json_of_a_mixture_is_no_crash() -> None:
    for broken in ({"clinicalStatus": 5}, {"clinicalStatus": {"coding": "x"}}, {"clinicalStatus": {"coding": [5]}}, {"meta": {"profile": "x"}}):  # fmt: skip
        translate(encode({"resourceType": "Condition", "id": "x", "subject": PATIENT, **broken}), "fhir-r4", ORIGIN)
    for other in ({"component": 5}, {"component": [5]}, {"valueString": 5}, {"category": 5, "code": {"coding": 5}}):
        translate(encode({"resourceType": "Observation", "id": "x", "valueString": "a", **other}), "fhir-r4", ORIGIN)
