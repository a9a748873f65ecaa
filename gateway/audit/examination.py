"""Examine every log: collect what was signed about it and who holds that, then read it from the first record to the last."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Protocol

from gateway.audit import checkpoints
from gateway.audit.checkpoints import Checkpoint, Log, name_of
from gateway.audit.merkle import TILE, hashes_in
from gateway.audit.verification import LATE, OWN, Claim, Finding, LogCheck, Range, Row
from gateway.crypto.notes import Note, Verifier

TILES: Final = 16  # read at a time
_EPOCH: Final = datetime.fromisoformat("1970-01-01T00:00:00+00:00")

Progress = Callable[[Log, int, int], None]  # log, records read, records there


class Shelf(Protocol):
    """What is kept of the logs; see `gateway.storage.audit_trees`."""

    async def logs(self) -> list[Log]:
        """Every log there is."""
        ...

    async def served(self) -> datetime | None:
        """Since when a gateway serves from here, so that there must be a log; None = never."""
        ...

    async def newest(self, log: Log) -> int:
        """The number of the last record of a log."""
        ...

    async def rows(self, log: Log, after: int, until: int) -> list[Row]:
        """Records of a log."""
        ...

    async def retired(self, log: Log, first: int, last: int) -> list[Range]:
        """What was retired of these records."""
        ...

    async def tiles(self, log: Log, first: int, end: int) -> list[tuple[int, bytes, bytes]]:
        """Number, root and hashes of some tiles."""
        ...

    async def notes(self, log: Log, after: int = -1) -> list[tuple[int, bytes]]:
        """Checkpoints of a log."""
        ...


@dataclass(frozen=True, slots=True)
class Examined:
    """One log as it was found. Units: `covered` and `witnessed` in records from the first."""

    log: Log
    records: int
    covered: int
    witnessed: int
    retired: int
    from_: int
    root: str


@dataclass
class Examination:
    """What was examined, against what, and what was found."""

    base: str
    started: datetime
    keys: tuple[str, ...]
    since: datetime | None = None
    ended: datetime | None = None
    holders: list[str] = field(default_factory=list)  # who held checkpoints, beside ourselves
    silent: list[str] = field(default_factory=list)  # witnesses that could not be asked
    checkpoints: int = 0
    logs: list[Examined] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    @property
    def whole(self) -> bool:
        """Claim that nothing was found."""
        return not self.findings


class Examiner:
    """Examines the logs of one gateway with public keys alone."""

    def __init__(self, shelf: Shelf, base: str, keys: Iterable[bytes], started: datetime) -> None:
        self._shelf = shelf
        self._base = base
        self._keys = tuple(keys)
        self._claims: dict[Log, dict[tuple[int, bytes, str], Claim]] = {}
        self._newest: datetime | None = None
        self._signed: dict[Log, tuple[int, datetime]] = {}  # the largest size of each log, and when it was last signed
        self.report = Examination(base, started, tuple(str(Verifier(base, key)) for key in self._keys))

    def add(self, raw: bytes, holder: str) -> bool:
        """Take a checkpoint as evidence; false when no key that is trusted signed it."""
        try:
            note = Note.parse(raw)
            checkpoint = Checkpoint.parse(note.text)
        except (ValueError, AttributeError, TypeError):
            return False
        expected = checkpoints.origin_of(self._base, checkpoint.log)
        if checkpoint.origin != expected or not any(Verifier(expected, key).signed(note) for key in self._keys):
            return False
        for head in {checkpoint.head, *checkpoint.heads}:
            found = self._claims.setdefault(head.log, {})
            known = found.get((head.size, head.root, holder))
            if known is None or checkpoint.at < known.at:
                found[head.size, head.root, holder] = Claim(head, checkpoint.at, holder)
        self._newest = max(self._newest or checkpoint.at, checkpoint.at)
        signed = (checkpoint.head.size, checkpoint.at)
        self._signed[checkpoint.log] = max(self._signed.get(checkpoint.log, signed), signed)
        self.report.checkpoints += 1
        if holder and holder not in self.report.holders:
            self.report.holders.append(holder)
        return True

    async def run(self, since: datetime | None, progress: Progress) -> Examination:
        """Read every log."""
        self.report.since = since
        logs = await self._shelf.logs()
        own = self.report.checkpoints
        for log in logs:
            await self._own_notes(log)
        served = await self._shelf.served()
        if self.report.checkpoints == own and served is not None and served < self.report.started - LATE:
            text = f"a gateway serves from here since {_moment(_micros(served))}, and no log it signed is left"
            self.report.findings.append(Finding((1, 1), 0, 0, "missing-log", text))
        for log in sorted({*logs, *self._claims}):
            try:
                await self._examine(log, since, progress)
            except (TypeError, ValueError, ArithmeticError, LookupError) as error:
                text = f"its tables hold what no gateway writes, so that it cannot be read to its end ({type(error).__name__})"
                self.report.findings.append(Finding(log, 0, 0, "edit", text))
        self.report.findings.sort()
        return self.report

    async def _own_notes(self, log: Log) -> None:
        after = -1
        none = True
        while page := await self._shelf.notes(log, after):
            none = False
            for at, raw in page:
                if not self.add(raw, OWN):
                    text = f"the checkpoint of {_moment(at)} is not signed by a key of this gateway"
                    self.report.findings.append(Finding(log, 0, 0, "checkpoint", text))
                after = at
        if none and await self._shelf.tiles(log, 0, 1):
            text = "records were signed, and every checkpoint of them that was kept here is gone"
            self.report.findings.append(Finding(log, 0, 0, "checkpoint", text))

    async def _examine(self, log: Log, since: datetime | None, progress: Progress) -> None:
        claims = self._claims.get(log, {}).values()
        signed = self._signed.get(log)
        check = LogCheck(log, claims, self.report.started, signed[1] if signed else None)
        newest = await self._shelf.newest(log)
        first = await self._first_tile(log, newest, since) if since else 0
        await self._skip(check, first)
        tile = first
        while tiles := await self._shelf.tiles(log, tile, tile + TILES):
            if tiles[0][0] != tile:
                break
            tile = await self._tiles(check, tiles)
            progress(log, tile * TILE, newest)
        async for rows in self._rows(log, check.size):
            check.tail(rows)
            progress(log, rows[-1][0], newest)
        self.report.findings += check.end()
        if not claims and check.records:
            self.report.findings += await self._unknown(log)
        witnessed = max((one.head.size for one in claims if one.holder), default=0)
        root = check.root().hex()
        self.report.logs.append(
            Examined(log, check.records, check.size, witnessed, check.retired, first * TILE + 1, root)
        )

    async def _tiles(self, check: LogCheck, tiles: Sequence[tuple[int, bytes, bytes]]) -> int:
        """Hold some tiles against their records; give the number of the next tile."""
        first, hashes = tiles[0][0] * TILE, [hashes_in(leaves) for _, _, leaves in tiles]
        last = first + sum(map(len, hashes))
        rows = await self._shelf.rows(check.log, first, first + len(tiles) * TILE)
        # After the records: what was retired in between is known by now.
        present = sum(row[0] <= last for row in rows)
        gone = await self._shelf.retired(check.log, first + 1, last) if present < last - first else []
        place = 0
        for (number, _, _), kept in zip(tiles, hashes, strict=True):
            end, full = place, number * TILE + (TILE if len(kept) == TILE else len(kept))
            while end < len(rows) and rows[end][0] <= full:
                end += 1
            check.tile(kept, rows[place:end], gone)
            place = end
            if len(kept) < TILE:
                return number + 1
        return tiles[-1][0] + 1

    async def _rows(self, log: Log, after: int) -> AsyncIterator[Sequence[Row]]:
        while rows := await self._shelf.rows(log, after, after + TILES * TILE):
            yield rows
            after = rows[-1][0]

    async def _skip(self, check: LogCheck, count: int) -> None:
        for first in range(0, count, TILES * TILE):
            for _, root, _ in await self._shelf.tiles(check.log, first, min(first + TILES * TILE, count)):
                check.skip(root)

    async def _first_tile(self, log: Log, newest: int, since: datetime) -> int:
        """The tile of the first record of a moment: records stand in the order of time, but for steps of the clock."""
        low, high = 0, newest // TILE
        while low < high:
            middle = (low + high) // 2
            rows = await self._shelf.rows(log, middle * TILE, middle * TILE + TILE)
            if rows and rows[-1][1] < _micros(since):
                low = middle + 1
            else:
                high = middle
        return low

    async def _unknown(self, log: Log) -> list[Finding]:
        """A log that no checkpoint knows may be so young that none could."""
        rows = await self._shelf.rows(log, 0, 1)
        if self._newest is None or not rows or rows[0][1] > _micros(self._newest - LATE):
            return []
        last = await self._shelf.newest(log)
        text = f"log {name_of(log)} with {last} records stands in no checkpoint: it was put there afterwards"
        return [Finding(log, 1, last, "insertion", text)]


def _micros(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(microseconds=1)


def _moment(micros: int) -> str:
    return (_EPOCH + timedelta(microseconds=micros)).isoformat(timespec="seconds")
