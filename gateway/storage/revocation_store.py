"""Access tokens that were taken back before they expired, and clients that were disabled."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from gateway.ports import Withdrawn
from gateway.storage.database import Database
from gateway.storage.instants import to_micros
from gateway.storage.writer import Cursor

_REVOKE: Final = "INSERT INTO revoked_token (jti, client, expires) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
_PURGE: Final = "DELETE FROM revoked_token WHERE expires <= ?"
_TOKENS: Final = "SELECT jti FROM revoked_token WHERE expires > ?"
_CLIENTS: Final = "SELECT id FROM client WHERE disabled IS NOT NULL"


class RevocationStore:
    """Revoked tokens are remembered until they would have expired anyway."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def revoke(self, jti: str, client: str, expires: datetime, now: datetime) -> None:
        """Take a token back; durable when this returns, and seen by every process at its next look."""
        row = (jti, client, to_micros(expires))

        def insert(cursor: Cursor) -> None:
            cursor.execute(_PURGE, (to_micros(now),))
            cursor.execute(_REVOKE, row)

        await self._database.write(insert)

    async def withdrawn(self, now: datetime) -> Withdrawn:
        """Every token that is revoked and not expired, and every client that is disabled."""
        tokens = await self._database.rows(_TOKENS, (to_micros(now),))
        clients = await self._database.rows(_CLIENTS)
        return Withdrawn(frozenset(row[0] for row in tokens), frozenset(row[0] for row in clients))
