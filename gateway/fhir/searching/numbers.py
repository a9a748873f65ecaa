"""Numbers and quantities: as precise as they are written, in any unit that converts exactly to the one asked for."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from gateway.errors import Invalid
from gateway.fhir.searching.escaping import plain, split
from gateway.fhir.searching.units import UCUM, comparable

ValueTest = Callable[[Any], bool]

_NUMBER: Final = re.compile(r"([+-]?)([0-9]{1,40})(?:\.([0-9]{1,40}))?(?:[eE]([+-]?[0-9]{1,2}))?")
_PREFIX: Final = re.compile(r"(eq|ne|gt|lt|ge|le|sa|eb|ap)?(.*)", re.DOTALL)
_LARGEST: Final = 100  # powers of ten; beyond it nothing is measured
_CURRENCIES: Final = "urn:iso:std:iso:4217"
_QUANTITY: Final = "give number, or number|system|code"


@dataclass(frozen=True, slots=True)
class Extent:
    """What a value of a resource may be: one number, or all between two; an end that is open is not part of it."""

    low: Fraction | None
    high: Fraction | None
    low_open: bool = False
    high_open: bool = False


@dataclass(frozen=True, slots=True)
class Asked:
    """A number of a search: its value, and half of its last digit."""

    prefix: str
    value: Fraction
    half: Fraction

    def holds(self, held: Extent) -> bool:
        """Decide for a value of a resource in the same unit.

        Spec: FHIR R4 3.1.1.4.3 'Prefixes': only eq, ne and ap know of precision.
        """
        match self.prefix:
            case "eq":
                return self._contains(held)
            case "ne":
                return not self._contains(held)
            case "gt":
                return held.high is None or held.high > self.value
            case "lt":
                return held.low is None or held.low < self.value
            case "ge":
                return held.high is None or held.high > self.value or (held.high == self.value and not held.high_open)
            case "le":
                return held.low is None or held.low < self.value or (held.low == self.value and not held.low_open)
            case "sa":
                return held.low is not None and (held.low > self.value or (held.low == self.value and held.low_open))
            case "eb":
                return held.high is not None and (
                    held.high < self.value or (held.high == self.value and held.high_open)
                )
            case _:
                room = max(abs(self.value) / 10, self.half)
                low, high = self.value - room, self.value + room
                return (held.high is None or held.high >= low) and (held.low is None or held.low <= high)

    def _contains(self, held: Extent) -> bool:
        if held.low is None or held.high is None:
            return False
        below = self.value + self.half
        return self.value - self.half <= held.low and (held.high < below or (held.high == below and held.high_open))


def asked(name: str, text: str, why: str = "give a number") -> Asked:
    """Read a number with its prefix.

    An exponent to a whole number counts as one digit more: 1e2 is 95 until 105.

    Raises:
        Invalid: `invalid-parameter`.

    Spec: FHIR R4 3.1.1.4.6 'number'.
    """
    found = _PREFIX.fullmatch(text)
    digits = _NUMBER.fullmatch(found[2]) if found else None
    if found is None or digits is None:
        raise Invalid("invalid-parameter", name=name, why=why)
    exponent = int(digits[4] or 0)
    places = len(digits[3]) if digits[3] else 1 if digits[4] else 0
    last = Fraction(10) ** (exponent - places)
    return Asked(found[1] or "eq", Fraction(Decimal(found[2])), last / 2)


def build_number(name: str, text: str) -> ValueTest:
    """What one value of a number parameter asks of a value of a resource.

    Raises:
        Invalid: `invalid-parameter`.
    """
    wanted = asked(name, text)

    def test(value: Any) -> bool:  # noqa: ANN401 - an element of a resource
        held = _exact(value)
        return held is not None and wanted.holds(Extent(held, held))

    return test


def build_quantity(name: str, text: str) -> ValueTest:
    """What one value of a quantity parameter asks of a Quantity, a Range or an amount of money.

    With the system of UCUM a value in another unit is converted; without a system the code is code or unit as written.

    Raises:
        Invalid: `invalid-parameter`.

    Spec: FHIR R4 3.1.1.4.11 'quantity'.
    """
    parts = [plain(part) for part in split(text, "|")]
    if len(parts) not in (1, 3):
        raise Invalid("invalid-parameter", name=name, why=_QUANTITY)
    wanted = asked(name, parts[0], _QUANTITY)
    system, code = parts[1:] if len(parts) == 3 else ("", "")

    def test(value: Any) -> bool:  # noqa: ANN401 - an element of a resource
        if value.__class__ is not dict:
            return False
        held = _extent(value, system, code)
        return held is not None and wanted.holds(held)

    return test


def ordinal(value: Any) -> Fraction | None:  # noqa: ANN401 - an element of a resource
    """A number or quantity as something to sort by: in base units where its unit is known."""
    if value.__class__ is not dict:
        return _exact(value)
    held = _extent(value.get("low", value) if isinstance(value.get("low", value), dict) else value, "", "")
    if held is None:
        return None
    number = held.low if held.low is not None else held.high
    units = comparable(str(value.get("code", "")), str(value.get("code", "")))
    if number is None or units is None or value.get("system") != UCUM:
        return number
    return (number + units[0].offset) * units[0].factor


def _extent(value: dict[str, Any], system: str, code: str) -> Extent | None:
    if "low" in value or "high" in value:
        ends = [
            _converted(value[end], system, code) if isinstance(value.get(end), dict) else None
            for end in ("low", "high")
        ]
        if all(end is None for end in ends) or any(
            end is None and name in value for end, name in zip(ends, ("low", "high"), strict=True)
        ):
            return None
        return Extent(ends[0], ends[1])
    number = _converted(value, system, code)
    if number is None:
        return None
    match value.get("comparator"):
        case "<":
            return Extent(None, number, high_open=True)
        case "<=":
            return Extent(None, number)
        case ">":
            return Extent(number, None, low_open=True)
        case ">=":
            return Extent(number, None)
        case _:
            return Extent(number, number)


def _converted(value: dict[str, Any], system: str, code: str) -> Fraction | None:
    """The number in the unit asked for; nothing where it is in another that does not convert."""
    number = _exact(value.get("value"))
    if number is None:
        return None
    if "currency" in value:
        return number if system in ("", _CURRENCIES) and code in ("", value["currency"]) else None
    own_system, own = value.get("system", ""), value.get("code", "")
    if not system:
        return number if not code or code in (own, value.get("unit")) else None
    if own_system != system:
        return None
    if not code or own == code:
        return number
    units = comparable(code, own) if system == UCUM and isinstance(own, str) else None
    return units[0].of(number, units[1]) if units else None


def _exact(value: Any) -> Fraction | None:  # noqa: ANN401 - an element of a resource
    if value.__class__ is int:
        return Fraction(value) if abs(value) < 10**_LARGEST else None
    if isinstance(value, Decimal) and value.is_finite():
        return Fraction(0) if not value else Fraction(value) if abs(value.adjusted()) < _LARGEST else None
    return None
