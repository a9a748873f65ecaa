"""Stand-ins for a part of the line that answers otherwise."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final, TypeVar

from consent.decision import decide
from consent.model import AccessRequest, Decision, Facts, Reason

Variant = TypeVar("Variant")
WHOLE: Final = bool(os.environ.get("PROVE_ALL"))
A_DAY: Final = 5  # how many variants a sample tries; the next day it is the next ones
Decide = Callable[[AccessRequest, Facts], Decision]


def undecidable(reason: Reason) -> Decide:
    """A decision that cannot be taken once it is about a custodian: the register does not answer."""

    def answer(request: AccessRequest, facts: Facts) -> Decision:
        return Decision("unavailable", (reason,)) if request.custodian else decide(request, facts)

    return answer


def of_today(variants: Sequence[Variant]) -> list[Variant]:
    """The variants a sample tries today: a few, others each day, so that in some days each had its turn; all with PROVE_ALL."""
    if WHOLE:
        return list(variants)
    day = datetime.now(UTC).date().toordinal()
    first = day * A_DAY % len(variants)
    return [*variants, *variants][first : first + A_DAY]
