"""The log alone: appending on both engines, what it costs a request, records per fsync, filling the look-up table, asking it, verifying."""

from __future__ import annotations

import asyncio
import os
import random
import resource
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks.figures import Report
from benchmarks.processes import Cores
from benchmarks.read_postgresql import server
from gateway.audit.examination import Examiner
from gateway.audit.notary import Notary
from gateway.audit.record import Asked, Record, encode
from gateway.clock import SystemClock
from gateway.crypto.ring import KeyRing
from gateway.logged import AuditQuery
from gateway.storage import Database, open_stores, upgrade
from gateway.storage.audit_lookup import AuditLookup
from gateway.storage.audit_trees import AuditTrees
from gateway.storage.sqlite import SqliteConnection, open_writer
from gateway.storage.writer import STATEMENT_ROWS, Append, Cursor, Writer

START: Final = datetime(2026, 1, 1, tzinfo=UTC)
FSYNC_SECONDS: Final = 0.005
# What the pages of an auditor ask first; nothing in this log was denied or an emergency, so all of it is looked through.
OVERVIEWS: Final[dict[str, dict[str, Any]]] = {
    "a period": {},
    "an employee": {"agent": "person-7"},
    "what was denied": {"mark": "denied"},
    "emergencies": {"mark": "emergency"},
    "a purpose nobody had": {"purposes": ("verwijzing",)},
}


@dataclass(frozen=True, slots=True)
class Size:
    """How much is written and asked."""

    rounds: int = 5
    appends: int = 40_000
    connections: int = 128
    records: int = 1_000_000
    patients: int = 20_000
    questions: int = 400


def quick() -> Size:
    """Just enough to see that it runs."""
    return Size(rounds=1, appends=2_000, records=2_000, patients=50, questions=20)


def a_body(number: int, patients: int) -> bytes:
    """A record of about 400 bytes, as a search leaves it."""
    asked = Asked(f"{90000000 + number % 40}", f"s{number % 40}", {"lab": "answered"}, "a1", "c1/1")
    return encode(
        Record(
            kind="outcome", at="2026-01-01T00:00:00.000Z", request=f"{number:032x}", interaction="search-type", action="R",
            client="ehr", organization=f"{90000000 + number % 40}", person=f"person-{number % 500}",
            purpose="spoed", patient=f"p1-{number % patients:024d}", policy="c6c9594059c55f2c", status=200,
            custodians=(asked,),
        )
    )  # fmt: skip


