"""Emergency accesses and whether somebody looked at them (rule B2)."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from gateway.storage import notice_store
from gateway.storage.database import Database
from gateway.storage.instants import from_micros, to_micros
from gateway.storage.sealing import OWN, Seal, place
from gateway.storage.writer import Cursor
from gateway.watched import Notice, Review

_COLUMNS: Final = "id, person, organization, custodian, patient, request, grounds, opened, settled, reviewer, finding"
_OPEN: Final = f"INSERT INTO review ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, '', '') ON CONFLICT DO NOTHING"  # noqa: S608 - a constant
_OVERDUE: Final = (  # what was specially protected waits for a look too, and suspends nobody
    "SELECT 1 FROM review WHERE person = ? AND organization = ? AND settled = 0 AND opened <= ? "
    "AND id LIKE 'r%' LIMIT 1"
)
_WAITING: Final = (
    f"SELECT {_COLUMNS} FROM review WHERE settled = 0 AND (custodian = ? OR organization = ?) ORDER BY opened, id"  # noqa: S608 - a constant
)
_SETTLE: Final = (
    "UPDATE review SET settled = ?, reviewer = ?, finding = ? WHERE id = ? AND settled = 0 AND person <> ? "
    "AND (custodian = ? OR organization = ?)"
)


class ReviewStore:
    """The queue of emergency accesses; a row stays when it was settled."""

    def __init__(self, database: Database, seal: Seal, unseal: Seal) -> None:
        self._database = database
        self._seal = seal
        self._unseal = unseal

    async def open(self, reviews: tuple[Review, ...], notices: tuple[Notice, ...] = ()) -> None:
        """Put accesses in the queue and what must be told of them in the outbox; durable when this returns."""
        rows = [
            (
                one.id,
                one.person,
                one.organization,
                one.custodian,
                one.patient,
                one.request,
                self._seal(OWN, one.grounds.encode(), place("review", one.id)),
                to_micros(one.opened),
            )
            for one in reviews
        ]

        def insert(cursor: Cursor) -> None:
            cursor.executemany(_OPEN, rows)
            notice_store.insert(cursor, notices, self._seal)

        await self._database.write(insert)

    async def overdue(self, person: str, organization: str, before: datetime) -> bool:
        """Claim that an access of this person from before a moment still waits."""
        return await self._database.row(_OVERDUE, (person, organization, to_micros(before))) is not None

    async def waiting(self, organization: str) -> tuple[Review, ...]:
        """What waits for an organization, as custodian or as the one that looked."""
        rows = await self._database.rows(_WAITING, (organization, organization))
        return tuple(self._review(row) for row in rows)

    async def settle(self, id_: str, reviewer: str, organization: str, finding: str, now: datetime) -> bool:
        """Note that somebody else looked at it; false when there is none that waits for this organization."""
        row = (to_micros(now), reviewer, finding, id_, reviewer, organization, organization)

        def update(cursor: Cursor) -> bool:
            return cursor.execute(_SETTLE, row).rowcount == 1

        return await self._database.write(update)

    def _review(self, row: tuple[Any, ...]) -> Review:
        id_, person, organization, custodian, patient, request, grounds, opened, settled, reviewer, finding = row
        return Review(
            id_,
            person,
            organization,
            custodian,
            patient,
            request,
            self._unseal(OWN, grounds, place("review", id_)).decode(),
            from_micros(opened),
            from_micros(settled) if settled else None,
            reviewer,
            finding,
        )
