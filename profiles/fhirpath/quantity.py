"""Quantities of FHIRPath: a number with a unit, compared only where the unit is the same or one converts exactly."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import cache
from typing import Final

UCUM: Final = "http://unitsofmeasure.org"

# Spec: FHIRPath N1 4.1.8 'Time-valued quantities'.
CALENDAR: Final = {
    word + plural: word
    for word in ("year", "month", "week", "day", "hour", "minute", "second", "millisecond")
    for plural in ("", "s")
}
# Up to the second a calendar duration equals no UCUM duration: a year is not 365.25 days.
_CALENDAR_CODES: Final = {
    "year": "a", "month": "mo", "week": "wk", "day": "d", "hour": "h", "minute": "min", "second": "s", "millisecond": "ms",
}  # fmt: skip
_DURATIONS: Final = {code: word for word, code in _CALENDAR_CODES.items()}
_EXACT: Final = frozenset(("week", "day", "hour", "minute", "second", "millisecond"))

_PREFIXES: Final = {
    "": 0, "da": 1, "h": 2, "k": 3, "M": 6, "G": 9, "T": 12, "d": -1, "c": -2, "m": -3, "u": -6, "n": -9, "p": -12, "f": -15,
}  # fmt: skip
# Units that take a prefix, each a dimension of its own here: enough to compare within it without a table of all UCUM.
_PREFIXED: Final = {"m": "m", "g": "g", "L": "L", "l": "L", "mol": "mol", "s": "s", "Pa": "Pa", "J": "J", "W": "W", "V": "V",
    "Hz": "Hz", "eq": "eq", "osm": "osm", "cal": "cal", "kat": "kat", "A": "A", "K": "K", "N": "N", "Gy": "Gy", "Bq": "Bq",
    "U": "U", "[iU]": "[IU]", "[IU]": "[IU]"}  # fmt: skip
_FIXED: Final[dict[str, tuple[str, Fraction | int]]] = {
    "min": ("s", 60), "h": ("s", 3600), "d": ("s", 86400), "wk": ("s", 604800), "%": ("1", Fraction(1, 100)),
    "[in_i]": ("m", Fraction(254, 10000)), "[ft_i]": ("m", Fraction(3048, 10000)),
    "[lb_av]": ("g", Fraction(45359237, 100000)), "[oz_av]": ("g", Fraction(45359237, 1600000)),
    "10*3": ("1", 1000), "10*6": ("1", 10**6), "10*9": ("1", 10**9), "10*12": ("1", 10**12), "[pH]": ("[pH]", 1),
    "a": ("a", 1), "mo": ("a", Fraction(1, 12)), "t": ("g", 10**6), "bar": ("Pa", 100000), "[degF]": ("[degF]", 1),
    "Cel": ("Cel", 1), "mm[Hg]": ("Pa", Fraction(133322387415, 10**9)), "cm[H2O]": ("Pa", Fraction(9806650, 10**5)),
}  # fmt: skip
_ANNOTATION: Final = re.compile(r"\{[^{}]*\}")
_FACTOR: Final = re.compile(r"(.*?[^0-9+-])([+-]?[0-9])?")
_LONGEST: Final = 64

Dimension = tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number and its unit: a UCUM code, a calendar word, or a code of another system.

    INVARIANT: `calendar` says that the unit is a word as `year`; `system` is set only for codes outside UCUM.
    """

    value: Decimal
    unit: str = "1"
    calendar: bool = False
    system: str = ""

    def __str__(self) -> str:
        if self.calendar:
            return f"{self.value:f} {self.unit}{'' if self.value == 1 else 's'}"
        return f"{self.value:f} '{self.unit}'"


@cache
def factor(unit: str) -> tuple[Dimension, Fraction] | None:
    """Read a UCUM code as powers of dimensions and a factor; nothing where it is not one known here.

    Spec: UCUM 2.1; annotations in braces do not change a unit.
    """
    if len(unit) > _LONGEST:
        return None
    text = _ANNOTATION.sub("", unit)
    powers: dict[str, int] = {}
    scale = Fraction(1)
    for place, term in enumerate(re.split(r"([./])", text)):
        if place % 2 or term in ("", "1"):
            continue
        divided = place > 0 and re.split(r"([./])", text)[place - 1] == "/"
        atom = _atom(term)
        if atom is None:
            return None
        dimension, times, power = atom
        power = -power if divided else power
        scale *= Fraction(times) ** power
        if dimension in ("L", "l"):
            # A liter is a cubic decimeter.
            dimension, scale, power = "m", scale / Fraction(1000) ** power, power * 3
        if dimension != "1":
            powers[dimension] = powers.get(dimension, 0) + power
    return tuple(sorted((name, power) for name, power in powers.items() if power)), scale


def _atom(term: str) -> tuple[str, Fraction, int] | None:
    if term in _FIXED:
        dimension, times = _FIXED[term]
        return dimension, Fraction(times), 1
    match = _FACTOR.fullmatch(term)
    if match is None:
        return None
    name, power = match[1], int(match[2] or 1)
    if name in _FIXED:
        dimension, times = _FIXED[name]
        return dimension, Fraction(times), power
    for prefix, exponent in _PREFIXES.items():
        if name.startswith(prefix) and name[len(prefix) :] in _PREFIXED:
            return _PREFIXED[name[len(prefix) :]], Fraction(10) ** exponent, power
    return None


def duration(quantity: Quantity) -> str | None:
    """Give the calendar word of a duration that may be added to a date; nothing for one that may not.

    Spec: FHIRPath N1 6.7: 'a' and 'mo' are fixed numbers of days in UCUM, so they are no calendar years and months.
    """
    if quantity.calendar:
        return quantity.unit
    word = _DURATIONS.get(quantity.unit) if not quantity.system else None
    return word if word in _EXACT else None


def in_same_unit(one: Quantity, other: Quantity) -> tuple[Fraction, Fraction] | None:
    """Give both numbers in one unit; nothing when the units do not compare."""
    if one.unit == other.unit and one.system == other.system and one.calendar == other.calendar:
        return Fraction(one.value), Fraction(other.value)
    if one.system or other.system:
        return None
    if one.calendar and other.calendar and {one.unit, other.unit} == {"year", "month"}:
        twelve = {"year": 12, "month": 1}
        return Fraction(one.value) * twelve[one.unit], Fraction(other.value) * twelve[other.unit]
    a, b = _code(one), _code(other)
    first, second = (None if a is None else factor(a)), (None if b is None else factor(b))
    if first is None or second is None or first[0] != second[0]:
        return None
    return Fraction(one.value) * first[1], Fraction(other.value) * second[1]


def _code(quantity: Quantity) -> str | None:
    if not quantity.calendar:
        return quantity.unit
    return _CALENDAR_CODES[quantity.unit] if quantity.unit in _EXACT else None


def is_same(one: Quantity, other: Quantity) -> bool | None:
    """Say whether two quantities are equal; nothing when the units do not compare."""
    numbers = in_same_unit(one, other)
    return None if numbers is None else numbers[0] == numbers[1]


def converted(quantity: Quantity, unit: str) -> Quantity | None:
    """Express a quantity in another unit, where that is exact."""
    wanted = Quantity(Decimal(1), CALENDAR[unit], calendar=True) if unit in CALENDAR else Quantity(Decimal(1), unit)
    numbers = in_same_unit(quantity, wanted)
    if numbers is None:
        return None
    ratio = numbers[0] / numbers[1]
    return Quantity(Decimal(ratio.numerator) / Decimal(ratio.denominator), wanted.unit, wanted.calendar)
