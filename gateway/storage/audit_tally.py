"""Sums beside the log, so that an overview of a year reads hundreds of rows and not a million records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import date
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from gateway.audit.record import Record
from gateway.audit.tally import Count, counted
from gateway.logged import Measure, Tally
from gateway.storage.database import Database
from gateway.storage.instants import from_micros
from gateway.storage.writer import Cursor

EMPTY: Final = "DELETE FROM audit_tally"
_ZONE: Final = ZoneInfo("Europe/Amsterdam")
_HOUR: Final = 3_600_000_000
_ADD: Final = (
    "INSERT INTO audit_tally (party, measure, day, value, count) VALUES (?, ?, ?, ?, ?) "
    "ON CONFLICT (party, measure, day, value) DO UPDATE SET count = audit_tally.count + excluded.count"
)
_TAKE: Final = "UPDATE audit_tally SET count = count - ? WHERE party = ? AND measure = ? AND day = ? AND value = ?"
_NONE: Final = "DELETE FROM audit_tally WHERE count <= 0"


def add(cursor: Cursor, rows: Iterable[tuple[int, Sequence[Count]]]) -> None:
    """Add what records count as, each with its moment, in the commit that takes them in."""
    if sums := _sums(rows):
        cursor.executemany(_ADD, [(*key, count) for key, count in sorted(sums.items())])


def take_away(cursor: Cursor, rows: Iterable[tuple[int, Record]]) -> None:
    """Take away what records counted as, in the commit that removes them."""
    if sums := _sums((at, tuple(counted(record))) for at, record in rows):
        cursor.executemany(_TAKE, [(count, *key) for key, count in sorted(sums.items())])
        cursor.execute(_NONE)


def _sums(rows: Iterable[tuple[int, Sequence[Count]]]) -> Counter[tuple[str, str, int, str]]:
    sums: Counter[tuple[str, str, int, str]] = Counter()
    for at, counts in rows:
        day = _day(at // _HOUR)
        for party, measure, value in counts:
            sums[party, measure, day, value] += 1
    return sums


class AuditTally:
    """The sums of each organization (port `Tallies`). They are as new as the look-up table."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def tallies(self, parties: tuple[str, ...], first: date, last: date, measure: Measure) -> list[Tally]:
        """What happened on each day from the first to the last, for any of these organizations; "" is the operator.

        Raises:
            Unavailable: `store-unavailable`.
        """
        marks = ", ".join("?" for _ in parties)
        rows = await self._database.rows(
            f"SELECT day, value, SUM(count) FROM audit_tally WHERE party IN ({marks}) AND measure = ? "  # noqa: S608 - marks only
            "AND day >= ? AND day <= ? GROUP BY day, value ORDER BY day, value",
            (*parties, measure, first.toordinal(), last.toordinal()),
        )
        return [Tally(date.fromordinal(day), value, int(count)) for day, value, count in rows]

    async def totals(
        self, parties: tuple[str, ...], first: date, last: date, measure: Measure
    ) -> list[tuple[str, int]]:
        """The same added up over the days, the most frequent first.

        Raises:
            Unavailable: `store-unavailable`.
        """
        marks = ", ".join("?" for _ in parties)
        rows = await self._database.rows(
            f"SELECT value, SUM(count) FROM audit_tally WHERE party IN ({marks}) AND measure = ? "  # noqa: S608 - marks only
            "AND day >= ? AND day <= ? GROUP BY value ORDER BY SUM(count) DESC, value",
            (*parties, measure, first.toordinal(), last.toordinal()),
        )
        return [(value, int(count)) for value, count in rows]


@lru_cache(maxsize=64)
def _day(hour: int) -> int:
    """The day here in which an hour since 1970 falls, as a number; zones change on whole hours."""
    return from_micros(hour * _HOUR).astimezone(_ZONE).date().toordinal()
