"""What those who keep the region see and decide: how sources do, what waits for a second person, which policy held when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Protocol

from gateway.settings import ClientTable

OFFERED: Final = "offered"
EXECUTED: Final = "executed"
REJECTED: Final = "rejected"

# An answer is counted under the first of these it did not exceed; 0 = longer than all. Units: milliseconds.
BOUNDS: Final = (20, 50, 100, 200, 500, 1_000, 2_000, 4_000)

Finding = tuple[str, str, str, str]  # type, rule, expression, definition


@dataclass(slots=True)
class SourceState:
    """How one source answered so far, over every process."""

    answered: int = 0
    failed: int = 0
    losses: int = 0  # elements a map had no place for
    incidents: int = 0  # items kept out: of another person, malformed, not safe to show
    last_answer: datetime | None = None
    last_failure: datetime | None = None
    failure: str = ""  # code of the newest failure
    latencies: dict[int, int] = field(default_factory=dict)  # bound in milliseconds -> answers

    @property
    def asked(self) -> int:
        """How often it was asked."""
        return self.answered + self.failed

    def within(self, share: float) -> int | None:
        """The bound in milliseconds that this share of the answers did not exceed; 0 = beyond all, None = no answers."""
        total, seen = sum(self.latencies.values()), 0
        for bound in (*BOUNDS, 0):
            seen += self.latencies.get(bound, 0)
            if total and seen >= share * total:
                return bound
        return None


@dataclass(slots=True)
class Findings:
    """One finding about the items of a source: how often, and when last."""

    severity: str
    count: int = 0
    last: datetime | None = None


@dataclass(slots=True)
class SourceQuality:
    """What profiles have against the items of one source, over every process."""

    custodian: str
    checked: int = 0
    invalid: int = 0
    not_judged: int = 0
    not_looked_at: int = 0  # there were more than can be looked at
    since: datetime | None = None
    rows: dict[Finding, Findings] = field(default_factory=dict)


class SourceBook(Protocol):
    """Where figures about sources are kept; see `gateway.storage.source_store`."""

    async def add_states(self, states: Mapping[str, SourceState]) -> None:
        """Add what one process saw since it last did.

        Raises:
            Unavailable: `store-unavailable`; nothing was added.
        """
        ...

    async def add_quality(self, found: Mapping[str, SourceQuality]) -> None:
        """Add what one process found since it last did.

        Raises:
            Unavailable: `store-unavailable`; nothing was added.
        """
        ...

    async def states(self) -> dict[str, SourceState]:
        """How every source did."""
        ...

    async def quality(self, custodian: str = "") -> dict[str, SourceQuality]:
        """What was found of every source, of one custodian when that is named."""
        ...


class SourceFigures(Protocol):
    """How sources do; see `gateway.intake.sources`."""

    def lost(self, name: str, losses: int) -> None:
        """Count elements of a pushed message that a map had no place for."""
        ...

    async def all(self) -> dict[str, SourceState]:
        """How every source did so far."""
        ...

    async def keep(self) -> None:
        """Make durable what was counted since the last time.

        Raises:
            Unavailable: `store-unavailable`; it waits for the next time.
        """
        ...


class QualityFigures(Protocol):
    """What profiles have against items of sources; see `gateway.intake.quality`."""

    async def found(self, custodian: str = "") -> dict[str, SourceQuality]:
        """What was found of every source so far, of one custodian when that is named."""
        ...

    async def keep(self) -> None:
        """Make durable what was found since the last time.

        Raises:
            Unavailable: `store-unavailable`; it waits for the next time.
        """
        ...


@dataclass(frozen=True, slots=True)
class ClientOffer:
    """A client one person offers; it may call when another person decided so (rule C8)."""

    id: str
    client: ClientTable
    reason: str
    person: str
    offered: datetime
    state: str = OFFERED
    decided_by: str = ""
    decided: datetime | None = None


@dataclass(frozen=True, slots=True)
class Registration:
    """A client with the dates of its registration."""

    client: ClientTable
    added: datetime
    disabled: datetime | None


class ClientOffice(Protocol):
    """Registrations of clients, and what waits for a second person; see `gateway.storage.client_store`."""

    async def list(self) -> tuple[Registration, ...]:
        """Every registration, disabled ones too."""
        ...

    async def disable(self, client_id: str) -> bool:
        """Refuse a client from now on; false when there is none that could be disabled."""
        ...

    async def offer(self, offer: ClientOffer) -> None:
        """Keep an offer.

        Raises:
            Invalid: `conflict` when the client is registered or offered already.
        """
        ...

    async def offers(self) -> tuple[ClientOffer, ...]:
        """What waits, and what was decided, the newest first."""
        ...

    async def decide(self, offer_id: str, person: str, *, accept: bool) -> ClientOffer | None:
        """Decide on an offer, and register its client in the same step; None when none waits for this person.

        INVARIANT: never by the person who made it; only that person may take it back (accept = False).
        """
        ...


@dataclass(frozen=True, slots=True)
class PolicyRevision:
    """One loading of the configuration: `body` is the JSON that decisions rested on from `loaded` on."""

    number: int
    revision: str
    loaded: datetime
    body: bytes


class PolicyHistory(Protocol):
    """The history of the policy; see `gateway.storage.policy_store`."""

    async def history(self) -> tuple[PolicyRevision, ...]:
        """Every revision, the newest first, without its body."""
        ...

    async def numbered(self, number: int) -> PolicyRevision | None:
        """One revision with its body."""
        ...


class Eraser(Protocol):
    """Removes what was pushed for good; see `gateway.storage.erasures`."""

    async def erase(self, receipts: Sequence[str], now: datetime, patients: Sequence[str] = ()) -> int:
        """Erase messages to the last byte; give how many."""
        ...


@dataclass(frozen=True, slots=True)
class Office:
    """Everything the office of the region uses beside the line."""

    sources: SourceFigures
    quality: QualityFigures
    clients: ClientOffice
    revisions: PolicyHistory
    eraser: Eraser


@dataclass(frozen=True, slots=True)
class ToldError:
    """Something a reader says is wrong at a source; the custodian mends it."""

    id: str
    custodian: str  # URA
    section: str
    item: str  # "Type/id"
    patient: str  # pseudonymous id
    person: str
    organization: str  # URA of who told it
    text: str = field(repr=False)
    told: datetime
    settled: datetime | None = None
    settled_by: str = ""
    finding: str = ""


class ToldErrors(Protocol):
    """What custodians were told is wrong in their data."""

    async def tell(self, error: ToldError) -> None:
        """Keep it for its custodian; durable when this returns."""
        ...

    async def waiting(self, custodian: str) -> tuple[ToldError, ...]:
        """What waits for a custodian, the oldest first."""
        ...

    async def settle(self, id_: str, custodian: str, by: str, finding: str, now: datetime) -> bool:
        """Note what the custodian did about it; false when there is none that waits for it."""
        ...
