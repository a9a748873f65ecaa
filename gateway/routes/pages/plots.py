"""Measurements as small plots: equal code, unit and specimen only, values as they were sent (rule E9)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from gateway.model import Item
from gateway.summary.values import concept, quantity
from profiles import dates

WIDTH, HEIGHT, EDGE = 320, 96, 10
MAXIMUM_POINTS: Final = 60


@dataclass(frozen=True, slots=True)
class Point:
    """One measurement."""

    x: str  # in the plot, as SVG takes it
    y: str
    date: str  # as sent
    value: str  # as sent
    source: str


@dataclass(frozen=True, slots=True)
class Plot:
    """One series of one measurement in one unit."""

    title: str
    unit: str
    low: str
    high: str
    first: str
    last: str
    points: tuple[Point, ...]

    @property
    def path(self) -> str:
        """The points of the line."""
        return " ".join(f"{point.x},{point.y}" for point in self.points)


@dataclass(frozen=True, slots=True)
class _Measured:
    at: datetime
    number: Decimal
    date: str
    value: str
    source: str


def plots(items: Iterable[Item], names: dict[str, str]) -> list[Plot]:
    """A plot for every measurement that was done at least twice; a component is a measurement of its own."""
    series: dict[tuple[str, str, str, str], list[_Measured]] = defaultdict(list)
    for item in items:
        if item.type != "Observation" or item.resource.get("status") in ("cancelled", "entered-in-error"):
            continue
        specimen = str((item.resource.get("specimen") or {}).get("reference", ""))
        for part in (item.resource, *(item.resource.get("component") or ())):
            read = _measured(part, item, names.get(item.custodian, item.custodian))
            if read is not None:
                value = part["valueQuantity"]
                unit = str(value.get("code") or value.get("unit") or "")
                series[_key(part.get("code")), concept(part.get("code")), unit, specimen].append(read)
    return [_plot(title, unit, found) for (_, title, unit, _), found in series.items() if len(found) > 1]


def _key(code: Any) -> str:  # noqa: ANN401 - from a foreign system
    coding: dict[str, Any] = next(iter((code or {}).get("coding") or ()), {})
    return f"{coding.get('system', '')}|{coding.get('code', '')}"


def _measured(part: dict[str, Any], item: Item, source: str) -> _Measured | None:
    value, when = part.get("valueQuantity"), dates.parse(item.date)
    if not isinstance(value, dict) or when is None or when.local_day is None or "comparator" in value:
        return None
    number = value.get("value")
    if isinstance(number, bool) or not isinstance(number, int | Decimal):
        return None
    return _Measured(when.lower, Decimal(number), item.date, quantity(value), source)


def _plot(title: str, unit: str, found: list[_Measured]) -> Plot:
    shown = sorted(found, key=lambda one: one.at)[-MAXIMUM_POINTS:]
    low, high = min(shown, key=lambda one: one.number), max(shown, key=lambda one: one.number)
    start, span = shown[0].at, (shown[-1].at - shown[0].at).total_seconds() or 1.0
    height = float(high.number - low.number) or 1.0

    def at(one: _Measured) -> Point:
        x = EDGE + (WIDTH - 2 * EDGE) * (one.at - start).total_seconds() / span
        y = HEIGHT - EDGE - (HEIGHT - 2 * EDGE) * float(one.number - low.number) / height
        return Point(f"{x:.1f}", f"{y:.1f}", one.date, one.value, one.source)

    return Plot(title, unit, low.value, high.value, shown[0].date, shown[-1].date, tuple(at(one) for one in shown))
