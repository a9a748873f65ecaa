"""The whole outside world on one page. Adapters and storage implement these; so do the fakes of the tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from consent.model import Case, Custodian, Relation, Requester, Statement
from gateway.episodes import Episodes
from gateway.logged import AuditQueries, Tallies
from gateway.model import Answer, Caller, Failure, IndexEntry, Outgoing, Payload, SourceQuestion
from gateway.office import Office, ToldErrors
from gateway.policy import Policy
from gateway.pushed import Desk, Inbox
from gateway.settings import ClientTable, Settings
from gateway.throttle import Allowances, Counts, Variety
from gateway.watched import Notices, Reviews
from mappings.model import Origin, Translation
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

    async def own(self, client: str, person: str, now: datetime) -> tuple[tuple[Case, bytes], ...]:
        """The open cases of this person with the Task of each, the newest first; at most 100."""
        ...


class Relations(Protocol):
    """Who treats whom, as it was told (rule C8)."""

    async def put(self, id_: str, expected: int | None, raw: bytes, patient: str, relations: Sequence[Relation]) -> int:
        """Create (expected None) or replace version `expected`; give the new version.

        Raises:
            Invalid: `conflict` when the kept version is another.
        """
        ...

    async def get(self, id_: str) -> tuple[int, bytes, str] | None:
        """Version, exact bytes and patient id."""
        ...

    async def of(self, patient: str) -> tuple[Relation, ...]:
        """Every relation told of a patient, read at the newest revision."""
        ...


class Terminology(Protocol):
    """A server that knows the code systems nobody here has."""

    async def members(self, questions: Sequence[Question]) -> Mapping[Question, bool]:
        """Say which codings are in their value set; what is not said in time is left out."""
        ...


class Quality(Protocol):
    """What is wrong with the items of sources, found off the critical path."""

    def offer(self, answers: Sequence[Answer], document: Outgoing | None = None) -> None:
        """Take items, and the document made of them, to be looked at later; never waits, never raises, drops what is too much."""
        ...

    def mark(self, answers: Sequence[Answer]) -> None:
        """Mark the items that were found to break their profile."""
        ...

    async def work(self) -> None:
        """Look at what was offered, for as long as the process lives."""
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
class NationalQuestion:
    """The closed question to the national register: may this custodian share with this requester?"""

    bsn: str = field(repr=False)
    custodian: Custodian
    requester: Requester
    categories: tuple[str, ...]  # codes of the register
    purpose: str  # by legal basis, not copied from the caller (B5)


class National(Protocol):
    """The national consent register; its answers are never remembered (C5)."""

    async def decisions(self, question: NationalQuestion) -> Mapping[str, str] | None:
        """Permit, Deny, NotApplicable or Indeterminate by category; None when it gave no answer. Never raises."""
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


class Misses(Protocol):
    """Birth dates that were not the patient's, over all callers and replicas (attack 163)."""

    async def locked(self, patient: str, now: datetime) -> timedelta | None:
        """How long a number stays locked; None when it is not."""
        ...

    async def judged(self, patient: str, now: datetime, *, missed: bool) -> timedelta | None:
        """Count a miss; how long the number stays locked when it was so before this outcome, hit or miss, else None."""
        ...


class Translators(Protocol):
    """Translation beside the event loop, which can be cut off."""

    async def translate(self, body: bytes, format_: str, origin: Origin, map_: str, seconds: float) -> Translation:
        """Do what `mappings.translation.translate` does, within so many seconds.

        Raises:
            NotMappable: the bytes cannot be read as the format.
            TimeoutError: it took longer, and was ended.
        """
        ...


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
    misses: Misses
    episodes: Episodes = field(default_factory=Episodes, kw_only=True)  # decisions taken on the same facts
    tokens: Tokens | None = field(default=None, kw_only=True)  # None = no token is accepted
    queries: AuditQueries | None = field(default=None, kw_only=True)  # None = the log cannot be asked
    tallies: Tallies | None = field(default=None, kw_only=True)  # None = nothing is added up beside the log
    desk: Desk | None = field(default=None, kw_only=True)  # None = messages come one by one, through `inbox`
    revocations: Revocations | None = field(default=None, kw_only=True)  # None = no token can be taken back
    contracts: Contracts | None = field(default=None, kw_only=True)  # None = agreements come from the file only
    allowances: Allowances | None = field(default=None, kw_only=True)  # None = a client may ask as often as it wants
    terminology: Terminology | None = field(default=None, kw_only=True)  # None = codes nobody knows stay not judged
    quality: Quality | None = field(default=None, kw_only=True)  # None = items of sources are not checked
    national: National | None = field(default=None, kw_only=True)  # None = the region does not ask it
    notices: Notices | None = field(default=None, kw_only=True)  # None = organizations ask the queue themselves
    variety: Variety | None = field(default=None, kw_only=True)  # None = patients are not counted
    relations: Relations | None = field(default=None, kw_only=True)  # None = nobody tells who treats whom
    errors: ToldErrors | None = field(default=None, kw_only=True)  # None = nobody is told
    reviews: Reviews | None = field(default=None, kw_only=True)  # None = nobody breaks the glass
    office: Office | None = field(default=None, kw_only=True)  # None = the region is kept by command only
    translators: Translators | None = field(default=None, kw_only=True)  # None = everything is translated right here

    def now(self) -> datetime:
        """The current time."""
        return self.clock.now()
