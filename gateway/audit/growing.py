"""A tree that is added to: its frontier, and the tiles that changed since they were last kept."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gateway.audit.checkpoints import Head, Log
from gateway.audit.merkle import TILE, Frontier, hashes_in, root_of


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
    """The tree of one log. What it holds does not grow with the log."""

    def __init__(self, log: Log, frontier: Frontier | None = None, leaves: Iterable[bytes] = ()) -> None:
        self.log = log
        self._frontier = frontier or Frontier()
        self._leaves = list(leaves)  # of the tile that is not full
        self._full: list[Tile] = []
        self._kept = self._frontier.size

    @classmethod
    def load(cls, log: Log, size: int, frontier: bytes, leaves: bytes) -> GrowingTree:
        """The tree as it was kept; `leaves` are those of its last tile.

        Raises:
            ValueError: frontier or tile do not fit the size.
        """
        last = hashes_in(leaves)
        if len(last) % TILE != size % TILE:
            message = "the last tile does not fit the size of its tree"
            raise ValueError(message)
        return cls(log, Frontier.load(size, frontier), last if size % TILE else ())

    @property
    def size(self) -> int:
        """How many records it covers."""
        return self._frontier.size

    @property
    def changed(self) -> bool:
        """Claim that it grew since it was last kept."""
        return self._frontier.size > self._kept

    def head(self) -> Head:
        """Size and root."""
        return Head(self.log, self.size, self._frontier.root())

    def add(self, leaves: Iterable[bytes]) -> None:
        """Add records by their hashes."""
        added = list(leaves)
        self._frontier.extend(added)
        self._leaves += added
        while len(self._leaves) >= TILE:
            tile, self._leaves = self._leaves[:TILE], self._leaves[TILE:]
            self._full.append(Tile((self.size - len(self._leaves)) // TILE - 1, root_of(tile), b"".join(tile)))

    def growth(self) -> Growth:
        """What must be kept now; `kept` says that it was."""
        tiles = list(self._full)
        if self._leaves:
            tiles.append(Tile(self.size // TILE, root_of(self._leaves), b"".join(self._leaves)))
        return Growth(self.head(), self._frontier.dump(), tuple(tiles))

    def kept(self, growth: Growth) -> None:
        """Forget what is kept by now."""
        self._kept = growth.head.size
        whole = growth.head.size // TILE
        self._full = [tile for tile in self._full if tile.number >= whole]
