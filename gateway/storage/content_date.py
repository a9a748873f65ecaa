"""Which of two FHIR dates is older, when they say so."""

from __future__ import annotations

import calendar
import re
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

_ZONE: Final = ZoneInfo("Europe/Amsterdam")  # of a date without a time
_PARTIAL: Final = re.compile(r"(\d{4})(?:-(\d\d))?(?:-(\d\d))?")


def older(date: str, than: str) -> bool:
    """Claim that `date` lies wholly before `than`; what cannot be known (absent, partial) is not older.

    Spec: FHIR R4 2.24.0.1 date, dateTime, instant.
    """
    first, second = _span(date), _span(than)
    return first is not None and second is not None and first[1] <= second[0]


@lru_cache(maxsize=1024)
def _span(text: str) -> tuple[datetime, datetime] | None:
    try:
        partial = _PARTIAL.fullmatch(text)
        if partial is None:
            moment = datetime.fromisoformat(text)
            moment = moment if moment.tzinfo else moment.replace(tzinfo=_ZONE)
            return moment, moment + timedelta(microseconds=1)
        year, month, day = int(partial[1]), partial[2], partial[3]
        first = datetime(year, int(month or 1), int(day or 1), tzinfo=_ZONE)
        last_month = int(month or 12)
        last_day = int(day) if day else calendar.monthrange(year, last_month)[1]
        return first, datetime(year, last_month, last_day, tzinfo=_ZONE) + timedelta(days=1)
    except (ValueError, OverflowError):
        return None
