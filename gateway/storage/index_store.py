"""The gateway's own localization index: which custodian holds data of whom, and on what basis."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from gateway.errors import Invalid
from gateway.model import IndexEntry
from gateway.ports import Clock
from gateway.storage.database import Database
from gateway.storage.instants import from_micros, to_micros
from gateway.storage.writer import Cursor

# An id that another custodian registered is left alone: else one could end the registration of the other.
_REGISTER: Final = (
    "INSERT INTO index_entry (id, patient, custodian, categories, basis, registered, client, ends, withdrawn) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL) "
    "ON CONFLICT (id) DO UPDATE SET patient = excluded.patient, categories = excluded.categories, "
    "basis = excluded.basis, registered = excluded.registered, client = excluded.client, ends = excluded.ends, "
    "withdrawn = NULL WHERE index_entry.custodian = excluded.custodian"
)
_WITHDRAW: Final = "UPDATE index_entry SET withdrawn = ? WHERE id = ? AND custodian = ? AND withdrawn IS NULL AND (ends IS NULL OR ends > ?)"
_IN_FORCE: Final = (
    "SELECT id, patient, custodian, categories, basis, registered, client, ends FROM index_entry "
    "WHERE patient = ? AND withdrawn IS NULL AND (ends IS NULL OR ends > ?) ORDER BY registered, id"
)


def register(cursor: Cursor, entry: IndexEntry) -> None:
    """Keep a registration inside a transaction.

    Raises:
        Invalid: `conflict` when another custodian has this id.
    """
    ends = None if entry.ends is None else to_micros(entry.ends)
    row = (
        entry.id,
        entry.patient,
        entry.custodian,
        " ".join(sorted(entry.categories)),
        entry.basis,
        to_micros(entry.registered),
        entry.client,
        ends,
    )
    if cursor.execute(_REGISTER, row).rowcount == 0:
        raise Invalid("conflict", why="a registration with this id belongs to another custodian")


class IndexStore:
    """Registrations, read by patient."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def register(self, entry: IndexEntry) -> None:
        """Keep a registration; the same id again replaces it.

        Raises:
            Invalid: `conflict` when another custodian has this id.
        """
        await self._database.write(lambda cursor: register(cursor, entry))

    async def withdraw(self, entry_id: str, custodian: str) -> bool:
        """End a registration of this custodian; false when there is none."""
        now = to_micros(self._clock.now())
        row = (now, entry_id, custodian, now)
        return await self._database.write(lambda cursor: cursor.execute(_WITHDRAW, row).rowcount == 1)

    async def entries(self, patient: str, now: datetime) -> tuple[IndexEntry, ...]:
        """The registrations of a patient that are in force."""
        return tuple(_entry(row) for row in await self._database.rows(_IN_FORCE, (patient, to_micros(now))))


def _entry(row: tuple[Any, ...]) -> IndexEntry:
    entry_id, patient, custodian, categories, basis, registered, client, ends = row
    return IndexEntry(
        entry_id,
        patient,
        custodian,
        frozenset(categories.split()),
        basis,
        from_micros(registered),
        client,
        None if ends is None else from_micros(ends),
    )
