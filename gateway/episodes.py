"""What the questions of one caller about one patient share: decisions, while every fact stays the same, and answers of sources."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from consent.model import Case, Decision, Facts

# action, custodian, category, type, labels
DecisionKey = tuple[str, str, str, str, frozenset[str]]
Decisions = dict[DecisionKey, Decision]
_Key = tuple[Hashable, str, "Case | None", bool, bool, frozenset[str]]

LONGEST: Final = timedelta(minutes=5)
KEPT: Final = 10_000
ANSWERS_BYTES: Final = 64 * 1024 * 1024  # of answers that serve once more


@dataclass(frozen=True, slots=True)
class _Episode:
    """INVARIANT: `until` is not later than the next moment any fact begins or ends."""

    facts: Facts
    until: datetime
    decisions: Decisions = field(default_factory=dict)


class Episodes:
    """The episodes of one process; bounded in number and time. Another replica just decides again.

    A decision is a pure function of request and facts. It is given again only for an equal caller, patient,
    case, agreements and statements, and only until the first of them begins or ends: that is exact, a
    withdrawal changes the statements and so ends the episode.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[_Key, _Episode] = OrderedDict()
        self.answers = Answers()

    def decisions(self, caller: Hashable, patient: str, case: Case | None, facts: Facts) -> Decisions:
        """The decisions taken so far on exactly these facts; the caller adds what it decides."""
        # Before and after the statements are read are two episodes: else each would end the other.
        key = (caller, patient, case, facts.statements_known, bool(facts.statements), facts.case_required_roles)
        episode = self._kept.get(key)
        if (
            episode is not None
            and facts.now < episode.until
            and facts.statements == episode.facts.statements
            and facts.relations == episode.facts.relations
            and facts.agreements is episode.facts.agreements
        ):
            return episode.decisions
        episode = self._kept[key] = _Episode(facts, min(_boundaries(case, facts)))
        self._kept.move_to_end(key)
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return episode.decisions


@dataclass(slots=True)
class _Asking:
    """One question on its way, and how many wait for what comes of it."""

    task: asyncio.Future[Any]
    waiting: int = 0


class Answers:
    """Answers of sources that several questions wait for at the same time, or within moments of one another.

    INVARIANT: a key holds everything an answer depends on: caller, patient, source, what is asked. What is kept is
    decided again for every question, so it proves nothing about permission; it is bounded in bytes and forgotten in time.
    """

    def __init__(self) -> None:
        self._asking: dict[Hashable, _Asking] = {}
        self._kept: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._bytes = 0

    async def of(
        self, key: Hashable, ask: Callable[[], Awaitable[Any]], seconds: float, weigh: Callable[[Any], int]
    ) -> Any:  # noqa: ANN401 - whatever is asked for
        """What `ask` gives: asked once for all who wait, and for those who come within so many seconds."""
        kept = self._kept.get(key)
        if kept is not None:
            return kept[0]
        loop = asyncio.get_running_loop()
        asking = self._asking.get(key)
        if asking is None or asking.task.get_loop() is not loop:
            asking = self._asking[key] = _Asking(asyncio.ensure_future(ask()))
            asking.task.add_done_callback(lambda done: self._came(key, done, seconds, weigh))
        asking.waiting += 1
        try:
            return await asyncio.shield(asking.task)
        finally:
            asking.waiting -= 1
            if not asking.waiting:  # the last who waited went away: nobody needs the answer
                asking.task.cancel()

    def _came(self, key: Hashable, done: asyncio.Future[Any], seconds: float, weigh: Callable[[Any], int]) -> None:
        self._asking.pop(key, None)
        if seconds <= 0 or done.cancelled() or done.exception() is not None:
            return
        weight = weigh(done.result())
        if weight > ANSWERS_BYTES // 8:
            return
        self._kept[key] = (done.result(), weight)
        self._bytes += weight
        while self._bytes > ANSWERS_BYTES:
            self._bytes -= self._kept.popitem(last=False)[1][1]
        done.get_loop().call_later(seconds, self._forget, key)

    def _forget(self, key: Hashable) -> None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            self._bytes -= kept[1]


def _boundaries(case: Case | None, facts: Facts) -> Iterator[datetime]:
    yield facts.now + LONGEST
    moments = [moment for agreement in facts.agreements for moment in (agreement.start, agreement.end)]
    moments += [moment for relation in facts.relations for moment in (relation.start, relation.end) if moment]
    moments += [moment for statement in facts.statements for moment in (statement.start, statement.end) if moment]
    if case is not None:
        moments += [
            case.opened,
            case.expires,
            case.opened + timedelta(hours=24),
            *([case.closed] if case.closed else []),
        ]
    yield from (moment for moment in moments if moment > facts.now)
