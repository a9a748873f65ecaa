"""How much slower than usual a test may be: a tracer (branch coverage) multiplies the time of pure Python."""

from __future__ import annotations

import sys


def slack() -> float:
    """The factor for limits of time."""
    return 1.0 if sys.gettrace() is None else 6.0
