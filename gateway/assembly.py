"""Assemble: answers become the answer of an interaction: searchset, one resource, a match, a summary."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Sequence
from typing import Final

from gateway.errors import Invalid
from gateway.fhir import bundle, searchset
from gateway.membership import SUPPORTING
from gateway.model import Answer, Incoming, Item, Json, Outgoing, Patient
from gateway.ports import Ports
from gateway.standing import Standing
from gateway.summary.document import document
from gateway.summary.identity import identify, reachable
from gateway.summary.material import Material
from gateway.summary.sections import SUPPORT, section_of
from gateway.summary.view import page as html_page
from gateway.version import __version__
from profiles import exact

_ENTRY: Final = re.compile(rb'"fullUrl":"[^"]*/fhir/([^"]+)"')


def search(standing: Standing, answers: Sequence[Answer], incoming: Incoming, ports: Ports) -> Outgoing:
    """A searchset over the permitted items of one patient.

    Raises:
        Invalid: a parameter that is not understood.
        Unavailable: when no source could answer.
    """
    body, given = searchset.assembled(
        standing, answers, lambda: one_patient(standing.of, answers, ports), incoming, ports
    )
    only_given(answers, given)
    return Outgoing(200, body)


def read(standing: Standing, answers: Sequence[Answer], incoming: Incoming, ports: Ports) -> Outgoing:
    """One resource by id; what may not be seen answers exactly like what does not exist (attack 56).

    Raises:
        Invalid: `item-expired`.
    """
    del incoming
    question, patient = standing.question, standing.of
    if question.types[0] == "Patient" and question.patient is not None:
        found = one_patient(patient, answers, ports)
        bundle.refuse_silence(answers, ports.policy.disclosure)
    else:
        found = [
            item
            for answer in answers
            for item in answer.items
            if item.id == question.item and searchset.within_scope(item, standing)
        ]
        if not found:
            bundle.refuse_silence(answers, ports.policy.disclosure)
    if not found:
        raise Invalid("item-expired")
    only_given(answers, found)
    return Outgoing(200, found[0].raw)


def match(standing: Standing, answers: Sequence[Answer], incoming: Incoming, ports: Ports) -> Outgoing:
    """A certain match or nothing (rule E2): the identifier and the birth date, at a source that knows both."""
    patient = standing.of
    certain = any(date and date == patient.birth_date for answer in answers for date in answer.birth_dates)
    found = one_patient(patient, answers, ports) if certain else []
    base = ports.settings.gateway.base
    grade = {"url": "http://hl7.org/fhir/StructureDefinition/match-grade", "valueCode": "certain"}
    entries: list[Json] = [
        {
            "fullUrl": f"{base}/fhir/Patient/{item.id}",
            "resource": item.resource,
            "search": {"extension": [grade], "mode": "match", "score": 1},
        }
        for item in found
    ]
    only_given(answers, found)
    outcomes = bundle.remarks(answers, None, standing, ports.policy.disclosure, incoming.language)
    entries += bundle.outcome_entries(outcomes)
    made: Json = {"resourceType": "Bundle", "type": "searchset", "total": len(found)}
    if entries:
        made["entry"] = entries
    return Outgoing(200, exact.encode(made))


def summary(standing: Standing, answers: Sequence[Answer], incoming: Incoming, ports: Ports) -> Outgoing:
    """The patient summary, as an IPS document or as a page of the same."""
    question, gateway = standing.question, ports.settings.gateway
    bundle.refuse_undecided(answers, ports.policy.disclosure)
    language = (
        (incoming.language if incoming.header(b"accept-language") else gateway.language)
        if question.html
        else gateway.language
    )
    material = material_of(standing, answers, incoming, ports, language)
    if not question.html:
        made = document(material)
        placed(answers, made)
        return Outgoing(200, made)
    nonce = secrets.token_urlsafe(16)
    policy = (
        f"default-src 'none'; style-src 'nonce-{nonce}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    page = html_page(material, material.language, nonce)
    placed(answers)
    return Outgoing(
        200,
        page,
        "text/html; charset=utf-8",
        (("content-security-policy", policy),),
    )


def material_of(
    standing: Standing, answers: Sequence[Answer], incoming: Incoming, ports: Ports, language: str
) -> Material:
    """What a summary is made of, with the answers in an order of their own."""
    gateway = ports.settings.gateway
    return Material(
        patient=standing.of,
        caller=standing.caller,
        policy=ports.policy,
        base=gateway.base,
        now=ports.now(),
        answers=tuple(sorted(answers, key=lambda answer: (answer.custodian.organization, answer.source))),
        request_id=incoming.request_id,
        language=language,
        profile=standing.question.profile,
        gateway_name=gateway.name,
        gateway_version=__version__,
        operator=gateway.operator,
        operator_ura=gateway.ura,
    )


def one_patient(patient: Patient, answers: Sequence[Answer], ports: Ports) -> list[Item]:
    """The one Patient of the gateway, when a source knows this person."""
    known = [answer for answer in answers if any(item.type == "Patient" for item in answer.items)]
    if not known:
        return []
    resource = identify(patient, known).resource | reachable(known)
    newest = max((item.fetched for answer in known for item in answer.items if item.type == "Patient"), default="")
    resource["meta"] = {"lastUpdated": newest, "source": f"{ports.settings.gateway.base}/fhir"}
    raw = exact.encode(resource)
    return [
        Item(
            raw,
            patient.id,
            "Patient",
            patient.id,
            ports.settings.gateway.ura,
            "",
            "Patient",
            patient.id,
            fetched=newest,
        )
    ]


def placed(answers: Sequence[Answer], document: bytes = b"") -> None:
    """The manifest of a summary names what stands in it, not what was found (rule F5).

    A request that was carried out, a panel, a document or professional nothing refers to have no place in it. The
    persons of the sources became its one Patient, so these were given.
    """
    entries = set(_ENTRY.findall(document))
    for answer in answers:
        answer.items = [
            item
            for item in answer.items
            if item.type == "Patient" or (f"{item.type}/{item.id}".encode() in entries if document else _is_told(item))
        ]


def _is_told(item: Item) -> bool:
    """Claim that a page tells an item: it has a section, or explains one that has."""
    return item.type in SUPPORT or section_of(item) is not None


def only_given(answers: Sequence[Answer], shown: Sequence[Item]) -> None:
    """The manifest of the record names what is given, not what was found (rule F5).

    The one Patient of the gateway is made of those of the sources, so these are what was given.
    """
    ids = {item.id for item in shown}
    person = any(item.type == "Patient" for item in shown)
    for answer in answers:
        found = answer.items
        answer.items = [item for item in found if item.id in ids or (person and item.type == "Patient")]
        answer.unseen = [item for item in found if item.type in SUPPORTING and item.id not in ids]


Assemble = Callable[[Standing, Sequence[Answer], Incoming, Ports], Outgoing]

ASSEMBLE: Final[dict[str, Assemble]] = {
    "search-type": search,
    "search-system": search,
    "read": read,
    "match": match,
    "summary": summary,
}
