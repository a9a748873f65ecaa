"""Dates, date-times and times as precise as they were written: comparing, adding and the limits of what they can mean."""

from __future__ import annotations

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import ROUND_DOWN, Decimal
from typing import Final, Literal

Kind = Literal["Date", "DateTime", "Time"]

_FORM: Final = re.compile(
    r"([0-9]{4})(?:-(0[1-9]|1[0-2])(?:-(0[1-9]|[12][0-9]|3[01]))?)?"
    r"(?:(T)(?:([01][0-9]|2[0-3])(?::([0-5][0-9])(?::([0-5][0-9](?:\.[0-9]{1,28})?|60))?)?(Z|[+-](?:0[0-9]|1[0-4]):[0-5][0-9])?)?)?"
)
_TIME: Final = re.compile(r"T?([01][0-9]|2[0-3])(?::([0-5][0-9])(?::([0-5][0-9](?:\.[0-9]{1,28})?|60))?)?")
_WIDEST_ZONE: Final = 14 * 60  # minutes on either side
_DIGITS: Final = {"Date": (4, 6, 8), "DateTime": (4, 6, 8, 10, 12, 14, 17), "Time": (2, 4, 6, 9)}
# How many of a unit are one of the next coarser: milliseconds are part of the seconds.
_COARSER: Final = {
    "second": ("minute", 60), "minute": ("hour", 60), "hour": ("day", 24), "day": ("month", 30), "month": ("year", 12),
}  # fmt: skip
_PARTS: Final = ("year", "month", "day", "hour", "minute", "second")

Part = int | Decimal


@dataclass(frozen=True, slots=True)
class Temporal:
    """A Date, DateTime or Time with the parts that were written, and the zone as minutes east of Greenwich.

    INVARIANT: `parts` has no gaps: year, month, day, hour, minute, second; a Time starts at the hour. Only the second is
    a Decimal.
    """

    kind: Kind
    parts: tuple[Part, ...]
    offset: int | None = None
    text: str = ""

    def __str__(self) -> str:
        return self.text or written(self)


def literal(text: str) -> Temporal | None:
    """Read what follows the `@` of a literal."""
    if text[0] == "T":
        return time(text)
    found = date_time(text)
    if found is None or "T" in text:
        return found
    return Temporal("Date", found.parts, None, text)


def date_time(text: str) -> Temporal | None:
    """Read a dateTime or instant of any precision; nothing when it is none."""
    match = _FORM.fullmatch(text)
    if match is None or match[1] == "0000" or (match[4] and match[3] is None and match[5]):
        return None
    numbers: list[Part] = [int(part) for part in match.group(1, 2, 3, 5, 6) if part]
    if len(numbers) >= 3 and int(numbers[2]) > monthrange(int(numbers[0]), int(numbers[1]))[1]:
        return None
    if match[7]:
        numbers.append(Decimal(match[7]))
    return Temporal("DateTime", tuple(numbers), _offset(match[8]), text.rstrip("T"))


def day(text: str) -> Temporal | None:
    """Read a date of any precision; nothing when it is none."""
    found = date_time(text) if "T" not in text else None
    return None if found is None else Temporal("Date", found.parts, None, text)


def time(text: str) -> Temporal | None:
    """Read a time of day, with or without the `T`; nothing when it is none."""
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    numbers: list[Part] = [int(part) for part in match.group(1, 2) if part]
    if match[3]:
        numbers.append(Decimal(match[3]))
    return Temporal("Time", tuple(numbers), None, text.lstrip("T"))


def _offset(text: str | None) -> int | None:
    if not text:
        return None
    if text == "Z":
        return 0
    minutes = int(text[1:3]) * 60 + int(text[4:6])
    return -minutes if text[0] == "-" else minutes


def written(value: Temporal) -> str:
    """Write the text of a value that was computed."""
    if value.kind == "Time":
        return ":".join(_two(part) for part in value.parts)
    days = value.parts[:3]
    text = "-".join([f"{days[0]:04}", *(_two(part) for part in days[1:])])
    if len(value.parts) <= 3:
        return text
    text += "T" + ":".join(_two(part) for part in value.parts[3:])
    if value.offset is None:
        return text
    if value.offset == 0:
        return text + "Z"
    hours, minutes = divmod(abs(value.offset), 60)
    return f"{text}{'-' if value.offset < 0 else '+'}{hours:02}:{minutes:02}"


