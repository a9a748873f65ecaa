"""Who may record a yes, over HTTP: the patient asked just now, minors and representatives, implied by a referral (B2, C2, C6, C7)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from consent.forms import ASKED
from gateway.model import CANONICAL, Caller
from tests.gateway.charts import TERMS, Json, privacy
from tests.gateway.world import CENTER, COORDINATOR, GP, HOSPITAL, PHYSICIAN, POST, SETTINGS, Reply, World, custodian

pytestmark = pytest.mark.slow

AGREEMENTS = [{**SETTINGS["agreements"][0], "patient_asked": True}, SETTINGS["agreements"][1]]


def recipient(ura: str) -> Json:
    return {
        "role": {"coding": [{"system": f"{TERMS}/v3-ParticipationType", "code": "IRCP"}]},
        "reference": {"identifier": {"system": "http://fhir.nl/fhir/NamingSystem/ura", "value": ura}},
    }


RECIPIENT = recipient(CENTER)
PARENT = {"display": "mother", "extension": [
    {"url": f"{CANONICAL}/StructureDefinition/representative", "extension": [{"url": "role", "valueCode": "parent"}]}]}  # fmt: skip


def born(date: str) -> Json:
    return {"url": f"{CANONICAL}/StructureDefinition/patient-birth-date", "valueDate": date}


def talk(case: str = "case-1", **parts: Any) -> Json:
    said: Json = {
        "case": {"valueReference": {"reference": f"Task/{case}"}}, "script": {"valueString": "script-2026-1"},
        "answeredBy": {"valueCode": "patient"}, "identity": {"valueString": "birth date and street"}, **parts,
    }  # fmt: skip
    return {"url": ASKED, "extension": [{"url": name, **value} for name, value in said.items() if value is not None]}


def spoken(effect: str = "permit", ura: str = GP, **other: Any) -> Json:
    made = privacy(ura, effect=effect)
    made["provision"]["actor"] = [RECIPIENT]
    return {**made, "dateTime": "2026-03-02T11:50:00Z", "extension": [talk()], **other}


def region(*, asked: bool = True, **more: Any) -> World:
    world = World(permits=(), settings={"agreements": AGREEMENTS if asked else SETTINGS["agreements"]}, **more)
    world.opens_case()
    return world


def record(world: World, body: Json, caller: Caller = COORDINATOR) -> Reply:
    return world.post("Consent", body, caller)


def sees(world: World, caller: Caller = COORDINATOR) -> bool:
    return bool(world.search("Condition", caller).items)


def test_b2_the_patient_is_asked_now_and_says_yes() -> None:
    world = region()
    assert not sees(world)
    assert record(world, spoken()).status == 201
    assert sees(world)
    assert not sees(world, PHYSICIAN), "for the one who asked, in this case"


def test_b2_the_spoken_yes_ends_with_the_day_and_with_the_case() -> None:
    world = region()
    record(world, spoken())
    world.clock.advance(timedelta(hours=23))
    assert sees(world)
    world.clock.advance(timedelta(hours=1))
    world.cases.kept.clear()
    world.opens_case(id="case-2", opened=world.clock.now(), expires=world.clock.now() + timedelta(hours=24))
    assert not sees(world)


def test_b2_a_refusal_is_recorded_too() -> None:
    world = region()
    assert record(world, spoken("deny")).status == 201
    assert not sees(world)


def test_b2_a_spoken_no_ends_an_earlier_spoken_yes_and_a_later_yes_opens_again() -> None:
    world = region()
    record(world, spoken())
    assert sees(world)
    general = spoken("deny", dateTime="2026-03-02T11:52:00Z", provision={"type": "deny"})
    assert record(world, general).status == 201
    assert not sees(world), "however general the no is"
    world = region()
    record(world, spoken())
    record(world, spoken("deny"))
    assert not sees(world), "said in the same minute"
    record(world, spoken(dateTime="2026-03-02T11:55:00Z"))
    assert sees(world), "the patient may think again"
    other = region()
    record(other, spoken())
    record(other, spoken("deny", ura=HOSPITAL))
    assert sees(other), "a no about one custodian takes back nothing about another"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (spoken(extension=[talk("case-9")]), "case-refused"),
        (spoken(dateTime="2026-03-02T10:50:00Z"), "write-refused"),
        (spoken(dateTime="2026-03-02T13:50:00Z"), "write-refused"),
        (spoken(dateTime=None), "invalid-resource"),
        (spoken(extension=[talk(script=None)]), "invalid-resource"),
        (spoken(extension=[talk(identity=None)]), "invalid-resource"),
        (spoken(extension=[talk(answeredBy=None)]), "invalid-resource"),
        (spoken(extension=[talk(answeredBy={"valueCode": "representative"})]), "invalid-resource"),
        (spoken(provision={"type": "permit"}), "write-refused"),
    ],
)  # fmt: skip
def test_b2_a_talk_that_is_not_one_opens_nothing(body: Json, code: str) -> None:
    world = region()
    reply = record(world, {name: value for name, value in body.items() if value is not None})
    assert (reply.status >= 400, reply.code) == (True, code)
    assert world.consents.kept == {}


def test_b2_only_in_a_case_of_ones_own() -> None:
    world = region()
    colleague = replace(COORDINATOR, requester=replace(COORDINATOR.requester, person="uzi|other"), token_id="c2")
    assert record(world, spoken(), colleague).code == "case-refused"
    world.cases.kept.clear()
    world.opens_case(closed=world.clock.now())
    assert record(world, spoken()).code == "case-refused"


def test_b2_only_where_the_agreement_accepts_it() -> None:
    assert record(region(asked=False), spoken()).code == "write-refused"


# --- minors ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("birth", "performers", "good"),
    [
        ("2018-01-01", [PARENT], True),
        ("2018-01-01", [{"reference": "Patient/x"}], False),
        ("2012-01-01", [PARENT], False),
        ("2012-01-01", [PARENT, {"reference": "Patient/x"}], True),
        ("2009-01-01", [{"reference": "Patient/x"}], True),
        ("2009-01-01", [PARENT], False),
    ],
)
def test_c7_who_permits_at_which_age(birth: str, performers: list[Json], good: bool) -> None:
    world = World(permits=())
    body = {**privacy(GP), "dateTime": "2026-03-01", "extension": [born(birth)], "performer": performers}
    reply = world.post("Consent", body, custodian(GP))
    assert reply.status == (201 if good else 422)
    assert bool(world.search("Condition").items) is good


def test_c7_one_who_closes_is_enough_and_no_permit_lifts_it() -> None:
    world = World(permits=())
    both = {"dateTime": "2026-03-01", "extension": [born("2012-01-01")]}
    yes = {**privacy(GP), **both, "performer": [PARENT, {"reference": "Patient/x"}]}
    yes["provision"]["actor"] = [recipient(POST)]
    assert world.post("Consent", yes, custodian(GP)).status == 201
    assert world.search("Condition").items
    no = {**privacy(GP, effect="deny"), **both, "performer": [{"reference": "Patient/x"}]}
    assert world.post("Consent", no, PHYSICIAN).status == 201
    assert not world.search("Condition").items


# --- implied ---------------------------------------------------------------------------------------


def implied(*recipients: Json) -> Json:
    policy = {"coding": [{"system": f"{TERMS}/v3-ActCode", "code": "IMPLIED"}]}
    return {**privacy(GP), "dateTime": "2026-03-02T11:00:00Z", "policyRule": policy,
            "provision": {"type": "permit", **({"actor": list(recipients)} if recipients else {})}}  # fmt: skip


def test_c2_a_referring_provider_records_for_whom_it_referred() -> None:
    referral = {**SETTINGS["agreements"][0], "basis": "care-team", "relations": ["referral"]}
    world = World(permits=(), settings={"agreements": [referral]})
    assert not world.search(
        "Condition", replace(PHYSICIAN, requester=replace(PHYSICIAN.requester, organization=CENTER))
    ).items
    assert world.post("Consent", implied(RECIPIENT), custodian(GP)).status == 201
    caller = replace(PHYSICIAN, requester=replace(PHYSICIAN.requester, organization=CENTER), token_id="referred")
    assert world.search("Condition", caller).items
    world.clock.advance(timedelta(days=14))
    assert not world.search("Condition", caller).items


def test_c2_only_for_its_own_data() -> None:
    world = World(permits=())
    assert world.post("Consent", implied(RECIPIENT), custodian(HOSPITAL)).code == "write-refused"
    assert world.post("Consent", implied(RECIPIENT), PHYSICIAN).code == "write-refused"


# --- roles -----------------------------------------------------------------------------------------


def test_c6_a_role_that_records_no_consent() -> None:
    dispatcher = replace(PHYSICIAN, requester=replace(PHYSICIAN.requester, role="meldkamer"), token_id="dispatch")
    assert World().post("Consent", privacy(GP, effect="deny"), dispatcher).code == "role-refused"


def test_c6_a_withdrawal_is_in_force_at_once_and_named_in_the_record() -> None:
    world = World(permits=())
    made = world.post("Consent", privacy(GP), custodian(GP))
    assert world.search("Condition").items
    body = {**made.json, "status": "inactive"}
    reply = world.request("PUT", f"Consent/{made.json['id']}", custodian(GP), body=body, headers={"if-match": 'W/"1"'})
    assert (reply.status, reply.header("etag")) == (200, 'W/"2"')
    assert not world.search("Condition").items
    states = [one.states for record in world.records for one in record.custodians if one.custodian == GP]
    assert any("consent-withdrawn" in word for found in states for word in found.values())
