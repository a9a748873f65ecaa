"""What a change of a gate must get past: a few thousand questions against the plain reference. Fast, for the mutation test."""

from __future__ import annotations

import ast
import random

import pytest

from consent.scopes import covers
from tests.proofs import reference
from tests.proofs.mutation import MODULES, changed, is_noticed, places, tree_of
from tests.proofs.test_oracle import ours, question, world

pytestmark = pytest.mark.slow


def test_a_few_thousand_questions() -> None:
    for seed in range(60):
        chance = random.Random(seed)
        facts = world(chance)
        for asked in [question(chance) for _ in range(100)]:
            assert ours(asked, facts) == reference.outcome(asked, facts)


@pytest.mark.proof
def test_every_change_is_one_change_and_can_be_read() -> None:
    chance = random.Random(1)
    for name in MODULES:
        tree = tree_of(name)
        found = list(places(tree))
        assert len(found) >= 3
        for index, _, what in chance.sample(found, 3):
            assert ast.unparse(changed(tree, index, what)) != ast.unparse(tree)


def test_a_change_is_installed_where_everybody_looks_and_nowhere_else() -> None:
    tree, given = tree_of("consent.scopes"), frozenset({"system/*.rs"})

    def reads(_: tuple[str, ...] = ()) -> bool:
        return covers(given, "Condition", "s") and not covers(given, "Condition", "c")

    assert not is_noticed("consent.scopes", tree, (), reads), "control: without a change nobody notices anything"
    assert any(is_noticed("consent.scopes", changed(tree, index, what), (), reads) for index, _, what in places(tree))
    assert reads(), "this process goes on with what is written"
