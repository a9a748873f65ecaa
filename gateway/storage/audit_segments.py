"""The log in segments: a few thousand consecutive records each, with the words they are found by; filled behind the log."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Final

import msgspec

from gateway.audit.postings import BUCKETS, Postings, bucket_of, key_of, places_of
from gateway.audit.record import Record, decode
from gateway.audit.tally import Count, counted, marks
from gateway.storage import audit_tally
from gateway.storage.audit_trees import sound
from gateway.storage.database import Database
from gateway.storage.log_names import logs_in
from gateway.storage.writer import Cursor, Log

SEGMENT: Final = 4_096  # records; the place of one fits two bytes
AT_ONCE: Final = 1_024  # records in one commit: requests wait for it
_TURN: Final = 64  # records between two turns of the loop
_FEW: Final = 32  # segments that are named one by one

_NEWEST: Final = "SELECT COALESCE(MAX(seq), 0) FROM audit_log WHERE log = ? AND epoch = ? AND seq < 9223372036854775807"  # only numbers are
_ROWS: Final = (
    "SELECT seq, at, {body} FROM audit_log WHERE log = ? AND epoch = ? AND seq > ? AND seq <= ? ORDER BY seq LIMIT ?"
)
_FIRST: Final = "SELECT seq FROM audit_log WHERE log = ? AND epoch = ? AND seq > ? AND seq < 9223372036854775807 ORDER BY seq LIMIT 1"
_LAST: Final = "SELECT first, last, earliest, latest, ordered FROM audit_segment WHERE log = ? AND epoch = ? ORDER BY first DESC LIMIT 1"
_KEEP: Final = (
    "INSERT INTO audit_segment (log, epoch, first, last, earliest, latest, ordered) VALUES (?, ?, ?, ?, ?, ?, ?) "
    "ON CONFLICT (log, epoch, first) DO UPDATE SET last = excluded.last, earliest = excluded.earliest, "
    "latest = excluded.latest, ordered = excluded.ordered"
)
_WORDS: Final = (
    "SELECT bucket, words FROM audit_posting WHERE log = ? AND epoch = ? AND first = ? AND bucket IN ({marks})"
)
_PUT: Final = (
    "INSERT INTO audit_posting (bucket, log, epoch, first, words) VALUES (?, ?, ?, ?, ?) "
    "ON CONFLICT (bucket, log, epoch, first) DO UPDATE SET words = excluded.words"
)
_WITHIN: Final = (
    "SELECT log, epoch, first, last, earliest, latest, ordered FROM audit_segment WHERE latest >= ? AND earliest < ? "
    "ORDER BY latest DESC, log, epoch, first"
)
_RANGE: Final = (
    "SELECT first, words FROM audit_posting WHERE bucket = ? AND log = ? AND epoch = ? AND first >= ? AND first <= ?"
)
_NAMED: Final = (
    "SELECT first, words FROM audit_posting WHERE bucket = ? AND log = ? AND epoch = ? AND first IN ({marks})"
)
_EMPTY: Final = ("DELETE FROM audit_segment", "DELETE FROM audit_posting", audit_tally.EMPTY)
_OVER: Final = "SELECT first, last FROM audit_segment WHERE log = ? AND epoch = ? AND first <= ? AND last >= ?"
_LEFT: Final = "SELECT 1 FROM audit_log WHERE log = ? AND epoch = ? AND seq >= ? AND seq <= ? LIMIT 1"
_DROP: Final = "DELETE FROM audit_segment WHERE log = ? AND epoch = ? AND first = ?"
_DROP_WORDS: Final = "DELETE FROM audit_posting WHERE bucket = ? AND log = ? AND epoch = ? AND first = ?"


@dataclass(frozen=True, slots=True)
class Segment:
    """Consecutive records of one log. Moments are microseconds since 1970."""

    log: Log
    first: int
    last: int
    earliest: int
    latest: int
    ordered: bool  # no record of it is earlier than the one before


@dataclass(slots=True)
class _Batch:
    """What is about to be added to a segment."""

    log: Log
    before: Segment | None  # the last segment of the log when this was read
    rows: Sequence[tuple[int, int, bytes]]
    counts: list[tuple[int, tuple[Count, ...]]] = field(default_factory=list)
    postings: Postings = field(default_factory=Postings)

    @property
    def goes_on(self) -> bool:
        """Claim that there is room in the last segment."""
        return self.before is not None and self.rows[-1][0] < self.before.first + SEGMENT

    @property
    def first(self) -> int:
        """The number of the first record of the segment this is added to."""
        return self.before.first if self.before is not None and self.goes_on else self.rows[0][0]

    def segment(self) -> Segment:
        """The segment with this added."""
        moments = [at for _, at, _ in self.rows]
        ordered = all(one <= other for one, other in pairwise(moments))
        made = Segment(self.log, self.first, self.rows[-1][0], min(moments), max(moments), ordered)
        if self.before is None or not self.goes_on:
            return made
        whole = self.before.ordered and ordered and self.before.latest <= moments[0]
        earliest, latest = min(self.before.earliest, made.earliest), max(self.before.latest, made.latest)
        return Segment(self.log, self.first, made.last, earliest, latest, whole)


class AuditSegments:
    """The words of every log, as far as they were taken in."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def fill(self, least: int = 1) -> int:
        """Take in a batch of records of every log that has at least so many new ones; give how many."""
        count = 0
        for log in await logs_in(self._database, "audit_log"):
            newest = await self._database.row(_NEWEST, log)
            before = await self._last(log)
            if newest and newest[0] - (before.last if before else 0) >= least:
                count += await self._fill(log, before)
        return count

    async def catch_up(self) -> None:
        """Take in what every log holds at this moment; what comes meanwhile is for the next question."""
        for log in await logs_in(self._database, "audit_log"):
            newest = await self._database.row(_NEWEST, log)
            while newest and ((before := await self._last(log)) is None or before.last < newest[0]):
                if not await self._fill(log, before):
                    break

    async def rebuild(self) -> int:
        """Forget everything and take it in again; give the number of records."""

        def empty(cursor: Cursor) -> None:
            for statement in _EMPTY:
                cursor.execute(statement)

        await self._database.write(empty)
        total = 0
        while count := await self.fill():
            total += count
        return total

    async def within(self, start: int, end: int) -> list[Segment]:
        """The segments with records from one moment up to another, the one with the latest record first."""
        rows = await self._database.rows(_WITHIN, (start, end))
        return [
            Segment((log, epoch), first, last, earliest, latest, bool(ordered))
            for log, epoch, first, last, earliest, latest, ordered in rows
        ]

    async def places(self, word: str, log: Log, firsts: Collection[int]) -> dict[int, set[int]]:
        """The records of some segments that have a word, by the number of the first record of each."""
        key = key_of(word)
        bucket = bucket_of(key)
        if len(firsts) <= _FEW:
            marks = ", ".join("?" for _ in firsts)
            rows = await self._database.rows(_NAMED.format(marks=marks), (bucket, *log, *firsts))
        else:
            rows = await self._database.rows(_RANGE, (bucket, *log, min(firsts), max(firsts)))
        found = {first: {first + place for place in places_of(key, raw)} for first, raw in rows if first in firsts}
        return {first: own for first, own in found.items() if own}

    async def _last(self, log: Log) -> Segment | None:
        row = await self._database.row(_LAST, log)
        return Segment(log, row[0], row[1], row[2], row[3], bool(row[4])) if row else None

    async def _fill(self, log: Log, before: Segment | None) -> int:
        after = before.last if before else 0
        next_ = await self._database.row(_FIRST, (*log, after))
        if next_ is None:
            return 0
        room = before is not None and next_[0] < before.first + SEGMENT
        end = (before.first if before is not None and room else next_[0]) + SEGMENT - 1
        sql = _ROWS.format(body=self._database.bytes_of("body"))
        batch = _Batch(log, before, sound(await self._database.rows(sql, (*log, after, end, AT_ONCE))))
        rows = batch.rows
        first = batch.first
        for number, (seq, at, body) in enumerate(rows):
            if number % _TURN == _TURN - 1:
                await asyncio.sleep(0)
            record = _read(body)
            if record is not None:
                counts = tuple(counted(record))
                batch.counts.append((at, counts))
                batch.postings.add(seq - first, record, marks(record, counts))
        new = batch.postings.packed()
        await asyncio.sleep(0)
        return await self._database.write(partial(_keep, batch, new))


