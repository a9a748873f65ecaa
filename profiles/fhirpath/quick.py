"""The parts of which quick answers are made: closures over plain JSON that answer yes, no, empty or UNSURE."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

from profiles.exact import Json
from profiles.fhirpath.syntax import Binary, Literal, Term


class Unsure:
    """No quick answer."""

    __slots__ = ()


UNSURE: Final = Unsure()
Answer = bool | Unsure | None
Claim = Callable[[Json], Answer]
# The values of a path: objects, or values of primitives; None when there is no quick answer.
Values = Callable[[Json], "list[Any] | None"]

PLAIN: Final = frozenset((str, bool, int, Decimal))
ONLY_EXTENSIONS: Final = object()
# Dates of which the order is that of their text, when they are of one length and zone.
_SORTABLE: Final = re.compile(
    r"(?!0000)[0-9]{4}(?:-(?:0[1-9]|1[0-2])(?:-(?:0[1-9]|1[0-9]|2[0-8])"
    r"(?:T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,9})?(Z|[+-](?:0[0-9]|1[0-3]):[0-5][0-9]))?)?)?"
)


def unsure(_: Json) -> Answer:
    """Leave it to the engine."""
    return UNSURE


def itself(value: Json) -> list[Any]:
    """Give the focus."""
    return [value]


def chained(before: Values, step: Values) -> Values:
    """Give the values one step further."""

    def run(value: Json) -> list[Any] | None:
        found = before(value)
        if not found:
            return found
        reached: list[Any] = []
        for one in found:
            more = step(one)
            if more is None:
                return None
            reached += more
        return reached

    return run


def cut(before: Values) -> Values:
    """Go no further: of nothing comes nothing, anything else is for the engine."""

    def run(value: Json) -> list[Any] | None:
        return [] if before(value) == [] else None

    return run


def texts(term: Term) -> frozenset[str] | None:
    """Read `'a' | 'b'`."""
    if isinstance(term, Literal):
        return frozenset((term.value,)) if type(term.value) is str else None
    if isinstance(term, Binary) and term.operator == "|":
        left, right = texts(term.left), texts(term.right)
        return None if left is None or right is None else left | right
    return None


def equals(values: Values, wanted: Any, *, same: bool) -> Claim:  # noqa: ANN401 - a literal
    """Compare with a constant."""
    sort = (str,) if type(wanted) is str else (bool,) if type(wanted) is bool else (int, Decimal)

    def run(value: Json) -> Answer:
        found = values(value)
        if found is None:
            return UNSURE
        if not found:
            return None
        if len(found) > 1:
            return not same
        one = found[0]
        return (one == wanted) is same if type(one) in sort else UNSURE

    return run


def agree(left: Claim, right: Claim, *, same: bool) -> Claim:
    """Compare two claims."""

    def run(value: Json) -> Answer:
        a, b = left(value), right(value)
        if a is UNSURE or b is UNSURE:
            return UNSURE
        return None if a is None or b is None else (a is b) is same

    return run


def negated(inner: Claim) -> Claim:
    """Turn a claim round."""

    def run(value: Json) -> Answer:
        found = inner(value)
        return (not found) if found is True or found is False else found

    return run


def has_value(values: Values) -> Claim:
    """Claim one primitive with a value."""

    def run(value: Json) -> Answer:
        found = values(value)
        if found is None:
            return UNSURE
        return len(found) == 1 and found[0] is not ONLY_EXTENSIONS

    return run


def starts(values: Values, prefix: str) -> Claim:
    """Claim a prefix."""

    def run(value: Json) -> Answer:
        found = values(value)
        if found is None or (found and (len(found) > 1 or type(found[0]) is not str)):
            return UNSURE
        return found[0].startswith(prefix) if found else None

    return run


def counted(values: Values) -> Callable[[Json], int | None]:
    """Count the values of a path."""

    def run(value: Json) -> int | None:
        found = values(value)
        return None if found is None else len(found)

    return run


def total(left: Callable[[Json], int | None], right: Callable[[Json], int | None]) -> Callable[[Json], int | None]:
    """Add two counts."""

    def run(value: Json) -> int | None:
        a, b = left(value), right(value)
        return None if a is None or b is None else a + b

    return run


def compare_counts(
    left: Callable[[Json], int | None], right: Callable[[Json], int | None], wanted: tuple[int, ...]
) -> Claim:
    """Compare two counts; `wanted` are the orders that are a yes."""

    def run(value: Json) -> Answer:
        a, b = left(value), right(value)
        return UNSURE if a is None or b is None else (a > b) - (a < b) in wanted

    return run


def compare_dates(left: Values, right: Values, wanted: tuple[int, ...]) -> Claim:
    """Compare two dates whose texts sort; the others are for the engine."""

    def run(value: Json) -> Answer:
        first, second = left(value), right(value)
        if first is None or second is None or len(first) > 1 or len(second) > 1:
            return UNSURE
        if not first or not second:
            return None
        a, b = first[0], second[0]
        if type(a) is not str or type(b) is not str or len(a) != len(b):
            return UNSURE
        one, other = _SORTABLE.fullmatch(a), _SORTABLE.fullmatch(b)
        if one is None or other is None or one[1] != other[1]:
            return UNSURE
        return (a > b) - (a < b) in wanted

    return run


def both(left: Claim, right: Claim) -> Claim:
    """Claim two things."""

    def run(value: Json) -> Answer:
        a = left(value)
        if a is False:
            return False
        b = right(value)
        if a is UNSURE or b is UNSURE:
            return UNSURE
        return False if b is False else None if a is None or b is None else True

    return run


def either(left: Claim, right: Claim) -> Claim:
    """Claim one of two things."""

    def run(value: Json) -> Answer:
        a = left(value)
        if a is True:
            return True
        b = right(value)
        if a is UNSURE or b is UNSURE:
            return UNSURE
        return True if b is True else None if a is None or b is None else False

    return run


def implies(left: Claim, right: Claim) -> Claim:
    """Claim the one where the other is."""

    def run(value: Json) -> Answer:
        a = left(value)
        if a is False:
            return True
        b = right(value)
        if a is UNSURE or b is UNSURE:
            return UNSURE
        return True if b is True else None if a is None or b is None else False

    return run


def one_of(left: Claim, right: Claim) -> Claim:
    """Claim exactly one of two things."""
    return agree(left, right, same=False)


LOGIC: Final[dict[str, Callable[[Claim, Claim], Claim]]] = {
    "and": both,
    "or": either,
    "implies": implies,
    "xor": one_of,
}
ORDER: Final = {"<": (-1,), ">": (1,), "<=": (-1, 0), ">=": (0, 1)}
