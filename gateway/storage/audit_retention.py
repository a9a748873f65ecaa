"""Remove records whose time is over; their hashes stay, so that the log can be verified without them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Final

import msgspec

from gateway.audit.checkpoints import name_of
from gateway.audit.record import Record, decode, encode
from gateway.audit.retention import Hold, Retention, ranges
from gateway.errors import Invalid
from gateway.model import instant
from gateway.storage import audit_segments, audit_tally
from gateway.storage.audit_segments import AuditSegments
from gateway.storage.audit_store import AuditStore
from gateway.storage.audit_trees import AuditTrees
from gateway.storage.instants import from_micros, to_micros
from gateway.storage.writer import Cursor, Log

AT_ONCE: Final = 500  # records in one commit: requests wait for it

_ROWS: Final = f"SELECT seq, at, body FROM audit_log WHERE log = ? AND epoch = ? AND seq > ? AND seq < ? ORDER BY seq LIMIT {AT_ONCE}"  # noqa: S608 - a constant
_REMOVE: Final = "DELETE FROM audit_log WHERE log = ? AND epoch = ? AND seq >= ? AND seq <= ?"
_RETIRED: Final = "INSERT INTO audit_retired (log, epoch, first, last, at) VALUES (?, ?, ?, ?, ?) ON CONFLICT (log, epoch, first) DO NOTHING"
_HOLDS: Final = "SELECT id, party, patient, starts, ends FROM audit_hold WHERE lifted IS NULL ORDER BY id"
_PLACE: Final = "INSERT INTO audit_hold (id, party, patient, starts, ends, placed) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING"
_LIFT: Final = "UPDATE audit_hold SET lifted = ? WHERE id = ? AND lifted IS NULL"


_Over = tuple[int, Record]  # moment, and what is taken out of the table beside the log


class AuditRetention:
    """Holds, and the removal of what nothing holds any more."""

    def __init__(self, trees: AuditTrees, audit: AuditStore, retention: Retention) -> None:
        self._database = trees.database
        self._trees = trees
        self._audit = audit
        self._retention = retention

    async def holds(self) -> list[Hold]:
        """Every hold in force."""
        rows = await self._database.rows(_HOLDS)
        return [
            Hold(id_, party, patient, from_micros(starts), from_micros(ends))
            for id_, party, patient, starts, ends in rows
        ]

    async def place(self, hold: Hold, now: datetime) -> None:
        """Keep what a question of law is about.

        Raises:
            Invalid: `conflict`: the name was used before.
        """
        row = (hold.id, hold.party, hold.patient, to_micros(hold.starts), to_micros(hold.ends), to_micros(now))
        if await self._database.write(lambda cursor: cursor.execute(_PLACE, row).rowcount) != 1:
            raise Invalid("conflict", why=f"there was a hold '{hold.id}' before; give it another name")
        await self._note("hold", now, f"placed {hold.id}")

    async def lift(self, id_: str, now: datetime) -> bool:
        """End a hold; false when none of this name is in force."""
        row = (to_micros(now), id_)
        if await self._database.write(lambda cursor: cursor.execute(_LIFT, row).rowcount) != 1:
            return False
        await self._note("hold", now, f"lifted {id_}")
        return True

    async def retire(self, now: datetime) -> int:
        """Remove every record whose time is over; give how many. What is removed is put on record first."""
        segments = AuditSegments(self._database)
        while await segments.fill():  # what is taken away from the sums was added to them before
            pass
        holds = await self.holds()
        return sum([await self._retire(log, holds, now) for log in await self._trees.logs()])

    async def _retire(self, log: Log, holds: Sequence[Hold], now: datetime) -> int:
        # The last record of a log stays: the next number is counted from it.
        size, _, _ = await self._trees.held(log)
        horizon, after, count = to_micros(self._retention.horizon(now)), 0, 0
        while rows := await self._database.rows(_ROWS, (*log, after, size)):
            past = [row for row in rows if row[1] < horizon]
            over = {seq: one for seq, at, body in past if (one := self._over(body, at, holds, now))}
            found = list(ranges(over))
            if found:
                texts = [f"log {name_of(log)} records {first} to {last}" for first, last in found]
                await self._note("retire", now, *texts)
                await self._database.write(partial(_remove, log, over, found, now))
                count += len(over)
            if len(past) < len(rows):
                break
            after = rows[-1][0]
        return count

    def _over(self, body: bytes, at: int, holds: Sequence[Hold], now: datetime) -> _Over | None:
        """What must be known of a record to remove it; None when its time is not over."""
        try:
            record = decode(body)
        except msgspec.DecodeError:  # of a later program: not ours to remove
            return None
        moment = from_micros(at)
        if not self._retention.over(record, moment, now) or any(hold.covers(record, moment) for hold in holds):
            return None
        return at, record

    async def _note(self, kind: str, now: datetime, *reasons: str) -> None:
        record = Record(kind=kind, at=instant(now), request="gateway", reasons=reasons)  # type: ignore[arg-type]  # "hold" or "retire"
        await self._audit.append(encode(record))


def _remove(log: Log, over: dict[int, _Over], found: Sequence[tuple[int, int]], now: datetime, cursor: Cursor) -> None:
    audit_tally.take_away(cursor, over.values())
    for first, last in found:
        cursor.execute(_REMOVE, (*log, first, last))
        audit_segments.forget(cursor, log, first, last)
        cursor.execute(_RETIRED, (*log, first, last, to_micros(now)))
