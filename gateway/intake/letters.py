"""What was posted becomes letters: translated, each patient found, contact evidence weighed, its term worked out."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, TypeVar

from consent.basis import BASES
from consent.model import ANY, Custodian
from gateway.arrival import receive, translated
from gateway.intake.addressees import addressees
from gateway.intake.retention import contact_of, expiry
from gateway.model import Arrival, IndexEntry, Item, Json, Patient, Place, instant
from gateway.ports import Ports
from gateway.pushed import Delivery, Letter, Message, Snapshot
from gateway.settings import SourceTable
from mappings.formats.er7_time import date_time_of
from mappings.formats.hl7v2 import control_id
from mappings.model import NotMappable, Origin, Translation
from mappings.translation import split
from profiles.dates import parse
from profiles.identifiers import BSN_SYSTEM, passes_elfproef

T = TypeVar("T")
log: Final = logging.getLogger("gateway.intake")

_LARGE_BYTES: Final = 32_768  # longer ones are taken apart beside the event loop
_PATIENCE_SECONDS: Final = 20.0  # nobody waits at a screen for what is pushed
_KEY: Final = re.compile(r"[\x21-\x7e]{1,80}")
_NINE: Final = re.compile(r"\d{9}")
_ZONE: Final = "Europe/Amsterdam"
_CONTACTS: Final = frozenset({"Encounter", "EpisodeOfCare", "CareTeam", "ServiceRequest"})
NO_PATIENT: Final = "no patient identifier of a known system"
TOO_LONG: Final = "its translation took too long and was ended"
NO_CONTACT: Final = "no contact known of this patient with this custodian"


Number = tuple[str, str]  # a number of a sender, and whose it is: its system, or the name of its authority


@dataclass(frozen=True, slots=True)
class Merge:
    """What a sender said of its own numbers: which are gone, and who stays."""

    patient: Patient
    numbers: frozenset[Number]
    authorities: frozenset[str]  # those of the patient who stays, for a number without one

    def covers(self, patient: Json) -> bool:
        """Claim that a Patient without a national number bears one that is gone."""
        if any(one.get("system") == BSN_SYSTEM for one in patient.get("identifier", ())):
            return False
        own = numbers_of(patient)
        bare = {(value, authority) for value, named in self.numbers if not named for authority in self.authorities}
        return not own.isdisjoint(self.numbers | bare)


@dataclass(frozen=True, slots=True)
class Posting:
    """Bytes that came in through the door of one source, and what that door knows about them."""

    source: SourceTable
    body: bytes
    format: str
    received: datetime
    dated: datetime | None = None  # of the content, as the name of a file says; the content itself says it better
    coverage: str = ""  # "full" or "delta"; empty = as the map says
    heard: datetime | None = None  # when its sender spoke, where that was before it was received
    merge: Merge | None = None  # what its sender said later of the number it came under


async def letters_of(posting: Posting, ports: Ports) -> tuple[list[Letter], Snapshot | None]:
    """Every message in what was posted; what cannot be read is a dead letter, never lost.

    Raises:
        Unavailable: the index cannot be read.
    """
    batch = hashlib.sha256(posting.body).hexdigest()
    try:
        bodies = await _beside(split, posting.body, posting.format, _map(posting))
    except NotMappable as error:
        return [dead_letter(posting, posting.body, _said(error), ports)], None
    if len(bodies) == 1 and bodies[0] == posting.body:
        letter = await letter_of(posting, posting.body, ports)
        return [letter], _snapshot(posting, [letter], letter.message.delivery.batch or batch)
    made = [await letter_of(posting, body, ports) for body in bodies]
    day = f"{posting.dated:%Y%m%d%H%M}-" if posting.dated else ""
    letters = [
        replace(one, message=replace(one.message, key=f"{day}{batch[:20]}-{number}", delivery=replace(one.message.delivery, batch=batch)))
        for number, one in enumerate(made, 1)
    ]  # fmt: skip
    return letters, _snapshot(posting, letters, batch)


async def letter_of(posting: Posting, body: bytes, ports: Ports) -> Letter:
    """One message with what it means.

    Raises:
        Unavailable: the index cannot be read.
    """
    source = posting.source
    try:
        origin = Origin(source.custodian, source.id, instant(posting.received))
        translation = await translated(body, posting.format, origin, _map(posting), _PATIENCE_SECONDS, ports)
        _one_patient(translation)
        _something(translation)
    except NotMappable as error:
        return dead_letter(posting, body, _said(error), ports)
    except TimeoutError:
        return dead_letter(posting, body, TOO_LONG, ports)
    except Exception:  # a defect of a map must not lose the message: it is kept as it came, and can be mapped again
        log.exception("message not translated", extra={"source": source.id})
        return dead_letter(posting, body, "the translation failed", ports)
    return await _understood(posting, body, translation, ports)


async def _understood(posting: Posting, body: bytes, translation: Translation, ports: Ports) -> Letter:
    source, now = posting.source, posting.received
    patient = _merged(translation, posting.merge) or _patient(translation, ports)
    message = _message(posting, body, translation, patient, ports)
    if patient is None:
        return Letter(replace(message, state="quarantined", reason=NO_PATIENT))
    place = Place(Custodian(source.custodian, ports.policy.facility_type(source.custodian)), "", source, frozenset())
    arrival = Arrival()
    receive([(translation, instant(now))], place, patient, ports.keys, arrival)
    if ports.office is not None:
        ports.office.sources.lost(source.id, arrival.losses)
    delivery = await _for_a_case(replace(message.delivery, patient=patient.id), posting, ports)
    reason = translation.facts.get("quarantine", "")
    if not reason and not _tells_contact(translation, posting.format):
        known = await ports.index.entries(patient.id, now)
        reason = "" if any(entry.custodian == source.custodian for entry in known) else NO_CONTACT
    state = "quarantined" if reason else "accepted"
    message = replace(message, delivery=delivery, state=state, reason=reason)
    return Letter(message, tuple(arrival.items), tuple(entries_of(arrival.items, message)))


async def _for_a_case(delivery: Delivery, posting: Posting, ports: Ports) -> Delivery:
    """What was sent to one organization that has a case open stays no longer than the case and the term after it."""
    if ports.desk is None or delivery.expires is None or len(delivery.addressees) != 1:
        return delivery
    (organization,) = delivery.addressees
    until = await ports.desk.case_until(delivery.patient, organization, posting.received)
    if until is None:
        return delivery
    return replace(delivery, expires=min(delivery.expires, until + posting.source.retention))


def entries_of(items: list[Item] | tuple[Item, ...], message: Message) -> list[IndexEntry]:
    """A pushed item makes its custodian findable for its category, on the basis of the push and as long as it stays (rule C3)."""
    source, delivery = message.source, message.delivery
    return [
        IndexEntry(f"push-{hashlib.blake2b(f'{source}|{patient}|{category}'.encode(), digest_size=12).hexdigest()}", patient,
                   message.custodian, frozenset({category}), delivery.basis, message.received, f"source:{source}", delivery.expires)
        for patient, category in sorted({(item.patient, item.category) for item in items})
    ]  # fmt: skip


def _message(posting: Posting, body: bytes, translation: Translation, patient: Patient | None, ports: Ports) -> Message:
    source, facts = posting.source, translation.facts
    contact = contact_of(translation, source.custodian, ports.keys)
    digest = hashlib.sha256(body).hexdigest()
    thread = _thread(facts, patient.id if patient else "") if posting.format == "cda" else ""
    dated = _moment(facts.get("written") or facts.get("created") or "") or posting.dated
    day = f"{posting.dated:%Y%m%d%H%M}-" if posting.dated else ""
    delivery = Delivery(
        format=posting.format, map=f"{translation.map}|{translation.version}",
        coverage=posting.coverage or facts.get("coverage") or ("document" if thread else "delta"),
        contact=contact.key, thread=ports.keys.item_id(source.custodian, f"thread|{thread}") if thread else "",
        dated=dated, expires=expiry(contact, source, posting.received), ended=contact.ended is not None or contact.cancelled,
        cancels=contact.cancelled, basis=_basis(source.custodian, posting.received, ports),
        addressees=frozenset(facts.get("addressees", "").split()) or addressees(body, posting.format), heard=posting.heard,
    )  # fmt: skip
    delivery = replace(delivery, batch=digest if delivery.coverage == "full" else "")
    named = facts.get("control") or facts.get("document") or ""
    key = _key(named, source.custodian, ports) if named else f"{day}{digest[:20]}"
    return Message(source.id, source.custodian, key, digest, body, posting.received, "accepted", "", delivery)


def dead_letter(posting: Posting, body: bytes, reason: str, ports: Ports) -> Letter:
    """What cannot be read: kept as it came, with the reason, so that it can be read again."""
    source, digest = posting.source, hashlib.sha256(body).hexdigest()
    named = control_id(body) if posting.format == "hl7v2" else ""
    key = _key(named, source.custodian, ports) if named else digest[:20]
    # Whose it is cannot be read, so nothing ends its contact: it stays as long as an open one.
    until = posting.received + source.open_contact + source.retention
    delivery = Delivery(
        format=posting.format,
        coverage=posting.coverage or "delta",
        dated=posting.dated,
        expires=until,
        heard=posting.heard,
    )
    return Letter(Message(source.id, source.custodian, key, digest, body, posting.received, "dead", reason, delivery))


def _snapshot(posting: Posting, letters: list[Letter], batch: str) -> Snapshot | None:
    """A full file, as soon as one part of it says that it is one."""
    deliveries = [letter.message.delivery for letter in letters]
    if posting.coverage != "full" and all(one.coverage != "full" for one in deliveries):
        return None
    dated = next((one.dated for one in deliveries if one.dated), posting.dated)
    present = frozenset(one.patient for one in deliveries if one.patient)
    return Snapshot(posting.source.id, batch, posting.received, dated, present, all(one.patient for one in deliveries))


async def _beside(work: Callable[..., T], body: bytes, *more: object) -> T:
    """Do pure work on bytes: beside the event loop when they are many."""
    return await asyncio.to_thread(work, body, *more) if len(body) > _LARGE_BYTES else work(body, *more)


def _map(posting: Posting) -> str:
    """The map the source declares, when it is one of this format."""
    dialect = posting.source.dialect
    return dialect if dialect.startswith(f"{posting.format}/") else ""


def _patient(translation: Translation, ports: Ports) -> Patient | None:
    for resource in translation.resources:
        if resource.get("resourceType") == "Patient":
            identifiers = {entry.get("system"): entry.get("value") for entry in resource.get("identifier", ())}
            for system in (BSN_SYSTEM, *ports.policy.identifier_systems):
                value = identifiers.get(system)
                if value:
                    return Patient(ports.keys.patient_id(system, value), system, value)
    return None


def numbers_of(patient: Json) -> frozenset[Number]:
    """The numbers a sender calls a patient by, the national one left out."""
    return frozenset(number_of(one) for one in patient.get("identifier", ()) if one.get("system") != BSN_SYSTEM)


def number_of(identifier: Json) -> Number:
    """One number with whose it is."""
    return str(identifier.get("value", "")), identifier.get("system") or identifier.get("assigner", {}).get(
        "display", ""
    )


def _merged(translation: Translation, merge: Merge | None) -> Patient | None:
    """Who a merge says this is about; the Patient says it too, so that its items are proven to be of that patient."""
    found = [
        one for one in translation.resources if one.get("resourceType") == "Patient" and merge and merge.covers(one)
    ]
    if merge is None or not found:
        return None
    for one in found:
        one["identifier"] = [*one["identifier"], {"system": merge.patient.system, "value": merge.patient.value}]
    return merge.patient


def _one_patient(translation: Translation) -> None:
    """Refuse content of two persons: neither may be filed under the other.

    Raises:
        NotMappable: more than one Patient.
    """
    found = {
        native
        for resource, native in zip(translation.resources, translation.keys, strict=True)
        if resource.get("resourceType") == "Patient"
    }
    if len(found) > 1:
        text = f"one patient a message: {len(found)} found"
        raise NotMappable(text, "Patient")


def _something(translation: Translation) -> None:
    """Refuse what became nothing, such as the rows of a file that belong to nobody.

    Raises:
        NotMappable: names the first thing that was lost.
    """
    if not translation.resources:
        lost = translation.losses[0] if translation.losses else None
        raise NotMappable(lost.reason if lost else "there is nothing in it", lost.path if lost else "")


def _tells_contact(translation: Translation, format_: str) -> bool:
    """Claim that the message is itself evidence of a contact between patient and custodian (rule D1)."""
    if translation.facts.get("contact") == "true":
        return True
    return format_ != "hl7v2" and any(one.get("resourceType") in _CONTACTS for one in translation.resources)


def _basis(custodian: str, now: datetime, ports: Ports) -> str:
    """On what ground this custodian pushes: as its agreements in force say."""
    for agreement in ports.policy.agreements:
        named = custodian in agreement.custodians or ANY in agreement.custodians
        if named and BASES[agreement.basis].pushed and agreement.start <= now < agreement.end:
            return agreement.basis
    return "observation"


def _thread(facts: Mapping[str, str], patient: str) -> str:
    """Of what a document is a version: a set, else the one report of its type about a trip, else the one it replaces.

    INVARIANT: never of a document about somebody else, also where a sender counts its sets from one for every person.
    """
    trip = f"{facts['trip']} {facts.get('type', '')}" if "trip" in facts else ""
    of = f"{facts.get('set-root', '')}|{facts['set']}" if "set" in facts else facts.get("set-root", "")
    name = of or trip or facts.get("replaces") or facts.get("document", "")
    return f"{name}|{patient}" if name else ""


def _key(named: str, custodian: str, ports: Ports) -> str:
    """The sender's message id, digested where it could name a person."""
    if _KEY.fullmatch(named) and not any(passes_elfproef(nine) for nine in _NINE.findall(named)):
        return named
    return ports.keys.item_id(custodian, f"message|{named}")


def _moment(text: str) -> datetime | None:
    """When the sender wrote it, where it says so to the minute."""
    date = parse(text) if "-" in text else parse(date_time_of(text, _ZONE) or "")
    return date.instant if date is not None else None


def _said(error: NotMappable) -> str:
    return f"{error.path} {error}".strip()
