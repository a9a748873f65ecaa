"""FHIR dates of any precision: as moments of a consent and as days of a fact."""

from __future__ import annotations

import calendar
import re
from datetime import datetime, timedelta
from typing import Final, Literal
from zoneinfo import ZoneInfo

ZONE: Final = ZoneInfo("Europe/Amsterdam")
_DATE: Final = re.compile(r"(\d{4})(?:-(\d\d)(?:-(\d\d)(T\S+)?)?)?", re.ASCII)
_ZONED: Final = re.compile(r"T\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d)", re.ASCII)

Overlap = Literal["inside", "outside", "perhaps"]


def span(text: str) -> tuple[datetime, datetime]:
    """Give the first moment of a FHIR date or dateTime, and the first moment after it.

    Raises:
        ValueError: not a FHIR date or dateTime, or one with a time and no zone.
    """
    found = _DATE.fullmatch(text)
    if found is None:
        message = "not a FHIR date"
        raise ValueError(message)
    year, month, day = int(found[1]), int(found[2] or 1), int(found[3] or 1)
    if found[4]:
        if not _ZONED.fullmatch(found[4]):
            message = "a time needs a zone"
            raise ValueError(message)
        moment = datetime.fromisoformat(text)
        return moment, moment + timedelta(seconds=0 if "." in text else 1)
    first = datetime(year, month, day, tzinfo=ZONE)
    if found[3]:
        return first, first + timedelta(days=1)
    if found[2]:
        return first, first + timedelta(days=calendar.monthrange(year, month)[1])
    return first, datetime(year + 1, 1, 1, tzinfo=ZONE)


def overlap(date: str | None, start: str | None, end: str | None) -> Overlap:
    """Say how a date of unknown precision lies to a period; what cannot be read is "perhaps"."""
    try:
        first, after = span(date or "")
        opens = span(start) if start else None
        closes = span(end) if end else None
    except (ValueError, OverflowError):
        return "perhaps"
    if (opens and after <= opens[0]) or (closes and first >= closes[1]):
        return "outside"
    if (opens and first < opens[0]) or (closes and after > closes[1]):
        return "perhaps"
    return "inside"
