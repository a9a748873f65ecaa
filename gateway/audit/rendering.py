"""A record as FHIR R4 AuditEvents, made when somebody reads it.

Spec: IHE ITI BALP 1.1 (Basic Audit Log Patterns) on FHIR R4; NEN 7513 (2018) 7.2–7.5.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gateway.audit import objects, participants
from gateway.audit import vocabulary as words
from gateway.audit.participants import Recorder
from gateway.audit.record import BEGUN, Asked, Record, outcome_of
from gateway.audit.view import BEFORE, UNKNOWN_OUTCOME, Seen, fate
from gateway.model import Json

_OUTCOMES: Final = {"answered": "0", "asked": "0", "partly": "4", "withheld": "4", "failed": "8"}
_EACH: Final = frozenset(
    {"summary", "document", "everything"}
)  # an event for each custodian beside the one of the request
_ACTIONS: Final = {"Read": "R", "Query": "E", "Create": "C", "Update": "U", "Delete": "D"}


def events(id_: str, seen: Seen, recorder: Recorder) -> list[Json]:
    """The events of one record, for whoever `seen` was made for; the first has the id of the record.

    A custodian gets what concerns its own sources. A requester gets its request, and of a summary an event
    for each custodian: asked, answered, withheld, failed.
    """
    record = seen.record
    if seen.side == "custodian":
        found = [_disclosure(record, one, seen.side, recorder) for one in record.custodians]
    else:
        found = [_request(record, recorder)]
        if record.interaction in _EACH or record.kind in BEFORE or record.kind == "fragment":
            found += [_disclosure(record, one, seen.side, recorder) for one in record.custodians]
    return [{"resourceType": "AuditEvent", "id": _id(id_, number)} | one for number, one in enumerate(found)]


def outcome(record: Record) -> str:
    """The outcome code; empty when nobody knows how it ended."""
    return "" if record.error == UNKNOWN_OUTCOME else outcome_of(record)


def _id(id_: str, number: int) -> str:
    return f"{id_}-{number}" if number else id_


def _request(record: Record, recorder: Recorder) -> Json:
    """The event of the request itself."""
    kind = words.kind_of(record)
    patient = objects.patient(record)
    agents = participants.machines(record, recorder, reads=kind.family == "Read")
    agents += participants.user(record, recorder) + participants.others(record, recorder)
    entities = objects.transaction(record) + patient
    entities += _objects_of(record, kind.family)
    entities += objects.case(record) + objects.consents(record.custodians)
    entities += [objects.custodian(one, _name(one, recorder), record) for one in record.custodians]
    claims = _claims(kind.family, bool(patient), record)
    made = _event(record, kind.type, kind.subtypes, agents, entities, claims, recorder, outcome(record))
    return made | {"action": _ACTIONS[kind.family]} if kind.family else made


def _objects_of(record: Record, family: str) -> list[Json]:
    if family == "Query":
        # What a summary gave stands in the event of each custodian, and only there: it may be hundreds of items.
        manifest = [] if record.interaction in _EACH else objects.given(record.custodians)
        return [objects.question(record), *manifest]
    if family:
        return [objects.target(record)]
    if record.object:
        return [objects.target(record)]
    asked = [objects.question(record)] if record.query else []  # which page
    details = [("count", str(record.count))] if record.count else []
    if record.kind not in {"outcome", "refusal", *BEGUN}:
        details += [("note", reason) for reason in record.reasons]
    made = objects.given(record.custodians)
    if details:
        made.append(
            {
                "type": words.coded(words.ENTITY_SYSTEM, "note"),
                "what": {"display": record.type or record.kind},
                "detail": [{"type": name, "valueString": text} for name, text in details],
            }
        )
    return asked + made


def _claims(family: str, patient: bool, record: Record) -> list[str]:
    """The profiles this event has everything for."""
    claims = []
    if family:
        claims.append(words.profile(f"Patient{family}" if patient else family))
    if record.token:
        claims.append(words.profile("OAUTHaccessTokenUse.Comprehensive"))
    return claims


def _disclosure(record: Record, asked: Asked, side: str, recorder: Recorder) -> Json:
    """One custodian: data that was given, a consent that withheld, or a source that could not."""
    word = fate(asked, record)
    if word == "withheld":
        return _decision(record, asked, side, recorder)
    if word in {"failed", "asked"}:
        return _outbound(record, asked, recorder)
    source = participants.organization(asked.custodian, asked.facility, recorder, words.coding(participants.SOURCE))
    source |= {"network": {"address": asked.source or "custodian", "type": "1"}}
    receives = words.coding(participants.DESTINATION)
    recipient = participants.organization(record.organization, record.facility, recorder, receives)
    recipient |= {"network": participants.network(record.address or "unknown")}
    recipient |= participants.policies(record, asked)
    agents = [source, recipient, *participants.user(record, recorder), *participants.responsible(record)]
    at_source = side == "custodian"
    kind = words.coding("dcm|110106" if at_source else "dcm|110107")
    subtypes = [
        words.coded(words.LIFECYCLE, "disclose", "Disclose Record Lifecycle Event"),
        words.coded(words.INTERACTION_SYSTEM, record.interaction or record.kind),
    ]
    given = record.kind != "refusal"  # what was fetched for an answer that was refused, nobody saw
    whole = bool(given and asked.shown and record.purpose and objects.patient(record))
    claims = [words.profile(f"PrivacyDisclosure.{'Source' if at_source else 'Recipient'}")] if whole else []
    claims += [words.profile("OAUTHaccessTokenUse.Comprehensive")] if record.token else []
    made = _event(
        record, kind, subtypes, agents, _entities(record, asked, recorder), claims, recorder,
        _OUTCOMES[word] if given else outcome(record) or "8", site=asked.source,
    )  # fmt: skip
    return made | {"action": "R" if at_source else "C"}


def _decision(record: Record, asked: Asked, side: str, recorder: Recorder) -> Json:
    """What a consent, or the lack of one, withheld."""
    agents = participants.user(record, recorder) or participants.machines(record, recorder, reads=False)[:1]
    agents.append(participants.gateway(recorder, participants.SOURCE))
    if record.organization:
        agents.append(
            participants.organization(record.organization, record.facility, recorder)
            | participants.policies(record, asked)
        )
    if asked.custodian and side != "requester":
        holder = words.coded(words.PARTICIPATION, "CST", "custodian")
        agents.append(participants.organization(asked.custodian, asked.facility, recorder, holder))
    subtype = words.coded(f"{words.BALP}/CodeSystem/AuthZsubType", "AuthZ-Consent")
    claims = [words.profile("AuthZconsent")] if objects.patient(record) else []
    entities = _entities(record, asked, recorder) + ([] if asked.consent else [objects.no_consent()])
    made = _event(
        record, words.coding("dcm|110113"), [subtype], agents, entities, claims, recorder, "4", site=asked.source
    )
    return made | {"action": "E", "outcomeDesc": _states(asked)}


def _outbound(record: Record, asked: Asked, recorder: Recorder) -> Json:
    """The gateway asks a source, and what comes of it."""
    word = fate(asked, record)
    source = participants.organization(
        asked.custodian, asked.facility, recorder, words.coding(participants.DESTINATION)
    )
    source |= {"network": {"address": asked.source or "custodian", "type": "1"}}
    agents = [participants.gateway(recorder, participants.SOURCE), source, *participants.user(record, recorder)]
    agents += participants.others(record, recorder)
    entities = [*_entities(record, asked, recorder), objects.question(record)]
    subtypes = [words.coding("fhir|search"), words.coded(words.INTERACTION_SYSTEM, record.interaction or record.kind)]
    patient = bool(objects.patient(record))
    claims = _claims("Query", patient, record)
    made = _event(
        record,
        words.coding("rest|rest"),
        subtypes,
        agents,
        entities,
        claims,
        recorder,
        "" if record.error == UNKNOWN_OUTCOME else _OUTCOMES[word],
        site=asked.source,
    )
    return made | {"action": "E"} | ({"outcomeDesc": _states(asked)} if word == "failed" else {})


def _entities(record: Record, asked: Asked, recorder: Recorder) -> list[Json]:
    entities = objects.transaction(record) + objects.patient(record) + objects.case(record)
    entities += objects.consents([asked]) + objects.given([asked] if record.kind != "refusal" else [])
    return [*entities, objects.custodian(asked, _name(asked, recorder), record)]


def _event(
    record: Record,
    type_: Json,
    subtypes: Sequence[Json],
    agents: list[Json],
    entities: list[Json],
    claims: list[str],
    recorder: Recorder,
    outcome: str,
    *,
    site: str = "",
) -> Json:
    """The frame every event has. Spec: NEN 7513 7.2 (event), 7.5 (source)."""
    made: Json = {"meta": {"profile": claims}} if claims else {}
    made |= {"type": type_, "subtype": list(subtypes)}
    if record.action:
        made["action"] = record.action
    made["recorded"] = record.at
    if outcome:
        made["outcome"] = outcome
    if outcome != "0":
        made["outcomeDesc"] = " ".join(
            word for word in (str(record.status or ""), record.error or "unknown", *record.reasons) if word
        )
    if record.purpose:
        made["purposeOfEvent"] = [words.purpose(record.purpose)]
    made["agent"] = agents
    made["source"] = {
        "site": site or recorder.base.partition("://")[2],
        "observer": recorder.who,
        "type": [words.coded("http://terminology.hl7.org/CodeSystem/security-source-type", "4", "Application Server")],
    }
    made["entity"] = entities
    return made


def _name(asked: Asked, recorder: Recorder) -> str:
    if asked.custodian:
        return recorder.policy.name(asked.custodian)
    return f"organization of type {asked.facility}" if asked.facility else ""


def _states(asked: Asked) -> str:
    return ", ".join(f"{category} {state}".strip() for category, state in sorted(asked.states.items())) or "withheld"
