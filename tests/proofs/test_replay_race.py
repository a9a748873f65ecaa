"""No assertion counts twice: 10,000 identifiers, fired at the same moment by four processes on PostgreSQL (attack 13)."""

from __future__ import annotations

import asyncio
import multiprocessing
from datetime import timedelta
from multiprocessing.synchronize import Barrier
from typing import Any, Final

import pytest

from gateway.storage import Database, migrate
from gateway.storage.replay_store import ReplayStore
from tests.contract.postgres import server
from tests.fakes import NOON, FixedClock

pytestmark = [pytest.mark.proof, pytest.mark.timeout(900)]

PROCESSES: Final = 4
TOKENS: Final = 10_000
AT_ONCE: Final = 200


async def _spend(url: str, barrier: Barrier, tokens: int) -> list[int]:
    """The numbers of the tokens whose first use this process was told it had."""
    database = Database.open(url, exclusive=False)
    store = ReplayStore(database, FixedClock())
    expires = NOON + timedelta(minutes=5)
    won: list[int] = []
    try:
        for first in range(0, tokens, AT_ONCE):
            await asyncio.to_thread(barrier.wait, 300)
            numbers = range(first, min(first + AT_ONCE, tokens))
            answers = await asyncio.gather(*(store.first_use("client", f"jti-{n}", expires) for n in numbers))
            won += [number for number, mine in zip(numbers, answers, strict=True) if mine]
    finally:
        await database.close()
    return won


def _process(url: str, barrier: Barrier, tokens: int, won: Any) -> None:
    won.put(asyncio.run(_spend(url, barrier, tokens)))


def test_13_of_four_processes_one_wins_each_of_ten_thousand_tokens(whole: bool) -> None:
    tokens = TOKENS if whole else TOKENS // 5
    with server() as running:
        url = running.new_database()
        migrate.upgrade(url)
        context = multiprocessing.get_context("spawn")
        barrier, won = context.Barrier(PROCESSES), context.Queue()
        racers = [context.Process(target=_process, args=(url, barrier, tokens, won)) for _ in range(PROCESSES)]
        for racer in racers:
            racer.start()
        counts = [won.get(timeout=600) for _ in racers]
        for racer in racers:
            racer.join(60)
    everybody = sorted(number for mine in counts for number in mine)
    assert everybody == list(range(tokens)), "each exactly once"
    assert sum(bool(mine) for mine in counts) >= 2, "control: there was a race"
