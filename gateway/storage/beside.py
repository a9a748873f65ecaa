"""Open the database for a command while a gateway may be serving it, with a log of its own for what the command does."""

from __future__ import annotations

from typing import Final

from gateway.storage.database import Database
from gateway.storage.engines import engine_of
from gateway.storage.migrate import transaction
from gateway.storage.sqlite import ServingLock, path_of
from gateway.storage.writer import Connection, Log

_SLOT: Final = 2  # of a SQLite file: its serving process writes 1
_TAKE: Final = "INSERT INTO log_slot (slot, epoch, holder, until) VALUES (?, 1, '', 0) ON CONFLICT (slot) DO NOTHING"
_EPOCH: Final = "SELECT epoch FROM log_slot WHERE slot = ?"


def open_beside(url: str) -> tuple[Database, Log]:
    """Open it for one command at a time; give the log its records go to.

    Raises:
        StartError: another command is at work, or the database cannot be used.
    """
    if not url.startswith("sqlite:"):
        database = Database.open(url)  # leases a log like any other process
        return database, database.log
    path = path_of(url)
    lock = ServingLock(path.with_name(f"{path.name}.commands"))
    lock.take()  # the end of the process gives it back
    epoch = engine_of(url).administer(url, _epoch, exclusive=False)
    return Database.open(url, exclusive=False), (_SLOT, epoch)


def _epoch(connection: Connection) -> int:
    with transaction(connection) as cursor:
        cursor.execute(_TAKE, (_SLOT,))
        return int(cursor.execute(_EPOCH, (_SLOT,)).fetchone()[0])
