"""The trees over a log, held against an independent implementation of RFC 9162."""

from __future__ import annotations

import random
from functools import partial

import pytest
from pymerkle import InmemoryTree

from gateway.audit import merkle
from gateway.audit.merkle import Frontier, consistent, cover, includes, leaf_hash, range_root, root_of


def entries(count: int, seed: int = 0) -> list[bytes]:
    chance = random.Random(seed)
    return [b"%d " % number + chance.randbytes(chance.randrange(40)) for number in range(count)]


def oracle(given: list[bytes]) -> InmemoryTree:
    tree = InmemoryTree(algorithm="sha256")
    for entry in given:
        tree.append_entry(entry)
    return tree


def node(leaves: list[bytes], level: int, index: int) -> bytes:
    return root_of(leaves[index << level : (index + 1) << level])


def test_roots_equal_those_of_an_independent_implementation() -> None:
    given = entries(300)
    tree, frontier = oracle(given), Frontier()
    assert frontier.root() == tree.get_root(0) == merkle.EMPTY
    for size in range(1, 301):
        frontier.extend([leaf_hash(given[size - 1])])
        assert frontier.root() == tree.get_root(size), size
        assert range_root(0, size, partial(node, [leaf_hash(one) for one in given[:size]])) == frontier.root()


@pytest.mark.slow
def test_roots_and_proofs_of_random_sizes_equal_those_of_an_independent_implementation() -> None:
    chance = random.Random(9162)
    given = entries(20_000, seed=1)
    leaves = [leaf_hash(one) for one in given]
    tree = oracle(given)
    for _ in range(25):
        new = chance.randrange(1, 20_001)
        old = chance.randrange(1, new + 1)
        assert root_of(leaves[:new]) == tree.get_root(new)
        path = merkle.consistency_proof(old, new, partial(node, leaves))
        assert consistent(old, new, tree.get_root(old), tree.get_root(new), path)
        index = chance.randrange(new)
        proof = tree.prove_inclusion(index + 1, new)
        assert merkle.inclusion_proof(index, new, partial(node, leaves)) == list(proof.path)[1:]


def test_every_proof_of_inclusion_holds_and_for_no_other_entry() -> None:
    leaves = [leaf_hash(one) for one in entries(40)]
    for size in range(1, 41):
        root = root_of(leaves[:size])
        for index in range(size):
            path = merkle.inclusion_proof(index, size, partial(node, leaves))
            assert includes(leaves[index], index, size, path, root)
            assert not includes(leaves[(index + 1) % 40], index, size, path, root)
            assert size == 1 or not includes(leaves[index], (index + 1) % size, size, path, root)
            assert not includes(leaves[index], index, size, [*path, root], root)
            assert not includes(leaves[index], index, size + 64, path, root)


def test_every_proof_of_growth_holds_and_for_no_other_history() -> None:
    leaves = [leaf_hash(one) for one in entries(40)]
    for new in range(1, 41):
        root = root_of(leaves[:new])
        for old in range(new + 1):
            path = merkle.consistency_proof(old, new, partial(node, leaves))
            before = root_of(leaves[:old])
            assert consistent(old, new, before, root, path)
            assert not consistent(old, new, leaf_hash(b"other"), root, path)
            assert not consistent(old, new, before, leaf_hash(b"other"), path) or old == 0
            assert not consistent(old, new, before, root, [*path, root])
            assert not path or not consistent(old, new, before, root, path[:-1])
            assert not consistent(new + 1, new, before, root, path)


def test_a_frontier_goes_on_where_it_was_kept() -> None:
    leaves = [leaf_hash(one) for one in entries(100)]
    for size in (0, 1, 7, 64, 99):
        kept = Frontier()
        kept.extend(leaves[:size])
        loaded = Frontier.load(size, kept.dump())
        apart = kept.copy()
        loaded.extend(leaves[size:])
        assert (loaded.size, loaded.root()) == (100, root_of(leaves))
        assert (apart.size, apart.root()) == (size, root_of(leaves[:size]))
    with pytest.raises(ValueError, match="does not fit"):
        Frontier.load(3, bytes(32))


def test_full_trees_stand_for_their_entries() -> None:
    leaves = [leaf_hash(one) for one in entries(200)]
    chance = random.Random(5)
    for _ in range(50):
        first, end = sorted(chance.sample(range(201), 2))
        tree = Frontier()
        tree.extend(leaves[:first])
        parts = list(cover(first, end))
        assert parts[0][1] << parts[0][0] == first
        for level, index in parts:
            tree.add_tree(level, node(leaves, level, index))
        assert tree.size == end
        tree.extend(leaves[end:])
        assert tree.root() == root_of(leaves)
