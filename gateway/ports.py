"""The whole outside world on one page. Adapters and storage implement these; so do the fakes of the tests."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from consent.model import Case, Statement
from gateway.episodes import Episodes
from gateway.logged import AuditQueries
from gateway.model import Answer, Caller, Failure, IndexEntry, Item, Payload, SourceQuestion
from gateway.policy import Policy
from gateway.settings import ClientTable, Settings
from gateway.throttle import Counts
from profiles.terminology import Question


class Clock(Protocol):
    """Time, so that tests need not wait."""

    def now(self) -> datetime:
        """The current time, aware, UTC."""
        ...


class AuditLog(Protocol):
    """The append-only log (architecture §5)."""

    async def append(self, record: bytes, issued: Sequence[Issued] = ()) -> int:
        """Write one record and the ids issued with it; durable when this returns. Give its sequence number.

        Raises:
            Unavailable: `audit-unavailable`; nothing may be shown.
        """
        ...


class ReplayStore(Protocol):
    """Identifiers that may be used once, over all replicas."""

    async def first_use(self, issuer: str, jti: str, expires: datetime) -> bool:
        """Remember (issuer, jti) in one atomic insert; true the first time only."""
        ...


class ClientStore(Protocol):
    """Clients registered by command; those of region.toml come with the policy."""

    async def client(self, client_id: str) -> ClientTable | None:
        """The client, or None when unknown or disabled."""
        ...


class Index(Protocol):
    """The gateway's own localization index (rule C3)."""

    async def register(self, entry: IndexEntry) -> None:
        """Keep a registration; the same id again replaces it."""
        ...

    async def withdraw(self, entry_id: str, custodian: str) -> bool:
        """End a registration of this custodian; false when there is none."""
        ...

    async def entries(self, patient: str, now: datetime) -> tuple[IndexEntry, ...]:
        """The registrations of a patient that are in force."""
        ...


class Consents(Protocol):
    """FHIR Consent resources kept by the gateway, and the statements in them."""

    async def put(
        self, consent_id: str, expected: int | None, raw: bytes, patient: str, statements: Sequence[Statement]
    ) -> int:
        """Create (expected None) or replace version `expected`; give the new version.

        Raises:
            Invalid: `conflict` when the kept version is another.
        """
        ...

    async def get(self, consent_id: str) -> tuple[int, bytes, str] | None:
        """Version, exact bytes and patient id."""
        ...

    async def statements(self, patient: str) -> tuple[Statement, ...]:
        """Every statement in force or not (the decision looks at dates), read at the newest revision."""
        ...


class Cases(Protocol):
    """Cases of coordinators (rule B1)."""

    async def put(self, case: Case, raw: bytes) -> None:
        """Open a case, or replace its state (bound, closed)."""
        ...

    async def get(self, case_id: str) -> tuple[Case, bytes] | None:
        """A case and its Task as it was posted."""
        ...

    async def open_for(self, client: str, person: str | None, patient: str, now: datetime) -> tuple[Case, ...]:
        """The open cases this person has for this patient."""
        ...


class Terminology(Protocol):
    """A server that knows the code systems nobody here has."""

    async def members(self, questions: Sequence[Question]) -> Mapping[Question, bool]:
        """Say which codings are in their value set; what is not said in time is left out."""
        ...


class Quality(Protocol):
    """What is wrong with the items of sources, found off the critical path."""

    def offer(self, answers: Sequence[Answer]) -> None:
        """Take items to be looked at later; never waits, never raises, drops what is too much."""
        ...

    async def work(self) -> None:
        """Look at what was offered, for as long as the process lives."""
        ...


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


class Desk(Inbox, Protocol):
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

    async def case_until(self, patient: str, organization: str, now: datetime) -> datetime | None:
        """Until when an open case of this organization about this patient may last; None when it has none."""
        ...

    async def case_ended(self, ended: CaseEnd) -> int:
        """Let expire what was sent to the organization of a case alone; give how many messages that were."""
        ...

    async def kept(self, receipt: str) -> Letter | None:
        """A message with its raw bytes and items, None when it is unknown or erased."""
        ...

    async def state(self, receipt: str) -> str:
        """The state of a message as it is kept, empty when it is unknown."""
        ...

    async def release(self, receipt: str, entries: Sequence[IndexEntry]) -> bool:
        """Show a quarantined message after a human looked at it; false when it is not in quarantine."""
        ...


@dataclass(frozen=True, slots=True)
class Issued:
    """An item id handed out for a pulled item: kept 24 h so that it can be read again."""

    id: str
    type: str
    patient: str
    custodian: str
    source: str
    category: str
    at: datetime


class IssuedIds(Protocol):
    """Ids of pulled items (written with the outcome record by `AuditLog.append`)."""

    async def issued(self, item_id: str, now: datetime) -> Issued | None:
        """Where an id points to, None after 24 h."""
        ...


class Source(Protocol):
    """One system that can be asked."""

    def fetch(self, question: SourceQuestion) -> AsyncIterator[Payload | Failure]:
        """Ask for the categories of the question; a query that fails costs its own categories only.

        Never raises for what the source does; gives up at the deadline of the question.
        """
        ...


