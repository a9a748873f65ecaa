"""The trees over the logs as they are kept: frontiers, tiles, checkpoints, and what witnesses signed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from gateway.audit.growing import GrowingTree, Growth
from gateway.audit.merkle import TILE, Frontier
from gateway.audit.nodes import Nodes
from gateway.audit.notary import SignedNote
from gateway.audit.verification import Range, Row
from gateway.storage.database import Database
from gateway.storage.instants import from_micros, to_micros
from gateway.storage.log_names import logs_in
from gateway.storage.writer import Cursor, Log

PAGE: Final = 4_096  # records at a time; whole tiles

_NEWEST: Final = "SELECT COALESCE(MAX(seq), 0) FROM audit_log WHERE log = ? AND epoch = ? AND seq < 9223372036854775807"  # only numbers are
_ROWS: Final = "SELECT seq, at, {body} FROM audit_log WHERE log = ? AND epoch = ? AND seq > ? AND seq <= ? ORDER BY seq"
_SERVED: Final = "SELECT MIN(loaded) FROM policy_revision"
_TREES: Final = "SELECT log, epoch, size, frontier FROM audit_tree ORDER BY log, epoch"
_TREE: Final = "SELECT size, frontier FROM audit_tree WHERE log = ? AND epoch = ?"
_TILES: Final = (
    "SELECT tile, {root}, {leaves} FROM audit_tile WHERE log = ? AND epoch = ? AND tile >= ? AND tile < ? ORDER BY tile"
)
_ROOTS: Final = "SELECT tile, root FROM audit_tile WHERE log = ? AND epoch = ? AND tile >= ? AND tile < ? ORDER BY tile"
_GROW: Final = (
    "INSERT INTO audit_tree (log, epoch, size, frontier) VALUES (?, ?, ?, ?) ON CONFLICT (log, epoch) DO UPDATE "
    "SET size = excluded.size, frontier = excluded.frontier WHERE excluded.size > audit_tree.size"
)
_TILE: Final = (
    "INSERT INTO audit_tile (log, epoch, tile, root, leaves) VALUES (?, ?, ?, ?, ?) ON CONFLICT (log, epoch, tile) "
    "DO UPDATE SET root = excluded.root, leaves = excluded.leaves WHERE LENGTH(excluded.leaves) > LENGTH(audit_tile.leaves)"
)
_FORGET: Final = (
    "DELETE FROM audit_tree WHERE log = ? AND epoch = ?",
    "DELETE FROM audit_tile WHERE log = ? AND epoch = ?",
)
_NOTE: Final = (
    "INSERT INTO audit_checkpoint (log, epoch, at, size, note) VALUES (?, ?, ?, ?, ?) "
    "ON CONFLICT (log, epoch, at) DO UPDATE SET size = excluded.size, note = excluded.note"
)
_NOTES: Final = "SELECT at, {note} FROM audit_checkpoint WHERE log = ? AND epoch = ? AND at > ? ORDER BY at LIMIT 500"
_LAST: Final = "SELECT note FROM audit_checkpoint WHERE log = ? AND epoch = ? ORDER BY at DESC LIMIT 1"
_COSIGNED: Final = (
    "INSERT INTO audit_cosigned (witness, log, epoch, size, at, note) VALUES (?, ?, ?, ?, ?, ?) "
    "ON CONFLICT (witness, log, epoch) DO UPDATE SET size = excluded.size, at = excluded.at, note = excluded.note "
    "WHERE excluded.size >= audit_cosigned.size"
)
_BY_WITNESS: Final = "SELECT note FROM audit_cosigned WHERE witness = ? AND log = ? AND epoch = ?"
_COSIGNATURES: Final = "SELECT witness, note FROM audit_cosigned ORDER BY witness, log, epoch"
_RETIRED: Final = (
    "SELECT first, last FROM audit_retired WHERE log = ? AND epoch = ? AND first <= ? AND last >= ? ORDER BY first"
)
_RETIRED_UNTIL: Final = "SELECT COALESCE(MAX(last), 0) FROM audit_retired WHERE log = ? AND epoch = ?"
_AGES: Final = (
    "SELECT log, epoch, at FROM audit_checkpoint WHERE at > ? AND at <= ? ORDER BY log, epoch, at LIMIT 50000"
)
_THIN: Final = "DELETE FROM audit_checkpoint WHERE log = ? AND epoch = ? AND at = ?"
_LIVE: Final = "SELECT slot, epoch FROM log_slot WHERE holder <> '' AND until > ?"
_LOST: Final = "SELECT 1 FROM log_slot WHERE slot = ? AND epoch > ? AND EXISTS (SELECT 1 FROM restoration)"
_HELD: Final = (
    "SELECT size, frontier, (SELECT note FROM audit_checkpoint WHERE audit_checkpoint.log = audit_tree.log "
    "AND audit_checkpoint.epoch = audit_tree.epoch ORDER BY at DESC LIMIT 1) "
    "FROM audit_tree WHERE log = ? AND epoch = ?"
)

_MANY_TILES: Final = 64  # beyond it, roots of tiles are less to read than their hashes
_NO_MOMENT: Final = (1 << 63) - 1  # in place of what is none; no record was ever written then
_AT_ONCE: Final = 200  # a commit that takes long keeps requests waiting
_MINUTE: Final = 60_000_000
_THINNING: Final = (  # older than, younger than, and one in how many microseconds stays
    (timedelta(minutes=10), timedelta(hours=2), _MINUTE),
    (timedelta(days=1), timedelta(days=2), 60 * _MINUTE),
    (timedelta(days=31), timedelta(days=33), 24 * 60 * _MINUTE),
)


def sound(rows: list[Row]) -> list[Row]:
    """Records with moments, also where somebody put what is none."""
    if all(type(at) is int and at >= 0 for _, at, _ in rows):
        return rows
    return [(seq, at if type(at) is int and at >= 0 else _NO_MOMENT, body) for seq, at, body in rows]


class AuditTrees:
    """What is kept beside the records so that nobody can change them unseen."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.own = database.log
        self._rows = _ROWS.format(body=database.bytes_of("body"))
        self._tiles = _TILES.format(root=database.bytes_of("root"), leaves=database.bytes_of("leaves"))
        self._notes = _NOTES.format(note=database.bytes_of("note"))

    # --- records ---------------------------------------------------------------------------------

    async def logs(self) -> list[Log]:
        """Every log that has records or a tree."""
        return sorted({*await logs_in(self.database, "audit_log"), *await logs_in(self.database, "audit_tree")})

    async def served(self) -> datetime | None:
        """Since when a gateway serves from here: it keeps the policies it served under. None = never."""
        row = await self.database.row(_SERVED)
        return from_micros(row[0]) if row and row[0] else None

    async def newest(self, log: Log) -> int:
        """The number of the last record of a log."""
        row = await self.database.row(_NEWEST, log)
        return int(row[0]) if row else 0

    async def rows(self, log: Log, after: int, until: int) -> list[Row]:
        """The records of a log after a number, up to another, also where somebody put what a gateway never writes."""
        return sound(await self.database.rows(self._rows, (*log, after, until)))

    async def retired(self, log: Log, first: int, last: int) -> list[Range]:
        """What was retired of these records."""
        return await self.database.rows(_RETIRED, (*log, last, first))

    async def retired_until(self, log: Log) -> int:
        """The number of the last record of a log that was retired."""
        row = await self.database.row(_RETIRED_UNTIL, log)
        return int(row[0]) if row else 0

    async def live(self, now: datetime) -> set[Log]:
        """Logs another process is writing."""
        rows = await self.database.rows(_LIVE, (to_micros(now),))
        return {(slot, epoch) for slot, epoch in rows} - {self.own}

    async def lost(self, log: Log) -> bool:
        """Claim that a loss of records of this log is on the record: its slot goes on in a newer epoch."""
        row = await self.database.row(_LOST, log)
        return row is not None

    # --- trees -----------------------------------------------------------------------------------

    async def tree(self, log: Log) -> GrowingTree:
        """The tree of a log as it was last kept.

        Raises:
            ValueError: what was kept does not fit together.
        """
        row = await self.database.row(_TREE, log)
        if row is None:
            return GrowingTree(log)
        size, frontier = row
        last = await self.database.row(self._tiles, (*log, size // TILE, size // TILE + 1)) if size % TILE else None
        return GrowingTree.load(log, size, frontier, last[2] if last else b"")

    async def held(self, log: Log) -> tuple[int, bytes, bytes | None]:
        """Size, frontier and newest checkpoint of a log, as they were at one moment."""
        row = await self.database.row(_HELD, log)
        return (row[0], row[1], row[2]) if row else (0, b"", None)

    async def sizes(self) -> dict[Log, tuple[int, bytes]]:
        """Size and frontier of every tree."""
        return {(log, epoch): (size, raw) for log, epoch, size, raw in await self.database.rows(_TREES)}

    async def tiles(self, log: Log, first: int, end: int) -> list[tuple[int, bytes, bytes]]:
        """Number, root and hashes of some tiles."""
        return await self.database.rows(self._tiles, (*log, first, end))

    async def keep(self, growths: Sequence[Growth], notes: Sequence[SignedNote]) -> None:
        """Keep how far logs are, with what was signed about them; all of it or nothing.

        Raises:
            Unavailable: `store-unavailable`.
        """
        trees = [(*one.head.log, one.head.size, one.frontier) for one in growths]
        tiles = [(*one.head.log, tile.number, tile.root, tile.leaves) for one in growths for tile in one.tiles]
        rows = [(*note.log, to_micros(note.at), note.size, note.raw) for note in notes]

        def write(cursor: Cursor) -> None:
            for statement, many in ((_GROW, trees), (_TILE, tiles), (_NOTE, rows)):
                for parameters in many:
                    cursor.execute(statement, parameters)

        await self.database.write(write)

    async def replace(self, growth: Growth) -> None:
        """Keep a whole tree that was made again, in the place of what was kept of it."""
        log = growth.head.log

        def write(cursor: Cursor) -> None:
            for statement in _FORGET:
                cursor.execute(statement, log)
            cursor.execute(_GROW, (*log, growth.head.size, growth.frontier))
            cursor.executemany(_TILE, [(*log, tile.number, tile.root, tile.leaves) for tile in growth.tiles])

        await self.database.write(write)

    async def nodes(self, log: Log, size: int, *more: int) -> Nodes:
        """What proofs over the first `size` records need; `more`: also about these indexes or sizes."""
        roots = bytearray()
        for first in range(0, size // TILE, PAGE):
            page = await self.database.rows(_ROOTS, (*log, first, min(first + PAGE, size // TILE)))
            roots += b"".join(row[1] for row in page)
        leaves: dict[int, bytes] = {}
        for number in {place // TILE for place in (size, *more)}:
            leaves |= {tile: hashes for tile, _, hashes in await self.tiles(log, number, number + 1)}
        return Nodes(bytes(roots), leaves)

    async def nodes_since(self, log: Log, known: Frontier, size: int) -> Nodes:
        """What a proof needs that a tree grew from one that is known; what is older is not read."""
        if size - known.size > _MANY_TILES * TILE:
            return await self.nodes(log, size, known.size)
        found = await self.tiles(log, known.size // TILE, size // TILE + 1)
        return Nodes(b"", {tile: leaves for tile, _, leaves in found}, known)

    # --- checkpoints -----------------------------------------------------------------------------

    async def notes(self, log: Log, after: int = -1) -> list[tuple[int, bytes]]:
        """Up to 500 checkpoints of a log after a moment, in order: moment in microseconds, note."""
        return await self.database.rows(self._notes, (*log, after))

    async def last_note(self, log: Log) -> bytes | None:
        """The newest checkpoint of a log."""
        row = await self.database.row(_LAST, log)
        return row[0] if row else None

    async def thin(self, now: datetime) -> int:
        """Forget checkpoints that others stand for: one a minute after ten of them, one an hour after a day, one a day for good."""
        dropped: list[tuple[int, int, int]] = []
        for older, newer, every in _THINNING:
            rows = await self.database.rows(_AGES, (to_micros(now - newer), to_micros(now - older)))
            kept: tuple[int, ...] = ()
            for log, epoch, at in reversed(rows):  # the last of each stays
                if (log, epoch, at // every) == kept:
                    dropped.append((log, epoch, at))
                kept = (log, epoch, at // every)
        for first in range(0, len(dropped), _AT_ONCE):
            some = dropped[first : first + _AT_ONCE]
            await self.database.write(lambda cursor, some=some: cursor.executemany(_THIN, some))  # type: ignore[misc]
        return len(dropped)

    # --- witnesses -------------------------------------------------------------------------------

    async def cosigned(self, witness: str, log: Log) -> bytes | None:
        """The last checkpoint of a log this witness signed."""
        row = await self.database.row(_BY_WITNESS, (witness, *log))
        return row[0] if row else None

    async def keep_cosigned(self, witness: str, note: SignedNote) -> None:
        """Keep what a witness signed."""
        parameters = (witness, *note.log, note.size, to_micros(note.at), note.raw)
        await self.database.write(lambda cursor: cursor.execute(_COSIGNED, parameters))

    async def cosignatures(self) -> list[tuple[str, bytes]]:
        """Every witness with the last checkpoint of each log it signed."""
        return await self.database.rows(_COSIGNATURES)