def run(directory: Path, size: Size, profile: Path | None = None) -> Report:
    """Append on each engine, then fill, ask and verify a log of the full size."""
    del profile
    cores = Cores.of_this_machine()
    os.sched_setaffinity(0, {cores.server})  # the gateway's part on one core
    bodies = [a_body(number, size.patients) for number in range(size.appends)]
    alone, effort, rates, costs, groups = [], [], [], [], []
    for number in range(size.rounds):
        rate, cost = asyncio.run(_append(_new(directory / f"a{number}.db"), directory / f"k{number}", bodies, 512))
        rates.append(rate)
        wall, used = asyncio.run(_alone(directory / f"b{number}.db", directory / f"l{number}", bodies))
        alone.append(wall)
        effort.append(used)
        costs.append(cost)
        groups.append(
            asyncio.run(
                _slow_disk(directory / f"f{number}.db", bodies[: max(2_000, size.appends // 8)], size.connections)
            )
        )
    with server(cores.other) as url:
        upgrade(url)
        remote = [asyncio.run(_append(url, directory / "p", bodies, 512))[0] for number in range(size.rounds)]
    report = Report("audit", {"rounds": size.rounds, "records": size.records, "bytes a record": len(bodies[0])})
    report.add("append, SQLite", "records/s", alone, digits=0, at_least=40_000)
    report.add("append, SQLite, a second of processor time", "records", effort, digits=0, at_least=40_000)
    report.add("append, PostgreSQL, with 512 callers", "records/s", remote, digits=0, at_least=8_000)
    report.add("append, SQLite, with 512 callers", "records/s", rates, digits=0)
    report.add("CPU a record, event loop, writer and hashing", "us", costs, at_most=40)
    report.add("records per fsync of 5 ms, 128 connections", "", groups, at_least=40)
    for name, unit, values, bounds in asyncio.run(_whole(directory, size)):
        report.add(name, unit, values, digits=2, **bounds)
    return report


def _new(path: Path) -> str:
    url = f"sqlite:///{path}"
    upgrade(url)
    return url


async def _append(url: str, keys: Path, bodies: list[bytes], connections: int) -> tuple[float, float]:
    """Many callers at the same time, each waiting for its own record; a notary follows and signs."""
    database = Database.open(url)
    stores = open_stores(database, lambda *_: b"", lambda *_: b"", SystemClock())
    notary = _notary(stores.trees, _ring(keys))
    database.follow(notary.committed)
    await notary.open()
    following = asyncio.create_task(notary.run())
    began, cpu = time.perf_counter(), time.process_time()
    await _callers(stores.audit.append, bodies, connections)
    seconds, used = time.perf_counter() - began, time.process_time() - cpu
    following.cancel()
    await notary.close()
    await database.close()
    return len(bodies) / seconds, used / len(bodies) * 1e6


def _ring(directory: Path) -> KeyRing:
    return KeyRing.open(directory) if directory.exists() else KeyRing.create(directory)


async def _alone(path: Path, keys: Path, bodies: list[bytes]) -> tuple[float, float]:
    """The writer alone, with the notary behind it: records a second, and a second of processor time.

    As many records as one batch takes are handed to it at once.
    """
    url = _new(path)
    database = Database.open(url)
    stores = open_stores(database, lambda *_: b"", lambda *_: b"", SystemClock())
    notary = _notary(stores.trees, KeyRing.create(keys))
    await notary.open()
    writer = Writer(lambda: SqliteConnection(open_writer(path)), 0.002, 4_096)
    writer.follow = notary.committed
    following = asyncio.create_task(notary.run())
    loop, began, cpu = asyncio.get_running_loop(), time.perf_counter(), time.process_time()
    waiting: list[asyncio.Future[int]] = []
    for body in bodies:
        waiting.append(loop.create_future())
        writer.submit(Append(waiting[-1], (1, 1), 1, body, ()))
        if len(waiting) == STATEMENT_ROWS * 8:
            await waiting[-1]
            waiting.clear()
    if waiting:
        await waiting[-1]
    seconds, used = time.perf_counter() - began, time.process_time() - cpu
    following.cancel()
    await loop.run_in_executor(None, writer.close)
    await notary.close()
    await database.close()
    return len(bodies) / seconds, len(bodies) / used


def _notary(trees: AuditTrees, keys: KeyRing) -> Notary:
    async def jumped(step: timedelta) -> None:
        """The clock of a benchmark is nobody's."""

    hour = timedelta(hours=1)
    return Notary(trees, keys, SystemClock(), "benchmark/audit", hour, hour, jumped)


async def _callers(append: Callable[[bytes], Any], bodies: list[bytes], connections: int) -> None:
    waiting = iter(bodies)

    async def caller() -> None:
        for body in waiting:
            await append(body)

    await asyncio.gather(*(caller() for _ in range(connections)))


class _SlowDisk(SqliteConnection):
    """A disk on which every fsync takes 5 ms."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        super().__init__(connection)
        self.syncs = 0

    def begin(self) -> Cursor:
        """Open a transaction."""
        return _SlowCursor(super().begin(), self)

    def single(self) -> Cursor:
        """A cursor of which each statement is a transaction."""
        return _SlowCursor(super().single(), self)


class _SlowCursor:
    def __init__(self, cursor: Cursor, disk: _SlowDisk) -> None:
        self._cursor = cursor
        self._disk = disk

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the cursor has
        return getattr(self._cursor, name)

    def execute(self, sql: str, parameters: Any = (), /) -> _SlowCursor:  # noqa: ANN401 - as the cursor
        self._cursor.execute(sql, parameters)
        if sql == "COMMIT":
            self._sync()
        return self

    def executemany(self, sql: str, parameters: Any, /) -> _SlowCursor:  # noqa: ANN401 - as the cursor
        self._cursor.executemany(sql, parameters)
        if not self._disk.in_transaction:
            self._sync()
        return self

    def _sync(self) -> None:
        self._disk.syncs += 1
        time.sleep(FSYNC_SECONDS)


async def _slow_disk(path: Path, bodies: list[bytes], connections: int) -> float:
    _new(path)
    disks: list[_SlowDisk] = []

    def connect() -> _SlowDisk:
        disks.append(_SlowDisk(open_writer(path)))
        return disks[0]

    writer = Writer(connect, 0.002, 4_096)
    loop = asyncio.get_running_loop()

    async def append(body: bytes) -> None:
        future: asyncio.Future[int] = loop.create_future()
        writer.submit(Append(future, (1, 1), 1, body, ()))
        await future

    await _callers(append, bodies, connections)
    syncs = disks[0].syncs
    await loop.run_in_executor(None, writer.close)
    return len(bodies) / syncs


_Figure = tuple[str, str, list[float], dict[str, float]]


async def _whole(directory: Path, size: Size) -> list[_Figure]:
    """One log of the full size: written at once, then followed, looked up and verified as a gateway does."""
    url = _new(directory / "whole.db")
    micros = int(START.timestamp() * 1e6)
    rows = (
        (1, 1, number + 1, micros + number * 1_000_000, a_body(number, size.patients)) for number in range(size.records)
    )
    with closing(sqlite3.connect(directory / "whole.db")) as connection:
        connection.execute("PRAGMA synchronous=OFF")
        connection.executemany("INSERT INTO audit_log (log, epoch, seq, at, body) VALUES (?, ?, ?, ?, ?)", rows)
        connection.commit()
    database = Database.open(url)
    stores = open_stores(database, lambda *_: b"", lambda *_: b"", SystemClock())
    keys = KeyRing.create(directory / "whole-keys")
    notary = _notary(stores.trees, keys)
    await notary.open()
    await notary.close()
    filled, effort = await _fill(stores.queries, size)
    asked = await _ask(stores.queries, size)
    overviews = {name: await _overview(stores.queries, size, **asked_for) for name, asked_for in OVERVIEWS.items()}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    examiner = Examiner(stores.trees, "benchmark/audit", keys.audit_keys().values(), datetime.now(UTC))
    found = await examiner.run(None, lambda *_: None)
    seconds = time.perf_counter() - began
    assert found.whole, found.findings
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    await database.close()
    return [
        ("taking in what is asked by", "records/s", [filled], {"at_least": 10_000}),
        ("taking in, CPU a record", "us", [effort], {}),
        (f"question about a patient, {size.records} records, p50", "ms", [asked], {"at_most": 5}),
        *((f"first page of {name}, p50", "ms", [one], {"at_most": 300.0}) for name, one in overviews.items()),
        ("verify", "records/s", [size.records / seconds], {"at_least": 100_000}),
        ("verify: memory it needed more", "MiB", [grown], {"at_most": 64}),
    ]


async def _fill(lookup: AuditLookup, size: Size) -> tuple[float, float]:
    began, cpu = time.perf_counter(), time.process_time()
    while await lookup.fill():
        pass
    seconds, used = time.perf_counter() - began, time.process_time() - cpu
    return size.records / seconds, used / size.records * 1e6


async def _overview(lookup: AuditLookup, size: Size, **asked: Any) -> float:  # noqa: ANN401 - fields of a question
    """The first page an auditor of one organization gets."""
    last = START + timedelta(seconds=size.records)
    query = AuditQuery(start=START, end=last, parties=("90000007",))
    times = []
    for day in range(5):
        each = replace(query, end=last - timedelta(days=day / 10), **asked)
        began = time.perf_counter()
        await lookup.find(each, 50)
        times.append((time.perf_counter() - began) * 1_000)
    return median(times)


async def _ask(lookup: AuditLookup, size: Size) -> float:
    chance, times = random.Random(1), []
    for _ in range(size.questions):
        patient = f"p1-{chance.randrange(size.patients):024d}"
        query = AuditQuery(start=START, end=START + timedelta(days=3_000), patients=(patient,))
        began = time.perf_counter()
        found, _ = await lookup.find(query, 50)
        times.append((time.perf_counter() - began) * 1_000)
        assert found
    return median(times)
