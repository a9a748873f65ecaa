"""When the time of a record is over: whole months, the longest that law, agreements and custodians ask for (rule F4). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from gateway.audit.record import Record
from gateway.settings import Settings

LAW_YEARS = 5  # Regeling elektronische gegevensuitwisseling in de zorg, art. 5: from the moment of writing


@dataclass(frozen=True, slots=True)
class Hold:
    """A question of law is open: what it is about is not removed. Empty = any."""

    id: str
    party: str  # URA of a requester or custodian
    patient: str  # pseudonymous id
    starts: datetime
    ends: datetime

    def covers(self, record: Record, at: datetime) -> bool:
        """Claim that the record must stay."""
        parties = {record.organization, *(asked.custodian for asked in record.custodians)}
        return (
            self.starts <= at < self.ends
            and (not self.party or self.party in parties)
            and (not self.patient or self.patient == record.patient)
        )


class Retention:
    """The years every organization and agreement asks for."""

    def __init__(self, settings: Settings) -> None:
        self._default = max(LAW_YEARS, settings.audit.retention_years)
        self._organizations = {row.ura: row.retention_years for row in settings.organizations if row.retention_years}
        self._agreements = {row.id: row.retention_years for row in settings.agreements if row.retention_years}

    @property
    def shortest(self) -> int:
        """No record is removed before it is this many years old."""
        return max(LAW_YEARS, min((self._default, *self._organizations.values())))

    def years(self, record: Record) -> int:
        """How long a record is kept: as long as whoever is in it and needs it longest."""
        custodians = [asked.custodian for asked in record.custodians] or [record.organization]
        asked = [self._organizations.get(one, self._default) for one in custodians]
        asked += [self._agreements.get(one.rule, 0) for one in record.custodians]
        return max(LAW_YEARS, *asked)

    def over(self, record: Record, at: datetime, now: datetime) -> bool:
        """Claim that the month the record was written in ended at least its years ago."""
        return end_of_month(at, self.years(record)) <= now

    def horizon(self, now: datetime) -> datetime:
        """What was written later is not looked at."""
        month = now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        return month.replace(year=month.year - self.shortest)


def end_of_month(at: datetime, years: int) -> datetime:
    """The first moment after the month of a moment, some years later."""
    at = at.astimezone(UTC)
    year, month = (at.year, at.month + 1) if at.month < 12 else (at.year + 1, 1)
    return datetime(year + years, month, 1, tzinfo=UTC)


def ranges(numbers: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Numbers that follow each other, as first and last."""
    first = last = 0
    for number in sorted(numbers):
        if first and number == last + 1:
            last = number
            continue
        if first:
            yield first, last
        first = last = number
    if first:
        yield first, last
