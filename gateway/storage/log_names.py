"""Which logs a table knows, from one to the next through its primary key: the records in between are not read."""

from __future__ import annotations

from typing import Final

from gateway.storage.database import Database
from gateway.storage.writer import Log

# Two questions: an engine that is asked for "the next (log, epoch)" at once reads every record of the log before it.
_EPOCH: Final = "SELECT log, epoch FROM {table} WHERE log = ? AND epoch > ? ORDER BY epoch LIMIT 1"
_SLOT: Final = "SELECT log, epoch FROM {table} WHERE log > ? ORDER BY log, epoch LIMIT 1"


async def logs_in(database: Database, table: str) -> list[Log]:
    """The logs with rows in `audit_log` or another table keyed by log and epoch, in order."""
    found: list[Log] = []
    slot, epoch = 0, 0
    while row := (
        await database.row(_EPOCH.format(table=table), (slot, epoch))
        or await database.row(_SLOT.format(table=table), (slot,))
    ):
        slot, epoch = row[0], row[1]
        found.append((slot, epoch))
    return found
