"""The append-only log: records in dense order, written with the ids they handed out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from gateway.ports import Clock, Issued
from gateway.storage import issued_store
from gateway.storage.database import Database
from gateway.storage.instants import from_micros, to_micros
from gateway.storage.writer import Log

_PAGE: Final = 1_000
_AFTER: Final = "SELECT seq, at, body FROM audit_log WHERE log = ? AND epoch = ? AND seq > ? ORDER BY seq LIMIT ?"
_HEADS: Final = "SELECT log, epoch, MAX(seq) FROM audit_log GROUP BY log, epoch ORDER BY log, epoch"


@dataclass(frozen=True, slots=True)
class LogRecord:
    """One record as it stands in the log."""

    seq: int
    at: datetime
    body: bytes


class AuditStore:
    """The log slot this process writes, and every log to read."""

    def __init__(self, database: Database, clock: Clock, log: Log) -> None:
        self._database = database
        self._clock = clock
        self._log = log

    async def append(self, record: bytes, issued: Sequence[Issued] = ()) -> int:
        """Write one record and the ids issued with it; durable when this returns. Give its sequence number.

        Raises:
            Unavailable: `audit-unavailable`; nothing may be shown.
        """
        extras = [issued_store.kept(one) for one in issued] if issued else ()
        return await self._database.append(self._log, to_micros(self._clock.now()), record, extras)

    async def records(self, after: int = 0, log: Log | None = None) -> AsyncIterator[LogRecord]:
        """The records of a log (this process's own, unless named) after a sequence number, in order.

        Raises:
            Unavailable: `store-unavailable`.
        """
        slot, epoch = log or self._log
        while page := await self._database.rows(_AFTER, (slot, epoch, after, _PAGE)):
            for seq, at, body in page:
                yield LogRecord(seq, from_micros(at), body)
            after = page[-1][0]

    async def heads(self) -> dict[Log, int]:
        """The last sequence number of every log and epoch."""
        return {(slot, epoch): seq for slot, epoch, seq in await self._database.rows(_HEADS)}
