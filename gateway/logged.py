"""What may be asked about the log, and a record as it is found there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final, Literal, Protocol, Self

_RECORD_ID: Final = re.compile(r"([1-9]\d{0,8})\.([1-9]\d{0,8})\.([1-9]\d{0,17})")


@dataclass(frozen=True, slots=True, order=True)
class RecordId:
    """Where a record stands: "1.1.42". Also the id of the AuditEvent it is rendered as."""

    log: int
    epoch: int
    sequence: int

    def __str__(self) -> str:
        return f"{self.log}.{self.epoch}.{self.sequence}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an id.

        Raises:
            ValueError: not three numbers in their one spelling.
        """
        found = _RECORD_ID.fullmatch(text)
        if found is None:
            message = "the id of a record is log.epoch.sequence, such as 1.1.42"
            raise ValueError(message)
        return cls(int(found[1]), int(found[2]), int(found[3]))


@dataclass(frozen=True, slots=True)
class Logged:
    """One record as it stands in the log."""

    id: RecordId
    at: datetime
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditQuery:
    """What is asked about the log; what is empty is not asked. `start` is in it, `end` is not."""

    start: datetime
    end: datetime
    patients: tuple[str, ...] = ()  # pseudonymous ids, one of them
    parties: tuple[str, ...] = ()  # URAs, one of them requester or custodian: the bound of an auditor (F1)
    organization: str = ""  # URA of the requester or of a custodian
    requester: str = ""  # URA
    custodian: str = ""  # URA
    agent: str = ""  # person, responsible person or client
    entity: str = ""  # "Type/id" of what was shown, "Task/id" of the case, or "Patient/id"
    actions: tuple[str, ...] = ()  # C R U D E
    outcomes: tuple[str, ...] = ()  # AuditEvent.outcome: 0 4 8 12
    kinds: tuple[str, ...] = ()
    interactions: tuple[str, ...] = ()
    purposes: tuple[str, ...] = ()
    policy: str = ""  # revision
    site: str = ""  # id of a source
    request: str = ""  # X-Request-Id
    mark: str = ""  # "denied" or "emergency", as the parties may know it; only with `parties`


class AuditQueries(Protocol):
    """Questions about the log, answered from a table derived from it."""

    async def find(self, query: AuditQuery, limit: int, after: str = "") -> tuple[list[Logged], str]:
        """A page of records, newest first, and the cursor of the next page: empty when there is none.

        Every record that was durable when it was called is considered.

        Raises:
            ValueError: `after` is no cursor.
            Unavailable: `store-unavailable`.
        """
        ...

    async def get(self, record: RecordId) -> Logged | None:
        """One record, None when there is none (any more)."""
        ...


Measure = Literal["event", "refused", "agent", "source"]


@dataclass(frozen=True, slots=True)
class Tally:
    """How often something happened on one day, for one organization."""

    day: date
    value: str
    count: int


class Tallies(Protocol):
    """Sums kept beside the log; what is counted stands in `gateway.audit.tally`."""

    async def tallies(self, parties: tuple[str, ...], first: date, last: date, measure: Measure) -> list[Tally]:
        """What happened on each day from the first to the last, for any of these organizations; "" is the operator.

        Raises:
            Unavailable: `store-unavailable`.
        """
        ...

    async def totals(
        self, parties: tuple[str, ...], first: date, last: date, measure: Measure
    ) -> list[tuple[str, int]]:
        """The same added up over the days, the most frequent first.

        Raises:
            Unavailable: `store-unavailable`.
        """
        ...
