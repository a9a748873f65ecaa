"""Policy revisions as they were loaded; immutable, so that a decision can be explained later."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from gateway.office import PolicyRevision
from gateway.storage.database import Database
from gateway.storage.instants import from_micros, to_micros
from gateway.storage.writer import Cursor

_NEWEST: Final = "SELECT number, revision, loaded, body FROM policy_revision ORDER BY number DESC LIMIT 1"
_KEEP: Final = "INSERT INTO policy_revision (number, revision, loaded, body) VALUES (?, ?, ?, ?)"
_FIND: Final = (
    "SELECT number, revision, loaded, body FROM policy_revision WHERE revision = ? ORDER BY number DESC LIMIT 1"
)
_HISTORY: Final = "SELECT number, revision, loaded FROM policy_revision ORDER BY number DESC LIMIT 500"
_NUMBERED: Final = "SELECT number, revision, loaded, body FROM policy_revision WHERE number = ?"


class PolicyStore:
    """The history of the policy."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def keep(self, revision: str, loaded: datetime, body: bytes) -> bool:
        """Make a revision the newest; false when it is already."""

        def insert(cursor: Cursor) -> bool:
            newest = cursor.execute(_NEWEST).fetchone()
            if newest is not None and newest[1] == revision:
                return False
            number = newest[0] + 1 if newest is not None else 1
            cursor.execute(_KEEP, (number, revision, to_micros(loaded), body))
            return True

        return await self._database.write(insert)

    async def newest(self) -> PolicyRevision | None:
        """The revision in force, None before the first."""
        return _revision(await self._database.row(_NEWEST))

    async def find(self, revision: str) -> PolicyRevision | None:
        """A revision a decision names, as it was loaded last."""
        return _revision(await self._database.row(_FIND, (revision,)))

    async def history(self) -> tuple[PolicyRevision, ...]:
        """Every revision, the newest first, without its body."""
        rows = await self._database.rows(_HISTORY)
        return tuple(PolicyRevision(number, revision, from_micros(loaded), b"") for number, revision, loaded in rows)

    async def numbered(self, number: int) -> PolicyRevision | None:
        """One revision with its body."""
        return _revision(await self._database.row(_NUMBERED, (number,)))


def _revision(row: tuple[Any, ...] | None) -> PolicyRevision | None:
    return PolicyRevision(row[0], row[1], from_micros(row[2]), row[3]) if row else None
