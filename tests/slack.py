"""How much slower than on a machine at rest a test may be: others work beside it, and a tracer multiplies pure Python."""

from __future__ import annotations

import sys


def slack() -> float:
    """The factor for limits of time: they are there to find what grows without bound; benchmarks measure."""
    return 3.0 if sys.gettrace() is None else 12.0
