"""Small plots of counts as SVG, each with its figures in words: no script, no style of its own, readable without color. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Final

from markupsafe import Markup, escape

WIDTH: Final = 640
_HIGH: Final = 120
_LEFT: Final = 44
_ROW: Final = 26
_LABEL: Final = 230
_COUNT: Final = 70


def days(counts: Mapping[date, int], first: date, last: date, alternative: str) -> Markup:
    """A column a day, or a week where the period is long; `alternative` says in words what the plot shows."""
    columns = _columns(counts, first, last)
    most = max((count for _, count in columns), default=0)
    top = nice(most)
    wide = (WIDTH - _LEFT) / max(len(columns), 1)
    parts = [_axis(top)]
    for number, (day, count) in enumerate(columns):
        high = _HIGH * count / top
        if count:
            parts.append(_bar(_LEFT + number * wide + 1, _HIGH + 10 - high, max(wide - 2, 1), high, f"{day}: {count}"))
    parts += _dates(columns, wide)
    return _svg(WIDTH, _HIGH + 32, parts, alternative)


def bars(rows: Sequence[tuple[str, int]], alternative: str) -> Markup:
    """A bar for each name with its count beside it, in the order given."""
    most = max((count for _, count in rows), default=0) or 1
    parts: list[Markup] = []
    for number, (name, count) in enumerate(rows):
        middle = number * _ROW + 17
        long = (WIDTH - _LABEL - _COUNT) * count / most
        parts.append(_text(0, middle, _short(name)))
        parts.append(_bar(_LABEL, number * _ROW + 5, max(long, 1), 16, f"{name}: {count}"))
        parts.append(_text(_LABEL + long + 6, middle, str(count)))
    return _svg(WIDTH, max(len(rows), 1) * _ROW, parts, alternative)


def nice(most: int) -> int:
    """The first round number that is not smaller: 1, 2 or 5 times a power of ten."""
    step = 1
    while True:
        for factor in (1, 2, 5):
            if step * factor >= most:
                return step * factor
        step *= 10


def _columns(counts: Mapping[date, int], first: date, last: date) -> list[tuple[date, int]]:
    long = (last - first).days + 1
    every = 1 if long <= 92 else 7
    found = []
    for start in range(0, long, every):
        days_ = [first + timedelta(start + more) for more in range(min(every, long - start))]
        found.append((days_[0], sum(counts.get(day, 0) for day in days_)))
    return found


def _axis(top: int) -> Markup:
    lines = Markup("").join(
        Markup('<line class="axis" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(_LEFT, WIDTH, y, y)
        for y in (10, _HIGH + 10)
    )
    return lines + _text(_LEFT - 6, 15, str(top), end=True) + _text(_LEFT - 6, _HIGH + 14, "0", end=True)


def _dates(columns: Sequence[tuple[date, int]], wide: float) -> list[Markup]:
    if not columns:
        return []
    last = len(columns) - 1
    shown = {0: columns[0][0]} | ({last: columns[-1][0]} if last > 2 else {})
    return [
        _text(_LEFT + number * wide + (wide if number else 0), _HIGH + 27, f"{day.day}-{day.month}", end=number > 0)
        for number, day in shown.items()
    ]


def _bar(x: float, y: float, wide: float, high: float, title: str) -> Markup:
    made = Markup('<rect class="bar" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"><title>{}</title></rect>')
    return made.format(x, y, wide, high, title)


def _text(x: float, y: float, text: str, *, end: bool = False) -> Markup:
    anchor = Markup(' text-anchor="end"') if end else Markup("")
    return Markup('<text x="{:.1f}" y="{:.1f}"{}>{}</text>').format(x, y, anchor, text)


def _svg(wide: int, high: int, parts: Sequence[Markup], alternative: str) -> Markup:
    head = Markup('<svg class="plot bars wide" role="img" viewBox="0 0 {} {}" aria-label="{}">').format(
        wide, high, escape(alternative)
    )
    return head + Markup("").join(parts) + Markup("</svg>")


def _short(name: str) -> str:
    return name if len(name) <= 34 else f"{name[:33]}…"
