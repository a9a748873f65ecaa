"""No case, no look-up (rule B1): who opens one, for whom, and when access under it ends."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from gateway.intake.cases import ORIGIN_SYSTEM
from gateway.model import Caller
from tests.fakes import NOON
from tests.gateway.charts import BSN, BSN_SYSTEM, OTHER_BSN, Json
from tests.gateway.world import CENTER, COORDINATOR, HOSPITAL, PHYSICIAN, SYSTEM, Reply, World

URA = "http://fhir.nl/fhir/NamingSystem/ura"


def task(bsn: str = BSN, origin: str = "caller", **other: Any) -> Json:
    return {
        "resourceType": "Task", "status": "requested", "intent": "order",
        "code": {"coding": [{"system": ORIGIN_SYSTEM, "code": origin}]},
        "for": {"identifier": {"system": BSN_SYSTEM, "value": bsn}}, "reasonCode": {"text": "zoekt een plek"},
        "requester": {"display": "dochter van patient"}, **other,
    }  # fmt: skip


def colleague() -> Caller:
    return replace(COORDINATOR, requester=replace(COORDINATOR.requester, person="uzi|900000009"))


def refused(reply: Reply, code: str) -> bool:
    return (reply.status, reply.code) == (403, code)


def test_a_coordinator_opens_a_case_looks_and_closes_it() -> None:
    world = World()
    assert refused(world.search(caller=COORDINATOR), "case-required")
    opened = world.post("Task", task(), COORDINATOR)
    assert opened.status == 201
    assert opened.json["for"] == {"reference": f"Patient/{world.patient}"}
    assert BSN.encode() not in opened.body
    location = opened.header("location")
    assert location.endswith(f"/fhir/Task/{opened.json['id']}/_history/1")
    assert len(world.search(caller=COORDINATOR).items) == 2
    assert world.summary(COORDINATOR).status == 200
    assert world.records[-1].case == opened.json["id"]
    kept = world.get(f"Task/{opened.json['id']}", COORDINATOR)
    assert kept.json == opened.json
    closed = world.request("PUT", f"Task/{opened.json['id']}", COORDINATOR, body=opened.json | {"status": "completed"})
    assert (closed.status, closed.json["status"]) == (200, "completed")
    assert refused(world.search(caller=COORDINATOR), "case-required")


def test_no_case_tells_not_even_where_somebody_is_known() -> None:
    world = World()
    for path in (
        "?patient={0}",
        "Practitioner?patient={0}",
        "Organization?patient={0}",
        "?patient={0}&_type=Practitioner",
    ):
        assert refused(world.get(path.format(world.patient), COORDINATOR), "case-required"), path
    assert world.asked() == []


@pytest.mark.parametrize(
    ("deviation", "code"),
    [
        ({"closed": NOON - timedelta(minutes=1)}, "case-required"),
        ({"expires": NOON}, "case-required"),
        ({"opened": NOON - timedelta(hours=25), "expires": NOON + timedelta(hours=24)}, "case-refused"),
        ({"opened": NOON + timedelta(minutes=1)}, "case-required"),
        ({"person": "uzi|900000009"}, "case-required"),
        ({"client": "other-app"}, "case-required"),
        ({"organization": HOSPITAL}, "case-refused"),
        ({"patient": "p1-somebody-else"}, "case-required"),
        ({"origin": "curiosity"}, "case-refused"),
    ],
)
def test_170_a_case_that_does_not_cover_the_question(deviation: Json, code: str) -> None:
    world = World()
    world.opens_case(**deviation)
    assert refused(world.search(caller=COORDINATOR), code)
    named = replace(COORDINATOR, case="case-1")
    assert refused(world.search(caller=named), "case-refused"), "naming it in the token changes nothing"
    assert world.asked() == []


def test_control_the_case_that_does() -> None:
    world = World()
    world.opens_case()
    assert len(world.search(caller=COORDINATOR).items) == 2
    assert len(world.search(caller=replace(COORDINATOR, case="case-1")).items) == 2


def test_a_case_that_is_not_known() -> None:
    assert refused(World().search(caller=replace(COORDINATOR, case="case-9")), "case-refused")


def test_170_one_case_opens_one_patient() -> None:
    world = World()
    world.opens_case()
    world.knows(HOSPITAL, bsn=OTHER_BSN)
    other = f"AllergyIntolerance?patient={world.patient_id(OTHER_BSN)}"
    assert refused(world.get(other, COORDINATOR), "case-required")
    assert refused(world.get(other, replace(COORDINATOR, case="case-1")), "case-refused")


def test_two_open_cases_must_be_told_apart() -> None:
    world = World()
    world.opens_case()
    world.opens_case(id="case-2")
    assert refused(world.search(caller=COORDINATOR), "case-refused")
    assert len(world.search(caller=replace(COORDINATOR, case="case-2")).items) == 2
    assert world.records[-1].case == "case-2"


def test_a_case_ends_after_a_day() -> None:
    world = World()
    opened = world.post("Task", task(), COORDINATOR)
    world.clock.advance(timedelta(hours=23, minutes=59))
    assert world.search(caller=COORDINATOR).status == 200
    world.clock.advance(timedelta(minutes=1))
    assert refused(world.search(caller=COORDINATOR), "case-required")
    assert opened.json["restriction"]["period"]["end"] == "2026-03-03T12:00:00.000Z"


def test_an_item_is_read_by_id_only_under_a_case() -> None:
    world = World()
    item = world.search().items[0]
    path = f"AllergyIntolerance/{item['id']}"
    unknown = "AllergyIntolerance/i1-nobody"
    for one in (path, unknown):  # what is asked is not looked up for who has no case at all
        assert refused(world.get(one, COORDINATOR), "case-required")
    world.opens_case()
    assert world.get(path, COORDINATOR).status == 200
    for one in (path, unknown):
        assert refused(world.get(one, colleague()), "case-required")


def test_an_item_of_another_patient_is_like_none_under_a_case() -> None:
    world = World()
    path = f"AllergyIntolerance/{world.search().items[0]['id']}"
    world.opens_case(patient=world.patient_id(OTHER_BSN))
    hidden, absent = world.get(path, COORDINATOR), world.get("AllergyIntolerance/i1-nobody", COORDINATOR)
    assert (hidden.status, hidden.code) == (absent.status, absent.code) == (404, "item-expired")


def test_an_item_is_read_by_id_under_the_case_the_token_names() -> None:
    world = World()
    path = f"AllergyIntolerance/{world.search().items[0]['id']}"
    world.opens_case()
    world.opens_case(id="case-2", patient=world.patient_id(OTHER_BSN))
    named = replace(COORDINATOR, case="case-1", token_id="case-1")
    elsewhere = replace(COORDINATOR, case="case-2", token_id="case-2")
    assert world.get(path, named).status == 200
    assert world.get(path, elsewhere).status == 404
    world.clock.advance(timedelta(hours=24))
    assert refused(world.get(path, named), "case-refused")


def test_a_dispatch_case_shows_the_reduced_view() -> None:
    world = World()
    world.opens_case(origin="dispatch")
    assert len(world.search(caller=COORDINATOR).items) == 2
    assert refused(world.search("Observation", COORDINATOR), "role-refused")
    assert b"Hartfrequentie" not in world.summary(COORDINATOR).body


def test_a_physician_needs_no_case() -> None:
    assert World().search(caller=PHYSICIAN).status == 200


@pytest.mark.parametrize(
    ("change", "expression"),
    [
        ({"code": None}, "Task.code"),
        ({"code": {"coding": [{"system": ORIGIN_SYSTEM, "code": "curiosity"}]}}, "Task.code"),
        ({"code": {"coding": [{"system": "x", "code": "caller"}]}}, "Task.code"),
        ({"code": {"coding": ["caller"]}}, "Task.code.coding[0]"),
        ({"code": {"coding": "caller"}}, "Task.code.coding"),
        ({"for": None}, "Task.for"),
        ({"for": {"reference": "Patient/p1-unknown"}}, "Task.for.reference"),
        ({"for": {"identifier": {"system": BSN_SYSTEM, "value": "999990018"}}}, "Task.for.identifier"),
        ({"reasonCode": None}, "Task.reasonCode"),
        ({"requester": None}, "Task.requester"),
    ],
)
def test_a_task_that_opens_no_case(change: Json, expression: str) -> None:
    world = World()
    reply = world.post(
        "Task", {name: value for name, value in (task() | change).items() if value is not None}, COORDINATOR
    )
    assert reply.status in {400, 422}
    assert reply.json["issue"][0]["expression"] == [expression]
    assert world.cases.kept == {}


def test_a_case_is_opened_by_a_person_for_the_own_organization_only() -> None:
    world = World()
    assert refused(world.post("Task", task(), SYSTEM), "person-required")
    foreign = task(owner={"identifier": {"system": URA, "value": HOSPITAL}})
    assert refused(world.post("Task", foreign, COORDINATOR), "write-refused")
    own = task(owner={"identifier": {"system": URA, "value": CENTER}})
    assert world.post("Task", own, COORDINATOR).status == 201
    narrow = replace(COORDINATOR, scopes=frozenset({"system/*.rs"}))
    assert refused(world.post("Task", task(), narrow), "scope-insufficient")


def test_a_case_of_somebody_else_is_not_there() -> None:
    world = World()
    opened = world.post("Task", task(), COORDINATOR)
    path = f"Task/{opened.json['id']}"
    for other in (colleague(), PHYSICIAN, SYSTEM):
        hidden, absent = world.get(path, other), world.get("Task/case-none", other)
        assert (hidden.status, hidden.code) == (absent.status, absent.code) == (404, "not-found")
        assert world.request("PUT", path, other, body=task(status="completed")).status == 404
    assert len(world.search(caller=COORDINATOR).items) == 2


def test_a_case_is_closed_once_and_never_rewritten() -> None:
    world = World()
    path = f"Task/{world.post('Task', task(), COORDINATOR).json['id']}"
    for status in ("in-progress", "requested", None, ["completed"], {"completed": 1}):
        assert world.request("PUT", path, COORDINATOR, body=task(status=status)).status == 422
    changed = task(OTHER_BSN, status="completed")
    closed = world.request("PUT", path, COORDINATOR, body=changed)
    assert closed.json["for"] == {"reference": f"Patient/{world.patient}"}
    assert world.request("PUT", path, COORDINATOR, body=task(status="completed")).status in {200, 409}
    assert refused(world.search(caller=COORDINATOR), "case-required")


def test_a_case_is_durable_after_its_intent() -> None:
    world = World()
    world.audit.fails_at = 1
    assert world.post("Task", task(), COORDINATOR).code == "audit-unavailable"
    assert world.cases.kept == {}
    world = World()
    world.post("Task", task(), COORDINATOR)
    assert world.events == ["intent", "outcome"]
    assert (world.records[1].action, world.records[1].type, world.records[1].patient) == ("C", "Task", world.patient)
