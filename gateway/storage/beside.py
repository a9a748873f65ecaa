"""Open the database for a command while a gateway may be serving it, with a log of its own for what the command does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from gateway.errors import StartError
from gateway.storage.database import Database
from gateway.storage.engines import engine_of
from gateway.storage.migrate import transaction
from gateway.storage.sqlite import ServingLock, path_of
from gateway.storage.writer import Connection, Log

_SLOT: Final = 2  # of a SQLite file: its serving process writes 1
_TAKE: Final = "INSERT INTO log_slot (slot, epoch, holder, until) VALUES (?, 1, '', 0) ON CONFLICT (slot) DO NOTHING"
_EPOCH: Final = "SELECT epoch FROM log_slot WHERE slot = ?"


@asynccontextmanager
async def beside(url: str) -> AsyncIterator[tuple[Database, Log]]:
    """The database for one command at a time, and the log its records go to.

    Raises:
        StartError: another command is at work, or the database cannot be used.
    """
    if not url.startswith("sqlite:"):
        database = Database.open(url)  # leases a log like any other process
        try:
            yield database, database.log
        finally:
            await database.close()
        return
    lock = _take_turn(url)
    try:
        epoch = engine_of(url).administer(url, _epoch, exclusive=False)
        database = Database.open(url, exclusive=False)
        try:
            yield database, (_SLOT, epoch)
        finally:
            await database.close()
    finally:
        lock.release()


def _take_turn(url: str) -> ServingLock:
    path = path_of(url)
    lock = ServingLock(path.with_name(f"{path.name}.commands"))
    try:
        lock.take()
    except StartError:
        message = f"{path}: another gateway command is at work on this database; try again when it is done"
        raise StartError(message) from None
    return lock


def _epoch(connection: Connection) -> int:
    with transaction(connection) as cursor:
        cursor.execute(_TAKE, (_SLOT,))
        return int(cursor.execute(_EPOCH, (_SLOT,)).fetchone()[0])