def _two(part: Part) -> str:
    if isinstance(part, int):
        return f"{part:02}"
    whole, _, fraction = f"{part:f}".partition(".")
    return whole.zfill(2) + (f".{fraction}" if fraction else "")


def compare(one: Temporal, other: Temporal) -> int | None:
    """Say whether one is before (-1), the same as (0) or after (1) the other; nothing when precision leaves it open.

    Spec: FHIRPath N1 6.1.1, 6.2: part by part; a part that only one of them has makes the answer unknown.
    """
    if one.offset != other.offset and len(one.parts) > 3 and len(other.parts) > 3:
        if one.offset is None or other.offset is None:
            return _compare_unzoned(one, other)
        one, other = _in_utc(one), _in_utc(other)
    return _compare_parts(one.parts, other.parts)


def _compare_parts(one: tuple[Part, ...], other: tuple[Part, ...]) -> int | None:
    for a, b in zip(one, other, strict=False):
        if a != b:
            return -1 if a < b else 1
    return 0 if len(one) == len(other) else None


def _compare_unzoned(one: Temporal, other: Temporal) -> int | None:
    """Compare where one zone is not known: certain only beyond the widest difference of zones."""
    difference = _minutes(one) - (one.offset or 0) - _minutes(other) + (other.offset or 0)
    if abs(difference) <= _WIDEST_ZONE:
        return None
    return -1 if difference < 0 else 1


def _minutes(value: Temporal) -> int:
    year, month, day_, hour, *rest = (int(part) for part in value.parts)
    return (date(year, month, day_).toordinal() * 24 + hour) * 60 + (rest[0] if rest else 0)


