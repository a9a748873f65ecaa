"""Questions about the log, answered from the segments that are filled behind it and may be made again at any time."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Final

import msgspec

from gateway.audit.postings import Wanted, fits, wanted
from gateway.audit.record import Record, decode
from gateway.logged import AuditQuery, Logged, RecordId
from gateway.storage.audit_segments import AuditSegments, Segment
from gateway.storage.database import Database
from gateway.storage.instants import from_micros, to_micros
from gateway.storage.writer import Log

_ONE: Final = "SELECT at, {body} FROM audit_log WHERE log = ? AND epoch = ? AND seq = ?"
_SOME: Final = (
    "SELECT seq, at, {body} FROM audit_log WHERE log = ? AND epoch = ? AND seq IN ({marks}) AND at >= ? AND at < ?"
)
_MOMENTS: Final = "SELECT seq, at FROM audit_log WHERE log = ? AND epoch = ? AND seq >= ? AND seq <= ?"
_AFTER: Final = "SELECT seq, at, {body} FROM audit_log WHERE log = ? AND epoch = ? AND seq > ? ORDER BY seq LIMIT 500"
_HOUR: Final = 3_600_000_000
_ENDS: Final = frozenset({"intent", "outcome", "refusal"})
_EVER: Final = 1 << 62
_CURSOR: Final = re.compile(r"(\d{1,18})-(\d{1,9})-(\d{1,9})-(\d{1,18})")
_FEWEST: Final = 8  # segments looked at first; then ever more at once
_MOST: Final = 256
_BLOCK: Final = 64  # records read at once

Place = tuple[int, int, int, int]  # moment, log, epoch, number


class AuditLookup:
    """Answers from the segments. INVARIANT: a question sees every record that was durable when it was asked."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._segments = AuditSegments(database)
        body = database.bytes_of("body")
        self._one, self._after = _ONE.format(body=body), _AFTER.format(body=body)

    async def find(self, query: AuditQuery, limit: int, after: str = "") -> tuple[list[Logged], str]:
        """A page of records, newest first, and the cursor of the next page: empty when there is none.

        Raises:
            ValueError: `after` is no cursor.
            Unavailable: `store-unavailable`.
        """
        bounds = _Bounds(to_micros(query.start), to_micros(query.end), _place(after) if after else None)
        await self._segments.catch_up()
        found: list[tuple[Place, bytes]] = []
        async for place, body in self._newest_first(wanted(query), bounds, limit + 1):
            found.append((place, body))
            if len(found) > limit:
                break
        page = [Logged(RecordId(*place[1:]), from_micros(place[0]), body) for place, body in found[:limit]]
        return page, "-".join(map(str, found[limit - 1][0])) if len(found) > limit else ""

    async def get(self, record: RecordId) -> Logged | None:
        """One record, None when there is none (any more)."""
        row = await self._database.row(self._one, (record.log, record.epoch, record.sequence))
        return Logged(record, from_micros(row[0]), row[1]) if row else None

    async def open_intents(self, until: Mapping[Log, int]) -> list[Logged]:
        """Intents without an outcome among the records of each log up to a number: a process died in between.

        Whatever was open ends within the hour before the last of these records.
        """
        if not until:
            return []
        await self._segments.catch_up()
        newest = {
            log: row[0] for log, last in until.items() if (row := await self._database.row(self._one, (*log, last)))
        }
        if not newest:
            return []
        begun: dict[str, list[Logged]] = {}
        ended: set[str] = set()
        async for one, record in self._since(min(newest.values()) - _HOUR):
            log = (one.id.log, one.id.epoch)
            if record.kind in {"outcome", "refusal"}:
                ended.add(record.request)
            elif one.id.sequence <= until.get(log, 0) and to_micros(one.at) >= newest.get(log, _EVER) - _HOUR:
                begun.setdefault(record.request, []).append(one)
        return sorted((one for request in begun.keys() - ended for one in begun[request]), key=lambda one: one.id)

    async def fragments(self, request: str) -> list[Logged]:
        """What was sent of a page before its outcome, in order."""
        bounds = _Bounds(0, _EVER, None)
        await self._segments.catch_up()
        words = [[f"request/{request}"], ["kind/fragment"]]
        found = [one async for one in self._newest_first(words, bounds, _BLOCK)]
        return [Logged(RecordId(*place[1:]), from_micros(place[0]), body) for place, body in reversed(found)]

    async def fill(self, least: int = 1) -> int:
        """Take in a batch of records of every log that has at least so many new ones; give how many."""
        return await self._segments.fill(least)

    async def rebuild(self) -> int:
        """Forget what was taken in, and take it in again; give the number of records."""
        return await self._segments.rebuild()

    async def _newest_first(self, words: Wanted, bounds: _Bounds, block: int) -> AsyncIterator[tuple[Place, bytes]]:
        """Every record that is asked for. A segment is opened when nothing that is open holds a later record."""
        matching = self._matching(words, bounds, block)
        coming = await anext(matching, None)
        heap: list[tuple[tuple[int, ...], bytes, _Opened]] = []
        while heap or coming:
            while coming and (not heap or coming.segment.latest >= -heap[0][0][0]):
                await _advance(heap, coming, self._database)
                coming = await anext(matching, None)
            if not heap:
                return
            order, body, opened = heappop(heap)
            yield (-order[0], -order[1], -order[2], -order[3]), body
            opened.block = min(block, _BLOCK)
            await _advance(heap, opened, self._database)

    async def _matching(self, words: Wanted, bounds: _Bounds, block: int) -> AsyncIterator[_Opened]:
        """The segments that hold something of what is asked, the one with the latest record first."""
        segments, size, start = await self._segments.within(bounds.start, bounds.upper), _FEWEST, 0
        while start < len(segments):
            some = segments[start : start + size]
            start, size = start + size, min(size * 2, _MOST)
            found: dict[tuple[Log, int], set[int]] = {}
            for log in {one.log for one in some}:
                own = await self._places(words, log, {one.first for one in some if one.log == log})
                found |= {(log, first): places for first, places in own.items()} if own is not None else {}
            opened = []
            for one in some:
                numbers = found.get((one.log, one.first), set()) if words else set(range(one.first, one.last + 1))
                if numbers:
                    opened.append(_Opened(one, sorted(numbers, reverse=True), words, bounds))
            await _read_ahead(opened, block, self._database)
            for each in opened:
                yield each

    async def _places(self, words: Wanted, log: Log, firsts: set[int]) -> dict[int, set[int]] | None:
        """In which segments which records have all that is asked; None when nothing is asked."""
        alive: dict[int, set[int]] | None = None
        for some in words:
            named: dict[int, set[int]] = {}
            for word in some:
                for first, own in (await self._segments.places(word, log, firsts)).items():
                    named.setdefault(first, set()).update(own)
            alive = named if alive is None else {first: own & named.get(first, set()) for first, own in alive.items()}
            alive = {first: own for first, own in alive.items() if own}
            firsts = set(alive)
            if not firsts:
                break
        return alive

    async def _since(self, moment: int) -> AsyncIterator[tuple[Logged, Record]]:
        """Every record of the segments that reach beyond a moment, log by log, in order."""
        starts: dict[Log, int] = {}
        for segment in await self._segments.within(moment, _EVER):
            starts[segment.log] = min(segment.first, starts.get(segment.log, segment.first))
        for log, first in sorted(starts.items()):
            after = first - 1
            while rows := await self._database.rows(self._after, (*log, after)):
                for seq, at, body in rows:
                    record = _read(body)
                    if record is not None and record.interaction != "command" and record.kind in _ENDS:
                        yield Logged(RecordId(*log, seq), from_micros(at), body), record
                after = rows[-1][0]


