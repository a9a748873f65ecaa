"""Birth dates that were not the patient's: counted per number over all callers and processes, until the number is locked."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from gateway.storage.database import Database
from gateway.storage.instants import to_micros
from gateway.storage.writer import Cursor
from gateway.throttle import LOCKED_FOR, MISSES

_LOCKED: Final = f"SELECT until FROM birth_date_miss WHERE patient = ? AND misses >= {MISSES} AND until > ?"  # noqa: S608 - a constant
_FORGET: Final = "DELETE FROM birth_date_miss WHERE until <= ?"
_COUNT: Final = (
    "INSERT INTO birth_date_miss (patient, misses, until) VALUES (?, 1, ?) ON CONFLICT (patient) "
    "DO UPDATE SET misses = birth_date_miss.misses + 1, until = excluded.until"
)


class MissStore:
    """Who guesses at several processes at once counts as one: outcomes stand in one order, that of their commits."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def locked(self, patient: str, now: datetime) -> timedelta | None:
        """How long a number stays locked; None when it is not."""
        return _left(await self._database.row(_LOCKED, (patient, to_micros(now))), now)

    async def judged(self, patient: str, now: datetime, *, missed: bool) -> timedelta | None:
        """Count a miss; how long the number stays locked when it was so before this outcome, hit or miss, else None."""
        instant, until = to_micros(now), to_micros(now + LOCKED_FOR)

        def judge(cursor: Cursor) -> timedelta | None:
            left = _left(cursor.execute(_LOCKED, (patient, instant)).fetchone(), now)
            if missed and left is None:
                cursor.execute(_FORGET, (instant,))
                cursor.execute(_COUNT, (patient, until))
            return left

        return await self._database.write(judge)


def _left(row: tuple[int] | None, now: datetime) -> timedelta | None:
    return None if row is None else timedelta(microseconds=row[0] - to_micros(now))
