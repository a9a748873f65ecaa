"""The values that travel along the line. They do nothing but hold and name what is true.

What is made for every request is a `msgspec.Struct`: the same value as a dataclass, made at a tenth of the cost.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b
from typing import Any, Final, Literal

import msgspec

from consent.model import Custodian, Decision, Emergency, Requester
from gateway.settings import SourceTable
from profiles import exact

Json = dict[str, Any]

CANONICAL: Final = "https://roaz-gateway.example/fhir"
_WORKED_OUT: Final = frozenset({"_resource", "_digested", "_born"})
HELD_KINDS: Final = frozenset({"mllp", "inbox"})  # kinds of source whose data the gateway holds itself


def instant(moment: datetime) -> str:
    """A FHIR instant with milliseconds, in UTC."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Incoming(msgspec.Struct, frozen=True):
    """One HTTP request as the shared envelope hands it on; header names are lower case."""

    method: str
    path: str  # below the FHIR base, without leading slash: "Patient/p1-x/$summary"
    query: str
    headers: Mapping[bytes, bytes]
    body: bytes
    peer: str  # network address of the client
    request_id: str
    correlation_id: str
    received: datetime
    language: str = "en"  # "nl" or "en", from Accept-Language

    def header(self, name: bytes) -> str:
        """One header as text, empty when absent."""
        return self.headers.get(name, b"").decode("latin-1")


class Outgoing(msgspec.Struct, frozen=True):
    """One HTTP answer. `body` is complete: nothing is sent before the record is durable."""

    status: int
    body: bytes = b""
    content_type: str = "application/fhir+json; charset=utf-8"
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, proven by an access token (RFC 9068 with `extensions.ihe_iua`)."""

    requester: Requester
    purpose: str  # Dutch situation
    scopes: frozenset[str]
    organization_name: str = ""
    person_name: str = ""
    responsible: str = ""  # identifier of the responsible professional
    case: str = ""  # id of the case the token names
    token_id: str = ""
    expires: float = 0.0  # epoch seconds
    launch: str = ""  # patient id the token is bound to: what a `patient/` scope means
    emergency: Emergency | None = None  # the grounds of breaking the glass, as the person stated them (B2)
    bound: str = ""  # what the token is worth nothing without: "x5t#S256:…" a certificate, "jkt:…" a key

    def __hash__(self) -> int:
        """By the token: equal callers have equal tokens, and the hash of a text is worked out once."""
        return hash(self.token_id)


@dataclass(frozen=True, slots=True)
class Patient:
    """One person as the gateway knows them: a pseudonymous id and the identifier it stands for."""

    id: str  # "p<key number>-<base32>"
    system: str
    value: str = field(repr=False)
    birth_date: str = field(default="", repr=False)  # as the caller gave it; FHIR date

    @property
    def verified(self) -> bool:
        """Claim that the person is known by BSN, not by a custodian's own identifier."""
        return self.system == "http://fhir.nl/fhir/NamingSystem/bsn"


class Question(msgspec.Struct, frozen=True):
    """What an interaction asks, before anybody is asked: exactly one patient, or one item by id."""

    interaction: str  # name of the row in gateway.fhir.interactions
    action: str  # SMART v2 letter: "r" read, "s" search
    types: tuple[str, ...]  # resource types asked
    categories: frozenset[str]  # national data categories those types live in
    patient: Patient | None = None
    item: str = ""  # id, for a read
    parameters: tuple[tuple[str, str], ...] = ()  # search parameters as given, without the patient
    lenient: bool = False  # Prefer: handling=lenient
    profile: str = ""  # canonical of the summary asked for
    html: bool = False
    names: str = ""  # names of the parameters, for the record; values masked
    named: tuple[str, ...] = ()  # types that must each be open to the caller; none = the first of `types`
    filters: tuple[tuple[str, str, str], ...] = ()  # what a source may leave out: type, parameter, value

    @property
    def searches(self) -> bool:
        """Claim that this is a search, of one type or of several."""
        return self.interaction in ("search-type", "search-system")


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """One registration "this custodian holds data of this patient" (rule C3), in the shape of an NVI List."""

    id: str
    patient: str
    custodian: str  # URA
    categories: frozenset[str]  # national data categories; empty = all
    basis: str  # why it may be known: "explicit" | "care-team" | "referral" | "observation"
    registered: datetime
    client: str
    ends: datetime | None = None


class Item(msgspec.Struct, eq=False):
    """One clinical resource on the line: exact bytes plus the facts fixed at arrival.

    INVARIANT: `raw` is R4 JSON with gateway id, rewritten references and stamped meta; it is never
    parsed and written again on the way out.
    """

    raw: bytes
    id: str
    type: str
    patient: str
    custodian: str  # URA
    source: str
    category: str
    native: str  # native key at the custodian, digested when it could identify a person
    labels: frozenset[str] = frozenset()
    date: str = ""  # FHIR date of the fact
    recorded: str = ""  # recorded date at the source
    fetched: str = ""  # FHIR instant
    version: str = ""  # digest of what the source sent
    map: str = ""
    negative: bool = False  # says "none known" instead of a fact
    marks: tuple[str, ...] = ()  # profile findings, stale, implausible …
    addressees: frozenset[str] = frozenset()  # URA a pushed item was sent to; empty = whom the agreement names (C4)
    losses: int | None = None  # what its source said of it and no map had a place for; None = not counted by item
    _resource: Json | None = None
    _digested: tuple[bytes, str] | None = None  # the bytes a digest was made of, and the digest
    _born: str | None = None

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        """Items are equal by their facts; what was worked out of the bytes is none."""
        return isinstance(other, Item) and _facts(self) == _facts(other)

    def again(self) -> Item:
        """The same item for another request: what one request does with its parsed form another never sees."""
        return msgspec.structs.replace(self, _resource=None)

    @property
    def digest(self) -> str:
        """What the record says of the bytes that are given: BLAKE2b of 16 bytes, in hex."""
        known = self._digested
        if known is None or known[0] is not self.raw:  # a masked copy has other bytes
            known = self._digested = self.raw, blake2b(self.raw, digest_size=16).hexdigest()
        return known[1]

    @property
    def born(self) -> str:
        """The birth date a Patient states, empty without one."""
        if self._born is None:
            self._born = str(self.resource.get("birthDate", "")) if self.type == "Patient" else ""
        return self._born

    def noticed(self) -> list[Json]:
        """The marks as extensions of a Bundle entry: beside the resource, whose bytes stay as they are."""
        return [{"url": f"{CANONICAL}/StructureDefinition/mark", "valueCode": mark} for mark in self.marks]

    @property
    def resource(self) -> Json:
        """The resource, parsed when first asked for; decimals exact."""
        if self._resource is None:
            self._resource = exact.decode(self.raw)
        return self._resource


