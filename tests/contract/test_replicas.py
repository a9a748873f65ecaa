"""Several serving processes on one PostgreSQL: one winner, one policy, a log each; who lost its log stops."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from gateway import background
from gateway.background import Background
from gateway.errors import StartError, Unavailable
from gateway.storage import Database, Stores, lease, migrate, open_stores
from gateway.storage.engines import engine_of
from gateway.storage.writer import Connection, Cursor
from tests.contract.postgres import empty
from tests.contract.values import PATIENT, a_message, a_statement, an_issued
from tests.fakes import NOON, FixedClock, plain_seal, plain_unseal
from tests.gateway.world import World

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).parents[2]

RACE = """
import asyncio, json, sys
from datetime import timedelta
from gateway.storage import Database, open_stores
from tests.contract.values import a_message, an_issued
from tests.fakes import FixedClock, plain_seal, plain_unseal

async def main():
    clock = FixedClock()
    database = Database.open(sys.argv[1])
    stores = open_stores(database, plain_seal, plain_unseal, clock)
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    ends = clock.now() + timedelta(minutes=5)
    order = range(500) if sys.argv[2] == "up" else range(499, -1, -1)
    won = await asyncio.gather(*(stores.replay.first_use("ehr", f"j{number}", ends) for number in order))
    kept = await stores.policies.keep(sys.argv[2], clock.now(), b"{}")
    heard = [await stores.inbox.accept(a_message(key=f"M{number}"), [], []) for number in range(20)]
    ids = [an_issued(id=f"x{number}") for number in order[230:270]]
    seqs = await asyncio.gather(*(stores.audit.append(b"x", ids) for _ in range(500)))
    print(json.dumps({"won": [number for number, first in zip(order, won) if first], "log": database.log, "kept": kept,
                      "heard": heard, "seqs": sorted(seqs)}), flush=True)
    await database.close()

