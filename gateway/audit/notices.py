"""What a custodian and the privacy officers are told of an emergency access: a FHIR Communication without clinical content (rule B2)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from gateway.audit.journal import Recorded
from gateway.model import CANONICAL, Json, instant
from gateway.ports import Ports
from gateway.watched import Notice, Review
from profiles import exact
from profiles.identifiers import BSN_SYSTEM, URA_SYSTEM

KIND: Final = f"{CANONICAL}/CodeSystem/notice"
REVIEW: Final = f"{CANONICAL}/NamingSystem/review"
REQUEST: Final = f"{CANONICAL}/NamingSystem/request"
REQUESTER: Final = f"{CANONICAL}/StructureDefinition/notice-requester"
GROUNDS: Final = f"{CANONICAL}/CodeSystem/emergency-grounds"
CUSTODIAN, OFFICER = "custodian", "privacy-officer"
_TEXT: Final = {
    "r": "Noodinzage: {who} heeft op {at} gegevens van uw patiënt ingezien zonder toestemming vooraf. Beoordeel dit vóór {due}.",
    "p": "Inzage in een extra beschermd dossier: {who} op {at}. Beoordeel dit vóór {due}.",
}


def notices_of(reviews: tuple[Review, ...], record: Recorded, ports: Ports, due: str) -> Iterator[Notice]:
    """Every notice these accesses give, to organizations that take notices.

    INVARIANT: names no person but the patient, and the patient only to who holds the record.
    """
    for review in reviews:
        for ura, desk in _receivers(review):
            organization = ports.policy.organizations.get(ura)
            if organization is None or not (organization.notices or organization.privacy_officer):
                continue
            if desk == OFFICER and not (organization.privacy_officer or ura == review.custodian):
                continue
            id_ = f"{review.id}-{ura}-{desk}"
            body = exact.encode(_communication(ura, review, record, ports, due))
            yield Notice(id_, ura, desk, review.patient, review.request, review.opened, body)


def address_of(notice: Notice, ports: Ports) -> str:
    """Where a notice goes today; empty when its organization takes none (any more)."""
    organization = ports.policy.organizations.get(notice.organization)
    if organization is None:
        return ""
    base = organization.notices if notice.desk == CUSTODIAN else organization.privacy_officer or organization.notices
    return f"{base.rstrip('/')}/Communication" if base else ""


def _receivers(review: Review) -> Iterator[tuple[str, str]]:
    yield review.custodian, CUSTODIAN
    yield review.custodian, OFFICER
    if review.organization != review.custodian:
        yield review.organization, OFFICER


def _communication(ura: str, review: Review, record: Recorded, ports: Ports, due: str) -> Json:
    caller, at = record.caller, instant(review.opened)
    assert caller is not None
    who = ports.policy.name(review.organization)
    kind = review.id.partition("-")[0]
    code = {"r": "emergency-access", "p": "protected-record"}[kind]
    grounds = caller.emergency
    codes = [grounds.cannot_consent, *sorted(grounds.threats)] if grounds is not None and kind == "r" else []
    made: Json = {
        "resourceType": "Communication",
        "identifier": [{"system": REVIEW, "value": review.id}],
        "status": "completed",
        "category": [{"coding": [{"system": KIND, "code": code}]}],
        "priority": "urgent",
        "sent": at,
        "recipient": [_organization(ura, ports.policy.name(ura))],
        "sender": _organization(
            ports.settings.gateway.ura, ports.settings.gateway.operator or ports.settings.gateway.name
        ),
        "about": [{"identifier": {"system": REQUEST, "value": review.request}}],
        "payload": [{"contentString": _TEXT[kind].format(who=who, at=at, due=due)}],
        "extension": [{"url": REQUESTER, "valueReference": _organization(review.organization, who)}],
    }
    if codes:
        made["reasonCode"] = [{"coding": [{"system": GROUNDS, "code": one}]} for one in codes]
    known = ports.keys.patient_identifier(review.patient)
    if ura == review.custodian and known is not None and known[0] == BSN_SYSTEM:
        made["subject"] = {"identifier": {"system": known[0], "value": known[1]}}
    return made


def _organization(ura: str, name: str) -> Json:
    return {"identifier": {"system": URA_SYSTEM, "value": ura}, "display": name} if ura else {"display": name}