@dataclass(frozen=True, slots=True)
class _Bounds:
    """From which moment, up to which, and where the page before ended."""

    start: int
    end: int
    place: Place | None

    @property
    def upper(self) -> int:
        """The moment before which everything is."""
        return min(self.end, self.place[0] + 1) if self.place else self.end


@dataclass(slots=True)
class _Opened:
    """What one segment has of what is asked, read a block at a time."""

    segment: Segment
    numbers: list[int]  # the latest first, when the segment is ordered
    words: Wanted
    bounds: _Bounds
    block: int = 1  # most segments give one record
    arranged: bool = False
    ready: list[tuple[Place, bytes]] = field(default_factory=list)  # the latest last

    async def next(self, database: Database) -> tuple[Place, bytes] | None:
        """The next record, None when there is no more."""
        if not self.segment.ordered and not self.arranged:
            await self._sort(database)
        while not self.ready and self.numbers:
            some, self.numbers = self.numbers[: self.block], self.numbers[self.block :]
            self.block = min(self.block * 2, _BLOCK)
            self.ready = self._wanted(await self.read(some, database))
        return self.ready.pop() if self.ready else None

    async def read(self, numbers: Sequence[int], database: Database) -> list[tuple[int, int, bytes]]:
        """Records of the log, as far as they are within the bounds."""
        marks = ", ".join("?" for _ in numbers)
        within = (self.bounds.start, self.bounds.upper)
        return await database.rows(
            _SOME.format(body=database.bytes_of("body"), marks=marks), (*self.segment.log, *numbers, *within)
        )

    def take(self, rows: Sequence[tuple[int, int, bytes]]) -> None:
        """Take over everything this segment has of what is asked: it was read."""
        self.numbers, self.arranged, self.ready = [], True, self._wanted(rows)

    def _wanted(self, rows: Sequence[tuple[int, int, bytes]]) -> list[tuple[Place, bytes]]:
        found = []
        for seq, at, body in rows:
            place, record = (at, *self.segment.log, seq), _read(body)
            if self.bounds.place is not None and place >= self.bounds.place:
                continue
            if record is not None and fits(record, self.words):
                found.append((place, body))
        return sorted(found)

    async def _sort(self, database: Database) -> None:
        """The clock was set back in this segment: put the latest first."""
        rows = await database.rows(_MOMENTS, (*self.segment.log, self.segment.first, self.segment.last))
        moments = {row[0]: row[1] for row in rows}
        self.numbers = sorted((one for one in self.numbers if one in moments), key=lambda one: (-moments[one], -one))
        self.arranged = True


