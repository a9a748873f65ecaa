"""The gateway's own localization index: which custodian holds data of whom, and on what basis."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

from gateway.errors import Invalid
from gateway.model import IndexEntry
from gateway.ports import Clock
from gateway.storage.asking import about
from gateway.storage.database import Database
from gateway.storage.instants import from_micros, to_micros
from gateway.storage.recent import Recent
from gateway.storage.writer import Cursor

_REMEMBERED_PATIENTS: Final = 4_096

Registered = Recent[
    str, tuple[IndexEntry, ...]
]  # the registrations of a patient that were in force when they were read

_REGISTER: Final = (
    "INSERT INTO index_entry (id, patient, custodian, categories, basis, registered, client, ends) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?) "
    "ON CONFLICT (id) DO UPDATE SET patient = excluded.patient, categories = excluded.categories, "
    "basis = excluded.basis, registered = excluded.registered, client = excluded.client, ends = excluded.ends, "
    "withdrawn = NULL"
)
_WITHDRAW: Final = "UPDATE index_entry SET withdrawn = ? WHERE id = ? AND custodian = ? AND withdrawn IS NULL AND (ends IS NULL OR ends > ?)"
_IN_FORCE: Final = (
    "SELECT id, patient, custodian, categories, basis, registered, client, ends FROM index_entry "
    "WHERE patient = ? AND withdrawn IS NULL AND (ends IS NULL OR ends > ?) ORDER BY registered, id"
)

_HOLDERS: Final = (
    "SELECT index_entry.id, index_entry.patient, index_entry.custodian FROM (VALUES (?)) AS asked CROSS JOIN index_entry "
    "WHERE index_entry.id = asked.column1"
)


def registrations(database: Database) -> Registered:
    """The memory that all who change registrations share."""
    return Recent(_REMEMBERED_PATIENTS, database.era)


def patients_of(cursor: Cursor, entries: Iterable[str]) -> dict[str, str]:
    """Whom registrations are about, as far as there are any."""
    return {id_: patient for id_, patient, _ in about(cursor, _HOLDERS, entries)}


def register(cursor: Cursor, entries: Sequence[IndexEntry]) -> set[str]:
    """Keep registrations inside a transaction, the last of an id; give the patients of whom something changed.

    Raises:
        Invalid: `conflict` when another custodian has this id.
    """
    found = about(cursor, _HOLDERS, [entry.id for entry in entries])
    holders = {id_: custodian for id_, _, custodian in found}
    if any(holders.setdefault(entry.id, entry.custodian) != entry.custodian for entry in entries):
        raise Invalid("conflict", why="a registration with this id belongs to another custodian")
    cursor.executemany(_REGISTER, [_row(entry) for _, entry in sorted({entry.id: entry for entry in entries}.items())])
    return {patient for _, patient, _ in found} | {entry.patient for entry in entries}


class IndexStore:
    """Registrations, read by patient.

    INVARIANT: `registered` is what the database says: whoever changes a registration forgets its patients in it.
    """

    def __init__(self, database: Database, clock: Clock, registered: Registered) -> None:
        self._database = database
        self._clock = clock
        self._registered = registered

    async def register(self, entry: IndexEntry) -> None:
        """Keep a registration; the same id again replaces it.

        Raises:
            Invalid: `conflict` when another custodian has this id.
        """
        changed: set[str] = set()
        await self._database.write(
            lambda cursor: changed.update(register(cursor, [entry])), lambda: self._registered.forget(*changed)
        )

    async def withdraw(self, entry_id: str, custodian: str) -> bool:
        """End a registration of this custodian; false when there is none."""
        now = to_micros(self._clock.now())
        row = (now, entry_id, custodian, now)
        changed: set[str] = set()

        def withdraw(cursor: Cursor) -> bool:
            changed.update(patients_of(cursor, [entry_id]).values())
            return cursor.execute(_WITHDRAW, row).rowcount == 1

        return await self._database.write(withdraw, lambda: self._registered.forget(*changed))

    async def entries(self, patient: str, now: datetime) -> tuple[IndexEntry, ...]:
        """The registrations of a patient that are in force."""
        found = self._registered.get(patient)
        if found is None:
            before = self._registered.mark()
            found = tuple([_entry(row) for row in await self._database.rows(_IN_FORCE, (patient, to_micros(now)))])
            self._registered.keep(patient, found, before)
        return tuple([entry for entry in found if entry.ends is None or entry.ends > now])


def _row(entry: IndexEntry) -> tuple[Any, ...]:
    ends = None if entry.ends is None else to_micros(entry.ends)
    categories = " ".join(sorted(entry.categories))
    registered = to_micros(entry.registered)
    return (entry.id, entry.patient, entry.custodian, categories, entry.basis, registered, entry.client, ends)


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
