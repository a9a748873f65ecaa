"""What clients used of their quotas, added up over every process of a region."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gateway.storage.database import Database
from gateway.storage.writer import Cursor
from gateway.throttle import Spent

_FORGET: Final = "DELETE FROM quota_use WHERE started + seconds <= ?"
_ADD: Final = (
    "INSERT INTO quota_use (client, seconds, started, requests) VALUES (?, ?, ?, ?) ON CONFLICT (client, seconds) "
    "DO UPDATE SET requests = quota_use.requests + excluded.requests"
)
_TOTALS: Final = "SELECT client, seconds, started, requests FROM quota_use WHERE started + seconds > ?"


class UsageStore:
    """Requests of each client in the window that is open: who counted in it first says when it began."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, spent: Sequence[Spent], now: float) -> None:
        """Add what this process counted since the last time."""
        if not spent:
            return

        def add(cursor: Cursor) -> None:
            cursor.execute(_FORGET, (int(now),))
            cursor.executemany(_ADD, [(one.client, one.seconds, one.started, one.requests) for one in spent])

        await self._database.write(add)

    async def totals(self, now: float) -> list[Spent]:
        """What all processes together counted in the windows that are open."""
        return [Spent(*row) for row in await self._database.rows(_TOTALS, (int(now),))]
