"""Dates as intervals: what a search says of a moment held against what a resource says, each as precise as it is written."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final, NamedTuple

from gateway.errors import Invalid
from profiles import dates

# Nanoseconds: a fraction of a second may be written finer than a clock tells it.
FOREVER: Final = 10**30
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_SECOND: Final = 10**9
_PREFIX: Final = re.compile(r"(eq|ne|gt|lt|ge|le|sa|eb|ap)?(.+)", re.DOTALL)
_FORM: Final = re.compile(
    r"([0-9-]+)(?:T((?:[01][0-9]|2[0-3]):[0-5][0-9])(:[0-9]{2})?(?:\.([0-9]{1,40}))?"
    r"(Z|[+\- ](?:(?:0[0-9]|1[0-3]):[0-5][0-9]|14:00))?)?"
)
_WHY: Final = "give a date as YYYY, YYYY-MM, YYYY-MM-DD or with a time and zone"

MomentTest = Callable[[Any, datetime], bool]


class Span(NamedTuple):
    """The moments a date can mean: from `low` until `high`; `offset` is that of the zone it was written with."""

    low: int
    high: int
    offset: int | None = None
    floating: bool = False  # a time without a zone


@lru_cache(maxsize=8192)
def span(text: str) -> Span | None:
    """Read a date, of a resource or of a search; nothing when it is none.

    Minutes without seconds are as precise as a minute. A space before the zone was a plus before it was in a URL.
    """
    found = _FORM.fullmatch(text)
    if found is None or (found[2] and not found[3] and found[4]):
        return None
    day, minutes, seconds, fraction, zone = found.groups()
    if minutes is None:
        parsed = dates.parse(text)
        return Span(_nanoseconds(parsed.lower), _nanoseconds(parsed.upper)) if parsed else None
    zone = (zone or "").replace(" ", "+")
    start = _start(f"{day}T{minutes}{seconds or ':00'}{zone}", zoned=bool(zone))
    if start is None:
        return None
    digits = (fraction or "")[:9]
    low = _nanoseconds(start) + int(digits.ljust(9, "0"))
    width = 10 ** (9 - len(digits)) if digits else _SECOND if seconds else 60 * _SECOND
    return Span(low, low + width, _offset(zone), not zone)


def _start(text: str, *, zoned: bool) -> datetime | None:
    """The moment a whole second begins; the quick way for what nearly all are."""
    if zoned and not text.startswith("0000"):
        with contextlib.suppress(ValueError, OverflowError):
            return datetime.fromisoformat(text).astimezone(UTC)
    parsed = dates.parse(text)
    return parsed.lower if parsed else None


def covered(value: Any) -> Span | None:  # noqa: ANN401 - an element of a resource
    """The moments a value covers: a date, a Period, or the outer limits of a Timing; an open end reaches for ever.

    Spec: FHIR R4 3.1.1.4.7 'date'.
    """
    if value.__class__ is str:
        return span(value)
    if value.__class__ is not dict:
        return None
    if "event" in value or "repeat" in value:
        return _of_timing(value)
    start, end = (span(text) if isinstance(text := value.get(name), str) else None for name in ("start", "end"))
    if start is None and end is None:
        return None
    known = start or end
    assert known is not None
    return Span(start.low if start else -FOREVER, end.high if end else FOREVER, known.offset)


def build(name: str, text: str) -> MomentTest:
    """What one value of a date parameter asks of a value of a resource.

    A time without a zone is read in the zone of what it is held against; that has none either: in the Netherlands.

    Raises:
        Invalid: `invalid-parameter`.

    Spec: FHIR R4 3.1.1.4.3 'Prefixes', 3.1.1.4.7 'date'.
    """
    found = _PREFIX.fullmatch(text)
    asked = span(found[2]) if found else None
    if found is None or asked is None:
        raise Invalid("invalid-parameter", name=name, why=_WHY)
    prefix = found[1] or "eq"
    wall = _wall(found[2]) if asked.floating else 0
    width = asked.high - asked.low

    def test(value: Any, now: datetime) -> bool:  # noqa: ANN401 - an element of a resource
        held = covered(value)
        if held is None:
            return False
        low = asked.low if not asked.floating or held.offset is None else wall - held.offset
        return _holds(prefix, low, low + width, held, now)

    return test


def _holds(prefix: str, low: int, high: int, held: Span, now: datetime) -> bool:
    contained = low <= held.low and held.high <= high
    match prefix:
        case "eq":
            return contained
        case "ne":
            return not contained
        case "gt":
            return held.high > high
        case "lt":
            return held.low < low
        case "ge":
            return held.high > high or contained
        case "le":
            return held.low < low or contained
        case "sa":
            return held.low >= high
        case "eb":
            return held.high <= low
        case _:  # ap: within a tenth of the distance to now
            room = abs(_nanoseconds(now) - low) // 10
            return held.low < high + room and held.high > low - room


def _of_timing(value: dict[str, Any]) -> Span | None:
    repeat = value.get("repeat")
    bounds = covered(repeat["boundsPeriod"]) if isinstance(repeat, dict) and "boundsPeriod" in repeat else None
    spans = [found for event in value.get("event") or () if isinstance(event, str) and (found := span(event))]
    spans += [bounds] if bounds else []
    if not spans:
        return None
    return Span(min(one.low for one in spans), max(one.high for one in spans), spans[0].offset)


def _nanoseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND * 1000


def _wall(text: str) -> int:
    """A time without a zone as if it were one of UTC."""
    found = span(text + "Z")
    assert found is not None
    return found.low


def _offset(zone: str) -> int | None:
    if not zone:
        return None
    if zone == "Z":
        return 0
    seconds = int(zone[1:3]) * 3600 + int(zone[4:6]) * 60
    return (-seconds if zone[0] == "-" else seconds) * _SECOND