asyncio.run(main())
"""


@pytest.fixture
def url(postgresql_url: str) -> str:
    empty(postgresql_url)
    return postgresql_url


@asynccontextmanager
async def serving(url: str, clock: FixedClock | None = None) -> AsyncIterator[tuple[Database, Stores]]:
    database = Database.open(url)
    try:
        yield database, open_stores(database, plain_seal, plain_unseal, clock or FixedClock())
    finally:
        await database.close()


def change(url: str, sql: str) -> None:
    """Do to the database what no store does."""

    def work(connection: Connection) -> None:
        with migrate.transaction(connection) as cursor:
            cursor.execute(sql)

    engine_of(url).administer(url, work, exclusive=False)


@pytest.mark.slow
async def test_two_processes_race_and_each_number_has_one_owner(url: str) -> None:
    processes = [
        subprocess.Popen(  # noqa: ASYNC220 - both run beside this loop
            [sys.executable, "-c", RACE, url, order], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, text=True
        )
        for order in ("up", "down")
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    first, second = (json.loads(process.communicate(timeout=60)[0]) for process in processes)
    assert sorted(first["won"] + second["won"]) == list(range(500))
    assert first["log"] != second["log"]
    assert first["seqs"] == second["seqs"] == list(range(1, 501))
    assert [sorted(pair) for pair in zip(first["heard"], second["heard"], strict=True)] == [["again", "new"]] * 20
    async with serving(url) as (database, stores):
        numbers = await database.rows("SELECT number, revision FROM policy_revision ORDER BY number")
        assert [number for number, _ in numbers] == [1, 2]
        assert {revision for _, revision in numbers} == {"up", "down"}
        assert await database.rows("SELECT number FROM message ORDER BY number") == [(n,) for n in range(1, 21)]
        assert {tuple(first["log"]), tuple(second["log"])} == set(await stores.audit.heads())


@pytest.mark.slow
async def test_what_one_process_wrote_the_other_reads_at_once(url: str) -> None:
    async with serving(url) as (_, one), serving(url) as (_, other):
        for version in range(1, 6):
            effect = "permit" if version % 2 else "deny"
            await one.consents.put("k1", version - 1 or None, b"{}", PATIENT, [a_statement(effect=effect)])
            assert await other.consents.statements(PATIENT) == (a_statement(effect=effect),)
            assert await other.consents.revision(PATIENT) == version
        assert await one.policies.keep("r1", NOON, b"{}")
        assert not await other.policies.keep("r1", NOON, b"{}")
        newest = await other.policies.newest()
        assert newest is not None
        assert newest.revision == "r1"
        assert await one.inbox.accept(a_message(), [], []) == "new"
        assert await other.inbox.accept(a_message(), [], []) == "again"


async def test_each_process_has_a_log_and_gives_it_back(url: str) -> None:
    async with serving(url) as (first, stores), serving(url) as (second, others):
        assert (first.log, second.log) == ((1, 1), (2, 1))
        assert [await stores.audit.append(b"x"), await others.audit.append(b"y")] == [1, 1]
        assert await others.audit.append(b"y") == 2
        assert await stores.audit.heads() == {(1, 1): 1, (2, 1): 2}
    async with serving(url) as (again, stores):
        assert again.log == (1, 2)  # a new epoch: nothing is ever added to one that ended
        assert await stores.audit.append(b"z") == 1


async def test_a_log_whose_lease_ended_has_a_new_owner_and_the_old_one_stops(url: str) -> None:
    async with serving(url) as (stale, stores):
        assert await stores.audit.append(b"x") == 1
        change(url, "UPDATE log_slot SET until = 0")  # as after 30 s of silence
        assert await stores.audit.append(b"still ours, nobody took it") == 2
        change(url, "UPDATE log_slot SET until = 0")
        async with serving(url) as (fresh, others):
            assert (stale.log, fresh.log) == ((1, 1), (1, 2))
            assert await others.audit.append(b"y") == 1
            for _ in range(2):
                outcomes = await asyncio.gather(*(stores.audit.append(b"z") for _ in range(3)), return_exceptions=True)
                assert [getattr(one, "code", one) for one in outcomes] == ["audit-unavailable"] * 3
            assert not stale.healthy()
            assert fresh.healthy()
            assert await others.audit.heads() == {(1, 1): 2, (1, 2): 1}


async def test_every_slot_can_be_taken_once(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "SLOTS", 2)
    async with serving(url), serving(url):
        with pytest.raises(StartError, match="all 2 logs are leased"):
            Database.open(url)
        command = Database.open(url, exclusive=False)
        assert await command.row("SELECT COUNT(*) FROM log_slot") == (2,)
        with pytest.raises(Unavailable):
            await command.append((1, 1), 0, b"a command has no log")
        await command.close()


async def test_nobody_upgrades_below_a_process_that_serves(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    known = migrate.migrations()
    more = migrate.Migration(len(known) + 1, "more", ("CREATE TABLE more (id TEXT)", "DROP TABLE more"))
    async with serving(url):
        assert migrate.upgrade(url) == []
        monkeypatch.setattr(migrate, "migrations", lambda: (*known, more))
        with pytest.raises(StartError, match=r"1 process\(es\) serve this database"):
            migrate.upgrade(url)
        monkeypatch.setattr(migrate, "migrations", lambda: known)
        migrate.check_version(url)


async def test_an_idle_process_keeps_its_log(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "RENEW_SECONDS", 0.02)
    async with serving(url) as (database, _):
        change(url, "UPDATE log_slot SET until = 0")
        for _ in range(200):
            if await database.row("SELECT 1 FROM log_slot WHERE until > 0"):
                break
            await asyncio.sleep(0.01)
        assert await database.row("SELECT 1 FROM log_slot WHERE until > 0")


async def test_one_failure_costs_its_own_caller_only(url: str) -> None:
    def broken(cursor: Cursor) -> None:
        cursor.execute("INSERT INTO feed (source, heard) VALUES ('a', 1)")
        cursor.execute("INSERT INTO nowhere VALUES (1)")

    def raising(cursor: Cursor) -> None:
        cursor.execute("INSERT INTO feed (source, heard) VALUES ('b', 1)")
        raise KeyError("own")

    async with serving(url) as (database, stores):
        outcomes = await asyncio.gather(
            stores.inbox.accept(a_message(), [], []),
            database.write(broken),
            database.write(raising),
            stores.replay.first_use("ehr", "nul \x00", NOON),
            stores.replay.first_use("ehr", "good", NOON),
            return_exceptions=True,
        )
        assert [getattr(one, "code", type(one)) for one in outcomes] == [
            str,
            "store-unavailable",
            KeyError,
            "bad-request",
            bool,
        ]
        assert await database.rows("SELECT source FROM feed") == [("ambulance",)]
        unwritable = an_issued(id="nul \x00")
        mixed = await asyncio.gather(
            stores.audit.append(b"a", [an_issued()]),
            stores.audit.append(b"b", [unwritable]),
            stores.audit.append(b"c", [an_issued(id="x2")]),
            return_exceptions=True,
        )
        assert (mixed[0], mixed[2]) == (1, 2)
        assert isinstance(mixed[1], Exception)


async def test_the_reader_cannot_write_and_one_that_left_harms_nobody(url: str) -> None:
    async with serving(url) as (database, _):
        with pytest.raises(Unavailable):
            await database.rows("DELETE FROM feed")
        leaving = [asyncio.create_task(database.rows("SELECT pg_sleep(5)")) for _ in range(20)]
        await asyncio.sleep(0.1)
        for task in leaving:
            task.cancel()
        await asyncio.gather(*leaving, return_exceptions=True)
        assert await asyncio.gather(*(database.row("SELECT 1") for _ in range(50))) == [(1,)] * 50


async def test_no_more_wait_than_the_queue_holds(url: str) -> None:
    database = Database.open(url, limit=8)
    outcomes = await asyncio.gather(
        *(database.append(database.log, 0, b"x") for _ in range(50)), return_exceptions=True
    )
    written = [one for one in outcomes if isinstance(one, int)]
    assert 8 <= len(written) < 50
    assert all(isinstance(one, Unavailable) for one in outcomes if not isinstance(one, int))
    await database.close()


async def test_a_job_has_one_holder_until_it_falls_silent(url: str) -> None:
    clock, minute = FixedClock(), timedelta(minutes=1)
    async with serving(url, clock) as (_, one), serving(url, clock) as (_, other):
        outcomes = await asyncio.gather(*(stores.jobs.take("purge", minute) for stores in (one, other) * 10))
        assert outcomes in ([True, False] * 10, [False, True] * 10)
        holder, waiting = (one, other) if outcomes[0] else (other, one)
        assert await waiting.jobs.take("erase", minute), "each job has a lease of its own"
        clock.advance(timedelta(seconds=40))
        assert await holder.jobs.take("purge", minute), "kept"
        clock.advance(timedelta(seconds=40))
        assert not await waiting.jobs.take("purge", minute)
        clock.advance(timedelta(seconds=21))
        assert await waiting.jobs.take("purge", minute), "taken over"
        assert not await holder.jobs.take("purge", minute)
        await waiting.jobs.give_back()
        assert await holder.jobs.take("purge", minute), "given back when a process ends"
        assert await holder.jobs.take("erase", minute)


@dataclass
class Forgetting:
    """Ids that are purged, counted; slow, so that two who do it at the same time are seen."""

    at_work: list[int]
    number: int
    turns: int = 0

    async def purge(self, now: datetime) -> int:
        del now
        assert self.at_work == []
        self.at_work.append(self.number)
        await asyncio.sleep(0.03)
        self.at_work.remove(self.number)
        self.turns += 1
        return 0


@pytest.mark.slow
async def test_of_two_serving_processes_one_does_the_background_jobs(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "PURGE_SECONDS", 0.01)
    at_work: list[int] = []
    clock = FixedClock()
    async with serving(url, clock) as (_, one), serving(url, clock) as (_, other):
        counted = [Forgetting(at_work, 1), Forgetting(at_work, 2)]
        ports = (await asyncio.to_thread(World)).ports
        workers = [
            Background(ports, replace(stores, issued=cast("Any", issued)))
            for stores, issued in zip((one, other), counted, strict=True)
        ]
        for worker in workers:
            worker.start()
        await _until(lambda: sum(issued.turns for issued in counted) >= 3)
        assert sorted(issued.turns > 0 for issued in counted) == [False, True]
        busy = 0 if counted[0].turns else 1
        await workers[busy].close()
        await _until(lambda: counted[1 - busy].turns >= 1)
        await workers[1 - busy].close()


async def _until(claim: Any) -> None:
    for _ in range(500):
        if claim():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come true in 5 s")
