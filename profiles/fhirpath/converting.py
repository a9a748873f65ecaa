"""Functions that convert: to a System type, or the question whether that can be done."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Final

from profiles.fhirpath import temporal
from profiles.fhirpath.arithmetic import number
from profiles.fhirpath.equality import single
from profiles.fhirpath.node import Item, Items, Node, system
from profiles.fhirpath.quantity import CALENDAR, Quantity, converted
from profiles.fhirpath.registry import EMPTY, FALSE, TRUE, function
from profiles.fhirpath.state import State
from profiles.fhirpath.temporal import Temporal
from profiles.fhirpath.text import text

_TRUE: Final = frozenset(("true", "t", "yes", "y", "1", "1.0"))
_FALSE: Final = frozenset(("false", "f", "no", "n", "0", "0.0"))
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,20}")
_DECIMAL: Final = re.compile(r"[+-]?[0-9]{1,40}(?:\.[0-9]{1,40})?")
_QUANTITY: Final = re.compile(
    r"([+-]?[0-9]{1,40}(?:\.[0-9]{1,40})?)(?:[ \t\r\n]*'([^']{1,64})'|[ \t\r\n]+([a-zA-Z]+))?"
)

Step = Callable[[Item], Item | None]


def to_boolean(value: Item) -> bool | None:
    """N1 5.5.2."""
    if type(value) is bool:
        return value
    if type(value) is int or type(value) is Decimal:
        return True if value == 1 else False if value == 0 else None
    if type(value) is str:
        small = value.lower()
        return True if small in _TRUE else False if small in _FALSE else None
    return None


def to_integer(value: Item) -> int | None:
    """N1 5.5.3."""
    if type(value) is bool:
        return int(value)
    if type(value) is int:
        return value
    if type(value) is str and _INTEGER.fullmatch(value):
        return int(value) if number(int(value)) else None
    return None


def to_decimal(value: Item) -> Decimal | None:
    """N1 5.5.6."""
    if type(value) is bool or type(value) is int:
        return Decimal(value)
    if type(value) is Decimal:
        return value
    return Decimal(value) if type(value) is str and _DECIMAL.fullmatch(value) else None


def to_date(value: Item) -> Temporal | None:
    """N1 5.5.4."""
    if type(value) is str:
        value = temporal.date_time(value)
    if type(value) is Temporal and value.kind != "Time":
        return value if value.kind == "Date" else Temporal("Date", value.parts[:3])
    return None


def to_date_time(value: Item) -> Temporal | None:
    """N1 5.5.5."""
    if type(value) is str:
        value = temporal.date_time(value)
    if type(value) is Temporal and value.kind != "Time":
        return value if value.kind == "DateTime" else Temporal("DateTime", value.parts, None, value.text)
    return None


def to_time(value: Item) -> Temporal | None:
    """N1 5.5.9."""
    if type(value) is str:
        return temporal.time(value)
    return value if type(value) is Temporal and value.kind == "Time" else None


def to_quantity(value: Item) -> Quantity | None:
    """N1 5.5.7."""
    if type(value) is Quantity:
        return value
    if type(value) is bool or type(value) is int or type(value) is Decimal:
        return Quantity(Decimal(value))
    match = _QUANTITY.fullmatch(value) if type(value) is str else None
    if match is None:
        return None
    if match[3] is not None:
        return Quantity(Decimal(match[1]), CALENDAR[match[3]], calendar=True) if match[3] in CALENDAR else None
    return Quantity(Decimal(match[1]), match[2] or "1")


def to_string(value: Item) -> str | None:
    """N1 5.5.8."""
    if type(value) is str:
        return value
    if type(value) is bool:
        return "true" if value else "false"
    if type(value) is Decimal:
        return f"{value:f}" if value.adjusted() < 60 else str(value)
    return str(value) if type(value) in (int, Temporal, Quantity) else None


def _enter(name: str, step: Step) -> None:
    def convert(items: Items, _: State) -> Items:
        item = single(items)
        if name == "String" and type(item) is Node and type(item.value) is str:
            return [item.value]
        found = step(system(item))
        return EMPTY if found is None else [found]

    def converts(items: Items, x: State) -> Items:
        if not items or (type(items[0]) is Node and items[0].value is None):
            return EMPTY
        return TRUE if convert(items, x) else FALSE

    function("to" + name)(convert)
    function("convertsTo" + name)(converts)


for _name, _step in (
    ("Boolean", to_boolean), ("Integer", to_integer), ("Decimal", to_decimal), ("String", to_string),
    ("Date", to_date), ("DateTime", to_date_time), ("Time", to_time),
):  # fmt: skip
    _enter(_name, _step)


@function("toQuantity", 0, 1)
def as_quantity(items: Items, _: State, unit: Items = EMPTY) -> Items:
    """N1 5.5.7: in a unit, where the conversion is exact."""
    found = to_quantity(system(single(items)))
    wanted = text(unit)
    if found is None or wanted is None:
        return EMPTY if found is None else [found]
    same = converted(found, wanted)
    return EMPTY if same is None else [same]


@function("convertsToQuantity", 0, 1)
def converts_to_quantity(items: Items, x: State, unit: Items = EMPTY) -> Items:
    """N1 5.5.7."""
    if single(items) is None:
        return EMPTY
    return TRUE if as_quantity(items, x, unit) else FALSE
