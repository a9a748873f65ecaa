"""Breaking the glass over HTTP (rule B2, attack 32), and what is said while sources are asked (rule C5, attack 66)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from consent.model import Emergency, Statement
from gateway import authorization, exchange
from gateway.audit.view import viewer
from gateway.model import Answer, Caller, Failure, Payload, SourceQuestion
from gateway.routes.admin import router
from gateway.standing import Standing
from profiles import exact
from tests.fakes import NOON
from tests.gateway.charts import CHARTS, OTHER_BSN, condition
from tests.gateway.test_preflight import auditor
from tests.gateway.world import (
    BASE,
    COORDINATOR,
    GP,
    HOSPITAL,
    MENTAL,
    PHYSICIAN,
    POST,
    SETTINGS,
    Chart,
    Reply,
    World,
    run,
)

Json = dict[str, Any]
pytestmark = pytest.mark.slow

AGREEMENTS = [
    {**SETTINGS["agreements"][0], "purposes": ["behandeling", "triage-coordinatie", "spoed-noodtoegang"]},
    SETTINGS["agreements"][1],
]


def region(**more: Any) -> World:
    return World(settings={"agreements": AGREEMENTS}, **more)


def breaking(world: World, *, since: Any = NOON, caller: Caller = PHYSICIAN) -> Caller:
    grounds = Emergency("unconscious", frozenset({"life"}), "found unconscious", since)
    return replace(caller, purpose="spoed-noodtoegang", launch=world.patient, emergency=grounds, token_id="glass")


def admin(world: World, method: str, path: str, caller: Caller | None, body: Json | None = None) -> Reply:
    app = FastAPI()
    app.include_router(router)
    app.state.ports = world.ports
    headers = {} if caller is None else {"authorization": f"Bearer {world.token(caller)}"}

    async def ask() -> Reply:
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url=BASE) as http:
            content = b"" if body is None else exact.encode(body)
            answer = await http.request(method, f"/admin/{path}", content=content, headers=headers)
        return Reply(answer.status_code, answer.headers, answer.content)

    return run(ask())


def test_the_glass_is_broken_where_the_patient_said_nothing_and_everybody_hears_of_it() -> None:
    world = region(permits=())
    assert not world.search("Condition").items
    reply = world.search("Condition", breaking(world))
    assert [one["code"]["coding"][0]["code"] for one in reply.items] == ["44054006"]
    kinds = [record.kind for record in world.records]
    assert kinds.index("emergency") < kinds.index("intent"), "told before anybody is asked"
    event = next(record for record in world.records if record.kind == "emergency")
    assert {one.custodian for one in event.custodians} == {GP, HOSPITAL}
    assert "found unconscious" not in str(world.records)
    (waiting,) = admin(world, "GET", "reviews", auditor()).json["reviews"]
    assert (waiting["custodian"], waiting["organization"], waiting["patient"]) == (GP, POST, world.patient)
    assert "found unconscious" in waiting["grounds"]


def test_mental_health_stays_closed_and_is_not_told() -> None:
    world = region(permits=())
    assert not [one for one in world.search("Condition", breaking(world)).items if one["id"].startswith("secret")]
    assert MENTAL not in {one.custodian for one in world.reviews.kept.values()}


def test_an_objection_stands_and_is_not_revealed() -> None:
    objecting, unknown = region(permits=(HOSPITAL,)), region(permits=(HOSPITAL,), known_at=(HOSPITAL,))
    objecting.says("deny", GP)
    for world in (objecting, unknown):
        assert not world.search("Condition", breaking(world)).items
    assert "consent-objection" not in objecting.search("Condition", breaking(objecting)).body.decode()


def test_the_glass_is_broken_for_one_patient() -> None:
    world = region()
    world.knows(GP, bsn=OTHER_BSN)
    other = world.get(f"Condition?patient={world.patient_id(OTHER_BSN)}", breaking(world))
    assert (other.status, other.code) == (403, "patient-refused")


def test_after_an_hour_it_is_over() -> None:
    world = region(permits=())
    assert world.search("Condition", breaking(world, since=NOON - timedelta(minutes=59))).status == 200
    late = world.search("Condition", breaking(world, since=NOON - timedelta(minutes=60)))
    assert (late.status, late.code) == (403, "purpose-refused")


def test_a_coordinator_does_not_break_the_glass() -> None:
    world = region(permits=())
    world.opens_case()
    reply = world.search("Condition", breaking(world, caller=COORDINATOR))
    assert (reply.status, reply.code) == (403, "role-refused")


def test_without_the_queue_no_glass_is_broken() -> None:
    world = region(permits=())
    world.reviews.broken = True
    assert world.search("Condition", breaking(world)).status == 503
    assert world.asked() == []


def test_unreviewed_after_a_week_the_entitlement_is_suspended_until_somebody_else_looked() -> None:
    world = region(permits=())
    world.search("Condition", breaking(world))
    world.clock.advance(timedelta(days=7, minutes=1))
    again = breaking(world, since=world.clock.now())
    refused = world.search("Condition", again)
    assert (refused.status, refused.code) == (403, "purpose-refused")
    assert world.search("Condition", PHYSICIAN).status == 200, "who treats still treats"
    own = replace(auditor(POST), requester=replace(auditor(POST).requester, person=PHYSICIAN.requester.person))
    for one in list(world.reviews.kept.values()):
        found = {"finding": "justified", "text": "right"}
        assert admin(world, "POST", f"reviews/{one.id}", own, found).status == 404, "nobody reviews themselves"
        officer = replace(auditor(POST), requester=replace(auditor(POST).requester, person="uzi|9"), token_id="officer")
        assert admin(world, "POST", f"reviews/{one.id}", officer, found).status == 200
    assert world.search("Condition", again).status == 200


def test_an_hour_of_grounds_is_one_access_to_look_at() -> None:
    world = region(permits=())
    for _ in range(3):
        world.search("Condition", breaking(world))
    assert len([one for one in world.reviews.kept.values() if one.custodian == GP]) == 1


@pytest.mark.parametrize("body", [{}, {"finding": "fine"}, {"finding": "justified", "text": "x" * 501}])
def test_a_finding_is_a_finding(body: Json) -> None:
    world = region(permits=())
    world.search("Condition", breaking(world))
    (id_,) = [one.id for one in world.reviews.kept.values() if one.custodian == GP]
    assert admin(world, "POST", f"reviews/{id_}", auditor(), body).status == 400


def test_the_queue_is_for_supervision_of_the_own_organization() -> None:
    world = region(permits=())
    world.search("Condition", breaking(world))
    assert admin(world, "GET", "reviews", auditor(MENTAL)).json == {"reviews": []}
    assert admin(world, "GET", "reviews", PHYSICIAN).status == 403
    assert admin(world, "GET", "reviews", None).status == 401
    (id_,) = [one.id for one in world.reviews.kept.values() if one.custodian == GP]
    assert admin(world, "POST", f"reviews/{id_}", auditor(MENTAL), {"finding": "justified"}).status == 404


def test_an_event_of_a_broken_glass_can_be_seen_by_the_custodian() -> None:
    from gateway.audit.view import seen

    world = region(permits=())
    world.search("Condition", breaking(world))
    event = next(record for record in world.records if record.kind == "emergency")
    assert seen(event, viewer(GP, "", world.policy, world.keys)) is not None


# --- what is said in the meantime ------------------------------------------------------------------


class Slow(Chart):
    """A source during whose answer the patient says something."""

    def __init__(self, resources: list[Json], world: list[World], said: list[Statement]) -> None:
        super().__init__(resources)
        self.world, self.said = world, said

    async def fetch(self, question: SourceQuestion) -> AsyncIterator[Payload | Failure]:
        async for part in super().fetch(question):
            yield part
        world = self.world[0]
        for one in self.said:
            await world.consents.put(one.id, None, b"{}", one.patient, (one,))
        await asyncio.sleep(0)


def in_the_meantime(effect: str, ura: str, **terms: Any) -> World:
    waiting: list[World] = []
    said: list[Statement] = []
    world = World(permits=(GP, HOSPITAL), sources={"gp": Slow(list(CHARTS["gp"]), waiting, said)})
    waiting.append(world)
    said.append(Statement("meanwhile", 1, effect, world.patient, ura, **terms))  # type: ignore[arg-type]
    return world


def test_66_a_withdrawal_while_a_source_answers_counts() -> None:
    calm = World()
    assert calm.search("Condition").items
    world = in_the_meantime("deny", GP)
    reply = world.search("Condition")
    assert reply.status == 200
    assert not reply.items
    shown = [shown for record in world.records for one in record.custodians for shown in one.shown]
    assert not shown, "the manifest names nothing that was not given"


def test_66_a_withdrawal_about_one_category_leaves_the_rest() -> None:
    world = in_the_meantime("deny", GP, categories=frozenset({"Condition"}))
    summary = world.summary().body.decode()
    assert "Diabetes" not in summary
    assert "Penicilline" in summary


def test_66_a_yes_in_the_meantime_shows_no_more_than_was_asked() -> None:
    world = in_the_meantime("permit", HOSPITAL)
    assert world.search("Condition").items


def test_66_a_register_that_dies_in_the_meantime_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    before = authorization.informed_again

    async def dies(standing: Standing, ports: Any) -> bool:
        world.consents.broken = True
        return await before(standing, ports)

    monkeypatch.setattr("gateway.exchange.informed_again", dies)
    reply = world.search("Condition")
    assert not reply.items
    assert reply.status == 503


def test_the_second_guard_lets_nothing_through_that_the_first_forgot(monkeypatch: pytest.MonkeyPatch) -> None:
    for wrong in ("patient", "category"):
        world = World()

        def forgetful(items: Any, answer: Answer, standing: Standing, wrong: str = wrong) -> None:
            for item in items:
                if wrong == "patient":
                    item.patient = "p1-somebody-else"
                else:
                    answer.told.pop(item.category, None)
                answer.items.append(item)

        monkeypatch.setattr(exchange, "screen", forgetful)
        reply = world.search("Condition")
        assert (reply.status, reply.code) == (500, "internal")
        assert "Diabetes" not in reply.body.decode()


# --- what is specially protected -------------------------------------------------------------------


def test_e11_who_looks_at_a_specially_protected_record_is_looked_at() -> None:
    label = {"security": [{"system": "https://roaz-gateway.example/fhir/CodeSystem/label", "code": "extra-protected"}]}
    plain = World()
    plain.search("Condition")
    assert plain.reviews.kept == {}, "control"
    world = World(charts={**CHARTS, "gp": [*CHARTS["gp"], condition("kept", "g1", meta=label)]})
    for _ in range(2):
        assert len(world.search("Condition").items) >= 2
    (waiting,) = admin(world, "GET", "reviews", auditor()).json["reviews"]
    assert (waiting["custodian"], waiting["person"]) == (GP, PHYSICIAN.requester.person)
    assert not run(world.reviews.overdue(PHYSICIAN.requester.person or "", POST, NOON)), "it suspends nobody"
    world.reviews.broken = True
    assert world.search("Condition").status == 503