class Keys(Protocol):
    """The key ring as the line needs it; see `gateway.crypto`."""

    def patient_id(self, system: str, value: str) -> str:
        """The pseudonymous id of an identifier: deterministic, the same on every replica."""
        ...

    def patient_identifier(self, patient_id: str) -> tuple[str, str] | None:
        """System and value behind a patient id, None when it is not one of ours."""
        ...

    def item_id(self, custodian: str, native: str) -> str:
        """The id of an item: keyed digest of custodian and native key."""
        ...

    def refresh(self) -> bool:
        """Read the ring again when it changed; StartError when it is not sound."""
        ...

    def seal(self, custodian: str, plain: bytes, associated: bytes = b"") -> bytes:
        """Encrypt under the key of one custodian or client."""
        ...

    def unseal(self, custodian: str, sealed: bytes, associated: bytes = b"") -> bytes:
        """Open what `seal` made; ValueError when it was altered or belongs elsewhere."""
        ...


class Tokens(Protocol):
    """Access tokens as the line needs them; see `gateway.oauth.tokens`."""

    def stale(self, now: float) -> bool:
        """Claim that it is time to look again what was revoked."""
        ...

    async def refresh(self, revocations: Revocations, now: float) -> None:
        """Look what was revoked or disabled since the last time.

        Raises:
            Unavailable: `store-unavailable`; no token may be accepted.
        """
        ...

    def inspect(self, token: str, now: float) -> tuple[dict[str, Any], Caller]:
        """The claims of a valid access token of this gateway, and the caller they name.

        Raises:
            Refused: `token-invalid`.
        """
        ...

    def issue(self, caller: Caller, now: float) -> tuple[str, int]:
        """A signed access token that names this caller, and the seconds it lives."""
        ...

    def caller(self, authorization: bytes, now: float) -> Caller:
        """Who an Authorization header proves.

        Raises:
            Refused: `token-missing` or `token-invalid`.
        """
        ...


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """What no longer proves anybody: ids of revoked tokens, and disabled clients."""

    tokens: frozenset[str] = frozenset()
    clients: frozenset[str] = frozenset()


class Revocations(Protocol):
    """Access tokens that were taken back, over all replicas."""

    async def revoke(self, jti: str, client: str, expires: datetime, now: datetime) -> None:
        """Take a token back; durable when this returns."""
        ...

    async def withdrawn(self, now: datetime) -> Withdrawn:
        """Everything that is withdrawn at this moment."""
        ...


@dataclass(frozen=True, slots=True)
class KeptContract:
    """One version of an agreement as it was sent in, and the person who made it."""

    id: str
    version: int
    status: str  # of the FHIR Contract
    person: str
    raw: bytes = field(repr=False)


class Contracts(Protocol):
    """Agreements that were proposed and decided over the FHIR API (rule C8)."""

    async def put(self, contract: KeptContract, expected: int | None) -> int:
        """Create (expected None) or replace version `expected`; give the new version.

        Raises:
            Invalid: `conflict` when the kept version is another.
        """
        ...

    async def get(self, contract_id: str) -> KeptContract | None:
        """The newest version of one."""
        ...

    async def all(self) -> tuple[KeptContract, ...]:
        """The newest version of each."""
        ...


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


class Reviews(Protocol):
    """The queue of emergency accesses."""

    async def open(self, reviews: tuple[Review, ...]) -> None:
        """Put accesses in the queue; durable when this returns."""
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


@dataclass(frozen=True, slots=True)
class Ports:
    """Everything a request may touch."""

    settings: Settings
    policy: Policy
    clock: Clock
    keys: Keys
    audit: AuditLog
    replay: ReplayStore
    clients: ClientStore
    index: Index
    consents: Consents
    cases: Cases
    inbox: Inbox
    issued: IssuedIds
    sources: Mapping[str, Source]
    refusals: Counts  # refusals of unknown callers, per address
    misses: Counts  # birth dates that did not match, per patient id (attack 163)
    episodes: Episodes = field(default_factory=Episodes, kw_only=True)  # decisions taken on the same facts
    tokens: Tokens | None = field(default=None, kw_only=True)  # None = no token is accepted
    queries: AuditQueries | None = field(default=None, kw_only=True)  # None = the log cannot be asked
    desk: Desk | None = field(default=None, kw_only=True)  # None = messages come one by one, through `inbox`
    revocations: Revocations | None = field(default=None, kw_only=True)  # None = no token can be taken back
    contracts: Contracts | None = field(default=None, kw_only=True)  # None = agreements come from the file only
    terminology: Terminology | None = field(default=None, kw_only=True)  # None = codes nobody knows stay not judged
    quality: Quality | None = field(default=None, kw_only=True)  # None = items of sources are not checked
    reviews: Reviews | None = field(default=None, kw_only=True)  # None = nobody breaks the glass

    def now(self) -> datetime:
        """The current time."""
        return self.clock.now()
