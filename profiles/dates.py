"""FHIR dates as they were written: as precise as they are, never completed with an invented day."""

from __future__ import annotations

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Final
from zoneinfo import ZoneInfo

LOCAL: Final = ZoneInfo("Europe/Amsterdam")
EARLIEST: Final = datetime.min.replace(tzinfo=UTC)
LATEST: Final = datetime.max.replace(tzinfo=UTC)

_FORM: Final = re.compile(
    r"([0-9]{4})(?:-(0[1-9]|1[0-2])(?:-(0[1-9]|[12][0-9]|3[01])"
    r"(?:T([01][0-9]|2[0-3]):([0-5][0-9]):([0-5][0-9]|60)(?:\.([0-9]{1,40}))?"
    r"(Z|[+-](?:0[0-9]|1[0-3]):[0-5][0-9]|[+-]14:00)?)?)?)?"
)


@dataclass(frozen=True, slots=True)
class PartialDate:
    """A FHIR date, dateTime or instant: the exact text and what it says, no more.

    INVARIANT: `month` and `day` are None where the text does not give them. `instant` is set only with a time.
    """

    text: str
    year: int
    month: int | None = None
    day: int | None = None
    instant: datetime | None = None
    zone_assumed: bool = False

    @property
    def local_day(self) -> date | None:
        """The calendar day in the Netherlands, when a whole day is known."""
        if self.instant is not None:
            return _in_zone(self.instant, LOCAL)
        if self.month is None or self.day is None:
            return None
        return date(self.year, self.month, self.day)

    @property
    def lower(self) -> datetime:
        """The first moment this date can mean, in UTC."""
        if self.instant is not None:
            return self.instant
        return _start(date(self.year, self.month or 1, self.day or 1))

    @property
    def upper(self) -> datetime:
        """The first moment after everything this date can mean, in UTC."""
        if self.instant is not None:
            return _later(self.instant, self._precision())
        last_month = self.month or 12
        last_day = self.day or monthrange(self.year, last_month)[1]
        last = date(self.year, last_month, last_day)
        return LATEST if last == date.max else _start(last + timedelta(days=1))

    def _precision(self) -> timedelta:
        fraction = re.search(r"\.([0-9]+)", self.text)
        return timedelta(microseconds=max(1, 10 ** (6 - len(fraction[1])))) if fraction else timedelta(seconds=1)


def parse(text: str) -> PartialDate | None:
    """Read a FHIR date, dateTime or instant; nothing when it has another form or is not in the calendar.

    A time without a zone, which FHIR does not allow but older formats send, is read in the Netherlands and says so.

    Spec: FHIR R4 2.24.0.1 'date', 'dateTime', 'instant'.
    """
    match = _FORM.fullmatch(text)
    if match is None or match[1] == "0000":
        return None
    year, month, day = (int(part) if part else None for part in match.group(1, 2, 3))
    assert year is not None
    if month and day and day > monthrange(year, month)[1]:
        return None
    if match[4] is None:
        return PartialDate(text, year, month, day)
    instant = _moment(match)
    return None if instant is None else PartialDate(text, year, month, day, instant, zone_assumed=match[8] is None)


def _moment(match: re.Match[str]) -> datetime | None:
    year, month, day, hour, minute, second = (int(part) for part in match.group(1, 2, 3, 4, 5, 6))
    microsecond = int((match[7] or "").ljust(6, "0")[:6])
    # A leap second is read as the second after :59, as clocks without one show it.
    written = datetime(year, month, day, hour, minute, min(second, 59), microsecond, _zone(match[8]))
    try:
        return written.astimezone(UTC) + timedelta(seconds=second == 60)
    except OverflowError:
        return None


def _zone(text: str | None) -> timezone | ZoneInfo:
    if text is None:
        return LOCAL
    if text == "Z":
        return UTC
    offset = timedelta(hours=int(text[1:3]), minutes=int(text[4:6]))
    return timezone(-offset if text[0] == "-" else offset)


def _in_zone(moment: datetime, zone: ZoneInfo) -> date:
    try:
        return moment.astimezone(zone).date()
    except OverflowError:
        return moment.date()


def _start(day: date) -> datetime:
    try:
        return datetime(day.year, day.month, day.day, tzinfo=LOCAL).astimezone(UTC)
    except OverflowError:
        return EARLIEST


def _later(moment: datetime, by: timedelta) -> datetime:
    try:
        return moment + by
    except OverflowError:
        return LATEST


def same_day(one: PartialDate, other: PartialDate) -> bool | None:
    """Say whether two dates are the same day: yes, no, or not to be known.

    INVARIANT: a date without a day is never the same day as another; it can only differ or be unknown.
    """
    first, second = _known(one), _known(other)
    for a, b in zip(first, second, strict=False):
        if a != b:
            return False
    return True if len(first) == len(second) == 3 else None


def _known(value: PartialDate) -> tuple[int, ...]:
    day = value.local_day
    if day is not None:
        return (day.year, day.month, day.day)
    return (value.year,) if value.month is None else (value.year, value.month)


def certainly_after(one: PartialDate, other: PartialDate) -> bool:
    """Claim that every moment of one date lies after every moment of the other."""
    return one.lower >= other.upper


def age_on(birth: PartialDate, today: date) -> int | None:
    """Give the age in whole years, or nothing when the date of birth leaves two answers or lies ahead.

    Someone born on 29 February is a year older on 1 March of other years.
    """
    earliest = birth.local_day or date(birth.year, birth.month or 1, 1)
    last_month = birth.month or 12
    latest = birth.local_day or date(birth.year, last_month, monthrange(birth.year, last_month)[1])
    oldest, youngest = _years(earliest, today), _years(latest, today)
    return oldest if oldest == youngest and youngest >= 0 else None


def _years(birth: date, today: date) -> int:
    return today.year - birth.year - ((today.month, today.day) < (birth.month, birth.day))
