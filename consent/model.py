"""The question, the facts and the answer of a decision: frozen values, no behavior that reaches outside."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal

ANY: Final = "*"

Effect = Literal["permit", "deny", "withdrawn"]
Outcome = Literal["permit", "deny", "unavailable"]
Side = Literal["caller", "patient"]
Visibility = Literal["named", "anonymous", "silent"]


@dataclass(frozen=True, slots=True)
class Requester:
    """Who asks, as proven by the token; the facility type comes from the directory, never from a claim (B4)."""

    client: str
    organization: str  # URA
    facility_type: str  # RoleCodeNL, e.g. "Z3", "V4", "N6"
    role: str | None = None  # UZI role code or a code of the region's role table
    person: str | None = None  # identifier of the person; None = a system
    assurance: str | None = None  # level of assurance: "low" | "substantial" | "high"
    system: bool = False  # the client is registered as person = "system"
    mandated_by: str = ""  # the professional in whose name this person acts; one link, never a chain (B7)
    mandated_role: str = ""  # the role of that professional


@dataclass(frozen=True, slots=True)
class Case:
    """The case of rule B1: why a coordinator looks at this patient, and on whose behalf."""

    id: str
    origin: str  # "caller" | "professional" | "dispatch"
    organization: str  # URA on whose behalf
    patient: str | None  # patient id the case is bound to
    opened: datetime
    expires: datetime
    client: str
    person: str | None
    closed: datetime | None = None


@dataclass(frozen=True, slots=True)
class Custodian:
    """The organization whose data is asked for."""

    organization: str  # URA
    facility_type: str


@dataclass(frozen=True, slots=True)
class Emergency:
    """The grounds of breaking the glass (B2), as the professional stated them."""

    cannot_consent: str  # why the patient cannot be asked, as a code
    threats: frozenset[str] = frozenset()  # what threatens the patient, as codes
    text: str = ""  # in the professional's own words; kept for the review only
    since: datetime | None = None  # when they were stated; the glass is broken for an hour


@dataclass(frozen=True, slots=True)
class AccessRequest:
    """One question. Without `custodian`: may this caller ask at all? With it: may its data be shared?

    `category` is a national data category (nl-gf-data-categories-cs, e.g. "AllergyIntolerance",
    "MedicationUse", "ObservationVitalSigns"); `type` a FHIR resource type; `action` one letter of
    the SMART v2 alphabet "cruds".
    """

    requester: Requester
    purpose: str  # Dutch situation, see purposes.toml: "behandeling", "triage-coordinatie", …
    scopes: frozenset[str]  # granted scopes, SMART v1 or v2 grammar
    action: str
    type: str
    category: str
    patient: str | None = None
    custodian: Custodian | None = None
    case: Case | None = None
    labels: frozenset[str] = frozenset()
    item: str | None = None  # set when an item decides for itself: its id
    item_date: str | None = None  # FHIR date or dateTime of the fact
    emergency: Emergency | None = None  # needed to break the glass
    addressees: frozenset[str] = frozenset()  # of a pushed item: URA it was sent to; empty = whom the agreement names
    launch: str = ""  # the patient the token is bound to: what a `patient/` scope means, and nobody else


@dataclass(frozen=True, slots=True)
class Relation:
    """A treatment relation that was registered: this requester treats this patient, known to this custodian."""

    kind: str  # "care-team" | "referral" | "contact"
    requester: str  # URA
    patient: str
    custodian: str = ANY  # URA; ANY = it counts everywhere
    start: datetime | None = None
    end: datetime | None = None


@dataclass(frozen=True, slots=True)
class Agreement:
    """What two parties signed (C8); every field is data of `region.toml`. `ANY` in a set means all."""

    id: str
    requesters: frozenset[str]  # URA or ANY
    custodians: frozenset[str]
    purposes: frozenset[str]
    categories: frozenset[str]
    roles: frozenset[str]
    start: datetime
    end: datetime
    basis: str = "explicit"  # "explicit" | "care-team" | "referral" | "observation"
    emergency: str = "absent_only"  # "none" | "absent_only" | "override_objection"
    system_access: bool = False
    relations: frozenset[str] = frozenset()  # "care-team", "referral", "contact", "case": one of them is needed
    patient_asked: bool = False  # a yes the patient just gave a coordinator counts here (B2)
    facility_types: frozenset[str] = frozenset({ANY})  # of the requester
    excluded: frozenset[str] = frozenset()  # categories it never opens, whatever else it says
    disclosure: Visibility | None = None  # how visible a refusal is, when less than the region's table says


@dataclass(frozen=True, slots=True)
class Statement:
    """One thing said about sharing, in any form (FHIR Consent provision, Mitz answer, holder objection).

    INVARIANT: an empty set means "not restricted on this point"; the more points are restricted,
    the more specific the statement is (precedence rules 1–5 of the NL generic functions).
    """

    id: str
    version: int
    effect: Effect
    patient: str
    custodian: str  # URA whose data it binds; ANY = every custodian, or those of `custodian_types`
    requesters: frozenset[str] = frozenset()  # URA
    requester_types: frozenset[str] = frozenset()  # facility types
    persons: frozenset[str] = frozenset()
    categories: frozenset[str] = frozenset()
    types: frozenset[str] = frozenset()
    labels: frozenset[str] = frozenset()
    purposes: frozenset[str] = frozenset()
    items: frozenset[str] = frozenset()
    start: datetime | None = None
    end: datetime | None = None
    data_start: str | None = None  # FHIR dates bounding the data, not the consent
    data_end: str | None = None
    source: str = "consent"  # "consent" | "mitz" | "implied" | "patient-asked" | "objection"
    custodian_types: frozenset[str] = frozenset()  # facility types; counts only when custodian is ANY
    within: frozenset[str] = frozenset()  # ids of the provisions this one is an exception to
    cases: frozenset[str] = frozenset()  # ids of the cases it is for
    firm: bool = False  # an objection no permit outranks: of one of two who must agree (C7)
    said: datetime | None = None  # when it was said, as far as known
    specificity: tuple[int, ...] = field(init=False, repr=False, compare=False, default=())

    def __post_init__(self) -> None:
        """Measure once how specific it is: holder, user, context, then the resource point by point."""
        holder = 2 if self.custodian != ANY else 1 if self.custodian_types else 0
        user = 3 if self.persons else 2 if self.requesters else 1 if self.requester_types else 0
        named = bool(self.items)
        resource = (self.categories, self.types, self.labels, self.data_start or self.data_end, named)
        levels = (
            holder,
            user,
            int(bool(self.purposes or self.cases)),
            *(int(named or bool(point)) for point in resource),
        )
        object.__setattr__(self, "specificity", levels)


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything the decision may know. INVARIANT: what is not here does not count."""

    now: datetime
    agreements: tuple[Agreement, ...]
    statements: tuple[Statement, ...] = ()
    statements_known: bool = True  # False = the register could not be read: unavailable, never permit (A3)
    case_required_roles: frozenset[str] = frozenset()
    policy_revision: str = ""
    minimum_assurance: str = "substantial"  # "" = the region's clients do not state it (demo only)
    national_known: bool = True  # False = the national register did not answer: bases that ask it are unavailable
    national_yields: bool = False  # a younger local permit beats a national no (C2); off unless the region says so
    national_silent: frozenset[str] = frozenset()  # custodians about whom it did not answer
    national_required: bool = False  # the regime asks its yes where it is asked: a local yes does not count (C2)
    relations: tuple[Relation, ...] = ()
    suspended: bool = False  # an emergency access of this person was not looked at in time (B2)


@dataclass(frozen=True, slots=True)
class Reason:
    """Why, in a stable code and one English sentence without personal data."""

    code: str  # e.g. "scope-insufficient", "no-agreement", "consent-objection"
    text: str
    side: Side = "caller"
    rule: str = ""  # id of the agreement, statement id + version, or rule number
    words: tuple[tuple[str, str], ...] = ()  # what fills the error row of the same code


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer, with its reasons. `obligations` are words the screening step must execute."""

    outcome: Outcome
    reasons: tuple[Reason, ...] = ()
    obligations: frozenset[str] = frozenset()
    agreement: str = ""
    statement: str = ""  # id/version of the deciding statement, or the basis
    per_item: bool = False  # a statement names items or data dates: ask again for each item
    disclosure: Visibility | None = None  # how visible the agreement lets a refusal be

    @property
    def permitted(self) -> bool:
        """Claim that the answer is yes."""
        return self.outcome == "permit"

    @property
    def refused_by(self) -> Side:
        """The side that refused; patient only when no caller-side reason exists (A2, A4)."""
        return "caller" if any(reason.side == "caller" for reason in self.reasons) else "patient"
