"""Attacks on the log itself, numbered as in the catalog: cut, rewritten, forked, slow, full, retired too soon.

131 is in tests/gateway/test_record.py, 142, 143 and 145 in tests/gateway/audit.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import msgspec
import pytest

from gateway.audit.checkpoints import Checkpoint
from gateway.audit.merkle import consistency_proof
from gateway.audit.notary import verifiers
from gateway.audit.record import Asked, Record, decode, encode, unknown
from gateway.audit.retention import Hold, Retention
from gateway.audit.witness import Addition, WitnessError
from gateway.commands.audit_rebuild import remade
from gateway.crypto.notes import Note
from gateway.errors import StartError, Unavailable
from gateway.logged import AuditQuery
from gateway.settings import AgreementTable, AuditTable, OrganizationTable, Settings
from gateway.storage import Database, open_stores, upgrade
from gateway.storage.audit_retention import AuditRetention
from gateway.storage.beside import beside
from gateway.storage.sqlite import SqliteConnection, open_database, open_writer
from gateway.storage.writer import Append, Cursor, Writer
from tests.fakes import NOON, FixedClock, plain_seal, plain_unseal
from tests.gateway.audit.ledger import BASE, Ledger, Seen
from tests.gateway.audit.test_evidence import Place, turn

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


async def test_132_a_full_disk_loses_nothing_that_was_acknowledged_and_heals(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/gateway.db"
    upgrade(url)
    room = [12]

    def small(path: Path) -> sqlite3.Connection:
        connection = open_writer(path)
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count={pages + room[0]}")
        room[0] = 0
        return connection

    database = open_database(url, connect=small)
    stores = open_stores(database, plain_seal, plain_unseal, FixedClock())
    acknowledged: list[int] = []

    async def fill_up() -> None:
        for number in range(400):
            await stores.audit.append(b"%d " % number * 100)
            acknowledged.append(number)

    for _ in range(2):  # and it stays so
        with pytest.raises(Unavailable, match="audit-unavailable"):
            await fill_up()
        assert not database.healthy()
    room[0] = 1_000
    await stores.audit.append(b"there is room again")
    assert database.healthy()
    kept = [one.body async for one in stores.audit.records()]
    assert kept == [b"%d " % number * 100 for number in acknowledged] + [b"there is room again"]
    await database.close()


async def test_132_a_database_that_takes_no_record_is_not_ready(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/gateway.db"
    upgrade(url)
    database = Database.open(url)
    stores = open_stores(database, plain_seal, plain_unseal, FixedClock())
    refuse = "CREATE TRIGGER refuse BEFORE INSERT ON audit_log BEGIN SELECT RAISE(ABORT, 'no'); END"
    await database.write(lambda cursor: cursor.execute(refuse))
    with pytest.raises(Unavailable, match="audit-unavailable"):
        await stores.audit.append(b"a record")
    assert not database.healthy()
    await database.write(lambda cursor: cursor.execute("DROP TRIGGER refuse"))
    await stores.audit.append(b"a record")
    assert database.healthy()
    assert [one.body async for one in stores.audit.records()] == [b"a record"]
    await database.close()


async def test_133_a_slow_disk_fills_a_queue_that_is_bounded(tmp_path: Path) -> None:
    upgrade(f"sqlite:///{tmp_path}/gateway.db")

    class Slow(SqliteConnection):
        def single(self) -> Cursor:
            time.sleep(0.3)
            return super().single()

    writer = Writer(lambda: Slow(open_writer(tmp_path / "gateway.db")), 0.002, 40)
    loop = asyncio.get_running_loop()
    began, refused, waiting = loop.time(), 0, []
    for number in range(200):
        entry = Append(loop.create_future(), (1, 1), 1, b"%d" % number, ())
        try:
            writer.submit(entry)
            waiting.append(entry.future)
        except Unavailable:
            refused += 1
    assert loop.time() - began < 0.25, "who is refused does not wait"
    assert refused >= 150
    assert len(await asyncio.gather(*waiting)) == 200 - refused
    await loop.run_in_executor(None, writer.close)


class FailingDisk(SqliteConnection):
    """Every third fsync fails, and what was written before it is not there."""

    syncs = 0

    def single(self) -> Cursor:
        self._sync()
        return super().single()

    def begin(self) -> Cursor:
        return FailingCursor(super().begin(), self)

    def _sync(self) -> None:
        FailingDisk.syncs += 1
        if FailingDisk.syncs % 3 == 0:
            message = "disk I/O error"
            raise sqlite3.OperationalError(message)


class FailingCursor:
    def __init__(self, cursor: Cursor, disk: FailingDisk) -> None:
        self._cursor = cursor
        self._disk = disk

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> Self:
        if sql == "COMMIT":
            self._disk._sync()
        self._cursor.execute(sql, parameters)
        return self


async def test_148_a_failing_fsync_acknowledges_nothing_and_the_next_connection_goes_on(tmp_path: Path) -> None:
    upgrade(f"sqlite:///{tmp_path}/gateway.db")
    writer = Writer(lambda: FailingDisk(open_writer(tmp_path / "gateway.db")), 0.002, 4_096)
    handed: list[bytes] = []
    writer.follow = lambda log, first, rows: handed.extend(body for _, body in rows)
    loop = asyncio.get_running_loop()
    acknowledged, refused = [], []
    for number in range(60):
        extras = [("SELECT ?", (number,))] if number % 2 else ()  # with one, a transaction; without, a statement
        entry = Append(loop.create_future(), (1, 1), 1, b"%d" % number, extras)
        writer.submit(entry)
        try:
            await entry.future
            acknowledged.append(entry.body)
        except Unavailable:
            refused.append(entry.body)
    await loop.run_in_executor(None, writer.close)
    with sqlite3.connect(tmp_path / "gateway.db") as connection:
        kept = [row[0] for row in connection.execute("SELECT body FROM audit_log ORDER BY seq")]
    assert len(refused) > 5
    assert acknowledged == kept == handed


async def test_134_what_was_begun_when_the_process_died_ends_as_unknown(place: Place) -> None:
    asked = (Asked("90000002", "hospital"),)
    intents = [Record(kind="intent", at="x", request=f"r{number}", custodians=asked) for number in range(3)]
    async with place.serving(orderly=False) as (stores, _):
        for intent in intents:
            await stores.audit.append(encode(intent))
        await stores.audit.append(encode(Record(kind="outcome", at="x", request="r1", status=200)))
        await stores.audit.append(encode(Record(kind="intent", at="x", request="c", interaction="command")))
    async with place.serving() as (stores, evidence):
        await stores.audit.append(encode(Record(kind="intent", at="x", request="of this process")))
        found = await stores.queries.open_intents(evidence.notary.found)
        assert [decode(one.body).request for one in found] == ["r0", "r2"]
        for one in found:
            await stores.audit.append(encode(unknown(decode(one.body), place.clock.at)))
        assert await stores.queries.open_intents(evidence.notary.found) == []
        bodies = [one.body async for one in stores.audit.records()]
    ended = [record for record in map(decode, bodies) if record.error == "unknown"]
    assert [(one.request, one.kind, one.status, one.custodians) for one in ended] == [
        ("r0", "outcome", 500, asked),
        ("r2", "outcome", 500, asked),
    ]


async def kinds(place: Place) -> list[tuple[str, int, int]]:
    return [(one.kind, one.first, one.last) for one in (await place.examined()).findings]


@pytest.mark.proof
@pytest.mark.parametrize("column", ["body", "at"])
@pytest.mark.parametrize("sequence", [1, 257, 300])
async def test_135_an_edit_is_named_by_its_number(place: Place, column: str, sequence: int) -> None:
    await place.work(300)
    new = b"it never happened" if column == "body" else 1
    place.change(f"UPDATE audit_log SET {column} = ? WHERE seq = ?", new, sequence)
    assert await kinds(place) == [("edit", sequence, sequence)]


async def test_135_what_no_gateway_writes_is_named_and_stops_nothing(place: Place) -> None:
    await place.work(300)
    place.change("UPDATE audit_log SET body = CAST(x'ff00fe' AS TEXT) WHERE seq = 3")
    place.change("UPDATE audit_log SET body = 'it never happened' WHERE seq = 5")
    place.change("UPDATE audit_log SET body = 7 WHERE seq = 7")
    place.change("UPDATE audit_log SET at = 'noon' WHERE seq = 9")
    place.change("UPDATE audit_log SET at = -1 WHERE seq = 11")
    place.change("INSERT INTO audit_log (log, epoch, seq, at, body) VALUES (1, 1, 'last', 1, x'00')")
    assert await kinds(place) == [("edit", number, number) for number in (3, 5, 7, 9, 11)]
    async with place.serving() as (stores, _):
        assert await stores.audit.append(encode(Record(kind="start", at="x", request="r"))) == 301
        found, _ = await stores.queries.find(AuditQuery(start=NOON, end=NOON + timedelta(1), request="r"), 5)
        assert [one.id.sequence for one in found] == [301], "the log can still be asked"


async def test_136_no_checkpoint_or_no_log_at_all_is_named(place: Place) -> None:
    place.witnesses[:] = []
    async with place.serving() as (stores, _):
        await stores.policies.keep("p", place.clock.at - timedelta(minutes=2), b"policy")
        await stores.audit.append(b"a record")
    assert await kinds(place) == []
    place.change("DELETE FROM audit_checkpoint")
    assert [one[0] for one in await kinds(place)] == ["checkpoint", "missing-log"]
    for table in ("audit_log", "audit_tree", "audit_tile"):
        place.change(f"DELETE FROM {table}")
    assert [one[0] for one in await kinds(place)] == ["missing-log"]


async def test_136_a_record_put_behind_the_last_checkpoint_is_named_by_its_moment(place: Place) -> None:
    await place.work(3)
    place.clock.at += timedelta(minutes=5)
    await place.work(1)
    place.change("INSERT INTO audit_log SELECT log, epoch, seq + 4, at, body FROM audit_log WHERE seq = 1")
    assert await kinds(place) == [("insertion", 5, 5)]


async def test_hashes_that_were_damaged_are_no_edit_and_are_made_again(place: Place) -> None:
    await place.work(300)
    place.change("UPDATE audit_tile SET leaves = zeroblob(8192) WHERE tile = 0")
    assert await kinds(place) == [("tree", 1, 300)]
    async with place.serving() as (stores, _):
        keys = list(place.keys.audit_keys().values())
        assert not await remade(stores.trees, (1, 1), BASE, keys)
    assert await kinds(place) == []
    place.change("UPDATE audit_log SET body = x'00' WHERE seq = 2")
    async with place.serving() as (stores, _):
        assert "not those that were signed" in await remade(stores.trees, (1, 1), BASE, keys)


async def test_136_what_is_gone_is_named(place: Place) -> None:
    await place.work(300)
    place.change("DELETE FROM audit_log WHERE seq BETWEEN 100 AND 109")
    assert await kinds(place) == [("deletion", 100, 109)]
    place.change("DELETE FROM audit_log WHERE seq > 290")
    assert await kinds(place) == [("deletion", 100, 109), ("truncation", 291, 300)]


@pytest.mark.proof
async def test_136_records_that_are_numbered_anew_do_not_hide_it(place: Place) -> None:
    await place.work(300)
    place.change("DELETE FROM audit_log WHERE seq = 100")
    for sequence in range(101, 301):
        place.change("UPDATE audit_log SET seq = seq - 1 WHERE seq = ?", sequence)
    assert await kinds(place) == [("deletion", 100, 100)]


async def test_137_history_made_anew_with_the_key_differs_from_what_a_witness_saw(place: Place) -> None:
    await place.work(10)
    place.change("UPDATE audit_log SET body = ? WHERE seq = 4", b"what should have happened")
    for table in ("audit_tree", "audit_tile", "audit_checkpoint", "audit_cosigned"):
        place.change(f"DELETE FROM {table}")
    honest, place.witnesses[:] = list(place.witnesses), []
    await place.work(1)  # signed again, from the first record on
    place.witnesses[:] = honest
    assert [one[0] for one in await kinds(place)] == ["rewrite"]
    with pytest.raises(StartError, match="saw other records among the first 10"):
        await place.work(1)


async def test_138_a_witness_signs_one_of_two_histories() -> None:
    one = Ledger(witnesses=[Seen("w")])
    await one.append([b"a", b"b"])
    await one.checkpoint()
    two = one.fork()
    await one.append([b"c"])
    await one.checkpoint()
    await two.append([b"d"])
    await two.checkpoint()
    assert [(objection.status, objection.why) for objection in two.objections] == [
        (409, "fork: the same size is known here with another root")
    ]
    await two.append([b"e"])
    await two.checkpoint()
    assert [objection.status for objection in two.objections] == [409, 422]
    assert not one.objections


async def test_138_a_log_that_is_left_out_is_not_signed() -> None:
    ledger = Ledger(witnesses=[Seen("w")])
    await ledger.append([b"a"])
    await ledger.append([b"command"], (2, 1))
    await ledger.checkpoint()
    for held in (ledger.shelf.records, ledger.shelf.trees, ledger.notary._grown, ledger.notary._heads):
        held.pop((2, 1), None)
    await ledger.append([b"b"])
    await ledger.checkpoint()
    assert [(objection.status, objection.why) for objection in ledger.objections] == [(422, "missing: log 2.1 is gone")]


async def test_138_storage_takes_no_second_history(place: Place) -> None:
    await place.work(3)
    (worm,) = place.witnesses
    (note, *_) = await worm.history(f"{BASE}/1.1")
    other = Note(note.text.replace("\n3\n", "\n2\n", 1), note.signatures)
    with pytest.raises(WitnessError, match="another size"):
        await worm.add(Addition(2, (), other))
    with pytest.raises(WitnessError, match="larger"):
        await worm.add(Addition(3, (), other))
    assert (await worm.history(f"{BASE}/1.1"))[0] == note
    assert consistency_proof(3, 3, lambda *_: b"") == []


async def test_139_many_writers_one_dense_order(place: Place) -> None:
    async with place.serving() as (stores, _):
        with pytest.raises(StartError, match="exactly one serving process"):
            Database.open(place.url)

        async def command() -> int:
            async with beside(place.url) as (database, log):
                return await open_stores(database, plain_seal, plain_unseal, place.clock, log).audit.append(b"c")

        numbers = await asyncio.gather(*(stores.audit.append(b"x") for _ in range(2_000)), command())
    assert sorted(numbers[:-1]) == list(range(1, 2_001))
    assert numbers[-1] == 1
    report = await place.examined()
    assert report.whole
    assert {one.log: one.records for one in report.logs}[1, 1] == 2_000


async def test_140_a_step_of_the_clock_is_on_record_and_the_order_stays(place: Place) -> None:
    async with place.serving() as (stores, evidence):
        await turn(stores, evidence)
        for step in (timedelta(days=-3), timedelta(days=400)):
            place.clock.at += step
            await stores.audit.append(b"x")
            await turn(stores, evidence)
            await turn(stores, evidence)
        rows = await stores.trees.rows((1, 1), 0, 99)
        kinds = [decode(body).kind for _, _, body in rows if body != b"x"]
        assert [row[0] for row in rows] == list(range(1, len(rows) + 1))
        assert kinds == ["clock", "clock"]
        notes = [Checkpoint.parse(Note.parse(raw).text) for _, raw in await stores.trees.notes((1, 1))]
        assert [one.ticks for one in sorted(notes, key=lambda one: one.size)] == sorted(one.ticks for one in notes)
    assert (await place.examined()).whole


async def test_141_the_old_key_vouches_for_the_new_one(place: Place) -> None:
    await place.work(2)
    place.keys.rotate("audit", NOON)
    place.clock.at += timedelta(seconds=1)
    async with place.serving() as (stores, evidence):
        for number in range(2):
            await stores.audit.append(b"%d" % number)
            place.clock.at += timedelta(seconds=1)
            await turn(stores, evidence)
        notes = [Note.parse(raw) for _, raw in await stores.trees.notes((1, 1))]
    new, old = verifiers(BASE, (1, 1), place.keys)
    signed = [(old.signed(note), new.signed(note)) for note in notes]
    assert signed[-4:] == [(True, False), (True, True), (False, True), (False, True)]
    assert (await place.examined()).whole


@asynccontextmanager
async def retaining(place: Place, settings: Settings) -> AsyncIterator[AuditRetention]:
    async with place.serving() as (stores, _):
        yield AuditRetention(stores.trees, stores.audit, Retention(settings))


async def test_144_nothing_goes_before_its_time_and_the_rest_still_verifies(place: Place) -> None:
    place.clock.at = datetime(2020, 3, 15, tzinfo=UTC)
    async with place.serving() as (stores, _):
        for number in range(300):
            await stores.audit.append(encode(Record(kind="start", at="x", request=f"r{number}", organization="1")))
    settings = Settings(audit=AuditTable(retention_years=5))
    over = datetime(2025, 4, 1, tzinfo=UTC)
    for moment, count in ((over - timedelta(days=1), 0), (over + timedelta(days=1), 299)):
        place.clock.at = moment
        async with retaining(place, settings) as retention:
            assert await retention.retire(moment) == count
    async with place.serving() as (stores, _):
        left = [one async for one in stores.audit.records()]
        assert left[0].seq == 300, "the last record stays: the next number is counted from it"
        assert "log 1.1 records 1 to 299" in decode(left[-1].body).reasons
        assert await stores.audit.append(b"x") == left[-1].seq + 1
    report = await place.examined()
    assert report.whole, report.findings
    assert report.logs[0].retired == 299


async def test_144_a_removal_before_its_time_is_a_deletion_whatever_the_table_says(place: Place) -> None:
    await place.work(30)
    place.change("DELETE FROM audit_log WHERE seq BETWEEN 5 AND 9")
    place.change("INSERT INTO audit_retired (log, epoch, first, last, at) VALUES (1, 1, 5, 9, 1)")
    place.clock.at += timedelta(days=4 * 365)
    assert [one[0] for one in await kinds(place)] == ["deletion"]
    place.clock.at += timedelta(days=2 * 365)
    assert await kinds(place) == []


async def test_144_what_a_hold_covers_stays(place: Place) -> None:
    place.clock.at = datetime(2020, 3, 15, tzinfo=UTC)
    async with place.serving() as (stores, _):
        for number in range(10):
            await stores.audit.append(
                encode(Record(kind="start", at="x", request=f"r{number}", organization="1" if number % 2 else "2"))
            )
    place.clock.at = datetime(2030, 1, 1, tzinfo=UTC)
    async with retaining(place, Settings()) as retention:
        hold = Hold("d1", "1", "", datetime(2020, 1, 1, tzinfo=UTC), datetime(2021, 1, 1, tzinfo=UTC))
        await retention.place(hold, place.clock.at)
        assert await retention.holds() == [hold]
        assert await retention.retire(place.clock.at) == 5
        assert await retention.lift("d1", place.clock.at)
        assert not await retention.lift("d1", place.clock.at)
        assert await retention.retire(place.clock.at) == 4
    assert (await place.examined()).whole


@pytest.mark.parametrize(
    ("organizations", "agreements", "custodian", "rule", "years"),
    [
        ({}, {}, "1", "", 7),
        ({"1": 15}, {}, "1", "", 15),
        ({"1": 15}, {}, "2", "", 7),
        ({"1": 5}, {}, "1", "", 5),
        ({"1": 2}, {}, "1", "", 5),
        ({}, {"a": 20}, "1", "a", 20),
        ({"1": 5}, {"a": 6}, "1", "a", 6),
    ],
)
def test_144_f4_the_longest_of_law_agreement_and_custodian(
    organizations: dict[str, int], agreements: dict[str, int], custodian: str, rule: str, years: int
) -> None:
    agreement = AgreementTable("x", (), (), (), NOON.date(), NOON.date())
    settings = Settings(
        organizations=tuple(OrganizationTable(ura, "n", "V4", "", one) for ura, one in organizations.items()),
        agreements=tuple(_named(agreement, id_, one) for id_, one in agreements.items()),
    )
    record = Record(kind="outcome", at="x", request="r", custodians=(Asked(custodian, "s", rule=rule),))
    assert Retention(settings).years(record) == years


def _named(agreement: AgreementTable, id_: str, years: int) -> AgreementTable:
    return msgspec.structs.replace(agreement, id=id_, retention_years=years)
