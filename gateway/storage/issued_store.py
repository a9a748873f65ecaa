"""Ids handed out for pulled items, so that they can be read again within 24 hours."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from gateway.ports import Issued
from gateway.storage.database import Database
from gateway.storage.instants import from_micros, to_micros
from gateway.storage.writer import Extra

LIFETIME: Final = timedelta(hours=24)

_KEEP: Final = (
    "INSERT INTO issued_id (id, type, patient, custodian, source, category, at) VALUES (?, ?, ?, ?, ?, ?, ?) "
    "ON CONFLICT (id) DO UPDATE SET type = excluded.type, patient = excluded.patient, "
    "custodian = excluded.custodian, source = excluded.source, category = excluded.category, at = excluded.at"
)
_FIND: Final = "SELECT type, patient, custodian, source, category, at FROM issued_id WHERE id = ? AND at > ?"
_PURGE: Final = "DELETE FROM issued_id WHERE at <= ?"


def kept(one: Issued) -> Extra:
    """The statement that keeps an id, to be committed with the record that says it was handed out."""
    return _KEEP, (one.id, one.type, one.patient, one.custodian, one.source, one.category, to_micros(one.at))


class IssuedStore:
    """Reads and forgets issued ids; `AuditStore.append` writes them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def issued(self, item_id: str, now: datetime) -> Issued | None:
        """Where an id points to, None after 24 h."""
        row = await self._database.row(_FIND, (item_id, to_micros(now - LIFETIME)))
        if row is None:
            return None
        kind, patient, custodian, source, category, at = row
        return Issued(item_id, kind, patient, custodian, source, category, from_micros(at))

    async def purge(self, now: datetime) -> int:
        """Delete what is older than 24 h; give how many."""
        return await self._database.write(lambda cursor: cursor.execute(_PURGE, (to_micros(now - LIFETIME),)).rowcount)
