"""The smallest, largest and longest a profile allows a value to be."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from profiles.dates import certainly_after, parse
from profiles.exact import Json
from profiles.instances import Instance
from profiles.review import Check, Review


def limit_check(facts: Json, where: str) -> list[Check]:
    """Give the checks of minValue, maxValue and maxLength."""
    checks: list[Check] = []
    for name, sign in (("least", -1), ("most", 1)):
        if name in facts:
            checks.append(_bound(facts[name], sign, "profile-" + name, where))
    if "longest" in facts:
        checks.append(_length(facts["longest"], where))
    return checks


def _length(longest: int, where: str) -> Check:
    def check(instance: Instance, review: Review) -> None:
        value, _, at, _ = instance
        if type(value) is str and len(value) > longest:
            review.add("profile-longest", at, str(longest), where)

    return check


def _bound(limit: Any, sign: int, rule: str, where: str) -> Check:  # noqa: ANN401 - JSON is any value
    shown = _shown(limit)

    def check(instance: Instance, review: Review) -> None:
        value, _, at, _ = instance
        if beyond(value, limit, sign):
            review.add(rule, at, shown, where)

    return check


def beyond(value: Any, limit: Any, sign: int) -> bool:  # noqa: ANN401 - JSON is any value
    """Claim that a value is certainly beyond a limit; quantities of other units are not compared."""
    if isinstance(limit, dict):
        same = isinstance(value, dict) and all(value.get(n) == limit.get(n) for n in ("system", "code") if n in limit)
        return same and "value" in limit and beyond(value.get("value"), limit["value"], sign)
    if isinstance(limit, str):
        if not isinstance(value, str):
            return False
        one, other = parse(value), parse(limit)
        if one is None or other is None:
            # A time of day compares as text.
            return "T" not in limit and ":" in limit and (value > limit if sign > 0 else value < limit)
        return certainly_after(one, other) if sign > 0 else certainly_after(other, one)
    if isinstance(value, bool) or not isinstance(value, int | Decimal) or not isinstance(limit, int | float | Decimal):
        return False
    edge = Decimal(str(limit))
    return value > edge if sign > 0 else value < edge


def _shown(limit: Any) -> str:  # noqa: ANN401 - JSON is any value
    if isinstance(limit, dict):
        return f"{limit.get('value', '')} {limit.get('code', '')}".strip()
    return str(limit)
