"""Every query of a source's dialect, asked for one test patient the way the line asks it, and counted."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import timedelta

from consent.model import Custodian
from gateway.adapters.dialects import Query
from gateway.adapters.fhir import FhirSource
from gateway.arrival import receive
from gateway.model import Arrival, Context, Failure, Patient, Payload, Place, SourceQuestion, instant
from gateway.ports import Clock, Keys
from gateway.settings import SourceTable
from gateway.sourcekit.recorder import Calls, Recorder
from mappings.model import NotMappable, Origin, Translation
from mappings.translation import translate


@dataclass(frozen=True, slots=True)
class Tried:
    """How one query went. INVARIANT: numbers and codes; nothing the source sent."""

    query: str
    type: str
    state: str  # "ok" | "late" | "skipped" | code of the failure
    status: str  # HTTP statuses of its pages, in order
    items: int = 0
    milliseconds: int = 0
    mapped: int = 0
    lost: int = 0
    refused: int = 0  # kept out: of somebody else, or not valid
    why: tuple[str, ...] = ()  # codes of what was kept out

    @property
    def is_good(self) -> bool:
        """Claim that the query was answered in time, and nothing of the answer had to be kept out."""
        return self.state == "ok" and not self.refused


@dataclass(frozen=True, slots=True)
class Asked:
    """What a trial asks: of which source, for whom, in whose name, and how fast it must be."""

    table: SourceTable
    custodian: Custodian
    patient: Patient
    context: Context
    seconds: float  # how long a query is waited for
    deadline: timedelta  # within which the line needs the answer


async def run(
    asked: Asked, source: FhirSource, queries: tuple[Query, ...], recorder: Recorder, keys: Keys, clock: Clock
) -> list[Tried]:
    """Ask every query at the same time, as the line does, and say how each went."""
    parts = await _fetched(asked, source)
    place = Place(asked.custodian, asked.table.id, asked.table, source.categories)
    persons = [part for part in parts if isinstance(part, Payload) and part.query in _patient_queries(queries)]
    received = instant(clock.now())
    counting = _Counting(place, asked.patient, keys, received, persons)
    calls = recorder.by_query()
    return [_tried(query, parts, calls.get(query.name, Calls()), counting, asked.deadline) for query in queries]


async def _fetched(asked: Asked, source: FhirSource) -> list[Payload | Failure]:
    deadline = asyncio.get_running_loop().time() + asked.seconds
    question = SourceQuestion(asked.patient, source.categories, frozenset(), asked.context, deadline)
    async with aclosing(source.fetch(question)) as coming:
        return [part async for part in coming]


def _patient_queries(queries: tuple[Query, ...]) -> frozenset[str]:
    return frozenset(query.name for query in queries if query.type == "Patient")


def _tried(
    query: Query, parts: list[Payload | Failure], calls: Calls, counting: _Counting, deadline: timedelta
) -> Tried:
    payloads = [part for part in parts if isinstance(part, Payload) and part.query == query.name]
    failure = _failure(query, parts)
    milliseconds, status = round(calls.seconds * 1000), " ".join(calls.outcomes)
    if not calls.outcomes:
        return Tried(query.name, query.type, failure or "skipped", status)
    try:
        counted = counting.counted(payloads, of_person=query.type == "Patient")
    except NotMappable:
        counted, failure = Arrival(), "malformed"
    late = calls.seconds > deadline.total_seconds()
    return Tried(
        query=query.name, type=query.type, state=failure or ("late" if late else "ok"), status=status,
        items=counting.items, milliseconds=milliseconds, mapped=len(counted.items), lost=counted.losses,
        refused=len(counted.incidents), why=tuple(sorted({incident.code for incident in counted.incidents})),
    )  # fmt: skip


def _failure(query: Query, parts: Iterable[Payload | Failure]) -> str:
    """The code of the failure that cost this query; one about the person costs every query."""
    failures = [part for part in parts if isinstance(part, Failure)]
    own = [failure.code for failure in failures if failure.query == query.name]
    return next(iter(own or [failure.code for failure in failures if failure.query in {"*", "patient"}]), "")


class _Counting:
    """Takes answers through translation and identity check as `gateway.arrival` does, and keeps the numbers."""

    def __init__(self, place: Place, patient: Patient, keys: Keys, received: str, persons: list[Payload]) -> None:
        self._place = place
        self._patient = patient
        self._keys = keys
        self._received = received
        self._persons = persons
        self.items = 0  # resources in the payloads counted last

    def counted(self, payloads: list[Payload], *, of_person: bool) -> Arrival:
        """What these payloads alone add, beside the Patient that proves whose they are.

        Raises:
            NotMappable: a payload cannot be read.
        """
        known = Arrival() if of_person else self._arrived(self._persons)
        together = self._arrived(payloads if of_person else [*self._persons, *payloads])
        self.items = sum(len(one.resources) for one in map(self._translated, payloads))
        return Arrival(
            items=together.items[len(known.items):], incidents=together.incidents[len(known.incidents):],
            losses=together.losses - known.losses,
        )  # fmt: skip

    def _arrived(self, payloads: list[Payload]) -> Arrival:
        # Translated anew each time: identity is stamped into the resources.
        arrival = Arrival()
        translations = [(self._translated(payload), payload.fetched) for payload in payloads]
        receive(translations, self._place, self._patient, self._keys, arrival)
        return arrival

    def _translated(self, payload: Payload) -> Translation:
        origin = Origin(self._place.custodian.organization, self._place.source_id, self._received)
        return translate(payload.body, payload.format, origin)
