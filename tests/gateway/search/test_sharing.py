"""A set of queries asks a source once for the same: at the same time always, within moments where the region says so."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial

import pytest

from gateway.episodes import ANSWERS_BYTES, Answers
from tests.gateway.charts import CHARTS, observation
from tests.gateway.test_silence import comparable
from tests.gateway.world import COLLEAGUE, HOSPITAL, PHYSICIAN, SETTINGS, World, run

CODES = ("8867-4", "8310-5", "29463-7", "8302-2", "59408-5")


def paths(world: World) -> list[str]:
    return [f"Observation?patient={world.patient}&code={code}" for code in CODES]


def asked(world: World) -> int:
    return len(world.charts["hospital"].asked)


def test_searches_at_the_same_time_ask_a_source_once_and_get_the_same() -> None:
    charts = {**CHARTS, "hospital": [*CHARTS["hospital"], observation("o2", "h1", "8310-5")]}
    apart, together = World(charts=charts), World(charts=charts)
    one_by_one = [comparable(apart.get(path)) for path in paths(apart)]
    together.charts["hospital"].seconds = 0.05

    async def all_at_once() -> list[object]:
        return [
            comparable(one) for one in await asyncio.gather(*(together.send("GET", path) for path in paths(together)))
        ]

    assert run(all_at_once()) == one_by_one
    assert (asked(apart), asked(together)) == (len(CODES), 1)
    assert [record.kind for record in together.records].count("outcome") == len(CODES), "each has a record of its own"


def test_nobody_shares_with_another() -> None:
    world = World()
    world.charts["hospital"].seconds = 0.05
    other = replace(PHYSICIAN, token_id="another")
    run(_at_once(world, [PHYSICIAN, COLLEAGUE, other]))
    assert asked(world) == 3


async def _at_once(world: World, callers: list[object]) -> None:
    await asyncio.gather(*(world.send("GET", paths(world)[0], caller) for caller in callers))  # type: ignore[arg-type]


def test_within_moments_only_where_the_region_says_so_and_decided_every_time() -> None:
    settings = {"gateway": {**SETTINGS["gateway"], "share_answers": "1h"}}
    for more, count in ((settings, 1), ({}, 2)):
        world = World(settings=more)
        assert len(world.get(paths(world)[0]).items) == 1
        assert len(world.get(paths(world)[0]).items) == 1
        assert asked(world) == count
        world.says("deny", HOSPITAL)
        assert world.get(paths(world)[0]).items == []
        assert asked(world) == count


def test_an_answer_that_is_not_whole_serves_nobody_else() -> None:
    world = World(settings={"gateway": {**SETTINGS["gateway"], "share_answers": "1h"}})
    world.charts["hospital"].fails = "connection"
    assert "source-failed" in world.get(paths(world)[0]).remarks
    world.charts["hospital"].fails = ""
    assert len(world.get(paths(world)[0]).items) == 1


def test_what_is_kept_is_bounded_and_forgotten() -> None:
    async def lived() -> None:
        answers = Answers()
        asked: list[int] = []

        async def ask(number: int) -> int:
            asked.append(number)
            return number

        for number in range(40):
            found = await answers.of(number, partial(ask, number), 60.0, lambda _: ANSWERS_BYTES // 10)
            assert found == number
        await answers.of(39, lambda: ask(39), 60.0, lambda _: 1)
        assert asked.count(39) == 1
        await answers.of(0, lambda: ask(0), 60.0, lambda _: 1)
        assert asked.count(0) == 2, "the oldest went"
        await answers.of("short", lambda: ask(-1), 0.001, lambda _: 1)
        await asyncio.sleep(0.02)
        await answers.of("short", lambda: ask(-1), 0.001, lambda _: 1)
        assert asked.count(-1) == 2

    run(lived())


def test_who_goes_away_takes_nothing_from_who_stays() -> None:
    async def lived() -> None:
        answers, gate = Answers(), asyncio.Event()
        cancelled: list[bool] = []

        async def ask() -> str:
            try:
                await gate.wait()
            except asyncio.CancelledError:
                cancelled.append(True)
                raise
            return "answer"

        waiting = [asyncio.ensure_future(answers.of("key", ask, 0, lambda _: 1)) for _ in range(2)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        await asyncio.sleep(0)
        gate.set()
        assert await waiting[1] == "answer"
        gate.clear()
        alone = asyncio.ensure_future(answers.of("key", ask, 0, lambda _: 1))
        await asyncio.sleep(0)
        alone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await alone
        await asyncio.sleep(0)
        assert cancelled == [True]

    run(lived())
