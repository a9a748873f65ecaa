"""Functions on numbers, and the limits and precision of a value."""

from __future__ import annotations

from collections.abc import Callable
from decimal import (
    ROUND_CEILING,
    ROUND_DOWN,
    ROUND_FLOOR,
    ROUND_HALF_UP,
    Context,
    Decimal,
    DecimalException,
    localcontext,
)
from typing import Final

from profiles.fhirpath import temporal
from profiles.fhirpath.arithmetic import PRECISION, boundary, number
from profiles.fhirpath.equality import single
from profiles.fhirpath.errors import EvaluationError
from profiles.fhirpath.node import Item, Items, system
from profiles.fhirpath.quantity import Quantity
from profiles.fhirpath.registry import EMPTY, function
from profiles.fhirpath.selecting import whole
from profiles.fhirpath.state import State
from profiles.fhirpath.temporal import Temporal

_CONTEXT: Final = Context(prec=PRECISION)
_DEFAULT_DIGITS: Final = 8


def one_number(items: Items) -> int | Decimal | None:
    """Read one number; None for empty.

    Raises:
        EvaluationError: more items, or no number.
    """
    value = system(single(items))
    if value is None or type(value) is int or type(value) is Decimal:
        return value
    message = "a number is needed here"
    raise EvaluationError(message)


def _calculated(items: Items, step: Callable[[Decimal], Decimal | int]) -> Items:
    value = one_number(items)
    if value is None:
        return EMPTY
    try:
        with localcontext(_CONTEXT):
            return number(step(Decimal(value)))
    except (DecimalException, OverflowError):
        return EMPTY


@function("abs")
def absolute(items: Items, _: State) -> Items:
    """N1 5.7.1."""
    value = system(single(items))
    if type(value) is Quantity:
        return [Quantity(abs(value.value), value.unit, value.calendar, value.system)]
    found = one_number(items)
    return EMPTY if found is None else number(abs(found))


@function("ceiling")
def ceiling(items: Items, _: State) -> Items:
    """N1 5.7.2."""
    return _calculated(items, lambda value: int(value.to_integral_value(ROUND_CEILING)))


@function("exp")
def exponential(items: Items, _: State) -> Items:
    """N1 5.7.3."""
    return _calculated(items, lambda value: value.exp())


@function("floor")
def floor(items: Items, _: State) -> Items:
    """N1 5.7.4."""
    return _calculated(items, lambda value: int(value.to_integral_value(ROUND_FLOOR)))


@function("ln")
def natural_logarithm(items: Items, _: State) -> Items:
    """N1 5.7.5."""
    value = one_number(items)
    return EMPTY if value is None or value <= 0 else _calculated(items, lambda given: given.ln())


@function("log", 1)
def logarithm(items: Items, _: State, base: Items) -> Items:
    """N1 5.7.6."""
    value, root = one_number(items), one_number(base)
    if value is None or root is None or value <= 0 or root <= 0 or root == 1:
        return EMPTY
    # Fewer digits than calculated, so that the logarithm of a power of the base is whole.
    return _calculated(items, lambda given: Context(prec=28).plus(given.ln() / Decimal(root).ln()).normalize())


@function("power", 1)
def power(items: Items, _: State, exponent: Items) -> Items:
    """N1 5.7.7: of integers an Integer where it can be; what has no real value gives nothing."""
    value, by = one_number(items), one_number(exponent)
    if value is None or by is None:
        return EMPTY
    if type(value) is int and type(by) is int and by >= 0:
        found = _calculated([Decimal(value)], lambda given: given**by)
        return number(int(found[0])) if found else EMPTY
    return _calculated([Decimal(value)], lambda given: given ** Decimal(by))


@function("round", 0, 1)
def rounded(items: Items, _: State, digits: Items = EMPTY) -> Items:
    """N1 5.7.8: half away from zero."""
    places = whole(digits) or 0
    if places < 0:
        message = "a number cannot be rounded to fewer than no decimals"
        raise EvaluationError(message)
    return _calculated(items, lambda value: _to_digits(value, places))


def _to_digits(value: Decimal, places: int) -> Decimal:
    if -int(value.as_tuple().exponent) <= places:
        return value
    return value.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)


@function("sqrt")
def square_root(items: Items, _: State) -> Items:
    """N1 5.7.9."""
    value = one_number(items)
    return EMPTY if value is None or value < 0 else _calculated(items, lambda given: given.sqrt())


@function("truncate")
def truncated(items: Items, _: State) -> Items:
    """N1 5.7.10."""
    return _calculated(items, lambda value: int(value.to_integral_value(ROUND_DOWN)))


@function("lowBoundary", 0, 1)
def low_boundary(items: Items, _: State, digits: Items = EMPTY) -> Items:
    """FHIRPath 5.7 `lowBoundary`."""
    return _boundary(system(single(items)), whole(digits), high=False)


@function("highBoundary", 0, 1)
def high_boundary(items: Items, _: State, digits: Items = EMPTY) -> Items:
    """FHIRPath 5.7 `highBoundary`."""
    return _boundary(system(single(items)), whole(digits), high=True)


def _boundary(value: Item, digits: int | None, *, high: bool) -> Items:
    if value is None:
        return EMPTY
    if type(value) is Temporal:
        moment = temporal.boundary(value, digits, high=high)
        return EMPTY if moment is None else [moment]
    places = _DEFAULT_DIGITS if digits is None else digits
    if type(value) is int or type(value) is Decimal:
        limit = boundary(Decimal(value), places, high=high)
        return EMPTY if limit is None else [limit]
    if type(value) is Quantity:
        limit = boundary(value.value, places, high=high)
        return EMPTY if limit is None else [Quantity(limit, value.unit, value.calendar, value.system)]
    message = "this has no limits"
    raise EvaluationError(message)


@function("precision")
def precision(items: Items, _: State) -> Items:
    """FHIRPath 5.7 `precision`."""
    value = system(single(items))
    if value is None:
        return EMPTY
    if type(value) is Temporal:
        return [temporal.precision(value)]
    if type(value) is int:
        return [0]
    if type(value) is Decimal:
        return [max(0, -int(value.as_tuple().exponent))]
    message = "this has no precision"
    raise EvaluationError(message)
