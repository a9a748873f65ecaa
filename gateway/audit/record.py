"""The compact value that is stored for every event; rendered as an AuditEvent only when somebody reads it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final, Literal

import msgspec

from gateway.model import instant

Kind = Literal[
    "intent",
    "fragment",
    "outcome",
    "refusal",
    "token",
    "push",
    "start",
    "stop",
    "policy",
    "sum",
    "command",
    "emergency",
    "clock",
    "retire",
    "hold",
    "loss",
]


# Written before the outcome, which tells all of it again.
BEGUN: Final = frozenset({"intent", "fragment"})


class Shown(msgspec.Struct, frozen=True, array_like=True):
    """One line of the disclosure manifest (rule F5): which version of which item was given, no content.

    Both digests are BLAKE2b of 16 bytes, in hex: `b2sum -l 128` makes them too.
    """

    type: str
    id: str
    version: str  # digest of what the source sent
    digest: str = ""  # of the item as it was given: with ids and origin of the gateway, without what was masked


class Asked(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of one custodian's source: asked, answered, withheld, failed; per category."""

    custodian: str  # URA
    source: str
    states: dict[str, str] = {}  # category -> "answered" | "refused:<reason>" | "failed:<code>"
    rule: str = ""  # agreement that decided
    consent: str = ""  # statement id/version, or the basis
    shown: tuple[Shown, ...] = ()
    incidents: tuple[str, ...] = ()  # "code Type element"
    losses: int = 0
    told: bool = True  # the source was told who asked (B6)
    facility: str = ""  # type of an organization that is not named to whoever reads (F1); empty in what is stored


class Record(msgspec.Struct, frozen=True, omit_defaults=True):
    """One event. INVARIANT: no BSN, name of a patient or clinical content in any field.

    Spec: NEN 7513 (2018) 7.2–7.5: event, user, patient, source; the AuditEvent fields it becomes are
    listed in docs/architecture.md.
    """

    kind: Kind
    at: str  # FHIR instant
    request: str  # X-Request-Id of this gateway
    correlation: str = ""
    interaction: str = ""
    action: str = ""  # C R U D E
    type: str = ""
    query: str = ""  # names of the parameters, values masked
    client: str = ""
    organization: str = ""  # URA of the requester
    facility: str = ""
    person: str = ""
    person_name: str = ""
    role: str = ""
    responsible: str = ""
    assurance: str = ""
    token: str = ""  # jti
    purpose: str = ""
    case: str = ""
    patient: str = ""  # pseudonymous id
    policy: str = ""  # revision
    address: str = ""
    status: int = 0
    error: str = ""
    reasons: tuple[str, ...] = ()
    custodians: tuple[Asked, ...] = ()
    count: int = 0  # kind "sum": refusals of this address and minute; interaction "batch": entries
    object: str = ""  # "Type/id/_history/version" of what was written
    layout: int = 1  # of the stored bytes; grows when a field changes its meaning, never when one is added


_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(Record)


def encode(record: Record) -> bytes:
    """The bytes that are stored, hashed and never written again."""
    return _encoder.encode(record)


def decode(raw: bytes) -> Record:
    """Read a stored record."""
    return _decoder.decode(raw)


def outcome_of(record: Record) -> str:
    """How the event ended, as AuditEvent.outcome: 0 done, 4 refused or wrongly asked, 8 broken.

    Spec: FHIR R4 value set audit-event-outcome.
    """
    if record.status >= 500 or record.error == "cancelled":
        return "8"
    return "4" if record.status >= 400 or record.kind in {"refusal", "sum"} else "0"


def unknown(intent: Record, now: datetime, fragments: Iterable[Record] = ()) -> Record:
    """The outcome of a request whose process died: what became of it is not known, so nobody may say nothing was shown.

    `fragments`: what was sent of a page before it died; that is known.
    """
    reasons = (*intent.reasons, "the gateway stopped before the outcome was recorded")
    sent = [asked for fragment in fragments for asked in fragment.custodians]
    told = {(asked.custodian, asked.source) for asked in sent}
    rest = [asked for asked in intent.custodians if (asked.custodian, asked.source) not in told]
    return msgspec.structs.replace(
        intent, kind="outcome", at=instant(now), status=500, error="unknown", reasons=reasons, custodians=(*sent, *rest)
    )
