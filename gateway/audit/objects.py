"""The entities of an AuditEvent: the request, the patient, the question, the case, the consent and what was given."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from typing import Final

from gateway.audit import vocabulary as words
from gateway.audit.record import Asked, Record, Shown
from gateway.audit.view import fate
from gateway.model import Json

TRANSACTION_SYSTEM: Final = f"{words.BALP}/CodeSystem/BasicAuditEntityType"
_STATEMENT: Final = re.compile(r"(consent-[A-Za-z0-9\-.]{1,56})/(\d{1,9})")
_PATIENT_ID: Final = re.compile(r"p\d+-[A-Za-z0-9\-.]{1,60}")
_PERSON: Final = words.coded(words.ENTITY_TYPE, "1", "Person")
_SYSTEM_OBJECT: Final = words.coded(words.ENTITY_TYPE, "2", "System Object")


def transaction(record: Record) -> list[Json]:
    """The request by its id; the correlation id of the caller beside it where it is another."""
    own: Json = {
        "what": {"identifier": {"value": record.request}},
        "type": words.coded(TRANSACTION_SYSTEM, "XrequestId"),
    }
    if record.correlation in {"", record.request}:
        return [own]
    other: Json = {
        "what": {"identifier": {"value": record.correlation}},
        "type": words.coded(words.ENTITY_SYSTEM, "correlation-id"),
    }
    return [own, other]


def patient(record: Record) -> list[Json]:
    """The patient by the pseudonymous id, never by an identifier."""
    if not _PATIENT_ID.fullmatch(record.patient):
        return []
    role = words.coded(words.OBJECT_ROLE, "1", "Patient")
    return [{"what": {"reference": f"Patient/{record.patient}"}, "type": _PERSON, "role": role}]


def question(record: Record) -> Json:
    """The question with masked values. Spec: IHE BALP, entity query; AuditEvent sev-1: a query has no name."""
    text = f"{record.type or record.interaction}?{record.query}".rstrip("?")
    role = words.coded(words.OBJECT_ROLE, "24", "Query")
    return {"type": _SYSTEM_OBJECT, "role": role, "query": base64.b64encode(text.encode()).decode()}


def target(record: Record) -> Json:
    """The one resource of a read or a write; of a refused one its type, where no id is known."""
    given = next((shown for one in record.custodians for shown in one.shown if shown.type == record.type), None)
    if record.object:
        return domain({"reference": record.object})
    if given is not None:
        return _given(given)
    if record.type == "Task" and record.case:
        return domain({"reference": f"Task/{record.case}"})
    if record.type == "Patient" and _PATIENT_ID.fullmatch(record.patient):
        return domain({"reference": f"Patient/{record.patient}"})
    return domain({"type": record.type, "display": "not given"} if record.type else {"display": "not given"})


def case(record: Record) -> list[Json]:
    """The case: the treatment relation as it was shown. Spec: NEN 7513 7.4."""
    if not record.case or record.type == "Task":
        return []
    role = words.coded(words.OBJECT_ROLE, "20", "Job")
    return [
        {"what": {"reference": f"Task/{record.case}"}, "type": words.coded(words.RESOURCE_TYPES, "Task"), "role": role}
    ]


def consents(custodians: Iterable[Asked]) -> list[Json]:
    """The consent profile: the statement that decided with its version, or the ground. Spec: NEN 7513 7.4."""
    found: list[Json] = []
    for text in dict.fromkeys(one.consent for one in custodians if one.consent):
        named = _STATEMENT.fullmatch(text)
        found.append(_consent({"reference": f"Consent/{named[1]}/_history/{named[2]}"} if named else {"display": text}))
    return found


def no_consent() -> Json:
    """The consent profile of a refusal that names no statement."""
    return _consent({"display": "no statement that permits, or not to be named"})


def _consent(what: Json) -> Json:
    role = words.coded(words.OBJECT_ROLE, "13", "Security Resource")
    return {"what": what, "type": words.coded(words.RESOURCE_TYPES, "Consent"), "role": role}


def custodian(asked: Asked, name: str, record: Record) -> Json:
    """What became of one source, and what kind of data it was about: categories, states, origin."""
    word = fate(asked, record)
    details: list[tuple[str, str]] = [("state", word)]
    details += [("custodian", name)] if name else []
    details += [("source", asked.source)] if asked.source else []
    details += [(f"category {category}".rstrip(), state) for category, state in sorted(asked.states.items())]
    details += [("agreement", asked.rule)] if asked.rule else []
    details += [("consent", asked.consent)] if asked.consent else []
    details += [("incident", incident) for incident in asked.incidents]
    details += [("losses", str(asked.losses))] if asked.losses else []
    details += [("items", str(len(asked.shown)))] if asked.shown else []
    details += [] if asked.told else [("requester", "the source was not told who asked")]
    return {
        "type": words.coded(words.ENTITY_SYSTEM, "custodian"),
        "what": {"display": name or "custodian"},
        "detail": [{"type": kind, "valueString": text} for kind, text in details],
    }


def given(custodians: Iterable[Asked]) -> list[Json]:
    """The disclosure manifest (rule F5): which version of which resource."""
    return [_given(shown) for one in custodians for shown in one.shown]


def domain(what: Json) -> Json:
    """A resource as an entity."""
    return {"what": what, "type": _SYSTEM_OBJECT, "role": words.coded(words.OBJECT_ROLE, "4", "Domain Resource")}


def _given(shown: Shown) -> Json:
    entity = domain({"reference": f"{shown.type}/{shown.id}"})
    facts = (("version", shown.version), ("digest", shown.digest))
    details: list[Json] = [{"type": name, "valueString": text} for name, text in facts if text]
    return entity | {"detail": details} if details else entity
