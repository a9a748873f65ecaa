"""Whatever is asked, whatever comes of it: exactly one outcome for the request, and nothing of the patient anywhere in the log."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gateway.audit.export import head, rows
from gateway.audit.record import Record
from gateway.audit.view import Seen
from gateway.fhir.interactions import TABLE
from tests.gateway.audit.driving import FAILURES, QUESTIONS, TODAY, Driven, auditor, driven, failed
from tests.gateway.audit.memory import LogWorld
from tests.gateway.charts import BIRTH, BSN, OTHER_BSN, Json
from tests.gateway.world import BASE, POST

pytestmark = pytest.mark.slow

SENTINELS = (BSN, OTHER_BSN, BIRTH, "Jansen", "Penicilline", "Hartfrequentie", "Diabetes", "44054006", "91936005")
ENDS = {"outcome", "refusal"}


def everything() -> list[tuple[LogWorld, Driven]]:
    return [*driven(), *failed()]


def ends(world: LogWorld, one: Driven) -> list[Record]:
    request = one.reply.header("x-request-id")
    return [record for record in world.records if record.request == request and record.kind in ENDS]


def test_each_request_has_exactly_one_outcome_with_its_status() -> None:
    for world, one in everything():
        assert [record.status for record in ends(world, one)] == [one.reply.status], one.name
        (end,) = ends(world, one)
        assert (end.kind == "outcome") is (one.reply.status < 400), one.name


def test_each_outcome_says_who_asked_and_about_whom() -> None:
    for world, one in everything():
        (end,) = ends(world, one)
        requester = one.caller.requester if one.caller else None
        assert end.organization == (requester.organization if requester else ""), one.name
        assert end.person == ((requester.person or "") if requester else ""), one.name
        assert end.client == (requester.client if requester else ""), one.name
        if one.patient:
            assert end.patient == world.patient, one.name


def test_what_was_shown_is_in_the_manifest_and_nothing_else() -> None:
    for world, one in everything():
        (end,) = ends(world, one)
        shown = [item for asked in end.custodians for item in asked.shown]
        assert bool(shown) is one.shows, one.name
        if end.kind == "refusal":
            assert shown == [], one.name


def test_an_intent_that_named_sources_is_followed_by_their_outcome() -> None:
    for world, one in everything():
        request = one.reply.header("x-request-id")
        asked = {
            part.source for record in world.records if record.request == request and record.kind == "intent"
            for part in record.custodians
        }  # fmt: skip
        assert asked <= {part.source for part in ends(world, one)[0].custodians}, one.name


def test_every_row_of_the_interaction_table_was_driven() -> None:
    seen = {record.interaction for world, _ in driven() for record in world.records}
    for row in TABLE:
        assert row.public or row.name in seen, row
    statuses = {one.reply.status for _, one in everything()}
    assert statuses >= {200, 201, 204, 400, 401, 403, 404, 405, 406, 409, 413, 415, 422, 503, 504}
    assert len(everything()) == len(QUESTIONS) + 2 * len(FAILURES)


def test_an_auditor_finds_every_request_of_the_organization_once() -> None:
    for world, one in everything():
        organization = one.caller.requester.organization if one.caller else POST
        asked = world if one.caller else operated(world)
        request = one.reply.header("x-request-id")
        found = [
            event["id"] for event in events(asked, organization) if "-" not in event["id"]
            for entity in event["entity"] if entity.get("what", {}).get("identifier", {}).get("value") == request
            and entity["type"]["code"] == "XrequestId"
        ]  # fmt: skip
        assert len(found) == 1, one.name


def events(world: LogWorld, organization: str) -> Iterator[Json]:
    """Every event an auditor of an organization gets, page by page."""
    asked = f"AuditEvent?{TODAY}&_count=500"
    while asked:
        reply = world.get(asked, auditor(organization))
        yield from reply.items
        asked = reply.link("next")


def operated(world: LogWorld) -> LogWorld:
    """The same log at a gateway that the organization runs, so that what nobody asked for is its own."""
    other = LogWorld(settings={"gateway": {"base": BASE, "ura": POST}})
    other.audit.records[:0] = world.audit.records
    return other


def test_145_every_refusal_is_there() -> None:
    refused = [one for _, one in everything() if one.reply.status in {400, 401, 403}]
    recorded = [ends(world, one)[0] for world, one in everything() if one.reply.status in {400, 401, 403}]
    assert len(refused) == len(recorded) > 10
    assert all(record.kind == "refusal" and record.error for record in recorded)


def test_nothing_of_the_patient_is_in_log_or_export() -> None:
    for world, one in everything():
        raw = b"".join(world.audit.records).decode()
        table = head() + "".join(rows(id_, Seen(record, "all")) for id_, record in world.numbered)
        for sentinel in SENTINELS:
            assert sentinel not in raw, one.name
            assert sentinel not in table, one.name


def test_nothing_of_the_patient_is_in_what_an_auditor_gets_or_in_an_error() -> None:
    for world, one in everything():
        reply = world.get(f"AuditEvent?{TODAY}&_count=500", auditor(POST))
        answers = [reply.body] + ([one.reply.body] if one.reply.status >= 400 else [])
        for sentinel in SENTINELS:
            assert not any(sentinel.encode() in answer for answer in answers), one.name
