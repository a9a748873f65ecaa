"""The overviews of an auditor (NEN 7513: by patient, employee, day; denied; emergency), page by page, and sums for plots."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, get_args

from gateway.audit.reading import Line, lines
from gateway.audit.record import BEGUN, Kind, Record
from gateway.audit.tally import EMERGENCY, event_of
from gateway.audit.view import Fate, Seen, Side, Viewer, fate
from gateway.logged import AuditQueries, AuditQuery, Tallies
from gateway.policy import ZONE

SIZE: Final = 50  # rows of a page
LONGEST: Final = 3_660  # days of one question: ten years
_SECONDS: Final = 1.0  # looked for one page
# What is begun is told again by the outcome.
KINDS: Final = tuple(sorted(set(get_args(Kind)) - BEGUN))
MARKED: Final = ("denied", "emergency")
OVERVIEWS: Final = ("all", *MARKED)


@dataclass(frozen=True, slots=True)
class Period:
    """Whole days here, the first and the last in it."""

    first: date
    last: date

    @property
    def days(self) -> int:
        """How many days."""
        return (self.last - self.first).days + 1

    @classmethod
    def read(cls, first: str, last: str, now: datetime, usual: int = 7) -> Period:
        """A period as a form gives it; what is missing is until today and the usual number of days.

        Raises:
            ValueError: "date", "order" or "long": what is wrong with it.
        """
        today = now.astimezone(ZONE).date()
        end = _day(last) or today
        start = _day(first) or end - timedelta(days=usual - 1)
        if start > end:
            raise ValueError("order")
        if (end - start).days >= LONGEST:
            raise ValueError("long")
        return cls(start, end)

    def query(self) -> AuditQuery:
        """The question about everything in it."""
        return AuditQuery(
            start=datetime.combine(self.first, time.min, ZONE).astimezone(UTC),
            end=datetime.combine(self.last + timedelta(days=1), time.min, ZONE).astimezone(UTC),
            kinds=KINDS,
        )


@dataclass(frozen=True, slots=True)
class SourceFate:
    """What became of one source of a record, by the name of its organization or, where it may not be known, its type."""

    organization: str  # URA, empty = not named
    facility: str
    fate: Fate


@dataclass(frozen=True, slots=True)
class Row:
    """One record as a line of an overview, in codes; no content, and the patient by the pseudonymous id."""

    id: str
    at: datetime
    what: str  # interaction, or the kind where there is none
    ended: str  # given, refused, failed, emergency, log, kept, login, push
    reason: str  # code of a refusal, empty when not known to the reader
    organization: str  # URA
    person: str
    person_name: str
    role: str
    client: str
    purpose: str
    patient: str
    side: Side
    emergency: bool
    sources: tuple[SourceFate, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """Rows, newest first, and where the next page starts; empty = there is none."""

    rows: tuple[Row, ...]
    following: str


def narrowed(query: AuditQuery, overview: str, patients: Sequence[str] = (), person: str = "") -> AuditQuery:
    """The question of one overview: everything, what was denied or failed, or emergency access."""
    query = replace(query, patients=tuple(patients), agent=person.strip().rpartition("|")[2])
    return replace(query, mark=overview, kinds=()) if overview in MARKED else query


async def page(queries: AuditQueries, query: AuditQuery, by: Viewer, after: str = "", size: int = SIZE) -> Page:
    """One page of an overview, each record as far as the viewer may see it.

    Raises:
        ValueError: `after` is no place in this log.
        Unavailable: `store-unavailable`.
    """
    found: list[Row] = []
    following, until = "", asyncio.get_running_loop().time() + _SECONDS
    async for one in lines(queries, query, by, after, size):
        if isinstance(one, Line):
            found.append(row(one.id, one.seen))
            continue
        following = one
        # A batch is a page, so that the next begins where this one ended; a batch nobody may see is passed by.
        if found or asyncio.get_running_loop().time() > until:
            return Page(tuple(found), following)
    return Page(tuple(found), "")


def row(id_: str, seen: Seen) -> Row:
    """A record as a line."""
    record = seen.record
    return Row(
        id=id_, at=datetime.fromisoformat(record.at), what=record.interaction or record.kind, ended=_ended(seen),
        reason=record.error, organization=record.organization, person=record.person, person_name=record.person_name,
        role=record.role, client=record.client, purpose=record.purpose, patient=record.patient, side=seen.side,
        emergency=record.purpose == EMERGENCY or record.kind == "emergency",
        sources=tuple(SourceFate(one.custodian, one.facility, fate(one, record)) for one in record.custodians),
    )  # fmt: skip


def _ended(seen: Seen) -> str:
    """How it ended, from where the reader stands: a custodian knows what became of its own part."""
    record: Record = seen.record
    if seen.side != "custodian" or record.kind not in ("outcome", "refusal"):
        return event_of(record)
    fates = {fate(one, record) for one in record.custodians}
    if fates & {"answered", "partly"}:
        return "emergency" if record.purpose == EMERGENCY else "given"
    return "refused" if "withheld" in fates else "failed"


@dataclass(frozen=True, slots=True)
class Sums:
    """What an organization's part of the log adds up to in a period."""

    period: Period
    events: tuple[tuple[str, int], ...]
    days: dict[date, int]  # questions about patients
    refused: tuple[tuple[str, int], ...]  # by reason
    persons: tuple[tuple[str, int], ...]
    sources: tuple[tuple[str, dict[str, int]], ...]  # source -> fate -> count

    @property
    def questions(self) -> int:
        """How many questions about patients."""
        return sum(self.days.values())


_QUESTIONS: Final = frozenset({"given", "refused", "failed", "emergency"})


async def sums(tallies: Tallies, by: Viewer, period: Period, most: int = 12) -> Sums:
    """Add up a period for the organizations a viewer is bound to.

    Raises:
        Unavailable: `store-unavailable`.
    """
    bounds = (by.parties, period.first, period.last)
    events: Counter[str] = Counter()
    days: Counter[date] = Counter()
    for one in await tallies.tallies(*bounds, "event"):
        events[one.value] += one.count
        if one.value in _QUESTIONS:
            days[one.day] += one.count
    by_source: dict[str, dict[str, int]] = {}
    for value, count in await tallies.totals(*bounds, "source"):
        name, _, word = value.rpartition("|")
        by_source.setdefault(name, {})[word] = count
    refused, persons = await tallies.totals(*bounds, "refused"), await tallies.totals(*bounds, "agent")
    return Sums(
        period, tuple(events.most_common()), dict(days), tuple(refused[:most]), tuple(persons[:most]),
        tuple(sorted(by_source.items())),
    )  # fmt: skip


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text.strip()) if text.strip() else None
    except ValueError:
        raise ValueError("date") from None
