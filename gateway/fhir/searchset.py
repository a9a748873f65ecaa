"""The answer to a search: matches, what comes along with them, what could not be answered, and truthful links."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from consent.categories import categories_of_type
from consent.scopes import satisfies
from gateway.fhir import bundle
from gateway.fhir.searching import cursors, including
from gateway.fhir.searching.ordering import ordered
from gateway.fhir.searching.records import Records
from gateway.fhir.searching.several import understand_all
from gateway.fhir.searching.subsets import subset
from gateway.fhir.searching.understanding import Search, understand
from gateway.membership import SUPPORTING, supports
from gateway.model import Answer, Incoming, Item, Json, Question
from gateway.ports import Ports
from gateway.standing import Standing
from profiles.identifiers import BSN_SYSTEM, URA_SYSTEM

Persons = Callable[[], list[Item]]  # the one Patient of the gateway, when a source knows this person

_IDENTIFIER: Final = b'"identifier"'
_PROVENANCE: Final = uuid.UUID(
    "6f2f9d0e-9b1c-5a52-8c3e-6a1d6a3f0b57"
)  # the namespace of the names of Provenances made here


def assembled(
    standing: Standing, answers: Sequence[Answer], persons: Persons, incoming: Incoming, ports: Ports
) -> tuple[bytes, list[Item]]:
    """The searchset, and the items it gives: those of the page and those that come along.

    Raises:
        Invalid: a cursor of another client or search.
        Unavailable: when no source could answer.
    """
    question = standing.question
    asked = understood(question)
    bundle.refuse_silence(answers, ports.policy.disclosure)
    records = _records(standing, answers, persons, asked, ports)
    found = [item for item in records.items if asked.type in (item.type, "")]
    matches = [item for item in found if asked.matches(item, records)] if asked.tests else found
    matching = ordered(matches, asked.sort, asked.type)
    paged = bool(asked.cursor) or asked.count is not None
    scope = bound(question, standing.of.id) if paged else ""
    shown = bundle.page(matching, asked, standing.caller.requester.client, scope, ports.keys)
    along = including.brought(shown.items, asked.includes, records) if asked.includes else []
    outcomes = bundle.remarks(answers, asked, standing, ports.policy.disclosure, incoming.language)
    outcomes += _own_remarks(asked, records, standing, incoming.language)
    base, links = ports.settings.gateway.base, _duplicates(matching) if len(answers) > 1 else {}
    included = [bundle.entry(_part(item, asked, match=False), base, "include") for item in along]
    included += _provenances(shown.items, base) if asked.provenance else []
    url, used = f"{base}/fhir/{asked.type}", _used(asked, standing.of.id)
    if asked.summary or asked.elements:
        shown = bundle.Page([_part(item, asked) for item in shown.items], shown.total, shown.next)
    body = bundle.searchset(
        shown, url, used, outcomes, base, included=included, links=_linked(links, base), total=asked.total
    )
    return body, [*shown.items, *along]


def understood(question: Question) -> Search:
    """The search a question holds.

    Raises:
        Invalid: a parameter that is not understood.
    """
    if question.interaction == "search-system":
        return understand_all(question.parameters, lenient=question.lenient)
    return understand(question.types[0], question.parameters, lenient=question.lenient)


def bound(question: Question, patient: str) -> str:
    """What a cursor belongs to: the type, the patient and every parameter that was applied."""
    asked = understood(question)
    return f"{asked.type}?{_used(asked, patient)}"


def check_cursor(question: Question, client: str, ports: Ports) -> None:
    """Refuse a cursor of another client or question before anybody is asked.

    Raises:
        Invalid: `invalid-parameter`.
    """
    asked = understood(question)
    if asked.cursor and question.patient is not None:
        cursors.opened(asked.cursor, client, bound(question, question.patient.id), ports.keys)


def open_types(standing: Standing, types: Sequence[str]) -> frozenset[str]:
    """Those of the types that this caller may ask for at all."""
    return frozenset(
        type_
        for type_ in types
        if any(standing.ask(category, type_).permitted for category in sorted(categories_of_type(type_)))
    )


def _used(asked: Search, patient: str) -> list[tuple[str, str]]:
    return [("_id" if asked.type == "Patient" else "patient", patient), *asked.used]


def _records(standing: Standing, answers: Sequence[Answer], persons: Persons, asked: Search, ports: Ports) -> Records:
    """The items the search runs over. INVARIANT: one that only supports others is among them when its type may be asked for."""
    items = [item for answer in answers for item in answer.items]
    if not asked.types and asked.type not in SUPPORTING and asked.type != "Patient":
        return Records([item for item in items if item.type == asked.type], ports.now(), ports.settings.gateway.base)
    allowed = open_types(standing, sorted({item.type for item in items}))
    kept = [item for item in items if item.type in allowed and item.type != "Patient" and within_scope(item, standing)]
    if asked.type == "Patient" or "Patient" in asked.types & allowed:
        kept += persons()
    return Records(kept, ports.now(), ports.settings.gateway.base)


def within_scope(item: Item, standing: Standing) -> bool:
    """Claim that an item that only supports others meets what the scope demands of its type; others were screened."""
    if item.type not in SUPPORTING and not (item.type == "Device" and supports(item.resource)):
        return True
    demanded = standing.constraints(item.type)
    return demanded is None or satisfies(item.resource, demanded)


def _own_remarks(asked: Search, records: Records, standing: Standing, language: str) -> list[Json]:
    found: list[Json] = []
    if records.unresolved:
        found.append(bundle.remark("not-followed", "reference-not-followed", language))
    brought = frozenset[str]().union(*(one.types for one in asked.includes))
    left = sorted(brought - open_types(standing, sorted(brought)) - {"Provenance"}) if brought else []
    known = [type_ for type_ in left if categories_of_type(type_)]
    if known:
        found.append(bundle.remark("left-out", "include-left-out", language, names=", ".join(known)))
    return found


def _part(item: Item, asked: Search, *, match: bool = True) -> Item:
    """An item as it was asked for: whole, or a part that says so. What comes along keeps its own elements."""
    if not asked.summary and not (asked.elements and match):
        return item
    return msgspec.structs.replace(item, raw=subset(item.resource, asked.summary, asked.elements), _resource=None)


def _duplicates(items: Sequence[Item]) -> dict[str, list[Item]]:
    """Items of one type that carry the same business identifier: kept, and linked to one another."""
    named: dict[tuple[str, str], list[Item]] = {}
    for item in items:
        if _IDENTIFIER not in item.raw:
            continue
        identifiers = item.resource.get("identifier")
        for one in identifiers if isinstance(identifiers, list) else [identifiers]:
            if isinstance(one, dict) and one.get("system") not in (None, BSN_SYSTEM) and one.get("value"):
                named.setdefault((str(one["system"]), str(one["value"])), []).append(item)
    found: dict[str, list[Item]] = {}
    for same in named.values():
        for item in same:
            others = [other for other in same if other.id != item.id and other not in found.get(item.id, ())]
            if others:
                found.setdefault(item.id, []).extend(others)
    return found


def _linked(duplicates: dict[str, list[Item]], base: str) -> dict[str, list[Json]]:
    """Spec: FHIR R4 Bundle.entry.link; relation of RFC 6249 'duplicate'."""
    return {
        id_: [{"relation": "duplicate", "url": f"{base}/fhir/{other.type}/{other.id}"} for other in others]
        for id_, others in duplicates.items()
    }


def _provenances(items: Sequence[Item], base: str) -> list[Json]:
    """Where the matches come from, one statement for each source: what `_revinclude=Provenance:target` asks for."""
    sources: dict[tuple[str, str], list[Item]] = {}
    for item in items:
        sources.setdefault((item.custodian, item.source), []).append(item)
    entries: list[Json] = []
    for (custodian, _), given in sorted(sources.items(), key=lambda pair: pair[0]):
        targets = [f"{item.type}/{item.id}" for item in given]
        digest = hashlib.blake2b(" ".join(targets).encode(), digest_size=16).hexdigest()
        id_ = str(uuid.uuid5(_PROVENANCE, digest))
        who = {"identifier": {"system": URA_SYSTEM, "value": custodian}}
        kind = {"system": "http://terminology.hl7.org/CodeSystem/provenance-participant-type", "code": "custodian"}
        resource: Json = {
            "resourceType": "Provenance",
            "id": id_,
            "target": [{"reference": target} for target in targets],
            "recorded": max(item.fetched for item in given),
            "agent": [{"type": {"coding": [kind]}, "who": who}],
        }
        entries.append({"fullUrl": f"urn:uuid:{id_}", "resource": resource, "search": {"mode": "include"}})
    del base
    return entries