async def _read_ahead(opened: Sequence[_Opened], block: int, database: Database) -> None:
    """Read what several segments hold a little of at once; most questions are about few records of many segments."""
    few: dict[Log, list[_Opened]] = {}
    count = 0
    for one in opened:
        count += len(one.numbers)
        if count > min(block, _BLOCK):
            break
        few.setdefault(one.segment.log, []).append(one)
    for some in few.values():
        numbers = [number for one in some for number in one.numbers]
        rows = await some[0].read(numbers, database)
        for one in some:
            one.take([row for row in rows if one.segment.first <= row[0] <= one.segment.last])


async def _advance(heap: list[tuple[tuple[int, ...], bytes, _Opened]], opened: _Opened, database: Database) -> None:
    """Put the next record of a segment where the latest is taken from."""
    if found := await opened.next(database):
        place, body = found
        heappush(heap, (tuple(-one for one in place), body, opened))


def _read(body: bytes) -> Record | None:
    try:
        return decode(body)
    except (msgspec.DecodeError, ValueError):
        return None


def _place(cursor: str) -> Place:
    found = _CURSOR.fullmatch(cursor)
    if found is None:
        message = "not a cursor of this log"
        raise ValueError(message)
    return int(found[1]), int(found[2]), int(found[3]), int(found[4])
