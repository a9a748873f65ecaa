"""Numbers, quantities and dates under the operators of arithmetic, and the limits of a decimal."""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, Context, Decimal, DecimalException, localcontext
from typing import Final

from profiles.fhirpath.equality import single
from profiles.fhirpath.errors import EvaluationError
from profiles.fhirpath.node import Item, Items, system
from profiles.fhirpath.quantity import Quantity, converted, duration
from profiles.fhirpath.temporal import Temporal, plus

# Spec: FHIRPath N1 4.1.4: at least 28 digits, 8 of them decimals.
PRECISION: Final = 34
_LARGEST_EXPONENT: Final = 28
_INTEGER_BITS: Final = 2**31
_CONTEXT: Final = Context(prec=PRECISION)
_MOST_DIGITS: Final = 31


def number(value: Item) -> Items:
    """Give a number as a collection; one that cannot be held is nothing."""
    if type(value) is int:
        return [value] if -_INTEGER_BITS <= value < _INTEGER_BITS else []
    return [value] if value.is_finite() and (not value or value.adjusted() <= _LARGEST_EXPONENT) else []


def arithmetic(operator: str, left: Items, right: Items) -> Items:
    """Calculate; nothing where a side is empty, at an overflow and at a division by zero.

    Raises:
        EvaluationError: more than one item, or kinds the operator does not know.

    Spec: FHIRPath N1 6.6 'Math', 6.7 'Date/time arithmetic'.
    """
    a, b = system(single(left)), system(single(right))
    if a is None or b is None:
        return []
    try:
        with localcontext(_CONTEXT):
            return _calculated(operator, a, b)
    except (DecimalException, OverflowError, ZeroDivisionError):
        return []


def _calculated(operator: str, a: Item, b: Item) -> Items:
    of_a, of_b = type(a), type(b)
    numbers = (of_a is int or of_a is Decimal) and (of_b is int or of_b is Decimal)
    if numbers:
        return _numbers(operator, a, b)
    if of_a is str and of_b is str and operator == "+":
        return [a + b]
    if of_a is Temporal and of_b is Quantity and operator in "+-":
        return _moved(a, b, operator)
    first = Quantity(Decimal(a)) if of_a is int or of_a is Decimal else a
    second = Quantity(Decimal(b)) if of_b is int or of_b is Decimal else b
    if type(first) is Quantity and type(second) is Quantity:
        return _quantities(operator, first, second)
    message = f"{operator!r} does not know these two"
    raise EvaluationError(message)


def _numbers(operator: str, a: int | Decimal, b: int | Decimal) -> Items:
    if operator == "+":
        return number(a + b)
    if operator == "-":
        return number(a - b)
    if operator == "*":
        return number(a * b)
    if not b:
        return []
    if operator == "/":
        return number(Decimal(a) / Decimal(b))
    quotient = int((Decimal(a) / Decimal(b)).to_integral_value(rounding=ROUND_DOWN))
    if operator == "div":
        return number(quotient)
    rest = a - quotient * b
    return number(rest)


def _moved(value: Temporal, by: Quantity, operator: str) -> Items:
    unit = duration(by)
    if unit is None:
        message = "only a calendar duration can be added to a date or time"
        raise EvaluationError(message)
    moved = plus(value, by.value if operator == "+" else -by.value, unit)
    return [] if moved is None else [moved]


def _quantities(operator: str, a: Quantity, b: Quantity) -> Items:
    if operator in "+-":
        if (a.unit, a.calendar, a.system) != (b.unit, b.calendar, b.system):
            same = converted(b, a.unit) if not (a.system or b.system) else None
            if same is None:
                return []
            b = same
        value = a.value + b.value if operator == "+" else a.value - b.value
        return [Quantity(value, a.unit, a.calendar, a.system)] if number(value) else []
    if operator not in "*/" or a.system or b.system:
        message = f"{operator!r} does not know these two"
        raise EvaluationError(message)
    if operator == "/" and not b.value:
        return []
    value = a.value * b.value if operator == "*" else a.value / b.value
    return [Quantity(value, _unit(a, b, operator))] if number(value) else []


def _unit(a: Quantity, b: Quantity, operator: str) -> str:
    """Write the unit of a product or quotient in UCUM."""
    if b.unit == "1":
        return a.unit
    if operator == "/":
        if a.unit == b.unit:
            return "1"
        return f"{a.unit}/{'/'.join('.'.join(part.split('/')) for part in b.unit.split('.'))}"
    return b.unit if a.unit == "1" else f"{a.unit}.{b.unit}"


def negative(items: Items) -> Items:
    """Change the sign of a number or quantity."""
    value = system(single(items))
    if value is None:
        return []
    if type(value) is int or type(value) is Decimal:
        return number(-value)
    if type(value) is Quantity:
        return [Quantity(-value.value, value.unit, value.calendar, value.system)]
    message = "a sign stands before a number only"
    raise EvaluationError(message)


def boundary(value: Decimal, digits: int, *, high: bool) -> Decimal | None:
    """Give the least or greatest number a decimal can stand for, at a number of decimals.

    Spec: FHIRPath 5.7 `lowBoundary`, `highBoundary`.
    """
    if not 0 <= digits <= _MOST_DIGITS - max(value.adjusted(), 0) or digits > 28:
        return None
    half = Decimal(5).scaleb(min(int(value.as_tuple().exponent), 0) - 1)
    with localcontext(Context(prec=80)):
        limit = value + half if high else value - half
        return limit.quantize(Decimal(1).scaleb(-digits), rounding=ROUND_CEILING if high else ROUND_FLOOR)
