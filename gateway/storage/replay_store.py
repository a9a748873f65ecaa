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

# What was spent between a backup and its restore may not be known. An identifier lives at most this long, so one
# that ends later was made after the restore.
# Units: 300 s life of an assertion, 60 s that callers add, 10 s for clocks that differ.
_LONGEST: Final = timedelta(seconds=370)

_FIRST: Final = (
    "INSERT INTO used_token (issuer, jti, expires) SELECT CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS BIGINT) "
    "WHERE NOT EXISTS (SELECT 1 FROM restoration WHERE restored >= ?) ON CONFLICT DO NOTHING"
)
_PURGE: Final = "DELETE FROM used_token WHERE expires < ?"


class ReplayStore:
    """Spent identifiers, kept until they have expired anyway."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._purged = clock.now() - _PURGE_EVERY

    async def first_use(self, issuer: str, jti: str, expires: datetime) -> bool:
        """Remember (issuer, jti) in one atomic insert; true the first time only, and never for one made before a restore.

        Raises:
            Unavailable: `store-unavailable`; the identifier must not be accepted.
        """
        row = (issuer, jti, to_micros(expires), to_micros(expires - _LONGEST))
        now = self._clock.now()
        purge = now - self._purged >= _PURGE_EVERY
        if purge:
            self._purged = now

        def insert(cursor: Cursor) -> bool:
            if purge:
                cursor.execute(_PURGE, (to_micros(now - _MARGIN),))
            return cursor.execute(_FIRST, row).rowcount == 1

        return await self._database.write(insert)
