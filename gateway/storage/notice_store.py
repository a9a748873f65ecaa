"""The outbox of notices: put there with what they are about, kept until the organization took them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

from gateway.storage.database import Database
from gateway.storage.instants import from_micros, to_micros
from gateway.storage.sealing import OWN, Seal, place
from gateway.storage.writer import Cursor
from gateway.watched import Notice

_COLUMNS: Final = "id, organization, desk, patient, request, created, attempts, delivered, failure"
_INSERT: Final = (
    "INSERT INTO notice (id, organization, desk, patient, request, created, due, attempts, delivered, failure, body) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, 0, 0, '', ?) ON CONFLICT DO NOTHING"
)
_DUE: Final = f"SELECT {_COLUMNS}, body FROM notice WHERE delivered = 0 AND due <= ? ORDER BY due, id LIMIT ?"  # noqa: S608 - a constant
_ABOUT: Final = f"SELECT {_COLUMNS} FROM notice WHERE request = ? ORDER BY organization, id"  # noqa: S608 - a constant
_SENT: Final = "UPDATE notice SET delivered = ?, attempts = attempts + 1, failure = '' WHERE id = ?"
_FAILED: Final = "UPDATE notice SET due = ?, attempts = attempts + 1, failure = ? WHERE id = ? AND delivered = 0"


def insert(cursor: Cursor, notices: Iterable[Notice], seal: Seal) -> None:
    """Put notices in the outbox inside a transaction; one that is there already is left as it is."""
    rows = [
        (
            one.id,
            one.organization,
            one.desk,
            one.patient,
            one.request,
            to_micros(one.created),
            to_micros(one.created),
            seal(OWN, one.body, place("notice", one.id)),
        )
        for one in notices
    ]
    if rows:
        cursor.executemany(_INSERT, rows)


class NoticeStore:
    """What waits for an organization, and what it took."""

    def __init__(self, database: Database, seal: Seal, unseal: Seal) -> None:
        self._database = database
        self._seal = seal
        self._unseal = unseal

    async def due(self, now: datetime, limit: int) -> tuple[Notice, ...]:
        """What is to be sent now, the oldest first."""
        rows = await self._database.rows(_DUE, (to_micros(now), limit))
        return tuple(_notice(row, self._unseal(OWN, row[-1], place("notice", row[0]))) for row in rows)

    async def sent(self, notice: Notice, now: datetime) -> None:
        """Note that it was taken."""
        await self._write(_SENT, (to_micros(now), notice.id))

    async def failed(self, notice: Notice, failure: str, again: datetime) -> None:
        """Note that it was not taken, and when it is tried again."""
        await self._write(_FAILED, (to_micros(again), failure, notice.id))

    async def about(self, requests: Sequence[str]) -> tuple[Notice, ...]:
        """What was sent or waits about some requests, without content."""
        found = [await self._database.rows(_ABOUT, (one,)) for one in requests]
        return tuple(_notice(row) for rows in found for row in rows)

    async def _write(self, statement: str, row: tuple[Any, ...]) -> None:
        def update(cursor: Cursor) -> None:
            cursor.execute(statement, row)

        await self._database.write(update)


def _notice(row: tuple[Any, ...], body: bytes = b"") -> Notice:
    id_, organization, desk, patient, request, created, attempts, delivered, failure = row[:9]
    at = from_micros(delivered) if delivered else None
    return Notice(id_, organization, desk, patient, request, from_micros(created), body, attempts, at, failure)
