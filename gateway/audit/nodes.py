"""The full trees over a log, worked out from the hashes that are kept. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.audit.merkle import HASH_BYTES, TILE, TILE_LEVEL, Frontier, cover, hashes_in, node_hash, range_root


class Nodes:
    """Roots of the tiles, and the hashes of those tiles that are looked into."""

    def __init__(self, roots: bytes, leaves: Mapping[int, bytes], known: Frontier | None = None) -> None:
        self._roots = roots
        self._leaves = leaves
        self._made: dict[tuple[int, int], bytes] = {}
        if known is not None:
            self._made.update(zip(cover(0, known.size), hashes_in(known.dump()), strict=True))

    def __call__(self, level: int, index: int) -> bytes:
        """The root of one full tree.

        Raises:
            LookupError: the hashes it needs are not there.
        """
        made = self._made.get((level, index))
        if made is not None:
            return made
        if level == TILE_LEVEL and self._roots:
            found = self._roots[index * HASH_BYTES : (index + 1) * HASH_BYTES]
        elif level == 0:
            place = index % TILE * HASH_BYTES
            found = self._leaves.get(index // TILE, b"")[place : place + HASH_BYTES]
        else:
            return self._joined(level, index)
        if len(found) != HASH_BYTES:
            message = "a hash that was kept is gone"
            raise LookupError(message)
        return found

    def root(self, size: int) -> bytes:
        """The root over the first records."""
        return range_root(0, size, self)

    def leaf(self, sequence: int) -> bytes:
        """The hash of one record."""
        return hashes_in(self._leaves[(sequence - 1) // TILE])[(sequence - 1) % TILE]

    def frontier(self, size: int) -> Frontier:
        """What must be known of the first records to add to them."""
        return Frontier(size, [self(level, index) for level, index in cover(0, size)])

    def _joined(self, level: int, index: int) -> bytes:
        left, right = self(level - 1, index * 2), self(level - 1, index * 2 + 1)
        found = self._made[level, index] = node_hash(left, right)
        return found
