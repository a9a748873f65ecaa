"""Group commit: durable before told, alone in failure, never more than the queue holds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from gateway.errors import Invalid, Unavailable
from gateway.storage import Database, Stores, open_stores, sqlite
from gateway.storage.writer import Cursor
from tests.fakes import FixedClock, plain_seal, plain_unseal
from tests.gateway.storage.conftest import COUNT, INSERT, Fault, policy_row
from tests.slack import slack

pytestmark = pytest.mark.anyio
LOG = (1, 1)


def insert(number: int) -> Callable[[Cursor], int]:
    def operation(cursor: Cursor) -> int:
        cursor.execute(INSERT, policy_row(number))
        return number

    return operation


async def count(database: Database, sql: str = COUNT) -> int:
    row = await database.row(sql)
    assert row is not None
    return int(row[0])


async def until(claim: Callable[[], bool]) -> None:
    for _ in range(2_000):
        if claim():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("did not come true")


async def test_a_result_comes_only_after_the_commit(faulty: Database, fault: Fault) -> None:
    fault.hold()
    writes = [asyncio.ensure_future(faulty.write(insert(number))) for number in range(3)]
    append = asyncio.ensure_future(faulty.append(LOG, 0, b"x"))
    await until(fault.held.is_set)
    assert not any(task.done() for task in (*writes, append))
    assert await count(faulty) == 0
    fault.release()
    assert await asyncio.gather(*writes, append) == [0, 1, 2, 1]
    assert await count(faulty) == 3


async def test_what_waits_together_is_committed_together(faulty: Database, fault: Fault) -> None:
    fault.hold()
    first = asyncio.ensure_future(faulty.append(LOG, 0, b"first"))
    await until(fault.held.is_set)
    rest = [asyncio.ensure_future(faulty.append(LOG, 0, b"x")) for _ in range(8)]
    await asyncio.sleep(0)
    fault.release()
    assert await asyncio.gather(first, *rest) == list(range(1, 10))
    assert fault.commits == 2


async def test_a_slow_disk_is_shared_by_all_that_write(url: str, fault: Fault) -> None:
    database = sqlite.open_database(url, connect=fault.connect)

    async def caller() -> None:
        for _ in range(5):
            await database.append(LOG, 0, b"x")

    fault.seconds = 0.005
    await asyncio.gather(*(caller() for _ in range(64)))
    await database.close()
    assert fault.commits <= 5 * 64 / 20


async def test_one_failure_costs_its_own_caller_only(database: Database) -> None:
    def refuse(cursor: Cursor) -> None:
        cursor.execute(INSERT, policy_row(50))
        raise Invalid("conflict", why="no")

    def broken(cursor: Cursor) -> None:
        cursor.execute(INSERT, policy_row(51))
        cursor.execute("INSERT INTO nowhere VALUES (1)")

    def stopped(cursor: Cursor) -> Any:
        cursor.execute(INSERT, policy_row(52))
        return next(iter(()))

    outcomes = await asyncio.gather(
        database.write(insert(1)),
        database.write(refuse),
        database.write(broken),
        database.write(insert(1)),
        database.write(stopped),
        database.write(insert(2)),
        return_exceptions=True,
    )
    assert [type(outcome) for outcome in outcomes] == [int, Invalid, Unavailable, Unavailable, RuntimeError, int]
    assert await database.rows("SELECT number FROM policy_revision ORDER BY number") == [(1,), (2,)]


async def test_a_record_that_cannot_be_written_leaves_no_gap(database: Database) -> None:
    unwritable: Any = "\ud800"  # cannot be text in the database
    extra = (INSERT, policy_row(1))
    outcomes = await asyncio.gather(
        database.append(LOG, 0, b"a", [extra]),
        database.append(LOG, 0, unwritable),
        database.append(LOG, 0, b"b", [extra]),  # the extra is there already
        database.append(LOG, 0, b"c"),
        database.append((2, 1), 0, b"d"),
        return_exceptions=True,
    )
    assert (outcomes[0], outcomes[3], outcomes[4]) == (1, 2, 1)
    assert isinstance(outcomes[1], UnicodeEncodeError)
    assert isinstance(outcomes[2], Unavailable)
    assert outcomes[2].code == "audit-unavailable"
    rows = await database.rows("SELECT log, seq, body FROM audit_log ORDER BY log, seq")
    assert rows == [(1, 1, b"a"), (1, 2, b"c"), (2, 1, b"d")]


async def test_a_failed_commit_is_told_to_all_that_waited_and_kept_for_none(faulty: Database, fault: Fault) -> None:
    assert await faulty.append(LOG, 0, b"x") == 1
    fault.broken = True
    outcomes = await asyncio.gather(
        faulty.write(insert(1)), faulty.append(LOG, 0, b"y"), faulty.append(LOG, 0, b"z"), return_exceptions=True
    )
    assert [outcome.code for outcome in outcomes if isinstance(outcome, Unavailable)] == [
        "store-unavailable",
        "audit-unavailable",
        "audit-unavailable",
    ]
    assert not faulty.healthy()
    assert await count(faulty) == 0
    fault.broken = False
    opened = fault.opened
    assert await faulty.append(LOG, 0, b"w") == 2
    assert fault.opened == opened + 1  # what failed to commit is not trusted again
    assert faulty.healthy()


async def test_a_full_disk_stops_answers_until_there_is_space(url: str) -> None:
    pages = {"limit": 200}

    def small(path: Any) -> Any:
        connection = sqlite.open_writer(path)
        connection.execute(f"PRAGMA max_page_count={pages['limit']}")
        return connection

    database = sqlite.open_database(url, connect=small)
    acknowledged: list[int] = []

    async def fill() -> None:
        while True:
            acknowledged.append(await database.append(LOG, 0, b"x" * 4_000))

    with pytest.raises(Unavailable) as raised:
        await fill()
    assert raised.value.code == "audit-unavailable"
    assert raised.value.retry_after
    refused = await asyncio.gather(*(database.append(LOG, 0, b"x" * 9_000) for _ in range(5)), return_exceptions=True)
    assert all(isinstance(outcome, Unavailable) for outcome in refused)
    assert await count(database, "SELECT MAX(seq) FROM audit_log") == len(acknowledged)
    assert not database.healthy()
    pages["limit"] = 1_000
    assert await database.append(LOG, 0, b"x" * 4_000) == len(acknowledged) + 1
    await database.close()


async def test_the_queue_is_bounded(faulty: Database, fault: Fault) -> None:
    fault.hold()
    waiting = [asyncio.ensure_future(faulty.append(LOG, 0, b"first"))]
    await until(fault.held.is_set)
    waiting += [asyncio.ensure_future(faulty.append(LOG, 0, b"x")) for _ in range(8)]
    await asyncio.sleep(0)
    started = time.perf_counter()
    with pytest.raises(Unavailable) as append:
        await faulty.append(LOG, 0, b"too many")
    with pytest.raises(Unavailable) as write:
        await faulty.write(insert(1))
    assert time.perf_counter() - started < 0.5 * slack()
    assert (append.value.code, write.value.code) == ("audit-unavailable", "store-unavailable")
    fault.release()
    assert await asyncio.gather(*waiting) == list(range(1, 10))


async def test_a_lone_caller_is_never_delayed(url: str) -> None:
    database = Database.open(url, group_commit=timedelta(seconds=0.3))
    await asyncio.gather(*(database.append(LOG, 0, b"x") for _ in range(20)))
    await asyncio.sleep(0.35)
    started = time.perf_counter()
    for _ in range(5):
        await database.append(LOG, 0, b"x")
    assert time.perf_counter() - started < 0.29 * slack()
    await database.close()


async def test_a_caller_that_left_still_wrote(faulty: Database, fault: Fault) -> None:
    ended: list[str] = []
    fault.hold()
    task = asyncio.ensure_future(faulty.write(insert(1), after=lambda: ended.append("ended")))
    await until(fault.held.is_set)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == []
    fault.release()
    await until(lambda: ended == ["ended"])
    assert await count(faulty) == 1


async def test_consents_are_forgotten_after_the_commit_of_a_caller_that_left(
    faulty: Database, fault: Fault, clock: FixedClock
) -> None:
    stores = open_stores(faulty, plain_seal, plain_unseal, clock)
    assert await stores.consents.revision("p1") == 0
    fault.hold()
    task = asyncio.ensure_future(stores.consents.put("k1", None, b"{}", "p1", []))
    await until(fault.held.is_set)
    task.cancel()
    assert await stores.consents.revision("p1") == 0  # read, and remembered, while the change was under way
    fault.release()
    for _ in range(2_000):
        if await stores.consents.revision("p1") == 1:
            break
        await asyncio.sleep(0.001)
    assert await stores.consents.revision("p1") == 1


async def test_closing_commits_what_waits_and_refuses_what_comes(url: str) -> None:
    database = Database.open(url)
    waiting = [asyncio.ensure_future(database.append(LOG, 0, b"x")) for _ in range(100)]
    await asyncio.sleep(0)
    await database.close()
    assert await asyncio.gather(*waiting) == list(range(1, 101))
    assert not database.healthy()
    with pytest.raises(Unavailable):
        await database.append(LOG, 0, b"x")
    with pytest.raises(Unavailable):
        await database.row(COUNT)
    with pytest.raises(Unavailable):
        await database.rows(COUNT)
    again = Database.open(url)
    assert await again.append(LOG, 0, b"y") == 101
    await again.close()


async def test_a_stale_writer_of_a_log_stops(database: Database, url: str) -> None:
    assert await database.append(LOG, 0, b"x") == 1
    other = Database.open(url, exclusive=False)
    assert await other.append(LOG, 0, b"y") == 2
    await other.close()
    for _ in range(2):
        outcomes = await asyncio.gather(*(database.append(LOG, 0, b"z") for _ in range(3)), return_exceptions=True)
        assert all(isinstance(outcome, Unavailable) for outcome in outcomes)
    assert await count(database, "SELECT COUNT(*) FROM audit_log") == 2


async def test_the_reader_cannot_write(database: Database) -> None:
    with pytest.raises(Unavailable):
        await database.rows("DELETE FROM policy_revision")


async def test_of_four_threads_with_one_token_exactly_one_wins(stores: Stores, clock: FixedClock) -> None:
    def attempt(jti: str) -> bool:
        return asyncio.run(stores.replay.first_use("client", jti, clock.now()))

    for token in range(10):
        won = await asyncio.gather(*(asyncio.to_thread(attempt, f"t{token}") for _ in range(4)))
        assert won.count(True) == 1
