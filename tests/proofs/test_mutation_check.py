"""What a change of `consent/` must get past: a few thousand questions against the plain reference. Fast, for the mutation test."""

from __future__ import annotations

import ast
import random

import pytest

from tests.proofs import reference
from tests.proofs.mutation import MODULES, ROOT, changes
from tests.proofs.test_oracle import ours, question, world

pytestmark = pytest.mark.slow


def test_a_few_thousand_questions() -> None:
    for seed in range(60):
        chance = random.Random(seed)
        facts = world(chance)
        for asked in [question(chance) for _ in range(100)]:
            assert ours(asked, facts) == reference.outcome(asked, facts)


def test_every_change_is_one_change_and_can_be_read() -> None:
    for name in MODULES:
        tree = ast.parse((ROOT / "consent" / f"{name}.py").read_text(encoding="utf-8"))
        found = list(changes(tree))
        texts = {ast.unparse(ast.fix_missing_locations(changed)) for _, _, changed in found}
        assert ast.unparse(tree) not in texts
        assert len(found) >= 3
