"""The record: durable before a source is asked and before a byte leaves, equal to what the client got, one per request."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from gateway.audit.record import Record
from tests.gateway.charts import BIRTH, BSN, CHARTS, OTHER_BSN, Json, allergy, observation, person
from tests.gateway.test_answers import MANY, identified, matching
from tests.gateway.world import COORDINATOR, GP, HOSPITAL, OUTSIDER, PHYSICIAN, Reply, World, raw, run

CLINICAL = (b"Penicilline", b"Jansen", b"Hartfrequentie", b"Diabetes")


def manifest(record: Record) -> set[tuple[str, str]]:
    return {(shown.type, shown.id) for asked in record.custodians for shown in asked.shown}


def shown_in(reply: Reply) -> set[tuple[str, str]]:
    """The items of a source in a Bundle: those that carry their origin."""
    return {(one["resourceType"], one["id"]) for one in reply.resources
            if str(one.get("meta", {}).get("source", "")).startswith("urn:roaz:")}  # fmt: skip


def test_the_intent_is_durable_before_a_source_is_asked() -> None:
    world = World()
    world.search()
    assert world.events == ["intent", "ask gp", "ask hospital", "ask mental", "outcome"]
    intent, outcome = world.records
    assert [one.source for one in intent.custodians] == ["gp", "hospital", "mental"]
    assert intent.request == outcome.request
    assert (outcome.person, outcome.role, outcome.purpose, outcome.organization) == (
        PHYSICIAN.requester.person, "01.015", "behandeling", PHYSICIAN.requester.organization)  # fmt: skip
    assert (outcome.patient, outcome.policy) == (world.patient, world.policy.revision)


@pytest.mark.parametrize("at", [1, 2])
def test_131_no_record_no_byte(at: int) -> None:
    world = World()
    world.audit.fails_at = at
    reply = world.search()
    assert (reply.status, reply.code) == (503, "audit-unavailable")
    assert int(reply.header("retry-after")) > 0
    assert not any(text in reply.body for text in CLINICAL)
    assert bool(world.asked()) is (at == 2), "without an intent nobody is asked"


@pytest.mark.parametrize(
    "path", ["Patient/{p}/$summary", "Patient/{p}", "Observation?patient={p}", "Nothing", "AllergyIntolerance/x"]
)
def test_131_with_the_log_down_every_question_is_503(path: str) -> None:
    world = World()
    world.audit.broken = True
    reply = world.get(path.format(p=world.patient))
    assert (reply.status, reply.code) == (503, "audit-unavailable")
    assert world.asked() == []
    assert not any(text in reply.body for text in CLINICAL)


def test_131_what_is_public_needs_no_record() -> None:
    world = World()
    world.audit.broken = True
    assert world.get("metadata", None).status == 200
    assert world.get(".well-known/smart-configuration", None).status == 200


@pytest.mark.parametrize("type_", ["AllergyIntolerance", "Observation", "Condition", "Consent", "Flag"])
def test_f5_the_manifest_of_a_search_is_what_the_client_got(type_: str) -> None:
    world = World()
    reply = world.search(type_)
    assert manifest(world.records[-1]) == {(item["resourceType"], item["id"]) for item in reply.items} != set()


def test_f5_the_manifest_of_a_page_is_that_page() -> None:
    world = World(charts=MANY)
    reply = world.search(more="&_count=7")
    assert manifest(world.records[-1]) == {(item["resourceType"], item["id"]) for item in reply.items}
    assert len(manifest(world.records[-1])) == 7
    assert world.search(more="&_count=0").items == []
    assert manifest(world.records[-1]) == set()


def test_f5_the_manifest_of_a_read_is_that_item() -> None:
    world = World()
    item = world.search().items[0]
    world.get(f"AllergyIntolerance/{item['id']}")
    assert manifest(world.records[-1]) == {("AllergyIntolerance", item["id"])}


def test_f5_the_manifest_of_a_summary_names_every_item_in_it() -> None:
    world = World()
    reply = world.summary()
    assert shown_in(reply) <= manifest(world.records[-1])
    extra = {type_ for type_, _ in manifest(world.records[-1]) - shown_in(reply)}
    assert extra <= {"Patient"}, "a person is shown as one Patient, made of those of the sources"


def test_f5_who_saw_the_person_of_which_source_is_on_the_record() -> None:
    asks: list[Callable[[World], Reply]] = [
        lambda world: world.find(),
        lambda world: world.get(f"Patient/{world.patient}"),
        lambda world: world.post("Patient/$match", matching()),
    ]
    for ask in asks:
        world = World()
        assert ask(world).status == 200
        shown = {asked.source: [one.type for one in asked.shown] for asked in world.records[-1].custodians}
        assert shown == {"gp": ["Patient"], "hospital": ["Patient"], "mental": ["Patient"]}


def test_f5_a_match_that_gives_nothing_shows_nothing() -> None:
    partial = World(charts=CHARTS | {name: [person("x", birthDate="1980")] for name in CHARTS})
    assert partial.post("Patient/$match", matching()).json["total"] == 0
    assert manifest(partial.records[-1]) == set()


def test_a_version_in_the_manifest_follows_the_content() -> None:
    def version(**other: Any) -> str:
        world = World(charts=CHARTS | {"gp": [person("g1"), allergy("a1", "g1", **other)]}, known_at=[GP])
        world.search()
        return world.records[-1].custodians[0].shown[0].version

    assert version() == version()
    assert version() != version(criticality="low")


def test_the_record_keeps_reasons_per_category_and_no_content() -> None:
    world = World(permits=(GP,))
    world.search()
    states = {asked.source: asked.states for asked in world.records[-1].custodians}
    assert states == {"gp": {"AllergyIntolerance": "answered"}, "hospital": {"AllergyIntolerance": "refused:consent-missing"},
                      "mental": {"AllergyIntolerance": "refused:consent-missing"}}  # fmt: skip
    everything = b"".join(world.audit.records)
    assert BSN.encode() not in everything
    assert BIRTH.encode() not in everything
    assert not any(text in everything for text in CLINICAL)


def test_the_intent_names_only_those_that_are_asked() -> None:
    world = World(permits=(GP,))
    world.search()
    assert [asked.source for asked in world.records[0].custodians] == ["gp"]


QUESTIONS: dict[str, Any] = {
    "search": lambda world: world.search(),
    "refused": lambda world: world.search(caller=OUTSIDER),
    "without case": lambda world: world.search(caller=COORDINATOR),
    "unknown type": lambda world: world.get("Nothing"),
    "unknown id": lambda world: world.get("Condition/x"),
    "no token": lambda world: world.search(caller=None),
    "bsn": lambda world: world.get(f"Patient?identifier={BSN}"),
    "summary": lambda world: world.summary(),
    "unknown person": lambda world: world.post("Patient/$summary", identified(OTHER_BSN)),
    "malformed": lambda world: world.post("Patient/$match", b"{", content_type="application/fhir+json"),
    "too large": lambda world: world.post("Patient/$match", b"{" * 200_000),
    "wrong method": lambda world: world.request("DELETE", "Patient/x"),
    "sources down": lambda world: world.with_source_down("gp", "hospital", "mental").search(),
}


@pytest.mark.parametrize("name", QUESTIONS)
def test_every_request_ends_in_exactly_one_record(name: str) -> None:
    world = World()
    reply = QUESTIONS[name](world)
    ends = [record for record in world.records if record.kind in {"outcome", "refusal"}]
    assert [(record.status, record.request) for record in ends] == [(reply.status, reply.header("x-request-id"))]
    assert (ends[0].kind == "outcome") is (reply.status == 200)


def test_two_requests_with_one_id_leave_two_records() -> None:
    world = World()
    for _ in range(2):
        assert world.search(x_request_id="same").header("x-request-id") == "same"
    assert [record.kind for record in world.records] == ["intent", "outcome"] * 2


def test_a_client_that_hangs_up_stops_the_sources_and_leaves_a_record() -> None:
    world = World()
    for chart in world.charts.values():
        chart.seconds = 10

    async def main() -> None:
        gone = asyncio.Event()

        async def receive() -> Json:
            await gone.wait()
            return {"type": "http.disconnect"}

        scope = {"path": "/fhir/AllergyIntolerance", "query_string": f"patient={world.patient}".encode(),
                 "headers": [(b"host", b"x"), (b"authorization", f"Bearer {world.token(PHYSICIAN)}".encode())]}  # fmt: skip
        asking = asyncio.ensure_future(raw(world.app, scope, receive=receive))
        while len(world.events) < 4:  # noqa: ASYNC110 - the fakes are not built to be awaited
            await asyncio.sleep(0.001)
        gone.set()
        assert await asyncio.wait_for(asking, 1) is None

    run(main())
    assert [chart.cancelled for chart in world.charts.values()] == [1, 1, 1]
    assert [(record.kind, record.error) for record in world.records] == [("intent", ""), ("refusal", "cancelled")]


def test_a_defect_is_500_without_content_and_on_the_record(monkeypatch: pytest.MonkeyPatch) -> None:
    from gateway import exchange

    def broken(*_: Any) -> Any:
        message = f"defect with {BSN} and Penicilline"
        raise RuntimeError(message)

    monkeypatch.setattr(exchange, "confirm", broken)
    world = World()
    reply = world.search()
    assert (reply.status, reply.code) == (500, "internal")
    assert BSN.encode() not in reply.body
    assert b"Penicilline" not in reply.body
    assert (world.records[-1].kind, world.records[-1].status, world.records[-1].error) == ("refusal", 500, "internal")


def test_an_incident_is_on_the_record_without_content() -> None:
    world = World(charts=CHARTS | {"hospital": [person("h1"), observation("o1", "h1"), observation("o2", "another")]})
    assert len(world.search("Observation").items) == 1
    found = [incident for asked in world.records[-1].custodians for incident in asked.incidents]
    assert found == ["wrong-patient Observation Observation.subject"]


def test_the_record_names_the_case_and_what_decided() -> None:
    world = World()
    world.opens_case()
    world.search(caller=COORDINATOR)
    outcome = world.records[-1]
    assert outcome.case == "case-1"
    assert {(asked.rule, asked.consent) for asked in outcome.custodians} == {
        ("pull", "consent-0/1"), ("pull", "consent-1/1"), ("pull", "consent-2/1")}  # fmt: skip


def test_a_consent_store_that_is_down_shows_nothing() -> None:
    codes = {"consents": "decision-unavailable", "index": "store-unavailable", "cases": "store-unavailable"}
    for break_, code in codes.items():
        world = World()
        world.opens_case()
        getattr(world, break_).broken = True
        reply = world.search(caller=COORDINATOR)
        assert (reply.status, reply.code) == (503, code), break_
        assert world.asked() == []
        assert world.records[-1].error == code


def test_a_token_of_the_record_is_the_one_that_asked() -> None:
    world = World()
    world.search(caller=replace(PHYSICIAN, token_id="token-7", responsible="uzi|1"))
    assert (world.records[-1].token, world.records[-1].responsible) == ("token-7", "uzi|1")
    assert HOSPITAL in {asked.custodian for asked in world.records[-1].custodians}
