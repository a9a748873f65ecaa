"""What keeps the log from being altered unseen, on each engine."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime, timedelta

import pytest

from gateway.audit.checkpoints import tree_in
from gateway.audit.examination import Examination, Examiner
from gateway.audit.merkle import consistency_proof, consistent, entry_of, includes, inclusion_proof, leaf_hash, root_of
from gateway.audit.notary import Notary
from gateway.audit.record import Record, encode
from gateway.audit.retention import Hold, Retention
from gateway.crypto.notes import Note
from gateway.settings import Settings
from gateway.storage import migrate
from gateway.storage.audit_retention import AuditRetention
from gateway.storage.engines import engine_of
from gateway.storage.instants import to_micros
from gateway.storage.writer import Connection
from tests.contract.conftest import Stored
from tests.fakes import NOON
from tests.gateway.audit.ledger import BASE, Keys

pytestmark = pytest.mark.anyio


async def notary(stored: Stored) -> Notary:
    async def jumped(step: timedelta) -> None:
        raise AssertionError(step)

    hour = timedelta(hours=1)
    made = Notary(stored.stores.trees, Keys(), stored.clock, BASE, hour, timedelta(days=99_999), jumped)
    stored.database.follow(made.committed)
    await made.open()
    return made


async def recorded(stored: Stored, follows: Notary, count: int) -> None:
    """Records, and a checkpoint over all of them."""
    await asyncio.gather(*(stored.stores.audit.append(b"%d" % number) for number in range(count)))
    stored.clock.at += timedelta(seconds=1)
    await follows.close()


async def examined(stored: Stored) -> Examination:
    examiner = Examiner(stored.stores.trees, BASE, Keys().audit_keys().values(), stored.clock.at)
    return await examiner.run(None, lambda *_: None)


def change(stored: Stored, statement: str) -> None:
    def work(connection: Connection) -> None:
        with migrate.transaction(connection) as cursor:
            cursor.execute(statement)

    engine_of(stored.url).administer(stored.url, work, exclusive=False)


async def test_the_tree_is_that_of_the_records_and_goes_on_after_a_restart(stored: Stored) -> None:
    log, trees = stored.database.log, stored.stores.trees
    for count in (1, 255, 300, 7):
        await recorded(stored, await notary(stored), count)
        rows = await trees.rows(log, 0, 10_000)
        raw = await trees.last_note(log)
        assert raw is not None
        _, size, root = tree_in(Note.parse(raw).text)
        assert (size, root) == (len(rows), root_of(leaf_hash(entry_of(at, body)) for _, at, body in rows))
    report = await examined(stored)
    assert report.whole
    assert [(one.records, one.covered) for one in report.logs] == [(563, 563)]


async def test_proofs_come_from_what_is_kept(stored: Stored) -> None:
    log, trees, chance = stored.database.log, stored.stores.trees, random.Random(1)
    await recorded(stored, await notary(stored), 700)
    leaves = [leaf_hash(entry_of(at, body)) for _, at, body in await trees.rows(log, 0, 700)]
    for _ in range(8):
        new = chance.randrange(1, 701)
        old = chance.randrange(1, new + 1)
        nodes = await trees.nodes(log, new, old - 1)
        path = inclusion_proof(old - 1, new, nodes)
        assert includes(leaves[old - 1], old - 1, new, path, root_of(leaves[:new]))
        known = (await trees.nodes(log, old)).frontier(old)
        grown = await trees.nodes_since(log, known, new)
        proof = consistency_proof(old, new, grown)
        assert consistent(old, new, known.root(), root_of(leaves[:new]), proof)
        assert grown.frontier(new).root() == root_of(leaves[:new])


async def test_what_was_done_to_the_rows_is_named(stored: Stored) -> None:
    await recorded(stored, await notary(stored), 300)
    change(stored, "UPDATE audit_log SET at = at + 1 WHERE seq = 17")
    change(stored, "DELETE FROM audit_log WHERE seq = 270")
    found = [(one.kind, one.first, one.last) for one in (await examined(stored)).findings]
    assert found == [("edit", 17, 17), ("deletion", 270, 270)]


async def test_records_past_their_time_go_and_the_log_stays_whole(stored: Stored) -> None:
    follows = await notary(stored)
    for number in range(20):
        await stored.stores.audit.append(encode(Record(kind="start", at="x", request=f"r{number}")))
    await follows.close()
    retention = AuditRetention(stored.stores.trees, stored.stores.audit, Retention(Settings()))
    later = datetime(2034, 1, 1, tzinfo=UTC)
    await retention.place(Hold("h", "nobody", "", NOON, later), stored.clock.at)
    assert await retention.retire(later - timedelta(days=365 * 2)) == 0
    assert await retention.retire(later) == 19
    assert [one.id for one in await retention.holds()] == ["h"]
    assert await retention.lift("h", later)
    stored.clock.at = later
    report = await examined(stored)
    assert report.whole, report.findings
    assert report.logs[0].retired == 19


async def test_a_witness_keeps_what_came_first_and_one_an_hour(stored: Stored) -> None:
    store = stored.stores.witnessed
    assert await store.last("a/1.1") is None
    at = NOON
    assert await store.keep("a/1.1", None, 1, at, b"one")
    assert not await store.keep("a/1.1", None, 2, at, b"other")
    won = await asyncio.gather(*(store.keep("a/1.1", b"one", 2, at, b"two %d" % number) for number in range(5)))
    assert sum(won) == 1
    last = await store.last("a/1.1")
    assert last is not None
    assert await store.keep("a/1.1", last, 9, at + timedelta(hours=2), b"nine")
    assert await store.history("a/1.1") == [b"nine", last]
    assert await store.keep("b/1.1", None, 0, at, b"empty")
    assert await store.origins() == ["a/1.1", "b/1.1"]


async def test_notes_are_read_in_pages_in_order(stored: Stored) -> None:
    follows = await notary(stored)
    for _ in range(3):
        await recorded(stored, follows, 2)
    log, trees = stored.database.log, stored.stores.trees
    moments = [at for at, _ in await trees.notes(log)]
    assert moments == sorted(moments)
    assert len(moments) == 3
    assert [at for at, _ in await trees.notes(log, moments[0])] == moments[1:]
    assert moments[-1] == to_micros(stored.clock.at)