def _facts(item: Item) -> list[Any]:
    return [value for name, value in msgspec.structs.asdict(item).items() if name not in _WORKED_OUT]


class Identified(msgspec.Struct, frozen=True):
    """The patient, and for a read the held item, or where a pulled item came from (custodian, source, category)."""

    patient: Patient
    held: Item | None = None
    issued: tuple[str, str, str] | None = None


class Place(msgspec.Struct, frozen=True):
    """One source of one custodian that may hold data; `source` is None when the custodian has no known address."""

    custodian: Custodian
    name: str
    source: SourceTable | None
    categories: frozenset[str]  # of the question, that this place may hold

    @property
    def source_id(self) -> str:
        """The id of the source, empty without one."""
        return self.source.id if self.source else ""

    @property
    def held(self) -> bool:
        """Claim that the gateway holds this data itself, so that no source is asked."""
        return self.source is not None and self.source.kind in HELD_KINDS


@dataclass(frozen=True, slots=True)
class Context:
    """Who asks and why, as every outbound call must carry it (rule B6)."""

    requester: Requester
    organization_name: str
    person_name: str
    responsible: str
    purpose: str
    case: str
    request_id: str  # a fresh id per source: one id to all sources would link them


@dataclass(frozen=True, slots=True)
class SourceQuestion:
    """What one source is asked: one patient, only the permitted categories."""

    patient: Patient
    categories: frozenset[str]
    types: frozenset[str]
    context: Context
    deadline: float  # event loop time
    filters: tuple[tuple[str, str, str], ...] = ()  # a source that takes these parameters may leave out what they do


@dataclass(frozen=True, slots=True)
class Payload:
    """Bytes one source sent for some of the categories asked."""

    format: str  # "fhir-r4" | "fhir-stu3"
    body: bytes
    query: str  # name of the query, for reports
    categories: frozenset[str]
    fetched: str  # FHIR instant


class Failure(msgspec.Struct, frozen=True):
    """Why some of the categories asked did not come: a stable code, no text of the source."""

    code: str  # "timeout" | "connection" | "status" | "malformed" | "too-large" | "redirect" | "wrong-patient" | …
    query: str
    categories: frozenset[str]


class Incident(msgspec.Struct, frozen=True):
    """Something a source sent that must not be shown, kept for the record and the custodian."""

    code: str  # "wrong-patient" | "malformed-item" | "not-permitted" | "unknown-modifier" | …
    source: str
    type: str = ""
    native: str = ""
    detail: str = ""  # element and rule, no content


class Arrival(msgspec.Struct):
    """What arrived from one place: the items that are of this patient, and what was kept out and why."""

    items: list[Item] = msgspec.field(default_factory=list)
    incidents: list[Incident] = msgspec.field(default_factory=list)
    failures: list[Failure] = msgspec.field(default_factory=list)
    birth_dates: tuple[str, ...] = ()
    losses: int = 0
    map: str = ""
    format: str = ""
    fetched: str = ""


class Told(msgspec.Struct, frozen=True):
    """What became of one category at one source."""

    state: Literal["answered", "refused", "failed"]
    decision: Decision | None = None
    failure: str = ""


class Answer(msgspec.Struct):
    """Everything one source said, or why it said nothing."""

    custodian: Custodian
    custodian_name: str
    source: str
    told: dict[str, Told] = msgspec.field(default_factory=dict)  # by category
    items: list[Item] = msgspec.field(default_factory=list)
    unseen: list[Item] = msgspec.field(default_factory=list)  # may be shown, was not asked
    incidents: list[Incident] = msgspec.field(default_factory=list)
    partial: frozenset[str] = frozenset()  # categories that are partial by design (A1)
    fetched: str = ""  # FHIR instant
    stale: bool = False  # a feed silent beyond its expected interval (E7)
    format: str = ""
    told_requester: bool = True  # the source was told who asks (B6)
    losses: int = 0
    map: str = ""
    birth_dates: tuple[str, ...] = ()  # of this patient at this source, to see that it is one person

    @property
    def open_categories(self) -> frozenset[str]:
        """The categories that may be asked, and were not refused or failed so far."""
        return frozenset(category for category, told in self.told.items() if told.state == "answered")

    def note(self, arrival: Arrival) -> None:
        """Keep what arrived with the items."""
        self.incidents.extend(arrival.incidents)
        self.losses, self.map, self.fetched, self.format = arrival.losses, arrival.map, arrival.fetched, arrival.format
        self.birth_dates = arrival.birth_dates
