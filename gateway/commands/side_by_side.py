"""Do steps side by side and tell of them in their order; what must not overtake each other does not."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import TypeVar

Step = TypeVar("Step")
Result = TypeVar("Result")


async def side_by_side(
    steps: Iterable[Step], work: Callable[[Step], Awaitable[Result]], *, same: Callable[[Step], str], most: int
) -> AsyncIterator[tuple[Step, Result]]:
    """Give each step with its result, in order, while up to `most` are at work.

    INVARIANT: steps with the same name, as `same` gives it, are done one after the other; an empty name binds nothing.
    A step that fails ends the work: those before it were given, those after it are let go of.
    """
    at_work: deque[tuple[Step, asyncio.Task[Result]]] = deque()
    latest: dict[str, asyncio.Task[Result]] = {}

    async def after(before: asyncio.Task[Result] | None, step: Step) -> Result:
        if before is not None:
            await asyncio.wait([before])
        return await work(step)

    try:
        for step in steps:
            if len(at_work) >= most:
                first, task = at_work.popleft()
                yield first, await task
            name = same(step)
            made = asyncio.ensure_future(after(latest.get(name) if name else None, step))
            if name:
                latest[name] = made
            at_work.append((step, made))
        while at_work:
            first, task = at_work.popleft()
            yield first, await task
    finally:
        left = [task for _, task in at_work]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
