"""Is a value what a profile fixes, or does it hold the pattern a profile gives?"""

from __future__ import annotations

from decimal import Decimal
from typing import Any


def equals(value: Any, fixed: Any) -> bool:  # noqa: ANN401 - JSON is any value
    """Claim that a value is exactly the fixed one. Spec: FHIR R4 ElementDefinition.fixed[x]."""
    if type(fixed) is dict:
        return (
            type(value) is dict
            and value.keys() == fixed.keys()
            and all(equals(value[name], part) for name, part in fixed.items())
        )
    if type(fixed) is list:
        return (
            type(value) is list
            and len(value) == len(fixed)
            and all(equals(one, part) for one, part in zip(value, fixed, strict=True))
        )
    return _same(value, fixed)


def holds_pattern(value: Any, pattern: Any) -> bool:  # noqa: ANN401 - JSON is any value
    """Claim that all a pattern has is in the value; each part of a list is in some part of the value's list.

    Spec: FHIR R4 ElementDefinition.pattern[x].
    """
    kind = type(pattern)
    if kind is dict:
        return type(value) is dict and all(
            name in value and holds_pattern(value[name], part) for name, part in pattern.items()
        )
    if kind is list:
        return type(value) is list and all(any(holds_pattern(one, part) for one in value) for part in pattern)
    return _same(value, pattern)


def _same(value: Any, wanted: Any) -> bool:  # noqa: ANN401 - JSON is any value
    if type(value) is type(wanted):
        return bool(value == wanted)
    # 1 and 1.0 are one number; true and 1 are not one value.
    numbers = (int, float, Decimal)
    return (
        type(value) is not bool
        and type(wanted) is not bool
        and isinstance(value, numbers)
        and isinstance(wanted, numbers)
        and bool(value == wanted)
    )
