"""End a log that lost records, by a decision that is on record: its slot goes on in a new epoch."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Final

from gateway.errors import StartError
from gateway.storage.engines import engine_of
from gateway.storage.instants import to_micros
from gateway.storage.migrate import transaction
from gateway.storage.writer import Connection, Log

_KNOWN: Final = "INSERT INTO log_slot (slot, epoch, holder, until) VALUES (?, ?, '', 0) ON CONFLICT (slot) DO NOTHING"
_NEXT: Final = "UPDATE log_slot SET epoch = epoch + 1, holder = '', until = 0 WHERE slot = ? AND epoch = ?"
_EPOCH: Final = "SELECT epoch FROM log_slot WHERE slot = ?"
_LOSS: Final = (
    "INSERT INTO restoration (number, restored, made, digest) "
    "SELECT COALESCE(MAX(number), 0) + 1, CAST(? AS BIGINT), CAST(? AS BIGINT), CAST('loss' AS TEXT) FROM restoration"
)
_RECORD: Final = "INSERT INTO audit_log (log, epoch, seq, at, body) VALUES (?, ?, 1, ?, ?)"


def acknowledge(database_url: str, log: Log, now: datetime, record: bytes) -> int:
    """Open the next epoch of a slot, with this as its first record; give its number.

    Raises:
        StartError: a process serves this database, or the log has ended already.
    """
    return engine_of(database_url).administer(database_url, partial(_end, log, now, record), exclusive=True)


def _end(log: Log, now: datetime, record: bytes, connection: Connection) -> int:
    with transaction(connection) as cursor:
        cursor.execute(_KNOWN, log)
        if cursor.execute(_NEXT, log).rowcount != 1:
            message = f"log {log[0]}.{log[1]} is not the one its slot writes; it has ended already"
            raise StartError(message, 1)
        epoch = int(cursor.execute(_EPOCH, (log[0],)).fetchone()[0])
        cursor.execute(_LOSS, (to_micros(now), to_micros(now)))
        cursor.execute(_RECORD, (log[0], epoch, to_micros(now), record))
        return epoch
