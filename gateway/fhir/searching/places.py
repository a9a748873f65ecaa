"""Places by how far they are: `near` of Location, over the great circle."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from math import asin, cos, radians, sin, sqrt
from typing import Any, Final

from gateway.errors import Invalid
from gateway.fhir.searching.escaping import plain, split
from gateway.fhir.searching.units import comparable

_RADIUS_KM: Final = 6371.0088  # the mean radius of the earth (IUGG)
_DEFAULT_KM: Final = Decimal(25)
_WHY: Final = "give latitude|longitude, or latitude|longitude|distance|unit"


def build(name: str, text: str) -> Callable[[Any], bool]:
    """What one value of `near` asks of a position; without a distance 25 km, without a unit kilometers.

    Raises:
        Invalid: `invalid-parameter`.

    Spec: FHIR R4 Location.near, 'latitude|longitude|distance|units'.
    """
    given = [plain(part) for part in split(text, "|")]
    numbers = [_number(part) for part in given[:3]]
    unit = comparable("km", given[3] if len(given) > 3 and given[3] else "km")
    known = numbers[:2] and None not in numbers[:2] and not (len(given) > 2 and given[2] and numbers[2] is None)
    if len(given) not in (2, 3, 4) or len(numbers) < 2 or not known or unit is None:
        raise Invalid("invalid-parameter", name=name, why=_WHY)
    latitude, longitude = (float(one) for one in numbers[:2] if one is not None)
    distance = numbers[2] if len(numbers) > 2 and numbers[2] is not None else _DEFAULT_KM
    if abs(latitude) > 90 or abs(longitude) > 180 or distance < 0:
        raise Invalid("invalid-parameter", name=name, why=_WHY)
    reach_km = float(distance) * float(unit[1].factor / unit[0].factor)

    def test(value: Any) -> bool:  # noqa: ANN401 - an element of a resource
        if value.__class__ is not dict:
            return False
        here = [_number(str(value.get(axis))) for axis in ("latitude", "longitude")]
        found = [float(one) for one in here if one is not None]
        return len(found) == 2 and _kilometers(latitude, longitude, *found) <= reach_km

    return test


def _number(text: str) -> Decimal | None:
    try:
        found = Decimal(text)
    except InvalidOperation:
        return None
    return found if found.is_finite() and abs(found.adjusted()) < 20 else None


def _kilometers(latitude: float, longitude: float, other_latitude: float, other_longitude: float) -> float:
    """The distance between two positions by the haversine formula."""
    one, other = radians(latitude), radians(other_latitude)
    half = sin((other - one) / 2) ** 2 + cos(one) * cos(other) * sin(radians(other_longitude - longitude) / 2) ** 2
    return 2 * _RADIUS_KM * asin(min(1.0, sqrt(half)))
