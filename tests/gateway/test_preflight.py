"""Decisions without data: `$can-access` over HTTP, and why a decision comes out as it does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from consent.decision import decide
from consent.trace import trace
from gateway.model import Caller
from gateway.preflight import asked_again
from gateway.routes.admin import router
from profiles import exact
from tests.consent import worlds
from tests.gateway.charts import BSN, BSN_SYSTEM, OTHER_BSN
from tests.gateway.world import (
    BASE,
    COORDINATOR,
    GP,
    HOSPITAL,
    MENTAL,
    OUTSIDER,
    PHYSICIAN,
    POST,
    Reply,
    World,
    custodian,
    run,
)

Json = dict[str, Any]


pytestmark = pytest.mark.slow


def auditor(ura: str = GP) -> Caller:
    who = replace(PHYSICIAN.requester, role="auditor", organization=ura, client=f"audit-{ura}", facility_type="Z3")
    return replace(
        PHYSICIAN, requester=who, purpose="toezicht", scopes=frozenset({"system/AuditEvent.rs"}), token_id=f"a-{ura}"
    )


def parameters(reply: Reply) -> Json:
    """The answer of a preflight as plain values; custodians by URA, each category with its outcome."""
    assert reply.status == 200, reply.body
    found: Json = {"custodians": {}}
    for one in reply.json["parameter"]:
        if one["name"] == "custodian":
            ura = one["part"][0]["valueReference"]["identifier"]["value"]
            found["custodians"][ura] = {
                part["part"][0]["valueCode"]: part["part"][1]["valueCode"] for part in one["part"][1:]
            }
        elif one["name"] == "reason":
            found["reason"] = one["part"][0]["valueCode"]
        else:
            found[one["name"]] = next(value for name, value in one.items() if name.startswith("value"))
    return found


def preflight(world: World, caller: Caller = PHYSICIAN, **more: str) -> Json:
    query = "&".join(f"{name}={value}" for name, value in more.items())
    return parameters(world.get(f"Patient/{world.patient}/$can-access" + (f"?{query}" if query else ""), caller))


def test_a_preflight_says_who_would_answer_and_asks_nobody() -> None:
    world = World()
    told = preflight(world, type="Condition")
    assert told["outcome"] == "permit"
    assert told["custodians"] == {ura: {"Condition": "permit"} for ura in (GP, HOSPITAL, MENTAL)}
    assert world.asked() == []


def test_a_preflight_by_identifier_and_category() -> None:
    world = World()
    body = {"resourceType": "Parameters", "parameter": [
        {"name": "identifier", "valueIdentifier": {"system": BSN_SYSTEM, "value": BSN}},
        {"name": "category", "valueCode": "AllergyIntolerance"},
    ]}  # fmt: skip
    told = parameters(world.post("Patient/$can-access", body))
    assert told["custodians"][GP] == {"AllergyIntolerance": "permit"}


def test_a_preflight_without_types_is_about_everything_the_scope_covers() -> None:
    world = World()
    told = preflight(world)
    assert {"Condition", "AllergyIntolerance", "MedicationUse"} <= set(told["custodians"][GP])
    narrow = replace(PHYSICIAN, scopes=frozenset({"system/Condition.rs"}), token_id="narrow")
    assert set(preflight(world, narrow)["custodians"][GP]) == {"Condition"}


def test_what_the_patient_refuses_is_anonymous_and_what_is_silent_is_not_there() -> None:
    world = World(permits=(HOSPITAL,))
    told = preflight(world, type="Condition")
    assert set(told["custodians"]) == {HOSPITAL}
    assert told["mayBeMore"] is True
    silent = preflight(World(permits=(GP, HOSPITAL)), type="Condition")
    unknown = preflight(World(permits=(GP, HOSPITAL), known_at=(GP, HOSPITAL)), type="Condition")
    assert silent == unknown
    assert "note" in silent


def test_the_own_side_is_told_why_not() -> None:
    world = World()
    assert preflight(world, OUTSIDER) == {"custodians": {}, "outcome": "deny", "reason": "agreement-missing"}
    assert preflight(world, COORDINATOR)["reason"] == "case-required"
    world.opens_case()
    assert preflight(world, COORDINATOR)["outcome"] == "permit"


def test_a_preflight_is_on_the_record_and_shows_nothing() -> None:
    world = World()
    preflight(world)
    (record,) = world.records
    assert (record.interaction, record.patient, record.status) == ("can-access", world.patient, 200)
    assert record.custodians == ()
    world.audit.broken = True
    assert world.get(f"Patient/{world.patient}/$can-access").status == 503


def test_a_dead_register_is_neither_yes_nor_no() -> None:
    world = World()
    world.consents.broken = True
    assert preflight(world, type="Condition")["outcome"] == "unavailable"


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("Patient/{id}/$can-access?type=Nonsense", "invalid-parameter"),
        ("Patient/{id}/$can-access?category=Nonsense", "invalid-parameter"),
        ("Patient/{id}/$can-access?unknown=1", "unknown-parameter"),
        ("Patient/{id}/$can-access?patient=x", "patient-conflict"),
        ("Patient/p1-nobody/$can-access", "not-found"),
        (f"Patient/{BSN}/$can-access", "not-found"),
    ],
)
def test_a_question_that_cannot_be_read(path: str, code: str) -> None:
    world = World()
    reply = world.get(path.format(id=world.patient))
    assert (reply.status >= 400, reply.code) == (True, code)


def test_nobody_without_a_token() -> None:
    world = World()
    assert world.get(f"Patient/{world.patient}/$can-access", None).status == 401


def test_a_preflight_agrees_with_the_look() -> None:
    for permits in ((), (GP,), (GP, HOSPITAL)):
        world = World(permits=permits)
        told = preflight(world, type="AllergyIntolerance")
        shown = {one["meta"]["tag"][0]["code"] for one in world.search().items}
        could = {ura for ura, found in told["custodians"].items() if found["AllergyIntolerance"] == "permit"}
        assert shown <= could


# --- why -----------------------------------------------------------------------------------------

QUESTION: Json = {"organization": POST, "role": "01.015", "person": "x", "purpose": "TREAT", "type": "Condition",
                  "custodian": GP}  # fmt: skip


def explain(world: World, said: Json, caller: Caller | None) -> Reply:
    app = FastAPI()
    app.include_router(router)
    app.state.ports = world.ports
    headers = {} if caller is None else {"authorization": f"Bearer {world.token(caller)}"}

    async def ask() -> Reply:
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url=BASE) as http:
            answer = await http.post("/admin/explain", content=exact.encode(said), headers=headers)
        return Reply(answer.status_code, answer.headers, answer.content)

    return run(ask())


def test_the_custodians_auditor_sees_every_rule() -> None:
    world = World(permits=())
    world.says("deny", GP)
    reply = explain(world, {**QUESTION, "patient": world.patient}, auditor())
    told = reply.json
    assert (reply.status, told["outcome"], told["custodian"]) == (200, "deny", GP)
    assert {(step["kind"], step["rule"]) for step in told["steps"]} >= {("gate", "scope"), ("agreement", "pull")}
    (statement,) = [step for step in told["steps"] if step["kind"] == "statement"]
    assert statement["verdict"] == "decides"
    assert told["caller_sees"] == [{"code": "consent-refused", "text": "not available"}]
    assert told["patient_choice"].startswith("the patient objects")


def test_the_requesters_auditor_sees_one_code_of_the_patients_side() -> None:
    worlds_ = [World(permits=()), World(permits=())]
    worlds_[1].says("deny", GP)
    told = [explain(one, {**QUESTION, "patient": one.patient}, auditor(POST)).json for one in worlds_]
    assert told[0] == told[1]
    assert "patient_choice" not in told[0]


def test_explaining_is_an_access_and_bound_to_the_own_organization() -> None:
    world = World()
    said = {**QUESTION, "patient": {"bsn": BSN}}
    assert explain(world, said, auditor(HOSPITAL)).code == "explain-refused"
    assert explain(world, said, None).status == 401
    assert explain(world, said, PHYSICIAN).status == 403
    assert explain(world, said, custodian(GP)).status == 403
    assert explain(world, said, auditor()).status == 200
    assert world.records[-1].interaction == "explain"
    assert BSN not in str(world.records)
    world.audit.broken = True
    assert explain(world, said, auditor()).status == 503


@pytest.mark.parametrize(
    "said", [{"nonsense": 1}, {"type": "Nonsense"}, {"category": "Nonsense"}, {"patient": "p1-x"}, {"scopes": 7}]
)
def test_a_question_nobody_can_read(said: Json) -> None:
    assert explain(World(), {**QUESTION, **said}, auditor()).code == "bad-request"


def test_what_is_explained_is_what_is_decided() -> None:
    world = World()
    for bsn in (BSN, OTHER_BSN):
        request, facts = run(asked_again({**QUESTION, "patient": {"bsn": bsn}}, world.ports))
        assert trace(request, facts).decision == decide(request, facts)


def test_a_trace_names_why_an_agreement_or_statement_does_not_count() -> None:
    request, given = worlds.QUESTION, worlds.facts()
    stranger = replace(request, requester=replace(request.requester, organization="99999999"))
    assert not [step for step in trace(stranger, given).steps if step.verdict == "decides"]
    why = [step.why for step in trace(stranger, given).steps if step.kind == "agreement"]
    assert why == ["this requester is no party to it"] * len(given.agreements)
