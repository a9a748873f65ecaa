"""Steps side by side: told in order, never more than allowed, and those of one name one after the other."""

from __future__ import annotations

import asyncio

import pytest

from gateway.commands.side_by_side import side_by_side

pytestmark = pytest.mark.anyio


async def test_results_come_in_order_and_never_more_at_work_than_allowed() -> None:
    running, most, ended = 0, 0, list[int]()

    async def work(step: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(20 - step):  # the last are the quickest
            await asyncio.sleep(0)
        running -= 1
        ended.append(step)
        return step * 10

    told = [one async for one in side_by_side(range(12), work, same=lambda _: "", most=4)]
    assert told == [(step, step * 10) for step in range(12)]
    assert most == 4
    assert ended != sorted(ended), "side by side indeed"


async def test_what_is_of_one_patient_is_done_one_after_the_other() -> None:
    at_work: set[str] = set()

    async def work(step: tuple[str, int]) -> int:
        assert step[0] not in at_work
        at_work.add(step[0])
        for _ in range(10 - step[1]):
            await asyncio.sleep(0)
        at_work.remove(step[0])
        return step[1]

    steps = [(name, number) for number in range(5) for name in ("a", "b")]
    told = [one async for one in side_by_side(steps, work, same=lambda one: one[0], most=8)]
    assert [step for step, _ in told] == steps


async def test_a_step_that_fails_ends_the_work() -> None:
    done = list[int]()

    async def work(step: int) -> None:
        if step == 2:
            raise RuntimeError
        if step > 2:
            await asyncio.sleep(3600)
        done.append(step)

    told = list[int]()

    async def listen() -> None:
        async for step, _ in side_by_side(range(9), work, same=lambda _: "", most=3):
            told.append(step)

    with pytest.raises(RuntimeError):
        await listen()
    assert told == done == [0, 1]
