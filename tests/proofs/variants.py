"""Stand-ins for a part of the line that answers otherwise."""

from __future__ import annotations

from collections.abc import Callable

from consent.decision import decide
from consent.model import AccessRequest, Decision, Facts, Reason

Decide = Callable[[AccessRequest, Facts], Decision]


def undecidable(reason: Reason) -> Decide:
    """A decision that cannot be taken once it is about a custodian: the register does not answer."""

    def answer(request: AccessRequest, facts: Facts) -> Decision:
        return Decision("unavailable", (reason,)) if request.custodian else decide(request, facts)

    return answer
