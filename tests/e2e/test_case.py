"""No case, no look-up (rule B1): a coordinator opens a case for one patient, looks, closes it, and looks no more."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.running import Demo, code, of_type, token

pytestmark = [pytest.mark.slow, pytest.mark.network]

Json = dict[str, Any]
ORIGIN = "https://roaz-gateway.example/fhir/CodeSystem/case-origin"


def task(person: Json, **changes: Any) -> Json:
    made = {
        "resourceType": "Task",
        "status": "requested",
        "intent": "order",
        "code": {"coding": [{"system": ORIGIN, "code": "caller"}]},
        "for": {"identifier": person["identifier"]},
        "reasonCode": {"text": "Patiënt belt: benauwd"},
        "requester": {"display": "Patiënt zelf"},
    } | changes
    return {name: value for name, value in made.items() if value is not None}


def test_from_refusal_to_answer_to_refusal(demo: Demo) -> None:
    person = demo.person("directives that conflict")
    before = demo.summary(person, "coordinator")
    assert (before.status_code, code(before)) == (403, "case-required")

    opened = demo.post("Task", task(person), "coordinator")
    assert opened.status_code == 201
    case = opened.json()
    assert opened.headers["location"].startswith(f"{demo.base}/Task/{case['id']}")
    assert case["status"] == "in-progress"
    assert person["bsn"] not in opened.text  # the patient is named by the gateway's own id
    period = case["restriction"]["period"]
    assert period["start"] < period["end"]

    answer = demo.summary(person, "coordinator")
    assert answer.status_code == 200
    assert len(of_type(answer.json(), "Consent")) == 5
    found = demo.search("Condition", {"patient.identifier": token(person)}, "coordinator")
    assert found.status_code == 200
    read = demo.get(f"Task/{case['id']}", "coordinator")
    assert (read.status_code, read.json()["id"]) == (200, case["id"])

    other = demo.summary(demo.person("unit traps"), "coordinator")
    assert (other.status_code, code(other)) == (403, "case-required")

    closed = demo.put(f"Task/{case['id']}", {**case, "status": "completed"}, "coordinator")
    assert (closed.status_code, closed.json()["status"]) == (200, "completed")
    for again in (
        demo.summary(person, "coordinator"),
        demo.search("Condition", {"patient.identifier": token(person)}, "coordinator"),
    ):
        assert again.status_code == 403
        assert code(again) in {"case-required", "case-refused"}


@pytest.mark.parametrize(
    ("changes", "element"),
    [
        ({"code": None}, "Task.code"),
        ({"code": {"coding": [{"system": ORIGIN, "code": "curiosity"}]}}, "Task.code"),
        ({"for": None}, "Task.for"),
        ({"reasonCode": None}, "Task.reasonCode"),
        ({"requester": None}, "Task.requester"),
    ],
)
def test_a_case_says_who_for_whom_and_why(demo: Demo, changes: Json, element: str) -> None:
    answer = demo.post("Task", task(demo.person("unit traps"), **changes), "coordinator")
    assert answer.status_code in {400, 422}
    assert answer.json()["issue"][0]["expression"][0].startswith(element)


def test_a_case_is_closed_and_never_rewritten(demo: Demo) -> None:
    case = demo.post("Task", task(demo.person("unit traps")), "coordinator").json()
    other = demo.patient_id(demo.person("a baby"))
    moved = demo.put(f"Task/{case['id']}", {**case, "for": {"reference": f"Patient/{other}"}}, "coordinator")
    assert moved.status_code == 422
    assert demo.put(f"Task/{case['id']}", {**case, "status": "cancelled"}, "coordinator").status_code == 200


def test_a_case_is_for_coordinators_and_their_own_only(demo: Demo) -> None:
    person = demo.person("unit traps")
    refused = demo.post("Task", task(person), "physician")
    assert (refused.status_code, code(refused)) == (403, "scope-insufficient")
    elsewhere = {"identifier": {"system": "http://fhir.nl/fhir/NamingSystem/ura", "value": "90000202"}}
    foreign = demo.post("Task", task(person, owner=elsewhere), "coordinator")
    assert (foreign.status_code, code(foreign)) == (403, "write-refused")
    assert demo.get("Task/case-000000000000000000000000", "coordinator").status_code == 404


def test_a_coordinator_writes_no_index_and_an_auditor_nothing(demo: Demo) -> None:
    assert demo.post("List", {"resourceType": "List"}, "coordinator").status_code == 403
    assert demo.post("Task", task(demo.person("unit traps")), "auditor").status_code == 403
    assert demo.summary(demo.person("unit traps"), "auditor").status_code == 403
