"""What is pushed to the gateway and held here: messages as they came, and what those who keep them can do."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from gateway.model import IndexEntry, Item


@dataclass(frozen=True, slots=True)
class Delivery:
    """How a message came, for whom, on what ground and until when it may stay (rule C4)."""

    format: str = ""
    map: str = ""
    batch: str = ""  # digest of the file or request it came in, when that held more than one message
    coverage: str = "delta"  # "delta" adds | "full" is all its source has | "document" replaces its thread
    patient: str = ""  # pseudonymous id, empty when not known
    contact: str = ""  # keyed digest of the trip, visit or episode it belongs to
    thread: str = ""  # keyed digest of the document it is a version of
    dated: datetime | None = None  # of the content, as the sender says
    expires: datetime | None = None
    ended: bool = False  # it says that the contact ended, so that the whole contact expires with it
    cancels: bool = False  # the contact did not take place: nothing of it is shown
    basis: str = "observation"
    addressees: frozenset[str] = frozenset()  # URA it was sent to; empty = whom the agreement names
    heard: datetime | None = None  # when its feed spoke, where that was before it was received; the feed's, not kept


@dataclass(frozen=True, slots=True)
class Message:
    """One message that was pushed, as it arrived."""

    source: str
    custodian: str
    key: str  # the sender's message id (HL7 v2 MSH-10, CDA document id)
    digest: str  # SHA-256 of the bytes
    raw: bytes
    received: datetime
    state: str  # "accepted" | "quarantined" | "dead"; in the store also "erased"
    reason: str = ""
    delivery: Delivery = Delivery()

    @property
    def receipt(self) -> str:
        """What the sender and the desk call it: the same for the same bytes under the same key."""
        return hashlib.sha256(f"{self.source}\x1f{self.key}\x1f{self.digest}".encode()).hexdigest()[:24]


@dataclass(frozen=True, slots=True)
class Letter:
    """A message with what was made of it."""

    message: Message
    items: tuple[Item, ...] = ()
    entries: tuple[IndexEntry, ...] = ()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A file that is all its source has: what is not in it any more is no longer current."""

    source: str
    batch: str
    received: datetime
    dated: datetime | None = None
    present: frozenset[str] = frozenset()  # patients it speaks about, understood or not
    whole: bool = True  # every part was understood, so that who is absent is known


@dataclass(frozen=True, slots=True)
class Slip:
    """One message on the desk, without its content."""

    number: int
    receipt: str
    source: str
    custodian: str
    key: str
    digest: str
    received: datetime
    state: str
    reason: str
    format: str
    map: str
    patient: str
    basis: str
    expires: datetime | None
    current: bool
    items: int
    shown: int


class Inbox(Protocol):
    """What was pushed to the gateway and is held here."""

    async def accept(self, message: Message, items: Sequence[Item], entries: Sequence[IndexEntry]) -> str:
        """Keep message, items and index entries in one durable step; give "new", "again" or "changed".

        "again": same key and bytes, nothing done. "changed": same key, other bytes, kept as a new message.
        """
        ...

    async def items(self, patient: str, source: str) -> list[Item]:
        """The newest version of every item a source pushed about a patient."""
        ...

    async def item(self, item_id: str) -> Item | None:
        """One held item."""
        ...

    async def last_heard(self, source: str) -> datetime | None:
        """When this feed last sent anything."""
        ...


@dataclass(frozen=True, slots=True)
class CaseEnd:
    """A coordinator's case that is over, and until when each source lets stay what it sent for it (rule C4)."""

    case: str
    patient: str
    organization: str
    at: datetime
    until: Mapping[str, datetime]  # source -> the moment after which it is erased


class CaseTerms(Protocol):
    """How long stays what was sent for the case of a coordinator (rule C4)."""

    async def case_until(self, patient: str, organization: str, now: datetime) -> datetime | None:
        """Until when an open case of this organization about this patient may last; None when it has none."""
        ...

    async def case_ended(self, ended: CaseEnd) -> int:
        """Let expire what was sent to the organization of a case alone; give how many messages that were."""
        ...


class Desk(Inbox, CaseTerms, Protocol):
    """The inbox as those see it who keep it: files of many messages, and what waits for a human."""

    async def deliver(
        self, letters: Sequence[Letter], snapshot: Snapshot | None = None, *, instead: str = ""
    ) -> list[str]:
        """Keep the letters of one file or message, all or none; give the outcome of each as `accept` does.

        `instead`: the receipt of a kept message that these letters are a new reading of.
        """
        ...

    async def knows(self, source: str, contact: str) -> bool:
        """Claim that something of this contact counts."""
        ...

    async def slips(
        self, *, source: str = "", state: str = "", since: datetime | None = None, after: int = 0
    ) -> list[Slip]:
        """A page of the messages on the desk, oldest first; `after` is the number of the last one seen."""
        ...

    async def kept(self, receipt: str) -> Letter | None:
        """A message with its raw bytes and items, None when it is unknown or erased."""
        ...

    async def about(self, patients: Sequence[str], until: datetime) -> list[str]:
        """Receipts of everything received about these patient ids, not later than `until`."""
        ...

    async def state(self, receipt: str) -> str:
        """The state of a message as it is kept, empty when it is unknown."""
        ...

    async def release(self, receipt: str, entries: Sequence[IndexEntry]) -> bool:
        """Show a quarantined message after a human looked at it; false when it is not in quarantine."""
        ...
