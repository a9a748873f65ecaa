"""How much is proven: a seeded sample by default, the whole with PROVE_ALL set."""

from __future__ import annotations

import os

import pytest


@pytest.fixture
def scale() -> int:
    """How many times the sample: 1, or the number in PROVE_ALL."""
    return int(os.environ.get("PROVE_ALL") or "1")


@pytest.fixture
def whole() -> bool:
    """Claim that everything is to be proven, however long it takes."""
    return bool(os.environ.get("PROVE_ALL"))
