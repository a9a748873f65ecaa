"""A whole log in memory, kept by the gateway's own notary and witnesses, for tests that then lay hands on it."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.audit.checkpoints import Checkpoint, Log, origin_of, tree_in
from gateway.audit.examination import Examination, Examiner
from gateway.audit.growing import GrowingTree, Growth
from gateway.audit.merkle import TILE, Frontier, consistency_proof
from gateway.audit.nodes import Nodes
from gateway.audit.notary import Notary, SignedNote
from gateway.audit.witness import Addition, Objection, objection
from gateway.crypto.notes import Note, Verifier
from tests.fakes import NOON, FixedClock

BASE = "gateway.example/audit"
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
Row = tuple[int, int, bytes]


class Keys:
    """An audit key, and the next one."""

    def __init__(self, *keys: Ed25519PrivateKey) -> None:
        self._keys = dict(enumerate(keys or (KEY,), 1))

    def current(self, kind: str) -> int:
        assert kind == "audit"
        return max(self._keys)

    def sign_audit(self, message: bytes, number: int | None = None) -> bytes:
        return self._keys[number or max(self._keys)].sign(message)

    def audit_keys(self) -> dict[int, bytes]:
        return {number: key.public_key().public_bytes_raw() for number, key in self._keys.items()}


@dataclass
class Shelf:
    """What the database holds of the logs."""

    records: dict[Log, list[Row]] = field(default_factory=dict)
    trees: dict[Log, tuple[int, bytes]] = field(default_factory=dict)
    kept_tiles: dict[Log, dict[int, tuple[bytes, bytes]]] = field(default_factory=dict)
    kept_notes: dict[Log, list[tuple[int, bytes]]] = field(default_factory=dict)
    gone: dict[Log, list[tuple[int, int]]] = field(default_factory=dict)
    restored: bool = False
    own: Log = (1, 1)

    async def logs(self) -> list[Log]:
        return sorted({log for log, rows in self.records.items() if rows} | self.trees.keys())

    async def served(self) -> datetime | None:
        return None

    async def newest(self, log: Log) -> int:
        return max((row[0] for row in self.records.get(log, [])), default=0)

    async def rows(self, log: Log, after: int, until: int) -> list[Row]:
        return [row for row in self.records.get(log, []) if after < row[0] <= until]

    async def retired(self, log: Log, first: int, last: int) -> list[tuple[int, int]]:
        return [one for one in self.gone.get(log, []) if one[0] <= last and one[1] >= first]

    async def retired_until(self, log: Log) -> int:
        return max((last for _, last in self.gone.get(log, [])), default=0)

    async def lost(self, log: Log) -> bool:
        return self.restored and any(one[0] == log[0] and one[1] > log[1] for one in await self.logs())

    async def live(self, now: datetime) -> set[Log]:
        return set()

    async def sizes(self) -> dict[Log, tuple[int, bytes]]:
        return dict(self.trees)

    async def tree(self, log: Log) -> GrowingTree:
        if log not in self.trees:
            return GrowingTree(log)
        size, frontier = self.trees[log]
        return GrowingTree.load(log, size, frontier, self.kept_tiles[log][size // TILE][1] if size % TILE else b"")

    async def held(self, log: Log) -> tuple[int, bytes, bytes | None]:
        return *self.trees.get(log, (0, b"")), await self.last_note(log)

    async def tiles(self, log: Log, first: int, end: int) -> list[tuple[int, bytes, bytes]]:
        found = sorted(self.kept_tiles.get(log, {}).items())
        return [(number, *tile) for number, tile in found if first <= number < end]

    async def nodes(self, log: Log, size: int, *more: int) -> Nodes:
        tiles = await self.tiles(log, 0, size // TILE + 1)
        return Nodes(b"".join(root for number, root, _ in tiles if number < size // TILE), {t[0]: t[2] for t in tiles})

    async def nodes_since(self, log: Log, known: Frontier, size: int) -> Nodes:
        tiles = await self.tiles(log, known.size // TILE, size // TILE + 1)
        return Nodes(b"", {number: leaves for number, _, leaves in tiles}, known)

    async def notes(self, log: Log, after: int = -1) -> list[tuple[int, bytes]]:
        return [one for one in self.kept_notes.get(log, []) if one[0] > after]

    async def last_note(self, log: Log) -> bytes | None:
        notes = self.kept_notes.get(log)
        return notes[-1][1] if notes else None

    async def keep(self, growths: Sequence[Growth], notes: Sequence[SignedNote]) -> None:
        for growth in growths:
            log = growth.head.log
            self.trees[log] = (growth.head.size, growth.frontier)
            tiles = self.kept_tiles.setdefault(log, {})
            tiles |= {tile.number: (tile.root, tile.leaves) for tile in growth.tiles}
        for note in notes:
            self.kept_notes.setdefault(note.log, []).append((int(note.at.timestamp() * 1e6), note.raw))

    async def keep_cosigned(self, witness: str, note: SignedNote) -> None:
        """Not looked at."""


@dataclass
class Seen:
    """A witness: the last checkpoint of every log it signed, by the rules a witness has."""

    id: str
    notes: dict[str, list[Note]] = field(default_factory=dict)
    every: timedelta = timedelta(0)

    def last(self, origin: str) -> Note | None:
        return self.notes[origin][-1] if origin in self.notes else None

    def show(self, addition: Addition) -> Objection | None:
        origin = tree_in(addition.note.text)[0]
        against = objection(
            addition, self.last(origin), [Verifier(origin, raw) for raw in Keys(KEY, OTHER).audit_keys().values()]
        )
        if against is None:
            self.notes.setdefault(origin, []).append(addition.note)
        return against


@dataclass
class Ledger:
    """A gateway's logs, and the witnesses that follow them."""

    shelf: Shelf = field(default_factory=Shelf)
    clock: FixedClock = field(default_factory=FixedClock)
    witnesses: list[Seen] = field(default_factory=lambda: [Seen("w1")])
    keys: Keys = field(default_factory=Keys)
    objections: list[Objection] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.jumps: list[timedelta] = []
        self.notary = self.appointed()

    def appointed(self) -> Notary:
        async def jumped(step: timedelta) -> None:
            self.jumps.append(step)

        hour = timedelta(hours=1)
        return Notary(self.shelf, self.keys, self.clock, BASE, hour, hour * 99_999, jumped)

    async def append(self, bodies: Sequence[bytes], log: Log = (1, 1)) -> None:
        """Records as the writer commits them."""
        rows = self.shelf.records.setdefault(log, [])
        first = len(rows) + 1
        self.clock.at += timedelta(seconds=1)
        at = int(self.clock.at.timestamp() * 1e6)
        rows += [(first + place, at, body) for place, body in enumerate(bodies)]
        self.notary.committed(log, first, [(at, body) for body in bodies])

    async def checkpoint(self, *witnesses: Seen) -> None:
        """Cut a checkpoint of every log that grew, and show it."""
        self.clock.at += timedelta(seconds=1)
        before = {log: len(notes) for log, notes in self.shelf.kept_notes.items()}
        self.notary._looked = -1e9
        await self.notary._follow_own()
        await self.notary._follow_others()
        await self.notary.cut(self.clock.at, 0)
        for log, notes in self.shelf.kept_notes.items():
            for _, raw in notes[before.get(log, 0) :]:
                for witness in witnesses or self.witnesses:
                    await self.show(witness, Note.parse(raw))

    async def show(self, witness: Seen, note: Note) -> None:
        log = Checkpoint.parse(note.text).log
        known, size = witness.last(origin_of(BASE, log)), tree_in(note.text)[1]
        old = tree_in(known.text)[1] if known else 0
        proof = consistency_proof(old, size, await self.shelf.nodes(log, size, old)) if old <= size else []
        if against := witness.show(Addition(old, tuple(proof), note)):
            self.objections.append(against)

    def fork(self) -> Ledger:
        """The same gateway with the same key, going on apart; witnesses are not copied."""
        made = Ledger(copy.deepcopy(self.shelf), FixedClock(self.clock.at), self.witnesses, self.keys)
        for log, tree in self.notary._grown.items():
            made.notary._grown[log] = copy.deepcopy(tree)
        made.notary._heads = dict(self.notary._heads)
        return made

    async def examined(self, since: datetime | None = None, given: Sequence[Note] = ()) -> Examination:
        """What `gateway audit verify` finds."""
        examiner = Examiner(self.shelf, BASE, self.keys.audit_keys().values(), self.clock.at)
        for witness in self.witnesses:
            for notes in witness.notes.values():
                for note in notes:
                    assert examiner.add(note.raw(), f"witness '{witness.id}'")
        for note in given:
            assert examiner.add(note.raw(), "an auditor")
        return await examiner.run(since, lambda *_: None)


async def grown(sizes: Sequence[int], log: Log = (1, 1), start: datetime = NOON) -> Ledger:
    """A log with a checkpoint after each of some sizes."""
    ledger = Ledger(clock=FixedClock(start))
    have = 0
    for size in sizes:
        await ledger.append([b"record %d" % number for number in range(have, size)], log)
        await ledger.checkpoint()
        have = size
    return ledger
