"""Documents are translated in processes of their own: one that takes too long is ended, and nobody waits for it."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.adapters.workers import WorkerEnded, Workers
from mappings.model import NotMappable, Origin
from mappings.translation import translate
from tests.mappings.test_v3 import cda, observation

pytestmark = pytest.mark.slow  # a process takes a moment to start
AMPLE = 600.0
MEASURED = cda(observation('<value xsi:type="PQ" value="37.20" unit="Cel"/>'), text="Zie meting")


def origin(source: str = "ambulance") -> Origin:
    return Origin("90000001", source, "2026-01-05T10:16:00+01:00")


@asynccontextmanager
async def opened(most: int = 2) -> AsyncIterator[Workers]:
    workers = Workers(Path("guidelines"), most)
    try:
        yield workers
    finally:
        await workers.close()


def is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def pid_of(workers: Workers) -> int:
    return workers._idle[-1].process.pid


def test_what_comes_back_is_what_is_made_here_to_the_last_digit() -> None:
    async def check() -> None:
        async with opened() as workers:
            made = await workers.translate(MEASURED, "cda", origin(), "", AMPLE)
            assert made == translate(MEASURED, "cda", origin())
            assert "37.20" in str(made.resources)
            first = pid_of(workers)
            with pytest.raises(NotMappable) as caught:
                await workers.translate(b"<ClinicalDocument/>", "cda", origin(), "", AMPLE)
            assert (str(caught.value), caught.value.path) == _refusal(b"<ClinicalDocument/>")
            assert pid_of(workers) == first, "what is refused costs no process"
        assert not is_alive(first)

    asyncio.run(check())


def _refusal(body: bytes) -> tuple[str, str]:
    with pytest.raises(NotMappable) as caught:
        translate(body, "cda", origin())
    return str(caught.value), caught.value.path


def test_a_document_that_takes_too_long_is_ended_with_its_process_and_nobody_waits_for_it() -> None:
    long = cda(*[observation(f'<value xsi:type="PQ" value="{number}"/>') for number in range(4_000)])

    async def check() -> None:
        async with opened() as workers:
            await workers.translate(MEASURED, "cda", origin(), "", AMPLE)
            busy = pid_of(workers)
            # Ten of them from one source never take the last process from the others.
            stuck = [
                asyncio.ensure_future(workers.translate(long, "cda", origin("slow"), "", AMPLE)) for _ in range(10)
            ]
            await asyncio.sleep(0)  # so that all of them have asked before the other does
            other = await workers.translate(MEASURED, "cda", origin("other"), "", AMPLE)
            assert other.resources
            assert not stuck[-1].done()
            for one in stuck:
                one.cancel()
            await asyncio.gather(*stuck, return_exceptions=True)
            with pytest.raises(TimeoutError):
                await workers.translate(long, "cda", origin(), "", 0.05)
            assert (await workers.translate(MEASURED, "cda", origin(), "", AMPLE)).resources, "another took its place"
            await asyncio.gather(*workers._ending)
            assert not is_alive(busy)

    asyncio.run(check())


def test_a_process_that_dies_costs_its_document_only() -> None:
    async def check() -> None:
        async with opened() as workers:
            await workers.translate(MEASURED, "cda", origin(), "", AMPLE)
            idle = workers._idle[-1].process
            idle.kill()
            await asyncio.to_thread(idle.wait)
            assert (await workers.translate(MEASURED, "cda", origin(), "", AMPLE)).resources, "nobody noticed"
            busy = workers._idle[-1].process
            os.kill(busy.pid, signal.SIGSTOP)  # so that it cannot have answered before it dies
            task = asyncio.ensure_future(workers.translate(MEASURED, "cda", origin(), "", AMPLE))
            await asyncio.sleep(0)
            busy.kill()
            with pytest.raises(WorkerEnded):
                await task
            assert (await workers.translate(MEASURED, "cda", origin(), "", AMPLE)).resources

    asyncio.run(check())
