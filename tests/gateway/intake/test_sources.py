"""How sources do is seen while they answer, and changes nothing of what they say."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field

import pytest

from consent.model import Custodian, Requester
from gateway.intake.quality import QualityBook
from gateway.intake.sources import SourceWatch
from gateway.metrics import Metrics
from gateway.model import Answer, Context, Failure, Incident, Patient, Payload, SourceQuestion
from gateway.office import SourceQuality, SourceState
from gateway.ports import Source
from tests.fakes import FixedClock
from tests.gateway.world import Chart, run

ALL = frozenset({"Patient"})


@dataclass
class Kept:
    """Where figures end up."""

    added: dict[str, SourceState] = field(default_factory=dict)

    async def add_states(self, states: Mapping[str, SourceState]) -> None:
        self.added |= states

    async def add_quality(self, found: object) -> None: ...

    async def states(self) -> dict[str, SourceState]:
        return self.added

    async def quality(self, custodian: str = "") -> dict[str, SourceQuality]:
        return {}


def question(deadline: float) -> SourceQuestion:
    context = Context(Requester("c", "90000005", "N6"), "", "", "", "", "", "")
    return SourceQuestion(Patient("p1-x", "urn:x", "1"), ALL, ALL, context, deadline)


def asked(source: Source, within: float = 60.0) -> list[Payload | Failure]:
    async def ask() -> list[Payload | Failure]:
        deadline = asyncio.get_running_loop().time() + within
        parts: list[Payload | Failure] = []
        with suppress(TimeoutError):
            async with asyncio.timeout_at(deadline):
                parts += [part async for part in source.fetch(question(deadline))]
        return parts

    return run(ask())


def test_an_answer_a_failure_a_part_and_silence_are_told_apart() -> None:
    watch = SourceWatch(FixedClock(), Kept())
    charts = {
        "good": Chart([]),
        "down": Chart([], fails="connection"),
        "part": Chart([], fails_for=ALL),
        "slow": Chart([], seconds=60),
        "broken": Chart([], raises=RuntimeError("x")),
    }
    for name, chart in charts.items():
        source = watch.watched(name, chart)
        if name == "broken":
            with pytest.raises(RuntimeError):
                asked(source)
        else:
            assert len(asked(source, 0.02 if name == "slow" else 60)) == {"part": 2, "slow": 0}.get(name, 1)
    told = {name: (one.answered, one.failed, one.failure) for name, one in watch.states.items()}
    assert told == {
        "good": (1, 0, ""),
        "down": (0, 1, "connection"),
        "part": (1, 0, "status"),
        "slow": (0, 1, "timeout"),
        "broken": (0, 1, "internal"),
    }
    assert watch.states["good"].last_answer is not None
    assert sum(watch.states["good"].latencies.values()) == 1


def test_a_caller_that_goes_away_is_no_failure_of_the_source() -> None:
    watch = SourceWatch(FixedClock(), Kept())
    source = watch.watched("gp", Chart([], seconds=60))

    async def leave() -> None:
        async def listen() -> list[Payload | Failure]:
            return [part async for part in source.fetch(question(1e18))]

        asking = asyncio.create_task(listen())
        await asyncio.sleep(0)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)

    run(leave())
    assert watch.states == {}


def test_what_was_lost_and_kept_out_is_counted_with_the_answer() -> None:
    kept = Kept()
    watch = SourceWatch(FixedClock(), kept)
    QualityBook(FixedClock(), kept, watch).offer(
        [
            Answer(Custodian("90000001", "Z3"), "GP", "gp", losses=2, incidents=[Incident("wrong-patient", "gp")]),
            Answer(Custodian("90000002", "V4"), "Hospital", "hospital"),
        ]
    )
    assert list(watch.states) == ["gp"]
    watch.lost("feed", 0)
    assert list(watch.states) == ["gp"], "nothing lost is nothing to keep"
    watch.lost("feed", 3)
    assert watch.states.pop("feed").losses == 3
    metrics = Metrics()
    metrics.losses(lambda: watch.losses)
    assert b"gateway_mapping_losses_total 5.0" in metrics.text()
    run(watch.keep())
    assert b"gateway_mapping_losses_total 5.0" in metrics.text(), "a counter never goes back"
    assert (kept.added["gp"].losses, kept.added["gp"].incidents) == (2, 1)
    assert watch.states == {}
