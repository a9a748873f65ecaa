"""The contract of `Misses`, and what two processes on one store count together: guesses and quotas."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from gateway.background import Background
from gateway.errors import Refused, Unavailable
from gateway.ports import Misses
from gateway.storage import Database, Stores, open_stores
from gateway.throttle import LOCKED_FOR, MISSES, Allowances, Quota
from tests.contract.conftest import Stored, World
from tests.fakes import NOON, plain_seal, plain_unseal
from tests.gateway import world as region
from tests.gateway.charts import BIRTH, BSN, BSN_SYSTEM

pytestmark = pytest.mark.anyio
SOON = timedelta(seconds=10)


@asynccontextmanager
async def beside(stored: Stored) -> AsyncIterator[Stores]:
    """The stores of a second process where the engine allows one; on SQLite those of the same process again."""
    if stored.url.startswith("sqlite"):
        yield open_stores(stored.database, plain_seal, plain_unseal, stored.clock)
        return
    database = Database.open(stored.url)
    try:
        yield open_stores(database, plain_seal, plain_unseal, stored.clock)
    finally:
        await database.close()


async def missed(misses: Misses, times: int, at: Any = NOON, patient: str = "p1") -> list[timedelta | None]:
    return [await misses.judged(patient, at, missed=True) for _ in range(times)]


async def test_the_fifth_miss_locks_a_number_until_its_time_is_over(world: World) -> None:
    assert await missed(world.misses, MISSES - 1) == [None] * 4
    assert await world.misses.locked("p1", NOON) is None
    assert await missed(world.misses, 1, NOON + SOON) == [None]
    for missed_too in (True, False):
        assert await world.misses.judged("p1", NOON + 2 * SOON, missed=missed_too) == LOCKED_FOR - SOON
    assert await world.misses.locked("p1", NOON + 2 * SOON) == LOCKED_FOR - SOON, "who is refused makes it no longer"
    assert await world.misses.locked("p2", NOON + SOON) is None
    assert await world.misses.judged("p2", NOON + SOON, missed=False) is None
    end = NOON + SOON + LOCKED_FOR
    assert await world.misses.locked("p1", end) is None
    assert await missed(world.misses, MISSES, end) == [None] * MISSES, "it starts anew"
    assert await world.misses.locked("p1", end) == LOCKED_FOR


async def test_a_miss_counts_as_long_as_another_follows_in_time(world: World) -> None:
    for number in range(MISSES):
        at = NOON + number * (LOCKED_FOR - SOON)
        assert await world.misses.locked("p1", at) is None
        await missed(world.misses, 1, at)
    assert await world.misses.locked("p1", at) is not None


async def test_of_many_guesses_at_once_five_are_judged_at_all_processes_together(stored: Stored) -> None:
    async with beside(stored) as other:
        told = await asyncio.gather(
            *(
                stores.misses.judged("p1", NOON, missed=number != 30)
                for number in range(40)
                for stores in (stored.stores, other)
            )
        )
        assert sum(one is None for one in told) == MISSES
        assert await other.misses.locked("p1", NOON) == await stored.stores.misses.locked("p1", NOON) == LOCKED_FOR


async def test_what_was_counted_outlives_the_process_and_names_nobody(stored: Stored) -> None:
    patient = (await asyncio.to_thread(region.World)).patient
    await missed(stored.stores.misses, MISSES, patient=patient)
    await stored.database.close()
    reopened = Database.open(stored.url)
    try:
        again = open_stores(reopened, plain_seal, plain_unseal, stored.clock)
        assert await again.misses.locked(patient, NOON) == LOCKED_FOR
        rows = await reopened.rows("SELECT * FROM birth_date_miss")
        assert len(rows) == 1
        assert BSN not in str(rows)
    finally:
        await reopened.close()


async def looked_for(world: region.World, birth: str) -> tuple[int, str]:
    reply = await world.send(
        "POST", "Patient/_search", region.PHYSICIAN, body=f"identifier={BSN_SYSTEM}|{BSN}&birthdate={birth}"
    )
    return reply.status, reply.code if reply.status >= 400 else ""


async def test_163_guesses_at_two_gateways_lock_the_number_at_both_and_a_broken_store_shows_nothing(
    stored: Stored,
) -> None:
    async with beside(stored) as other:
        worlds = [await asyncio.to_thread(region.World) for _ in range(2)]
        for one, stores in zip(worlds, (stored.stores, other), strict=True):
            one.ports = replace(one.ports, misses=stores.misses)
            one.app = replace(one.app, ports=one.ports)
        first, second = worlds
        guesses = [(worlds[day % 2], f"1980-01-{day:02d}") for day in range(1, MISSES + 1)]
        assert [await looked_for(*guess) for guess in guesses] == [(200, "")] * MISSES
        assert await looked_for(first, BIRTH) == await looked_for(second, BIRTH) == (429, "too-many-requests")
        assert first.records[-1].error == "too-many-requests"
        await stored.database.close()
        status, code = await looked_for(first, BIRTH)
        assert (status, code) == (503, "store-unavailable")


class Serving:
    """One process: its allowances, and the job that shares them."""

    def __init__(self, stores: Stores, ports: Any) -> None:
        self.allowances = Allowances((Quota("minute", 10, 60), Quota("day", 100, 86_400)))
        self.job = Background(replace(ports, allowances=self.allowances), stores)

    def take(self, times: int, now: float) -> int:
        """How many of so many requests are let through."""
        through = 0
        for _ in range(times):
            try:
                self.allowances.take(b"token", "app", now)
                through += 1
            except Refused:
                pass
        return through


async def test_a_quota_used_up_at_one_process_is_used_up_at_the_other(stored: Stored) -> None:
    async with beside(stored) as other:
        ports = (await asyncio.to_thread(region.World)).ports
        one, two = Serving(stored.stores, ports), Serving(other, ports)
        now = NOON.timestamp()
        assert (one.take(6, now), two.take(2, now)) == (6, 2)
        for process in (one, two, one):
            await process.job._share_quotas()
        assert (one.take(5, now + 1), two.take(1, now + 1)) == (2, 1), "two more, and one before the other was told"
        for process in (one, two, one):
            await process.job._share_quotas()
        assert (one.take(1, now + 2), two.take(1, now + 2)) == (0, 0)
        assert '"minute";r=0;t=58' in dict(two.allowances.headers("app", now + 2))["ratelimit"]
        assert one.take(1, now + 61) == 1, "the next minute, of the same day"
        left = dict(one.allowances.headers("app", now + 61))["ratelimit"]
        assert left == f'"minute";r=9;t=60, "day";r={100 - 16};t={86_400 - 61}'


async def test_what_could_not_be_told_is_told_later(stored: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    ports = (await asyncio.to_thread(region.World)).ports
    process = Serving(stored.stores, ports)
    now = NOON.timestamp()
    assert process.take(4, now) == 4

    async def gone(*_: object) -> None:
        raise Unavailable("store-unavailable")

    with monkeypatch.context() as broken:
        broken.setattr(type(stored.stores.usage), "add", gone)
        with pytest.raises(Unavailable):
            await process.job._share_quotas()
    await process.job._share_quotas()
    assert [one.requests for one in await stored.stores.usage.totals(now)] == [4, 4]
    restarted = Serving(stored.stores, ports)
    await restarted.job._share_quotas()
    assert restarted.take(10, now + 1) == 6
