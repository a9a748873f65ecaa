"""The contract of `ReplayStore`."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from tests.contract.conftest import World
from tests.fakes import NOON

pytestmark = pytest.mark.anyio
EXPIRES = NOON + timedelta(minutes=5)


async def test_only_the_first_use_counts(world: World) -> None:
    assert await world.replay.first_use("a", "j1", EXPIRES)
    assert not await world.replay.first_use("a", "j1", EXPIRES)
    assert await world.replay.first_use("a", "j2", EXPIRES)


async def test_one_client_cannot_spend_the_identifier_of_another(world: World) -> None:
    assert await world.replay.first_use("a", "j1", EXPIRES)
    assert await world.replay.first_use("b", "j1", EXPIRES)


async def test_of_many_at_once_exactly_one_wins(world: World) -> None:
    for token in range(20):
        uses = await asyncio.gather(*(world.replay.first_use("a", f"t{token}", EXPIRES) for _ in range(8)))
        assert uses.count(True) == 1


async def test_an_identifier_is_remembered_while_a_slow_clock_may_accept_it(world: World) -> None:
    assert await world.replay.first_use("a", "j1", EXPIRES)
    world.clock.advance(timedelta(minutes=6))
    assert not await world.replay.first_use("a", "j1", EXPIRES)
