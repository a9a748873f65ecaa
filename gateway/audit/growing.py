"""A tree that is added to: its frontier, and the tiles that changed since they were last kept."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gateway.audit.checkpoints import Head, Log
from gateway.audit.merkle import HASH_BYTES, TILE, TILE_LEVEL, Frontier, hashes_in


@dataclass(frozen=True, slots=True)
class Tile:
    """The hashes of up to 256 records, and the root over them."""

    number: int
    root: bytes
    leaves: bytes


@dataclass(frozen=True, slots=True)
class Growth:
    """How far a log is, and what must be kept of it."""

    head: Head
    frontier: bytes
    tiles: tuple[Tile, ...]


class GrowingTree:
    """The tree of one log: whole tiles, and the tile that is not full. What it holds does not grow with the log."""

    def __init__(
        self, log: Log, whole: Frontier | None = None, leaves: Iterable[bytes] = (), part: Frontier | None = None
    ) -> None:
        self.log = log
        self._whole = whole or Frontier()
        self._leaves = list(leaves)  # of the tile that is not full
        self._part = part or Frontier()  # the tree over those
        self._full: list[Tile] = []
        self._kept = self.size

    @classmethod
    def load(cls, log: Log, size: int, frontier: bytes, leaves: bytes) -> GrowingTree:
        """The tree as it was kept; `leaves` are those of its last tile.

        Raises:
            ValueError: frontier or tile do not fit the size.
        """
        last = hashes_in(leaves) if size % TILE else []
        if len(last) != size % TILE:
            message = "the last tile does not fit the size of its tree"
            raise ValueError(message)
        known, whole = Frontier.load(size, frontier).dump(), size - size % TILE
        split = HASH_BYTES * whole.bit_count()
        part = Frontier.load(size % TILE, known[split:])
        return cls(log, Frontier.load(whole, known[:split]), last, part)

    @property
    def size(self) -> int:
        """How many records it covers."""
        return self._whole.size + len(self._leaves)

    @property
    def changed(self) -> bool:
        """Claim that it grew since it was last kept."""
        return self.size > self._kept

    def frontier(self) -> bytes:
        """What must be known to go on with it."""
        return self._whole.dump() + self._part.dump()

    def head(self) -> Head:
        """Size and root."""
        return Head(self.log, self.size, Frontier.load(self.size, self.frontier()).root())

    def add(self, leaves: Iterable[bytes]) -> None:
        """Add records by their hashes."""
        added = list(leaves)
        start = 0
        while start < len(added):
            some = added[start : start + TILE - len(self._leaves)]
            start += len(some)
            self._leaves += some
            self._part.extend(some)
            if len(self._leaves) == TILE:
                root = self._part.root()
                self._full.append(Tile(self._whole.size // TILE, root, b"".join(self._leaves)))
                self._whole.add_tree(TILE_LEVEL, root)
                self._leaves, self._part = [], Frontier()

    def growth(self) -> Growth:
        """What must be kept now; `kept` says that it was."""
        tiles = list(self._full)
        if self._leaves:
            tiles.append(Tile(self.size // TILE, self._part.root(), b"".join(self._leaves)))
        return Growth(self.head(), self.frontier(), tuple(tiles))

    def kept(self, growth: Growth) -> None:
        """Forget what is kept by now."""
        self._kept = growth.head.size
        whole = growth.head.size // TILE
        self._full = [tile for tile in self._full if tile.number >= whole]
