"""What this gateway signed as a witness of other gateways."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from gateway.storage.database import Database
from gateway.storage.instants import to_micros
from gateway.storage.writer import Cursor

_LAST: Final = "SELECT size, note FROM witnessed WHERE origin = ? ORDER BY size DESC LIMIT 1"
_KEEP: Final = (
    "INSERT INTO witnessed (origin, size, at, note) VALUES (?, ?, ?, ?) "
    "ON CONFLICT (origin, size) DO UPDATE SET at = excluded.at, note = excluded.note"
)
_SIZES: Final = "SELECT origin FROM witnessed WHERE origin > ? ORDER BY origin LIMIT 1"
_HISTORY: Final = "SELECT note FROM witnessed WHERE origin = ? ORDER BY size DESC LIMIT 200"
_CROWD: Final = "SELECT size FROM witnessed WHERE origin = ? AND at / 3600000000 = ? AND size < ? ORDER BY size DESC"
_DROP: Final = "DELETE FROM witnessed WHERE origin = ? AND size = ?"


class WitnessStore:
    """The checkpoints of others. INVARIANT: of one log, each is a growth of the one before."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def last(self, origin: str) -> bytes | None:
        """The newest checkpoint of a log that was signed here."""
        row = await self._database.row(_LAST, (origin,))
        return row[1] if row else None

    async def history(self, origin: str) -> list[bytes]:
        """Up to 200 checkpoints of a log that were signed here, the newest first."""
        return [row[0] for row in await self._database.rows(_HISTORY, (origin,))]

    async def origins(self) -> list[str]:
        """Every log that was ever witnessed here."""
        found = [""]
        while row := await self._database.row(_SIZES, (found[-1],)):
            found.append(row[0])
        return found[1:]

    async def keep(self, origin: str, old: bytes | None, size: int, at: datetime, note: bytes) -> bool:
        """Keep a checkpoint if the newest is still `old`; false when another came first.

        One an hour stays, so that what was shown when can be compared later.
        """

        def write(cursor: Cursor) -> bool:
            row = cursor.execute(_LAST, (origin,)).fetchone()
            if (row[1] if row else None) != old:
                return False
            moment = to_micros(at)
            cursor.execute(_KEEP, (origin, size, moment, note))
            crowd = cursor.execute(_CROWD, (origin, moment // 3_600_000_000, size)).fetchall()
            for (earlier,) in crowd:
                cursor.execute(_DROP, (origin, earlier))
            return True

        return await self._database.write(write)
