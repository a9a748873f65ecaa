"""Attacks on tokens, scopes, consent and agreements, by their numbers; each beside what a lawful caller gets."""

from __future__ import annotations

import asyncio
import cProfile
import gc
import pstats
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import Invalid
from gateway.fhir.interactions import route
from gateway.metrics import Metrics
from gateway.model import Caller
from gateway.routes.fhir import FhirApp
from gateway.throttle import Variety
from profiles import exact
from profiles.identifiers import passes_elfproef
from tests.gateway.charts import BIRTH, BSN, CHARTS, OTHER_BSN, TERMS, Json, coded, directive, observation, privacy
from tests.gateway.oauth.world import OTHER_PUBLIC, PUBLIC, client_row
from tests.gateway.oauth.world import World as Server
from tests.gateway.test_silence import comparable
from tests.gateway.world import (
    COLLEAGUE,
    COORDINATOR,
    GP,
    HOSPITAL,
    MENTAL,
    PHYSICIAN,
    POST,
    SYSTEM,
    World,
    custodian,
)

pytestmark = pytest.mark.slow

LAB = observation("lab", "h1", "718-7", category=[coded("laboratory", system=f"{TERMS}/observation-category")])


def hospital(*more: Json) -> dict[str, list[Json]]:
    return {**CHARTS, "hospital": [*CHARTS["hospital"], *more]}


def with_scopes(*scopes: str, caller: Caller = PHYSICIAN) -> Caller:
    return replace(caller, scopes=frozenset(scopes), token_id=f"scopes-{'-'.join(scopes)}")


# --- A. tokens -------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_018_a_key_set_is_asked_for_once_and_once_more_for_a_key_nobody_knows(tmp_path: Path) -> None:
    asked: list[str] = []
    published = [PUBLIC]

    async def fetch(url: str) -> bytes:
        asked.append(url)
        await asyncio.sleep(0.01)
        return exact.encode({"keys": published})

    server = Server(tmp_path, client_row(jwks=None, jwks_uri="https://client.example/jwks"), fetch=fetch)
    answers = await asyncio.gather(*(server.ask() for _ in range(20)))
    assert {one.status_code for one in answers} == {200}, "control"
    assert len(asked) == 1, "no thundering herd"
    unknown = [await server.ask(server.assertion(key={**_private(), "kid": f"k{n}"})) for n in range(5)]
    assert {one.status_code for one in unknown} == {401}
    assert len(asked) <= 2, "one look more, however many unknown keys come"
    published[:] = [OTHER_PUBLIC]
    server.clock.pass_(minutes=20)
    assert (await server.ask()).status_code == 401, "a key that was taken away is refused"


@pytest.mark.anyio
@pytest.mark.parametrize("answer", [b"", b"<html>", b"[]", b'{"keys":[]}', b"x" * 70_000, TimeoutError(), ValueError()])
async def test_018_an_address_that_fails_costs_its_own_client(tmp_path: Path, answer: Any) -> None:
    async def fetch(_: str) -> bytes:
        if isinstance(answer, Exception):
            raise answer
        return bytes(answer)

    rows = (client_row(), client_row("remote", jwks=None, jwks_uri="https://client.example/jwks"))
    server = Server(tmp_path, *rows, fetch=fetch)
    assert (await server.ask(server.assertion("remote"))).status_code == 401
    assert (await server.ask()).status_code == 200, "control: another client"


def _private() -> Json:
    from tests.gateway.oauth.world import PRIVATE

    return PRIVATE


@pytest.mark.anyio
async def test_023_a_token_is_not_exchanged_for_a_wider_one(tmp_path: Path) -> None:
    server = Server(tmp_path)
    assert (await server.ask()).status_code == 200, "control"
    exchange = "urn:ietf:params:oauth:grant-type:token-exchange"
    answer = await server.ask(grant_type=exchange, subject_token="x")
    assert (answer.status_code, answer.json()["error"]) == (400, "unsupported_grant_type")


