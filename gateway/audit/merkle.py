"""Merkle trees over the entries of a log: roots, and proofs of inclusion and of consistency. Pure.

Spec: RFC 9162 (December 2021), 2.1, with SHA-256.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256
from typing import Final

Node = Callable[[int, int], bytes]  # (level, index): root of the full tree over entries index << level and on

EMPTY: Final = sha256(b"").digest()
TILE: Final = 256  # entries whose hashes are kept together
TILE_LEVEL: Final = 8
HASH_BYTES: Final = 32


def entry_of(at: int, body: bytes) -> bytes:
    """The bytes of a record that are hashed: the moment it was written, in microseconds since 1970, and its body."""
    return at.to_bytes(8, "big") + body


def leaf_hash(entry: bytes) -> bytes:
    """The hash of one entry."""
    return sha256(b"\0" + entry).digest()


def leaf_hashes(rows: Iterable[tuple[int, bytes]]) -> list[bytes]:
    """The hashes of many entries, given as moments and bodies."""
    return [sha256(b"\0" + at.to_bytes(8, "big") + body).digest() for at, body in rows]


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of two trees side by side."""
    return sha256(b"\1" + left + right).digest()


class Frontier:
    """What must be known of a tree to add to it: the roots of its full subtrees, the largest first."""

    __slots__ = ("_nodes", "size")

    def __init__(self, size: int = 0, nodes: Iterable[bytes] = ()) -> None:
        self.size = size
        self._nodes = list(nodes)

    @classmethod
    def load(cls, size: int, raw: bytes) -> Frontier:
        """The frontier `dump` wrote.

        Raises:
            ValueError: not as many hashes as a tree of this size has.
        """
        if len(raw) != HASH_BYTES * size.bit_count():
            message = "the frontier does not fit the size of its tree"
            raise ValueError(message)
        return cls(size, hashes_in(raw))

    def dump(self) -> bytes:
        """The hashes, one after the other."""
        return b"".join(self._nodes)

    def copy(self) -> Frontier:
        """The same tree, to go on with separately."""
        return Frontier(self.size, self._nodes)

    def extend(self, leaves: Iterable[bytes]) -> None:
        """Add entries by their hashes."""
        nodes, size = self._nodes, self.size
        for leaf in leaves:
            node, rest = leaf, size
            while rest & 1:
                node = sha256(b"\1" + nodes.pop() + node).digest()
                rest >>= 1
            nodes.append(node)
            size += 1
        self.size = size

    def add_tree(self, level: int, root: bytes) -> None:
        """Add 2 ** level entries at once by the root of their full tree; the size must be a multiple of that."""
        rest = self.size >> level
        while rest & 1:
            root = node_hash(self._nodes.pop(), root)
            rest >>= 1
        self._nodes.append(root)
        self.size += 1 << level

    def root(self) -> bytes:
        """The root of the tree as it is now."""
        if not self._nodes:
            return EMPTY
        *rest, root = self._nodes
        for node in reversed(rest):
            root = node_hash(node, root)
        return root


def root_of(leaves: Iterable[bytes]) -> bytes:
    """The root over the hashes of entries."""
    tree = Frontier()
    tree.extend(leaves)
    return tree.root()


def hashes_in(raw: bytes) -> list[bytes]:
    """The hashes of a row of them."""
    return [raw[start : start + HASH_BYTES] for start in range(0, len(raw), HASH_BYTES)]


def cover(first: int, end: int) -> Iterator[tuple[int, int]]:
    """The full trees (level, index) that together are the entries from `first` up to `end`, in order."""
    while first < end:
        level = min((first & -first).bit_length() - 1 if first else 63, (end - first).bit_length() - 1)
        yield level, first >> level
        first += 1 << level


def inclusion_proof(index: int, size: int, node: Node) -> list[bytes]:
    """The hashes that lead from an entry to the root of a tree of this size.

    Spec: RFC 9162 2.1.3.1.
    """
    path: list[bytes] = []
    first, end = 0, size
    while end - first > 1:
        middle = first + _split(end - first)
        if index < middle:
            path.append(range_root(middle, end, node))
            end = middle
        else:
            path.append(range_root(first, middle, node))
            first = middle
    return path[::-1]


def consistency_proof(old: int, new: int, node: Node) -> list[bytes]:
    """The hashes that show that a tree only grew from one size to another.

    Spec: RFC 9162 2.1.4.1.
    """
    if old in {0, new}:
        return []
    path: list[bytes] = []
    first, end, whole = 0, new, True
    while old != end:
        middle = first + _split(end - first)
        if old <= middle:
            path.append(range_root(middle, end, node))
            end = middle
        else:
            path.append(range_root(first, middle, node))
            first, whole = middle, False
    return [*([] if whole else [range_root(first, end, node)]), *path[::-1]]


def range_root(first: int, end: int, node: Node) -> bytes:
    """The root of the tree over some entries: `first` must be where such a tree can begin."""
    *rest, (level, index) = cover(first, end)
    root = node(level, index)
    for left in reversed(rest):
        root = node_hash(node(*left), root)
    return root


def includes(leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> bool:
    """Claim that the path leads from this entry at this index to the root.

    Spec: RFC 9162 2.1.3.2.
    """
    if not 0 <= index < size:
        return False
    position, last, node = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            return False
        if position & 1 or position == last:
            node = node_hash(sibling, node)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            node = node_hash(node, sibling)
        position, last = position >> 1, last >> 1
    return last == 0 and node == root


def consistent(old: int, new: int, old_root: bytes, new_root: bytes, path: Sequence[bytes]) -> bool:
    """Claim that the tree of the old size and root is the beginning of the new one.

    Spec: RFC 9162 2.1.4.2. Every tree begins with the empty one.
    """
    if old == new:
        return not path and old_root == new_root
    if old == 0:
        return not path and old_root == EMPTY
    if not 0 < old < new or not path:
        return False
    steps = [old_root, *path] if old & (old - 1) == 0 else list(path)
    position, last = old - 1, new - 1
    while position & 1:
        position, last = position >> 1, last >> 1
    before = after = steps[0]
    for sibling in steps[1:]:
        if last == 0:
            return False
        if position & 1 or position == last:
            before, after = node_hash(sibling, before), node_hash(sibling, after)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            after = node_hash(after, sibling)
        position, last = position >> 1, last >> 1
    return last == 0 and before == old_root and after == new_root


def _split(count: int) -> int:
    """The largest power of two below a count."""
    return 1 << (count - 1).bit_length() - 1
