"""Identifiers that may be used once."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from gateway.ports import Clock
from gateway.storage.database import Database
from gateway.storage.instants import to_micros
from gateway.storage.writer import Cursor

# Whoever checks `exp` may allow for clocks that differ: an identifier is remembered well beyond it.
_MARGIN: Final = timedelta(minutes=10)
_PURGE_EVERY: Final = timedelta(minutes=1)

_FIRST: Final = "INSERT INTO used_token (issuer, jti, expires) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
_PURGE: Final = "DELETE FROM used_token WHERE expires < ?"


class ReplayStore:
    """Spent identifiers, kept until they have expired anyway."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._purged = clock.now() - _PURGE_EVERY

    async def first_use(self, issuer: str, jti: str, expires: datetime) -> bool:
        """Remember (issuer, jti) in one atomic insert; true the first time only.

        Raises:
            Unavailable: `store-unavailable`; the identifier must not be accepted.
        """
        now = self._clock.now()
        purge = now - self._purged >= _PURGE_EVERY
        if purge:
            self._purged = now

        def insert(cursor: Cursor) -> bool:
            if purge:
                cursor.execute(_PURGE, (to_micros(now - _MARGIN),))
            return cursor.execute(_FIRST, (issuer, jti, to_micros(expires))).rowcount == 1

        return await self._database.write(insert)
