"""Ask one source what it may be asked, under the one deadline of the request; whatever it does costs its own part only."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from functools import cache
from typing import Final

import msgspec

from consent.categories import types_of_category
from gateway.membership import SUPPORTING, supported
from gateway.model import Answer, Arrival, Failure, Item, Payload, Place, SourceQuestion, Told, instant
from gateway.ports import Issued, Ports
from gateway.standing import Standing

log: Final = logging.getLogger("gateway.retrieval")

_NOT_KEPT: Final = 1 << 40  # heavier than anything that is kept
GRACE_SECONDS: Final = 0.01  # an adapter gives up by itself at the deadline; this is the guard behind it


def permitted(place: Place, standing: Standing) -> Answer:
    """Decide every category of a place before it is asked; what is refused stays in the answer as refused.

    A category is asked when any of the types asked for that live in it may be shared.
    """
    answer = Answer(place.custodian, place.name, place.source_id)
    for category, types in _in_order(place.categories, standing.question.types):
        decisions = [standing.share(place.custodian, category, type_) for type_ in types]
        decision = next((decision for decision in decisions if decision.permitted), decisions[0])
        if decision.permitted and place.source is None:
            answer.told[category] = Told("failed", decision, "no-address")
        elif decision.outcome == "unavailable":
            answer.told[category] = Told("failed", decision, "not-checkable")
        else:
            answer.told[category] = Told("answered" if decision.permitted else "refused", decision)
    if place.source is not None:
        answer.partial = frozenset(place.source.partial)
    return answer


@cache
def _in_order(categories: frozenset[str], asked: tuple[str, ...]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Each category with those of the types asked for that live in it, in a stable order; few questions differ."""
    types = [
        (category, tuple(sorted(types_of_category(category).intersection(asked)))) for category in sorted(categories)
    ]
    return tuple((category, found) for category, found in types if found)


def deadline_of(place: Place, ports: Ports) -> float:
    """Until when a place that is asked now may answer, on the clock of the event loop."""
    allowed = ports.settings.gateway.deadline
    if place.source is not None and place.source.deadline is not None:
        allowed = min(allowed, place.source.deadline)
    return asyncio.get_running_loop().time() + allowed.total_seconds()


async def fetch(
    place: Place, categories: frozenset[str], standing: Standing, ports: Ports, deadline: float
) -> list[Payload | Failure]:
    """Everything the source sends before the deadline; what did not come is a Failure for its categories."""
    source = ports.sources.get(place.source_id)
    if source is None or place.source is None:
        return [Failure("no-address", "", categories)]
    asked = SourceQuestion(
        standing.of,
        categories | {"Patient"},
        frozenset(standing.question.types) | {"Patient"},
        standing.context(),
        deadline,
        standing.question.filters,
    )
    parts: list[Payload | Failure] = []
    try:
        async with asyncio.timeout_at(deadline + GRACE_SECONDS):
            async for part in source.fetch(asked):
                parts.append(part)  # noqa: PERF401 - what came before the deadline must be kept
    except TimeoutError:
        came = frozenset[str]().union(*(part.categories for part in parts if isinstance(part, Payload)))
        parts.append(Failure("timeout", "", categories - came))
    except Exception:  # a defect in an adapter costs its own source only; logged without content
        log.exception("source failed", extra={"source": place.source_id})
        parts.append(Failure("internal", "", categories))
    return parts


async def shared(
    ask: Callable[[], Awaitable[Arrival]], place: Place, categories: frozenset[str], standing: Standing, ports: Ports
) -> Arrival:
    """What arrives from a source, asked once for the searches of one caller that want it at the same time.

    A set of queries as the BgZ asks one source a dozen times for the same: it is asked once, and each search gets
    items of its own. An answer that is not whole serves nobody else. Anything but a search asks for itself.
    """
    question = standing.question
    if not question.searches:
        return await ask()
    asked = (categories, frozenset(question.types), question.filters)  # what was narrowed is never taken for the whole
    key = (standing.caller, standing.case, standing.of.id, place.source_id, *asked)
    seconds = ports.settings.gateway.share_answers.total_seconds()
    arrival: Arrival = await ports.episodes.answers.of(key, ask, seconds, _weight)
    return msgspec.structs.replace(
        arrival,
        items=[item.again() for item in arrival.items],
        incidents=list(arrival.incidents),
        failures=list(arrival.failures),
    )


def _weight(arrival: Arrival) -> int:
    return sum(len(item.raw) for item in arrival.items) if not arrival.failures else _NOT_KEPT


async def held(place: Place, standing: Standing, answer: Answer, ports: Ports) -> list[Item]:
    """What the gateway holds itself: one item for a read by id, else everything a feed pushed about the patient."""
    if standing.held is not None and standing.held.type not in SUPPORTING:
        items = [standing.held]
    else:
        items = await ports.inbox.items(standing.of.id, place.source_id)
        await _freshness(place, answer, ports)
    answer.told_requester = False  # nobody tells a feed who reads what it pushed
    answer.fetched = max([item.fetched for item in items]) if items else instant(ports.now())
    answer.birth_dates = tuple([item.born for item in items if item.type == "Patient"])
    return items


def issued(answers: Sequence[Answer], places: Sequence[Place], now: datetime) -> list[Issued]:
    """The ids of pulled items that are handed out, and those they refer to: they can be read again for 24 hours."""
    pulled = {place.source_id for place in places if not place.held}
    if not pulled:
        return []
    return [
        Issued(item.id, item.type, item.patient, item.custodian, item.source, item.category, now)
        for answer in answers
        if answer.source in pulled
        for item in (*answer.items, *_referred(answer))
    ]


def _referred(answer: Answer) -> Sequence[Item]:
    """What was not asked, and is led to by a reference in what is given."""
    unseen = answer.unseen
    return supported(answer.items, {f"{item.type}/{item.id}": item for item in unseen}) if unseen else ()


async def _freshness(place: Place, answer: Answer, ports: Ports) -> None:
    """A feed silent beyond its expected interval makes everything it said possibly out of date (rule E7)."""
    expected = place.source.expected_every if place.source else None
    if expected is None:
        return
    heard = await ports.inbox.last_heard(place.source_id)
    answer.stale = heard is None or ports.now() - heard > expected
