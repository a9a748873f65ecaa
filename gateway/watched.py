"""What somebody must look at, and what organizations must be told of it: reviews of emergency accesses, and notices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Review:
    """One emergency access at one custodian that somebody must look at (rule B2)."""

    id: str
    person: str
    organization: str  # URA of who looked
    custodian: str
    patient: str  # pseudonymous id
    request: str  # id of the request, to find it in the log
    grounds: str = field(repr=False)  # why the patient could not be asked and what threatened, in the person's words
    opened: datetime
    settled: datetime | None = None
    reviewer: str = ""
    finding: str = ""


@dataclass(frozen=True, slots=True)
class Notice:
    """One message an organization must get; kept until it took it."""

    id: str
    organization: str  # URA
    desk: str  # "custodian" | "privacy-officer"
    patient: str  # pseudonymous id
    request: str  # id of the request it is about
    created: datetime
    body: bytes = field(default=b"", repr=False)  # a FHIR Communication
    attempts: int = 0
    delivered: datetime | None = None
    failure: str = ""


class Notices(Protocol):
    """The outbox: what was put there with a review, until it was taken."""

    async def due(self, now: datetime, limit: int) -> tuple[Notice, ...]:
        """What is to be sent now, the oldest first."""
        ...

    async def sent(self, notice: Notice, now: datetime) -> None:
        """Note that it was taken."""
        ...

    async def failed(self, notice: Notice, failure: str, again: datetime) -> None:
        """Note that it was not taken, and when it is tried again."""
        ...

    async def about(self, requests: Sequence[str]) -> tuple[Notice, ...]:
        """What was sent or waits about some requests, without content."""
        ...


class Reviews(Protocol):
    """The queue of emergency accesses."""

    async def open(self, reviews: tuple[Review, ...], notices: tuple[Notice, ...] = ()) -> None:
        """Put accesses in the queue and what must be told of them in the outbox; durable when this returns."""
        ...

    async def overdue(self, person: str, organization: str, before: datetime) -> bool:
        """Claim that an access of this person from before a moment still waits."""
        ...

    async def waiting(self, organization: str) -> tuple[Review, ...]:
        """What waits for an organization, as custodian or as the one that looked."""
        ...

    async def settle(self, id_: str, reviewer: str, organization: str, finding: str, now: datetime) -> bool:
        """Note that somebody else looked at it; false when there is none that waits for this organization."""
        ...
