"""Two sets of facts about one element as one: what both ask is asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from profiles.exact import Json


class Unsaid(Exception):
    """This cannot be said in one schema; the full check decides."""


def merged(one: Json, other: Json) -> Json:
    """Give facts that ask what both ask.

    Raises:
        Unsaid: both ask something that one form cannot hold.
    """
    if not one or not other:
        return one or other
    made = dict(one)
    for name, value in other.items():
        if name not in made or made[name] == value:
            made[name] = value
        elif name == "bind":
            _bind(made, value)
        elif name in _BOTH:
            made[name] = _BOTH[name](made[name], value)
        elif name != "slicing" or made[name].get("rules") != value.get("rules"):
            raise Unsaid
    return made


def _bind(made: Json, value: list[str]) -> None:
    """An extensible binding only advises; a second that is required is kept beside the first."""
    if made["bind"][0] != "required":
        made["bind"] = value
    elif value[0] == "required":
        made["binds"] = [*made.get("binds", ()), value]


def _children(one: Json, other: Json) -> Json:
    return one | {name: merged(one.get(name, {}), child) for name, child in other.items()}


def _slices(one: Json, other: Json) -> Json:
    """Slices told apart by the same conditions are one; others stand side by side."""
    made = dict(one)
    for label, row in other.items():
        twin = next((name for name, mine in made.items() if mine["when"] == row["when"]), None)
        if twin is not None:
            made[twin] = merged(made[twin], row)
        elif label in made:
            raise Unsaid
        else:
            made[label] = row
    return made


def _common(one: list[str], other: list[str]) -> list[str]:
    return sorted(set(one) & set(other))


def _all(one: list[Any], other: list[Any]) -> list[Any]:
    return [*one, *(row for row in other if row not in one)]


_BOTH: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "min": max,
    "max": min,
    "rules": _all,
    "binds": _all,
    "types": _common,
    "targets": _common,
    "children": _children,
    "slices": _slices,
}


def has_errors(facts: Any) -> bool:  # noqa: ANN401 - JSON is any value
    """Claim that facts hold an invariant that may be violated."""
    if isinstance(facts, dict):
        rules = facts.get("rules", ())
        return (isinstance(rules, list) and any(rule[1] == "error" for rule in rules)) or any(
            map(has_errors, facts.values())
        )
    return False


def without_slices(child: Json) -> Json:
    """Give what is asked of an element apart from how many there are and their slices."""
    return {name: value for name, value in child.items() if name not in ("slicing", "slices", "min", "max", "types")}