def _in_utc(value: Temporal) -> Temporal:
    if not value.offset:
        return value
    total = _minutes(value) - value.offset
    days, rest = divmod(total, 24 * 60)
    if not 1 <= days <= date.max.toordinal():
        return value
    moment = date.fromordinal(days)
    parts: tuple[Part, ...] = (moment.year, moment.month, moment.day, rest // 60, rest % 60, *value.parts[5:])
    # An hour without minutes stays an hour, unless the zone has half hours.
    return Temporal(value.kind, parts[: max(len(value.parts), 4)], 0)


def plus(value: Temporal, amount: Decimal, unit: str) -> Temporal | None:
    """Add a duration; a value of lower precision than the unit moves by whole units of its own. Overflow is nothing.

    Spec: FHIRPath N1 6.7 'Date/time arithmetic'.
    """
    if unit == "week":
        amount, unit = _whole(amount) * 7, "day"
    elif unit == "millisecond":
        amount, unit = amount / 1000, "second"
    if unit != "second":
        amount = _whole(amount)
    if value.kind == "Time":
        return _plus_time(value, amount, unit)
    finest = _PARTS[len(value.parts) - 1]
    while _PARTS.index(unit) > _PARTS.index(finest):
        if unit == "day" and finest == "year":
            amount, unit = _whole(amount / 365), "year"
            break
        coarser, count = _COARSER[unit]
        amount, unit = _whole(amount / count), coarser
    try:
        parts = _moved(value.parts, amount, unit)
    except (ValueError, OverflowError):
        return None
    return Temporal(value.kind, parts, value.offset)


def _whole(amount: Decimal) -> Decimal:
    return amount.to_integral_value(rounding=ROUND_DOWN)


def _moved(parts: tuple[Part, ...], amount: Decimal, unit: str) -> tuple[Part, ...]:
    year, month, day_ = (int(part) for part in (*parts[:3], 1, 1)[:3])
    if unit in ("year", "month"):
        months = year * 12 + month - 1 + int(amount) * (12 if unit == "year" else 1)
        year, month = divmod(months, 12)
        month += 1
        if not 1 <= year <= 9999:
            raise ValueError(unit)
        # The last day of a shorter month takes the place of a day it has not.
        day_ = min(day_, monthrange(year, month)[1])
        return (year, month, day_)[: min(len(parts), 3)] + parts[3:]
    if unit == "day":
        moved = date(year, month, day_) + timedelta(days=int(amount))
        return (moved.year, moved.month, moved.day, *parts[3:])
    full = (*parts, 0, 0)[:5] if len(parts) < 6 else parts[:5]
    second = parts[5] if len(parts) == 6 else Decimal(0)
    seconds = (
        (int(full[3]) * 60 + int(full[4])) * 60 + second + amount * {"hour": 3600, "minute": 60, "second": 1}[unit]
    )
    days = int((seconds / 86400).to_integral_value(rounding="ROUND_FLOOR"))
    moved = date(year, month, day_) + timedelta(days=days)
    return (moved.year, moved.month, moved.day, *_clock(Decimal(seconds) - days * 86400))[: len(parts)]


def _clock(seconds: Decimal) -> tuple[Part, ...]:
    minutes = int(seconds // 60)
    return (minutes // 60, minutes % 60, seconds - minutes * 60)


def _plus_time(value: Temporal, amount: Decimal, unit: str) -> Temporal | None:
    """Add to a time of day, around midnight."""
    if unit not in ("hour", "minute", "second"):
        return None
    finest = _PARTS[len(value.parts) + 2]
    while _PARTS.index(unit) > _PARTS.index(finest):
        coarser, count = _COARSER[unit]
        amount, unit = _whole(amount / count), coarser
    hour, minute, second = (*value.parts, 0, 0)[:3]
    seconds = Decimal((int(hour) * 60 + int(minute)) * 60) + second
    seconds = (seconds + amount * {"hour": 3600, "minute": 60, "second": 1}[unit]) % 86400
    if seconds < 0:
        seconds += 86400
    return Temporal("Time", _clock(seconds)[: len(value.parts)])


def precision(value: Temporal) -> int:
    """Count the digits of precision: 4 for a year, 17 for milliseconds; of a time 9.

    Spec: FHIRPath 5.7.? `precision`.
    """
    digits = _DIGITS[value.kind]
    count = len(value.parts)
    last = value.parts[-1]
    fraction = isinstance(last, Decimal) and int(last.as_tuple().exponent) < 0
    return digits[count if fraction else count - 1]


def boundary(value: Temporal, digits: int | None, *, high: bool) -> Temporal | None:
    """Give the first or last moment a value can mean, at a number of digits; nothing at one that does not exist.

    Spec: FHIRPath 5.7.? `lowBoundary`, `highBoundary`: a missing zone is the one that makes the moment earliest or latest.
    """
    known = _DIGITS[value.kind]
    asked = known[-1] if digits is None else digits
    if asked not in known:
        return None
    first = 3 if value.kind == "Time" else 0
    count = known.index(asked) + 1
    parts = list(value.parts)
    limits = (9999, 12, 31, 23, 59, 59) if high else (1, 1, 1, 0, 0, 0)
    while first + len(parts) < 6 and len(parts) < count:
        limit: Part = limits[first + len(parts)]
        if high and first + len(parts) == 2:
            limit = monthrange(int(parts[0]), int(parts[1]))[1]
        parts.append(limit if first + len(parts) < 5 else Decimal(limit))
    parts = parts[:count]
    if first + len(parts) == 6:
        parts[-1] = _boundary_second(Decimal(parts[-1]), known, asked, high=high)
    offset = value.offset
    if value.kind == "DateTime" and offset is None and len(parts) > 3:
        offset = -12 * 60 if high else _WIDEST_ZONE
    return Temporal(value.kind, tuple(parts), offset if len(parts) > 3 else None)


def _boundary_second(second: Decimal, known: tuple[int, ...], asked: int, *, high: bool) -> Decimal:
    if asked != known[-1]:
        return _whole(second)
    exponent = int(second.as_tuple().exponent)
    if exponent >= 0:
        return second + Decimal("0.999") if high else second + Decimal("0.000")
    missing = Decimal(10) ** exponent - Decimal("0.001") if high and exponent > -3 else Decimal(0)
    return (second + missing).quantize(Decimal("0.001"), rounding=ROUND_DOWN)
