"""The overviews of an auditor over a log of 10^6 records: every list, every sum, as their page asks them."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from benchmarks.figures import Report
from gateway import policy
from gateway.audit.overviews import Period, narrowed, page, sums
from gateway.audit.record import Asked, Record, encode
from gateway.audit.view import Viewer
from gateway.clock import SystemClock
from gateway.crypto.ring import KeyRing
from gateway.logged import AuditQuery
from gateway.settings import parse
from gateway.storage import Database, open_stores, upgrade
from gateway.storage.audit_tally import AuditTally

START: Final = datetime(2026, 1, 1, tzinfo=UTC)
HOSPITAL: Final = "90000001"  # took part in every record: the hardest to narrow
_EVERY_SECONDS: Final = 30
_MOST_MS: Final = 300
Work = Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Size:
    """How much is written and asked."""

    records: int = 1_000_000
    patients: int = 20_000
    rounds: int = 5


def quick() -> Size:
    """Just enough to see that it runs."""
    return Size(records=2_000, patients=50, rounds=1)


def a_body(chance: random.Random, number: int, patients: int) -> bytes:
    """What a search leaves: one in 50 refused, one in 2,000 an emergency, one in 10 with a source that did not answer."""
    at = (START + timedelta(seconds=number * _EVERY_SECONDS)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    refused = chance.random() < 0.02
    state = "failed:timeout" if chance.random() < 0.1 else "answered"
    asked = (Asked(HOSPITAL, f"s{number % 3}", {"Condition": state}, "a1", "c1/1"),)
    return encode(
        Record(
            kind="refusal" if refused else "outcome", at=at, request=f"{number:032x}", interaction="summary", action="R",
            client="ehr", organization=f"{90000002 + number % 40}", person=f"uzi|{900000000 + number % 500}",
            purpose="spoed-noodtoegang" if chance.random() < 0.0005 else "behandeling",
            patient=f"p1-{chance.randrange(patients):024d}", policy="c6c9594059c55f2c", status=403 if refused else 200,
            error=chance.choice(("role-refused", "agreement-missing")) if refused else "",
            custodians=asked,
        )
    )  # fmt: skip


def run(directory: Path, size: Size, profile: Path | None = None) -> Report:
    """Fill a log, then ask it what each page asks."""
    del profile
    return asyncio.run(_run(directory, size))


async def _run(directory: Path, size: Size) -> Report:
    url = f"sqlite:///{directory / 'overviews.db'}"
    upgrade(url)
    _written(directory / "overviews.db", size)
    database = Database.open(url)
    stores = open_stores(database, lambda *_: b"", lambda *_: b"", SystemClock())
    began = time.perf_counter()
    while await stores.queries.fill():
        pass
    filled = size.records / (time.perf_counter() - began)
    settings = parse({"organizations": [{"ura": HOSPITAL, "name": "Ziekenhuis", "facility_type": "V4"}]})
    keys = KeyRing.create(directory / "overview-keys")
    by = Viewer(HOSPITAL, operates=False, policy=policy.build(settings), keys=keys)
    report = Report("overviews", {"records": size.records, "rounds": size.rounds})
    report.add("filling the look-up table and its sums", "records/s", [filled], digits=0)
    for name, work in _questions(stores.queries, AuditTally(database), by, size).items():
        report.add(name, "ms", [await _milliseconds(work) for _ in range(size.rounds)], at_most=_MOST_MS)
    await database.close()
    return report


def _written(path: Path, size: Size) -> None:
    chance, micros = random.Random(1), int(START.timestamp() * 1e6)
    rows = (
        (1, 1, number + 1, micros + number * _EVERY_SECONDS * 1_000_000, a_body(chance, number, size.patients))
        for number in range(size.records)
    )
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA synchronous=OFF")
        connection.executemany("INSERT INTO audit_log (log, epoch, seq, at, body) VALUES (?, ?, ?, ?, ?)", rows)
        connection.commit()


def _questions(queries: object, tally: AuditTally, by: Viewer, size: Size) -> dict[str, Work]:
    last = (START + timedelta(seconds=size.records * _EVERY_SECONDS)).date()
    whole = Period(START.date(), last)
    patient = f"p1-{7:024d}"

    def listed(overview: str = "all", patients: tuple[str, ...] = (), person: str = "") -> Work:
        query: AuditQuery = narrowed(whole.query(), overview, patients, person)
        return lambda: page(queries, query, by)  # type: ignore[arg-type]  # the store

    month = Period(last - timedelta(days=29), last)
    return {
        "everything, newest 50": listed(),
        "by patient": listed(patients=(patient,)),
        "by employee": listed(person="900000007"),
        "one day": lambda: page(queries, Period(whole.first, whole.first).query(), by),  # type: ignore[arg-type]  # the store
        "denied": listed("denied"),
        "emergency": listed("emergency"),
        "emergency by one patient": listed("emergency", patients=(patient,)),
        "denied by one employee": listed("denied", person="900000007"),
        "nobody of that name": listed(person="nobody"),
        "sums of a month": lambda: sums(tally, by, month),
        "sums of the whole log": lambda: sums(tally, by, whole),
    }


async def _milliseconds(work: Work) -> float:
    began = time.perf_counter()
    await work()
    return (time.perf_counter() - began) * 1_000
