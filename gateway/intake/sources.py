"""How each source does: answers, failures and time of one process, added now and then to what is kept of all."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import AsyncIterator, Sequence
from time import perf_counter
from typing import Final

from gateway.errors import Unavailable
from gateway.model import Answer, Failure, Payload, SourceQuestion
from gateway.office import BOUNDS, SourceBook, SourceState
from gateway.ports import Clock, Source

_NOT_ASKED: Final = "not-asked"  # no query of the dialect gives it: no failure of the source


class SourceWatch:
    """Counts beside the line; what it counted is kept off the path of every request."""

    def __init__(self, clock: Clock, kept: SourceBook) -> None:
        self._clock = clock
        self._kept = kept
        self.states: dict[str, SourceState] = {}
        self.losses = 0  # of all sources since this process began

    def watched(self, name: str, source: Source) -> Source:
        """The same source, seen while it answers."""
        return _Watched(name, source, self)

    def arrived(self, answers: Sequence[Answer]) -> None:
        """Count what maps had no place for and what was kept out; never raises."""
        for answer in answers:
            if answer.losses or answer.incidents:
                state = self.of(answer.source)
                state.losses += answer.losses
                self.losses += answer.losses
                state.incidents += len(answer.incidents)

    def lost(self, name: str, losses: int) -> None:
        """Count elements of a pushed message that a map had no place for."""
        if losses:
            self.of(name).losses += losses
            self.losses += losses

    def answered(self, name: str, seconds: float) -> None:
        """Count an answer, whole or in part, and how long it took."""
        state = self.of(name)
        state.answered += 1
        state.last_answer = self._clock.now()
        place = bisect_left(BOUNDS, seconds * 1000)
        bound = BOUNDS[place] if place < len(BOUNDS) else 0
        state.latencies[bound] = state.latencies.get(bound, 0) + 1

    def failed(self, name: str, code: str, *, whole: bool) -> None:
        """Count what did not come, by the code of the first failure; `whole` says that nothing came."""
        state = self.of(name)
        state.failed += whole
        state.last_failure, state.failure = self._clock.now(), code

    async def keep(self) -> None:
        """Add what was counted since the last time to what is kept.

        Raises:
            Unavailable: it cannot be written now; it waits for the next time.
        """
        if not self.states:
            return
        counted, self.states = self.states, {}
        try:
            await self._kept.add_states(counted)
        except Unavailable:
            for name, one in self.states.items():
                counted[name] = merged(counted[name], one) if name in counted else one
            self.states = counted
            raise

    async def all(self) -> dict[str, SourceState]:
        """How every source did, over every process."""
        await self.keep()
        return await self._kept.states()

    def of(self, name: str) -> SourceState:
        """What was counted of one source since it was last kept."""
        state = self.states.get(name)
        if state is None:
            state = self.states[name] = SourceState()
        return state


class _Watched:
    """A source that is seen while it answers: whole, in part, or not."""

    def __init__(self, name: str, source: Source, watch: SourceWatch) -> None:
        self._name = name
        self._source = source
        self._watch = watch

    async def fetch(self, question: SourceQuestion) -> AsyncIterator[Payload | Failure]:
        """Ask the source; what it says goes on as it came."""
        began, came, failure = perf_counter(), False, ""
        try:
            async for part in self._source.fetch(question):
                came = came or isinstance(part, Payload)
                if isinstance(part, Failure) and part.code != _NOT_ASKED:
                    failure = failure or part.code
                yield part
        except Exception:
            failure = "internal"
            raise
        except asyncio.CancelledError:  # at the deadline the source was too late; before it, the caller went away
            failure = "timeout" if asyncio.get_running_loop().time() >= question.deadline else failure
            raise
        finally:
            if came:
                self._watch.answered(self._name, perf_counter() - began)
            if failure:
                self._watch.failed(self._name, failure, whole=not came)


def merged(one: SourceState, other: SourceState) -> SourceState:
    """Two counts of one source as one; `other` is the younger."""
    latencies = {
        bound: one.latencies.get(bound, 0) + other.latencies.get(bound, 0) for bound in one.latencies | other.latencies
    }
    return SourceState(
        one.answered + other.answered, one.failed + other.failed, one.losses + other.losses,
        one.incidents + other.incidents, other.last_answer or one.last_answer, other.last_failure or one.last_failure,
        other.failure or one.failure, latencies,
    )  # fmt: skip