@pytest.mark.anyio
async def test_024_authorization_details_widen_nothing(tmp_path: Path) -> None:
    server = Server(tmp_path)
    plain = (await server.ask()).json()["scope"]
    asked = await server.ask(authorization_details='[{"type":"everything","locations":["*"]}]')
    assert asked.json()["scope"] == plain


# --- B. scopes and consent ---------------------------------------------------------------------------


def test_026_a_query_in_a_scope_holds_on_every_path() -> None:
    world = World(charts=hospital(LAB))
    everything, narrow = (
        with_scopes("system/*.rs"),
        with_scopes("system/Observation.rs?category=laboratory", "system/Patient.rs"),
    )
    both = [one["id"] for one in world.search("Observation", everything).items]
    assert len(both) == 2, "control"
    (lab,) = [one["id"] for one in world.search("Observation", narrow).items]
    other = next(one for one in both if one != lab)
    assert world.get(f"Observation/{lab}", narrow).status == 200
    assert world.get(f"Observation/{other}", narrow).status == 404
    assert world.search("Observation", narrow, "&code=8867-4").items == []
    assert world.search("Observation", narrow, "&_sort=date").items[0]["id"] == lab


@pytest.mark.parametrize(
    "query", ["status=final", "category:not=laboratory", "category%3Dlaboratory", "subject.name=x", "category=", "x"]
)
def test_026_a_query_nobody_reads_makes_the_scope_unusable(query: str) -> None:
    world = World(charts=hospital(LAB))
    assert world.search("Observation", with_scopes("system/Observation.rs?category=laboratory")).items, "control"
    refused = world.search("Observation", with_scopes(f"system/Observation.rs?{query}"))
    assert (refused.status, refused.code) == (403, "scope-insufficient")


def test_028_a_patient_scope_without_a_patient_is_for_nobody() -> None:
    world = World()
    scoped = with_scopes("patient/*.rs")
    assert world.search("Condition", replace(scoped, launch=world.patient, token_id="bound")).items, "control"
    assert world.search("Condition", scoped).code == "scope-insufficient"
    other = replace(scoped, launch=world.patient_id(OTHER_BSN), token_id="elsewhere")
    assert world.search("Condition", other).code == "patient-refused"


def test_028_a_bound_token_reads_no_item_of_another_patient() -> None:
    world = World()
    (condition,) = [one for one in world.search("Condition").items if one["code"]["coding"][0]["code"] == "44054006"]
    bound = replace(PHYSICIAN, launch=world.patient_id(OTHER_BSN), token_id="bound")
    assert world.get(f"Condition/{condition['id']}").status == 200, "control"
    assert world.get(f"Condition/{condition['id']}", bound).status in (403, 404)


@pytest.mark.parametrize("status", ["draft", "proposed", "rejected", "inactive", "entered-in-error"])
def test_061_a_consent_that_does_not_count_opens_nothing(status: str) -> None:
    for written, shown in ((privacy(GP, status="active"), True), (privacy(GP, status=status), False)):
        world = World(permits=())
        assert world.post("Consent", written, custodian(GP)).status == 201
        assert bool(world.search("Condition").items) is shown


def test_062_a_consent_for_another_organization_is_not_for_its_parent_or_namesake() -> None:
    for ura, shown in ((POST, True), (HOSPITAL, False), (POST.lstrip("9"), False), (f"0{POST}"[:8], False)):
        world = World(permits=())
        world.says("permit", GP, requesters=frozenset({ura}))
        assert bool(world.search("Condition").items) is shown


def test_063_a_consent_for_another_purpose_does_not_count() -> None:
    for purpose, shown in (("behandeling", True), ("verwijzing", False), ("onderzoek", False)):
        world = World(permits=())
        world.says("permit", GP, purposes=frozenset({purpose}))
        assert bool(world.search("Condition").items) is shown


def test_067_no_cache_remembers_what_was_withdrawn() -> None:
    world = World(permits=())
    made = world.post("Consent", privacy(GP), custodian(GP))
    for _ in range(3):
        assert world.search("Condition").items, "control: warm"
    body = {**made.json, "status": "inactive"}
    world.request("PUT", f"Consent/{made.json['id']}", custodian(GP), body=body, headers={"if-match": 'W/"1"'})
    for _ in range(3):
        assert not world.search("Condition").items
        assert "Diabetes" not in world.summary().body.decode()


