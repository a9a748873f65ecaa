"""A figure beside its target: median and spread over interleaved rounds, and the table that is printed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any


@dataclass(frozen=True, slots=True)
class Spread:
    """What several rounds gave: the median, and the lowest and highest."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return median(self.values)

    def text(self, digits: int) -> str:
        return f"{self.median:.{digits}f} ({min(self.values):.{digits}f} - {max(self.values):.{digits}f})"


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table. A target is a bound on the median; without one it is context for the others."""

    name: str
    unit: str
    rounds: Spread
    digits: int = 1
    at_least: float | None = None
    at_most: float | None = None

    @property
    def is_met(self) -> bool | None:
        if self.at_least is not None:
            return self.rounds.median >= self.at_least
        return None if self.at_most is None else self.rounds.median <= self.at_most

    @property
    def target(self) -> str:
        if self.at_least is not None:
            return f">= {self.at_least:g}"
        return "" if self.at_most is None else f"<= {self.at_most:g}"

    def row(self) -> tuple[str, ...]:
        met = {None: "", True: "met", False: "MISSED"}[self.is_met]
        return self.name, self.rounds.text(self.digits), self.unit, self.target, met


@dataclass(slots=True)
class Report:
    """The figures of one benchmark, and what was true of the machine while it ran."""

    benchmark: str
    conditions: dict[str, Any]
    figures: list[Figure] = field(default_factory=list)

    def add(
        self,
        name: str,
        unit: str,
        values: Sequence[float],
        *,
        digits: int = 1,
        at_least: float | None = None,
        at_most: float | None = None,
    ) -> None:
        self.figures.append(Figure(name, unit, Spread(tuple(values)), digits, at_least, at_most))

    def text(self) -> str:
        rows = [("figure", "median (lowest - highest)", "unit", "target", ""), *(one.row() for one in self.figures)]
        widths = [max(len(row[column]) for row in rows) for column in range(5)]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        conditions = ", ".join(f"{name} {value}" for name, value in self.conditions.items())
        return "\n".join([f"== {self.benchmark} ({conditions})", *lines])

    def as_object(self) -> dict[str, Any]:
        figures = [
            asdict(one) | {"median": one.rounds.median, "target": one.target, "met": one.is_met} for one in self.figures
        ]
        return {"benchmark": self.benchmark, "conditions": self.conditions, "figures": figures}
