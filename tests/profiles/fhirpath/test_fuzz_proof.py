"""The fuzzing of FHIRPath at length: a seeded sample by default, more with PROVE_ALL set."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profiles.fhirpath import EvaluationError
from profiles.fhirpath.model import model_of
from tests.profiles.fhirpath import test_bounds as bounds
from tests.profiles.fhirpath import test_holds as constraints
from tests.profiles.fhirpath.inputs import INPUTS

SCALE: Final = int(os.environ.get("PROVE_ALL") or "1")
RESOURCES: Final = st.dictionaries(constraints.NAMES, constraints.ANYTHING, max_size=8)


def agree(kind: str, focus: dict[str, Any]) -> None:
    if kind in model_of().resources:
        focus["resourceType"] = kind
    for expression in constraints.SHAPES[kind]:
        try:
            constraints.agree(expression, kind, focus)
        except EvaluationError:
            continue


PROOFS: Final[dict[str, tuple[Callable[..., None], tuple[st.SearchStrategy[Any], ...]]]] = {
    "any text": (
        bounds.test_any_text_is_compiled_or_refused.hypothesis.inner_test,  # type: ignore[attr-defined]
        (st.lists(bounds.PIECES, max_size=20).map("".join),),
    ),
    "any expression": (
        bounds.test_any_expression_on_a_resource_gives_nodes_or_the_own_error.hypothesis.inner_test,  # type: ignore[attr-defined]
        (bounds.terms(5),),
    ),
    "any resource": (
        bounds.test_any_resource_gives_nodes_or_the_own_error.hypothesis.inner_test,
        (st.sampled_from(bounds.expressions()), RESOURCES, st.sampled_from(sorted(INPUTS))),
    ),
    "quick and thorough": (agree, (st.sampled_from(sorted(constraints.SHAPES)), RESOURCES)),
}


@pytest.mark.proof
@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", PROOFS)
def test_at_length(name: str) -> None:
    body, strategies = PROOFS[name]
    proof = settings(max_examples=700 * SCALE, deadline=None, derandomize=True, database=None)(given(*strategies)(body))
    proof()