def test_073_a_header_makes_nobody_another_organization() -> None:
    world = World()
    stranger = replace(PHYSICIAN, requester=replace(PHYSICIAN.requester, organization="90000007"), token_id="stranger")
    spoofed = dict.fromkeys(("x-tenant-id", "x-gf-sub", "x-organization", "x-forwarded-user", "x-ura"), POST)
    assert world.search("Condition", PHYSICIAN).status == 200, "control"
    assert world.search("Condition", stranger, **spoofed).code == "agreement-missing"


def test_074_175_ids_are_nobodys_guess_and_a_foreign_one_is_like_none() -> None:
    world = World(permits=(GP,))
    (mine,) = world.search("Condition").items
    assert world.get(f"Condition/{mine['id']}").status == 200, "control"
    hidden = world.keys.item_id(MENTAL, "Condition/secret")
    found, unknown = world.get(f"Condition/{hidden}"), world.get("Condition/i1-nothing")
    assert (found.status, found.code) == (unknown.status, unknown.code) == (404, "item-expired")
    assert "c1" not in mine["id"]
    assert BSN not in mine["id"]


# --- G. more attacks ---------------------------------------------------------------------------------


def test_164_a_custodian_that_registers_everybody_learns_nothing_without_a_permit() -> None:
    world = World(permits=(HOSPITAL,))
    world.search("Condition")
    assert world.charts["hospital"].asked, "control"
    assert not world.charts["gp"].asked, "registered, not permitted, not asked"


def test_167_nobody_permits_for_another_custodian() -> None:
    world = World(permits=())
    assert world.post("Consent", privacy(GP), custodian(HOSPITAL)).code == "write-refused"
    assert world.post("Consent", privacy(GP), custodian(GP)).status == 201, "control"


def test_168_a_directive_is_no_permit() -> None:
    world = World(permits=())
    written = {**directive(), "patient": privacy(GP)["patient"], "provision": {"type": "permit"}}
    assert world.post("Consent", written, custodian(GP)).status == 422
    assert not world.search("Condition").items


def test_169_inflated_claims_open_nothing() -> None:
    world = World()
    inflated = replace(
        PHYSICIAN, requester=replace(PHYSICIAN.requester, organization="90000007", facility_type="Z3", assurance="high")
    )
    assert world.search("Condition", replace(inflated, token_id="inflated")).code == "agreement-missing"


def test_170_a_case_is_for_one_patient_and_ends() -> None:
    world = World()
    world.opens_case()
    world.knows(GP, bsn=OTHER_BSN)
    assert world.search("Condition", COORDINATOR).items, "control"
    named = replace(COORDINATOR, case="case-1", token_id="case")
    other = world.get(f"Condition?patient={world.patient_id(OTHER_BSN)}", named)
    assert (other.status, other.code) == (403, "case-refused")
    world.clock.advance(timedelta(hours=24))
    assert world.search("Condition", named).code == "case-refused"


def test_182_a_subscription_is_not_offered_to_who_broke_the_glass_or_anybody() -> None:
    assert route("GET", "Condition").type == "Condition", "control"
    with pytest.raises(Invalid, match="not-found"):
        route("POST", "Subscription")


def test_183_nothing_in_an_answer_names_who_is_silent() -> None:
    loud, quiet = World(permits=(GP, HOSPITAL)), World(permits=(GP, HOSPITAL), known_at=(GP, HOSPITAL))
    for world in (loud, quiet):
        body = world.summary().body.decode()
        assert "De Linde" in body, "control: who answered is named"
        assert "De Stilte" not in body
        assert MENTAL not in body


def test_004_b4_a_system_sees_what_an_agreement_gives_systems_and_no_more() -> None:
    world = World()
    assert world.search("Condition", SYSTEM).status == 200, "control"
    for purpose in ("spoed", "spoed-noodtoegang"):
        refused = world.search("Condition", replace(SYSTEM, purpose=purpose, token_id=purpose))
        assert (refused.status, refused.code) == (403, "purpose-refused" if "nood" in purpose else "person-required")


