"""`Patient/$match`: a certain match or nothing (rule E2)."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from tests.e2e.running import Demo, code, of_type

pytestmark = [pytest.mark.slow, pytest.mark.network]

Json = dict[str, Any]


def match(demo: Demo, identifier: Json, birth_date: str = "", role: str = "physician") -> httpx2.Response:
    patient: Json = {"resourceType": "Patient", "identifier": [identifier]}
    if birth_date:
        patient["birthDate"] = birth_date
    asked = [{"name": "resource", "resource": patient}, {"name": "onlyCertainMatches", "valueBoolean": True}]
    return demo.post("Patient/$match", {"resourceType": "Parameters", "parameter": asked}, role)


@pytest.mark.parametrize("words", ["everything present", "a baby", "no BSN", "mental health shared", "protected"])
def test_number_and_birth_date_together_are_certain(demo: Demo, words: str) -> None:
    person = demo.person(words)
    answer = match(demo, person["identifier"], person["birthDate"])
    assert answer.status_code == 200
    bundle = answer.json()
    assert bundle["type"] == "searchset"
    (patient,) = of_type(bundle, "Patient")
    assert patient["birthDate"] == person["birthDate"]
    (entry,) = [entry for entry in bundle["entry"] if entry["search"]["mode"] == "match"]
    assert entry["search"]["extension"] == [
        {"url": "http://hl7.org/fhir/StructureDefinition/match-grade", "valueCode": "certain"}
    ]
    assert entry["search"]["score"] == 1


@pytest.mark.parametrize(
    ("words", "birth"), [("a 15-year-old", "1950-01-01"), ("no BSN", "1979-06-22"), ("unknown in", "1990-10-10")]
)
def test_else_there_is_nothing(demo: Demo, words: str, birth: str) -> None:
    answer = match(demo, demo.person(words)["identifier"], birth)
    if answer.status_code == 409:  # two birth dates for one number are nothing as well
        assert code(answer) == "patient-ambiguous"
        return
    assert answer.status_code == 200
    assert answer.json().get("total") == 0
    assert not of_type(answer.json(), "Patient")


def test_two_birth_dates_are_never_a_match(demo: Demo) -> None:
    person = demo.person("two birth dates")
    answer = match(demo, person["identifier"], person["birthDate"])
    assert (answer.status_code, code(answer)) == (409, "patient-ambiguous")


def test_without_a_birth_date_it_is_not_a_question(demo: Demo) -> None:
    answer = match(demo, demo.person("a baby")["identifier"])
    assert (answer.status_code, code(answer)) == (422, "invalid-resource")
    assert "birthDate" in answer.json()["issue"][0]["expression"][0]


@pytest.mark.parametrize("number", ["123456789", "99999001", "999990018", ""])
def test_a_number_that_is_no_bsn_is_refused(demo: Demo, number: str) -> None:
    answer = match(demo, {"system": "http://fhir.nl/fhir/NamingSystem/bsn", "value": number}, "1954-03-12")
    assert (answer.status_code, code(answer)) == (400, "identifier-invalid")
    assert not number or number not in answer.text


def test_a_coordinator_needs_a_case_for_a_match_too(demo: Demo) -> None:
    person = demo.person("mental health shared")  # for whom no other test opens a case
    answer = match(demo, person["identifier"], person["birthDate"], "coordinator")
    assert (answer.status_code, code(answer)) == (403, "case-required")
