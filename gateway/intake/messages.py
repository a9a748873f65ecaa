"""A message a feed pushed: kept as it came, translated, and acknowledged only when it is durable and on the record."""

from __future__ import annotations

import hashlib
import logging
import secrets
from datetime import datetime
from typing import Final, Literal

from consent.model import Custodian
from gateway.arrival import receive
from gateway.audit.record import Asked, Record, Shown, encode
from gateway.errors import Unavailable
from gateway.model import Arrival, IndexEntry, Item, Patient, Place, instant
from gateway.ports import Message, Ports
from mappings.formats.hl7v2 import acknowledge, control_id
from mappings.model import NotMappable, Origin, Translation
from mappings.translation import translate
from profiles.identifiers import BSN_SYSTEM

log: Final = logging.getLogger("gateway.intake")

# HL7 v2 MSA-1 in original mode. Spec: HL7 v2.5 2.9.2.
Code = Literal["AA", "AE", "AR"]
_ACCEPTED: Final = "AA"
_ERROR: Final = "AE"
_REJECTED: Final = "AR"


async def push(source_id: str, body: bytes, peer: str, ports: Ports) -> bytes:
    """Take one HL7 v2 message from the feed of a source and give the acknowledgment.

    INVARIANT: the custodian is the connection's (rule D1), never what MSH-4 says. An acknowledgment AA
    means: kept durably, or kept before.
    """
    now = ports.now()
    code: Code
    source = ports.policy.sources[source_id]
    digest = hashlib.sha256(body).hexdigest()
    try:
        translation = translate(body, "hl7v2", Origin(source.custodian, source_id, instant(now)))
        key = translation.facts["control"]
        state, reason, items, entries = await _understood(translation, source_id, ports, now)
        code, text = _ACCEPTED, "" if state == "accepted" else reason
    except NotMappable as error:
        key, state, reason, items, entries = control_id(body) or digest[:20], "dead", f"{error.path} {error}".strip(), [], []
        code, text = _ERROR, reason
    except Unavailable as error:
        return acknowledge(body, _REJECTED, error.text(), now=instant(now), control_id=secrets.token_hex(10))
    except Exception:  # a defect of a map must not lose the message: it is kept as it came, and can be mapped again
        log.exception("message not translated", extra={"source": source_id})
        key, state, reason, items, entries = control_id(body) or digest[:20], "dead", "the translation failed", [], []
        code, text = _ERROR, reason
    message = Message(source_id, source.custodian, key, digest, body, now, state, reason)
    try:
        outcome = await ports.inbox.accept(message, items, entries)
        await ports.audit.append(encode(_record(message, outcome, items, peer, ports)))
    except Unavailable as error:
        code, text = _REJECTED, error.text()
    return acknowledge(body, code, text, now=instant(now), control_id=secrets.token_hex(10))


async def _understood(translation: Translation, source_id: str, ports: Ports,
                      now: datetime) -> tuple[str, str, list[Item], list[IndexEntry]]:
    """What a readable message means: accepted with its items, or quarantined with the reason."""
    source = ports.policy.sources[source_id]
    patient = _patient(translation, ports)
    if patient is None:
        return "quarantined", "no patient identifier of a known system", [], []
    place = Place(Custodian(source.custodian, ports.policy.facility_type(source.custodian)), "", source, frozenset())
    arrival = Arrival()
    receive([(translation, instant(now))], place, patient, ports.keys, arrival)
    if translation.facts.get("quarantine"):
        return "quarantined", translation.facts["quarantine"], arrival.items, []
    known = any(entry.custodian == source.custodian for entry in await ports.index.entries(patient.id, now))
    if translation.facts.get("contact") != "true" and not known:
        return "quarantined", "no contact known of this patient with this custodian", arrival.items, []
    return "accepted", "", arrival.items, _entries(arrival.items, patient, source.custodian, source_id, now)


def _patient(translation: Translation, ports: Ports) -> Patient | None:
    for resource in translation.resources:
        if resource.get("resourceType") == "Patient":
            identifiers = {entry.get("system"): entry.get("value") for entry in resource.get("identifier", ())}
            for system in (BSN_SYSTEM, *ports.policy.identifier_systems):
                value = identifiers.get(system)
                if value:
                    return Patient(ports.keys.patient_id(system, value), system, value)
    return None


def _entries(items: list[Item], patient: Patient, custodian: str, source_id: str, now: datetime) -> list[IndexEntry]:
    """A pushed item makes its custodian findable for its category, on the basis of the push (rule C3)."""
    return [
        IndexEntry(f"push-{hashlib.blake2b(f'{source_id}|{patient.id}|{category}'.encode(), digest_size=12).hexdigest()}", patient.id,
                   custodian, frozenset({category}), "observation", now, f"source:{source_id}")
        for category in sorted({item.category for item in items})
    ]


def _record(message: Message, outcome: str, items: list[Item], peer: str, ports: Ports) -> Record:
    asked = Asked(message.custodian, message.source, shown=tuple(Shown(item.type, item.id, item.version) for item in items))
    return Record(
        kind="push", at=instant(message.received), request=message.digest[:32], interaction="push", action="C",
        organization=message.custodian, facility=ports.policy.facility_type(message.custodian),
        patient=items[0].patient if items else "", policy=ports.policy.revision, address=peer, status=200,
        reasons=tuple(word for word in (message.state, outcome, message.reason) if word), custodians=(asked,),
    )