# --- what nobody may notice ----------------------------------------------------------------------------


def _calls(world: World, path: str) -> int:
    """How much work an answer takes, in calls of functions: as exact as time is not. The least of three: others' garbage is no work."""
    world.get(path)  # what is remembered is remembered in both worlds
    counted = []
    for _ in range(3):
        profile = cProfile.Profile()
        gc.collect()
        gc.disable()
        try:
            profile.enable()
            world.get(path)
            profile.disable()
        finally:
            gc.enable()
        counted.append(sum(row[1] for row in pstats.Stats(profile).stats.values()))  # type: ignore[attr-defined]
    return min(counted)


def test_057_who_is_refused_in_silence_costs_no_more_work_than_who_is_not_there() -> None:
    there, absent = World(permits=(), known_at=(MENTAL,)), World(permits=(), known_at=())
    shown = World(permits=(MENTAL,), known_at=(MENTAL,))
    hidden = there.keys.item_id(MENTAL, "Condition/secret")
    patient = there.patient
    for path, most in (
        (f"Condition/{hidden}", 1.01),
        (f"Condition?patient={patient}", 1.05),
        (f"Patient/{patient}/$summary", 1.15),
    ):
        refused, nobody = _calls(there, path), _calls(absent, path)
        assert refused <= nobody * most, path
    assert _calls(shown, f"Condition?patient={patient}") > 1.15 * nobody_asked(absent), "control: what is shown is work"


def nobody_asked(world: World) -> int:
    return _calls(world, f"Condition?patient={world.patient}")


def test_057_the_same_answer_to_the_byte() -> None:
    there, absent = World(permits=(), known_at=(MENTAL,)), World(permits=(), known_at=())
    for path in (f"Condition?patient={there.patient}", f"Patient/{there.patient}/$summary", "Condition/i1-x"):
        assert comparable(there.get(path, x_request_id="r1")) == comparable(absent.get(path, x_request_id="r1"))


def _numbers(count: int) -> list[str]:
    found = (f"99999{number:04d}" for number in range(9_999))
    return [number for number in found if passes_elfproef(number)][:count]


def test_059_who_walks_through_numbers_is_stopped_whether_they_exist_or_not(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    world.ports = replace(world.ports, variety=Variety(20, timedelta(hours=1)))
    world.app = FhirApp(world.ports, Metrics())
    numbers = [BSN, *(number for number in _numbers(40) if number != BSN)]
    replies = [world.find(number, birth=BIRTH) for number in numbers]
    assert [one.status for one in replies[:20]] == [200] * 20
    assert {(one.status, one.code) for one in replies[20:]} == {(429, "too-many-requests")}
    assert world.find(BSN).status == 200, "control: the same patient again is no other"
    assert world.find(numbers[25]).status == world.find(numbers[26]).status == 429
    assert world.search("Condition", COLLEAGUE).status == 200, "control: another client"
    assert world.records[-3].status == 429, "a refusal is on the record"
    assert "too many different patients" in caplog.text
    assert not any(number in caplog.text for number in numbers)
    world.clock.advance(timedelta(hours=1))
    assert world.find(numbers[25]).status == 200, "for an hour"


def test_075_nobody_is_notified_of_anything_after_a_withdrawal() -> None:
    world = World(permits=())
    made = world.post("Consent", privacy(GP), custodian(GP))
    assert world.search("Condition").items, "control"
    for method, path in (("POST", "Subscription"), ("PUT", "Subscription/1"), ("GET", "Subscription")):
        assert world.request(method, path, SYSTEM).status == 404, "nobody subscribes"
    types = {one["type"] for one in world.get("metadata", None).json["rest"][0]["resource"]}
    assert "Subscription" not in types
    body = {**made.json, "status": "inactive"}
    world.request("PUT", f"Consent/{made.json['id']}", custodian(GP), body=body, headers={"if-match": 'W/"1"'})
    assert not world.search("Condition").items
    assert not world.reviews.outbox.kept, "and nothing was put in the outbox"
