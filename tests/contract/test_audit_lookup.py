"""The contract of `AuditQueries`: every question, on every engine, against a plain reading of the same records."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any, cast

import pytest

from gateway.audit.record import Asked, Record, Shown, encode, outcome_of
from gateway.audit.tally import marks
from gateway.background import LOOKUP_TURNS, Background
from gateway.logged import AuditQuery, RecordId
from gateway.storage import audit_segments
from gateway.storage.audit_lookup import AuditLookup
from gateway.storage.instants import to_micros
from gateway.storage.writer import Cursor
from tests.contract.conftest import Stored
from tests.fakes import NOON

pytestmark = pytest.mark.anyio


def asking(**asked: Any) -> AuditQuery:
    """A question about the hours around noon."""
    return AuditQuery(start=NOON - timedelta(hours=1), end=NOON + timedelta(hours=1), **asked)


def a_record(chance: random.Random, number: int) -> Record:
    custodians = tuple(
        Asked(custodian=f"9000000{chance.randrange(4)}", source=f"s{chance.randrange(3)}", shown=shown)
        for shown in [
            (),
            (Shown("Condition", f"i{chance.randrange(3)}", "1"),),
            (Shown("Flag", "i0", "1"), Shown("Flag", "i0", "2")),
        ][: chance.randrange(4)]
    )
    return Record(
        kind=chance.choice(("outcome", "refusal", "intent", "push")),
        at="2026-01-01T12:00:00.000Z",
        request=f"r{number // 2}",
        action=chance.choice("CRUDE"),
        interaction=chance.choice(("search-type", "read", "summary")),
        client=chance.choice(("ehr", "post")),
        organization=f"9000000{chance.randrange(4)}",
        person=chance.choice(("", "anna", "bram")),
        responsible=chance.choice(("", "anna")),
        purpose=chance.choice(("behandeling", "spoed", "spoed-noodtoegang")),
        case=chance.choice(("", "c1")),
        patient=chance.choice(("", "p1-a", "p1-b", "p2-a")),
        policy=chance.choice(("pol1", "pol2")),
        status=chance.choice((200, 403, 503)),
        custodians=custodians,
        object=chance.choice(("", "Consent/k1/_history/2")),
    )


def parties(record: Record) -> set[str]:
    return {record.organization} | {asked.custodian for asked in record.custodians}


def entities(record: Record) -> set[str]:
    shown = {f"{item.type}/{item.id}" for asked in record.custodians for item in asked.shown}
    written = {record.object.partition("/_history")[0]} if record.object else set()
    return shown | written | {f"Patient/{record.patient}"} | ({f"Task/{record.case}"} if record.case else set())


QUESTIONS: list[tuple[dict[str, Any], Callable[[Record], bool]]] = [
    ({}, lambda _: True),
    ({"patients": ("p1-a", "p2-a")}, lambda one: one.patient in {"p1-a", "p2-a"}),
    ({"parties": ("90000001",)}, lambda one: "90000001" in parties(one)),
    ({"parties": ("90000001", "90000003")}, lambda one: bool({"90000001", "90000003"} & parties(one))),
    ({"organization": "90000002"}, lambda one: "90000002" in parties(one)),
    (
        {"organization": "90000002", "parties": ("90000001",)},
        lambda one: "90000002" in parties(one) and "90000001" in parties(one),
    ),
    ({"requester": "90000002"}, lambda one: one.organization == "90000002"),
    ({"custodian": "90000000"}, lambda one: "90000000" in {asked.custodian for asked in one.custodians}),
    ({"agent": "anna"}, lambda one: "anna" in {one.person, one.responsible, one.client}),
    ({"agent": "ehr", "patients": ("p1-a",)}, lambda one: one.client == "ehr" and one.patient == "p1-a"),
    ({"entity": "Condition/i1"}, lambda one: "Condition/i1" in entities(one)),
    (
        {"entity": "Condition/i1", "parties": ("90000001",)},
        lambda one: "Condition/i1" in entities(one) and "90000001" in parties(one),
    ),
    ({"entity": "Task/c1"}, lambda one: one.case == "c1"),
    ({"entity": "Consent/k1"}, lambda one: one.object != ""),
    ({"entity": "Patient/p1-b"}, lambda one: one.patient == "p1-b"),
    ({"entity": "Patient/p1-b", "patients": ("p1-a",)}, lambda _: False),
    ({"site": "s1"}, lambda one: "s1" in {asked.source for asked in one.custodians}),
    (
        {"actions": ("R", "E"), "outcomes": ("4",)},
        lambda one: one.action in {"R", "E"} and outcome_of(one) == "4",
    ),
    ({"kinds": ("push",), "interactions": ("read",)}, lambda one: (one.kind, one.interaction) == ("push", "read")),
    ({"purposes": ("spoed",), "policy": "pol2"}, lambda one: (one.purpose, one.policy) == ("spoed", "pol2")),
    ({"request": "r7"}, lambda one: one.request == "r7"),
    ({"mark": "denied", "parties": ("90000001",)}, lambda one: "denied/90000001" in marks(one)),
    (
        {"mark": "emergency", "parties": ("90000001", "90000002")},
        lambda one: bool({"emergency/90000001", "emergency/90000002"} & set(marks(one))),
    ),
]


async def test_every_question_finds_what_a_plain_reading_finds(stored: Stored) -> None:
    chance = random.Random(15)
    records = [a_record(chance, number) for number in range(150)]
    lookup = AuditLookup(stored.database)
    for number, one in enumerate(records):
        assert await stored.stores.audit.append(encode(one)) == number + 1
    await stored.stores.audit.append(b"not of this program")
    for asked, fits in QUESTIONS:
        query = asking(**asked)
        wanted = [number for number, one in enumerate(records, 1) if fits(one)][::-1]
        found, after = await lookup.find(query, 40)
        numbers = [one.id.sequence for one in found]
        while after:
            page, after = await lookup.find(query, 7, after)
            numbers += [one.id.sequence for one in page]
        assert numbers == wanted, asked
        assert all(one.body == encode(records[one.id.sequence - 1]) for one in found)


async def test_every_question_is_answered_over_many_segments_and_logs_and_when_the_clock_was_set_back(
    stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_segments, "SEGMENT", 16)
    monkeypatch.setattr(audit_segments, "AT_ONCE", 7)
    chance = random.Random(16)
    slot, epoch = stored.database.log
    other = (60, 1)
    placed: list[tuple[tuple[int, int, int, int], Record]] = []
    noon, lookup = to_micros(NOON), AuditLookup(stored.database)
    for number in range(160):
        log = (slot, epoch) if chance.random() < 0.6 else other
        at = noon + number * 1_000 + (chance.randrange(-40_000, 1) if number % 50 > 40 else 0) + chance.randrange(2)
        record = a_record(chance, number)
        seq = await append_to(stored, log, at, encode(record))
        placed.append(((at, *log, seq), record))
        if number % 37 == 0:
            await lookup.fill()
    placed.sort(key=lambda one: one[0], reverse=True)
    for asked, fits in QUESTIONS:
        wanted = [place for place, record in placed if fits(record)]
        found: list[tuple[int, int, int, int]] = []
        after = ""
        while after or not found:
            page, after = await lookup.find(asking(**asked), 9, after)
            found += [(to_micros(one.at), one.id.log, one.id.epoch, one.id.sequence) for one in page]
            if not after:
                break
        assert found == wanted, asked
    half = AuditQuery(start=NOON + timedelta(milliseconds=40), end=NOON + timedelta(milliseconds=90))
    page, _ = await lookup.find(half, 500)
    within = [place for place, _ in placed if noon + 40_000 <= place[0] < noon + 90_000]
    assert [(to_micros(one.at), one.id.log, one.id.epoch, one.id.sequence) for one in page] == within
    assert await AuditLookup(stored.database).fill() == 0, "another process finds it done"


async def append_to(stored: Stored, log: tuple[int, int], at: int, body: bytes) -> int:
    """Write a record with a moment of its own; the log of another process is written as a backup is replayed."""
    if log == stored.database.log:
        return await stored.database.append(log, at, body)

    def write(cursor: Cursor) -> int:
        found = cursor.execute("SELECT COALESCE(MAX(seq), 0) + 1 FROM audit_log WHERE log = ? AND epoch = ?", log)
        seq = int(found.fetchone()[0])
        cursor.execute(
            "INSERT INTO audit_log (log, epoch, seq, at, body) VALUES (?, ?, ?, ?, ?)", (*log, seq, at, body)
        )
        return seq

    return await stored.database.write(write)


async def test_a_question_sees_what_was_recorded_before_it(stored: Stored) -> None:
    lookup = AuditLookup(stored.database)
    for number in range(1, 4):
        await stored.stores.audit.append(encode(Record(kind="start", at="x", request=f"r{number}")))
        found, after = await lookup.find(asking(request=f"r{number}"), 10)
        assert [one.id.sequence for one in found] == [number]
        assert not after


async def test_only_the_time_that_is_asked_for(stored: Stored) -> None:
    lookup = AuditLookup(stored.database)
    await stored.stores.audit.append(encode(Record(kind="start", at="x", request="r")))
    hour = timedelta(hours=1)
    for start, end, count in ((NOON, NOON + hour, 1), (NOON - hour, NOON, 0), (NOON + hour, NOON + 2 * hour, 0)):
        found, _ = await lookup.find(AuditQuery(start=start, end=end), 10)
        assert len(found) == count


async def test_the_table_can_be_made_again(stored: Stored) -> None:
    lookup = AuditLookup(stored.database)
    chance = random.Random(3)
    for number in range(300):
        await stored.stores.audit.append(encode(a_record(chance, number)))
    before = await lookup.find(asking(agent="anna"), 500)
    assert await lookup.rebuild() == 300
    assert await lookup.find(asking(agent="anna"), 500) == before
    assert await lookup.fill() == 0


async def test_a_record_by_its_id(stored: Stored) -> None:
    lookup = AuditLookup(stored.database)
    await stored.stores.audit.append(b"x")
    log = stored.database.log
    found = await lookup.get(RecordId(*log, 1))
    assert found is not None
    assert found.body == b"x"
    assert found.at == NOON
    assert await lookup.get(RecordId(*log, 2)) is None


async def test_what_is_no_cursor_is_refused(stored: Stored) -> None:
    with pytest.raises(ValueError, match="cursor"):
        await AuditLookup(stored.database).find(asking(), 1, "1-2-3; DROP TABLE audit_log")


async def test_a_question_and_the_job_come_to_an_end_while_records_keep_coming(
    stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance, plain, turns = random.Random(17), audit_segments.AuditSegments._fill, 0
    lookup = AuditLookup(stored.database)

    async def append() -> None:
        await stored.stores.audit.append(encode(a_record(chance, 0)))

    async def while_others_ask(self: Any, log: Any, before: Any) -> int:
        nonlocal turns
        turns += 1
        taken = await plain(self, log, before)
        await append()
        return taken if turns < 9 else 0

    monkeypatch.setattr(audit_segments.AuditSegments, "_fill", while_others_ask)
    await append()
    assert len((await lookup.find(asking(), 40))[0]) == 1
    job = Background(cast("Any", None), stored.stores)
    for _ in range(LOOKUP_TURNS):
        await job._fill()
    assert turns == 2, "one for the question, one for the turn that takes in what is left"
