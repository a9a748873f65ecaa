"""Read HL7 v2 dates and times with the precision and zone they were written with."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from typing import Final
from zoneinfo import ZoneInfo

_MOMENT: Final = re.compile(
    r"(?P<year>\d{4})(?:(?P<month>\d\d)(?:(?P<day>\d\d)(?:(?P<hour>\d\d)(?:(?P<minute>\d\d)"
    r"(?:(?P<second>\d\d)(?P<fraction>\.\d{1,9})?)?)?)?)?)?(?P<zone>[+-]\d{4})?\Z"
)


@lru_cache(maxsize=2048)
def date_of(text: str) -> str | None:
    """Give the date of a DT or TS as far as it was written; none if it is not one.

    Spec: HL7 v2.5 2.A.21 DT, 2.A.22 DTM.
    """
    match = _MOMENT.match(text.strip())
    if match is None or not _exists(match):
        return None
    return "-".join(part for part in (match["year"], match["month"], match["day"]) if part)


@lru_cache(maxsize=2048)
def date_time_of(text: str, zone: str) -> str | None:
    """Give the FHIR dateTime of a TS: the offset it was written with, else that of `zone`.

    An hour without minutes is given as a date, as FHIR has no such precision. An hour that occurs
    twice (end of summer time) is read as the first; one that never occurs keeps the winter offset.
    """
    match = _MOMENT.match(text.strip())
    if match is None or not _exists(match):
        return None
    if match["minute"] is None:
        return date_of(text)
    clock = f"{match['hour']}:{match['minute']}:{match['second'] or '00'}{match['fraction'] or ''}"
    offset = match["zone"]
    local = f"{match['year']}-{match['month']}-{match['day']}"
    return f"{local}T{clock}{f'{offset[:3]}:{offset[3:]}' if offset else _offset(f'{local}T{clock[:8]}', zone)}"


def _exists(match: re.Match[str]) -> bool:
    year, month, day = (int(match[name] or 1) for name in ("year", "month", "day"))
    hour, minute, second = (int(match[name] or 0) for name in ("hour", "minute", "second"))
    try:
        datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return False
    return match["zone"] is None or (int(match["zone"][1:3]) <= 14 and int(match["zone"][3:]) < 60)


@cache
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def _offset(local: str, zone: str) -> str:
    offset = datetime.fromisoformat(local).replace(tzinfo=_zone(zone)).utcoffset() or timedelta()
    minutes = int(offset.total_seconds()) // 60
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"