def forget(cursor: Cursor, log: Log, first: int, last: int) -> None:
    """Remove the segments of records that are gone by now, in the commit that removes these."""
    for start, end in cursor.execute(_OVER, (*log, last, first)).fetchall():
        if cursor.execute(_LEFT, (*log, start, end)).fetchone() is None:
            cursor.execute(_DROP, (*log, start))
            cursor.executemany(_DROP_WORDS, [(bucket, *log, start) for bucket in range(BUCKETS)])


def _keep(batch: _Batch, new: dict[int, bytes], cursor: Cursor) -> int:
    """Add what was read, unless another process did in the meantime."""
    row = cursor.execute(_LAST, batch.log).fetchone()
    if (row[:2] if row else None) == ((batch.before.first, batch.before.last) if batch.before else None):
        own = batch.segment()
        if batch.goes_on and new:
            marks = ", ".join("?" for _ in new)
            held = cursor.execute(_WORDS.format(marks=marks), (*batch.log, own.first, *new)).fetchall()
            new = new | {bucket: raw + new[bucket] for bucket, raw in held}
        cursor.execute(_KEEP, (*own.log, own.first, own.last, own.earliest, own.latest, int(own.ordered)))
        if new:
            cursor.executemany(_PUT, [(bucket, *own.log, own.first, raw) for bucket, raw in sorted(new.items())])
        audit_tally.add(cursor, batch.counts)
    return len(batch.rows)


def _read(body: bytes) -> Record | None:
    try:
        return decode(body)
    except (msgspec.DecodeError, ValueError):  # not of this program: it stays in the log, and is found by its id
        return None
