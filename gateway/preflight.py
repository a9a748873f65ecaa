"""Decisions without data: may this caller see something of this patient, and why a decision comes out as it does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import msgspec

from consent.categories import CATEGORIES, categories_of_type, types_of_category
from consent.disclosure import sentence, visibility
from consent.explain import caller_reasons, choice, explain
from consent.model import AccessRequest, Custodian, Decision, Emergency, Facts, Reason, Requester
from consent.purposes import purpose_of
from consent.scopes import covers
from consent.trace import Trace, trace
from gateway.audit.journal import recorded
from gateway.authentication import authenticate
from gateway.authorization import authorize, consult, inform, told_relations
from gateway.errors import Invalid, Refused
from gateway.fhir.preflight import asked
from gateway.fhir.reading import patient_by
from gateway.identification import identify
from gateway.localization import localize
from gateway.model import Caller, Incoming, Json, Outgoing, Place, Question
from gateway.ports import Ports
from gateway.retrieval import permitted
from gateway.standing import Standing
from profiles import exact
from profiles.identifiers import BSN_SYSTEM

SUPERVISION: Final = Question("explain", "r", ("AuditEvent",), frozenset({"Logging"}))
_KEYS: Final = frozenset(
    {"client", "organization", "role", "person", "loa", "system", "purpose", "scopes", "action", "type", "category",
     "patient", "custodian", "case", "labels", "item", "item_date", "emergency", "delegation_registered_by",
     "delegation_role_code"}
)  # fmt: skip


async def can_access(incoming: Incoming, patient_id: str, ports: Ports) -> Outgoing:
    """Say what this caller could see of a patient now, asking no source; a preflight is on the record like a look.

    INVARIANT: tells no more about a custodian than an answer with data would (rule A2).

    Raises:
        GatewayError: token, or a question that cannot be read.
    """
    async with recorded(incoming, ports, "can-access", "E", "Patient") as record:
        record.caller = caller = await authenticate(incoming, ports)
        question = asked(incoming, patient_id, ports)
        question = _within_scope(question, caller)
        record.patient, record.query = question.patient, question.names
        try:
            standing = await authorize(caller, question, ports)
        except Refused as error:
            record.status, record.reasons = 200, (error.code,)
            return _refused(error, incoming.language)
        identified = await identify(question, ports)
        await inform(standing, identified.patient, ports)
        record.case = standing.case.id if standing.case else ""
        places = await localize(identified, question, ports)
        await consult(standing, places, ports)
        found = [(place, permitted(place, standing)) for place in places]
        decisions = [
            (place, category, told.decision)
            for place, answer in found
            for category, told in answer.told.items()
            if told.decision
        ]
        record.status = 200
        return _told(decisions, standing, ports, incoming.language)


def _within_scope(question: Question, caller: Caller) -> Question:
    """The types of the question the token covers; all of them when it covers none, so that the refusal says which."""
    person, launch = bool(caller.requester.person), bool(caller.launch)
    covered = tuple(
        one for one in question.types if covers(caller.scopes, one, "s", person=person, launch_patient=launch)
    )
    return msgspec.structs.replace(question, types=covered) if covered else question


def _refused(error: Refused, language: str) -> Outgoing:
    reason = Reason(error.code, error.text(language))
    return _parameters([_code("outcome", "deny"), _reason(reason)])


def _told(
    decisions: Sequence[tuple[Place, str, Decision]], standing: Standing, ports: Ports, language: str
) -> Outgoing:
    """One entry per custodian that may be named; of the others the same fixed words as on every answer."""
    named: dict[str, list[Json]] = {}
    outcomes: set[str] = set()
    anonymous = False
    for place, category, decision in decisions:
        seen = visibility(decision, place.custodian.facility_type, ports.policy.disclosure)
        if seen == "named":
            reasons = [] if decision.permitted else [_reason(one) for one in caller_reasons(decision)]
            part = [_code("category", category), _code("outcome", decision.outcome), *reasons]
            named.setdefault(place.custodian.organization, []).append({"name": "category", "part": part})
            outcomes.add(decision.outcome)
        anonymous = anonymous or seen == "anonymous"
    overall = next((word for word in ("permit", "unavailable", "deny") if word in outcomes), "unknown")
    parameters = [_code("outcome", overall)]
    parameters += [_custodian(ura, parts, ports) for ura, parts in sorted(named.items())]
    if anonymous:
        parameters.append({"name": "mayBeMore", "valueBoolean": True})
    fixed = sentence(standing.caller.requester.role, language)
    return _parameters([*parameters, *([{"name": "note", "valueString": fixed}] if fixed else [])])


def _custodian(ura: str, parts: list[Json], ports: Ports) -> Json:
    identifier = {"system": "http://fhir.nl/fhir/NamingSystem/ura", "value": ura}
    who = {"name": "organization", "valueReference": {"identifier": identifier, "display": ports.policy.name(ura)}}
    return {"name": "custodian", "part": [who, *parts]}


def _code(name: str, code: str) -> Json:
    return {"name": name, "valueCode": code}


def _reason(reason: Reason) -> Json:
    return {"name": "reason", "part": [_code("code", reason.code), {"name": "text", "valueString": reason.text}]}


def _parameters(parameters: list[Json]) -> Outgoing:
    return Outgoing(200, exact.encode({"resourceType": "Parameters", "parameter": parameters}))


# --- why: for the custodian concerned and the auditor ----------------------------------------------


async def explained(incoming: Incoming, ports: Ports) -> Outgoing:
    """Explain a decision rule by rule to an auditor, who is bound to the own organization (rules A4, F1).

    Raises:
        GatewayError: token, role, purpose; `explain-refused` for a question of others; `bad-request`.
    """
    async with recorded(incoming, ports, "explain", "E", "AuditEvent") as record:
        record.caller = caller = await authenticate(incoming, ports)
        await authorize(caller, SUPERVISION, ports)
        try:
            said = exact.decode(incoming.body)
        except exact.NotExact as error:
            raise Invalid("malformed-json", why=str(error)) from None
        request, facts = await asked_again(said, ports)
        own = caller.requester.organization
        if own not in (request.requester.organization, request.custodian.organization if request.custodian else ""):
            raise Refused("explain-refused")
        record.status, record.reasons = 200, (f"about {request.requester.organization}",)
        return Outgoing(
            200, exact.encode(_within(own, told(trace(request, facts), request, ports))), "application/json"
        )


def _within(own: str, whole: Json) -> Json:
    """What the requester's own auditor may know: the patient's side stays one code (rule A4)."""
    if whole["custodian"] in ("", own):
        return whole
    kept = {name: whole[name] for name in ("outcome", "custodian", "policy", "caller_sees")}
    kept["steps"] = [step for step in whole["steps"] if step["kind"] != "statement"]
    return kept


async def asked_again(said: Json, ports: Ports) -> tuple[AccessRequest, Facts]:
    """The question of a decision and the facts it rests on now, read as the line reads them.

    Raises:
        Invalid: `bad-request`, names the key that is wrong.
    """
    unknown = sorted(said.keys() - _KEYS)
    if unknown:
        raise Invalid("bad-request", why=f"unknown key '{unknown[0][:40]}'; known are: {', '.join(sorted(_KEYS))}")
    patient = _patient(said.get("patient"), ports)
    category = str(said.get("category") or "")
    type_ = str(said.get("type") or next(iter(sorted(types_of_category(category))), "Patient"))
    categories = sorted(categories_of_type(type_))
    if not category:
        category = categories[0] if categories else ""
    if category not in CATEGORIES:
        raise Invalid("bad-request", why="category is a code of nl-gf-data-categories-cs, or type a resource type")
    custodian = str(said.get("custodian") or "")
    held = Custodian(custodian, ports.policy.facility_type(custodian)) if custodian else None
    case = await ports.cases.get(str(said["case"])) if said.get("case") else None
    request = AccessRequest(
        requester=_requester(said, ports),
        purpose=_purpose(str(said.get("purpose") or "")),
        scopes=_texts(said, "scopes") or frozenset({"system/*.cruds"}),
        action=str(said.get("action") or "s"),
        type=type_,
        category=category,
        patient=patient,
        custodian=held,
        case=case[0] if case else None,
        labels=_texts(said, "labels"),
        item=str(said["item"]) if said.get("item") else None,
        item_date=str(said["item_date"]) if said.get("item_date") else None,
        emergency=_emergency(said.get("emergency")),
    )
    return request, await _facts(patient, ports)


async def _facts(patient: str | None, ports: Ports) -> Facts:
    facts = Facts(
        now=ports.now(),
        agreements=ports.policy.agreements,
        case_required_roles=ports.policy.case_roles,
        policy_revision=ports.policy.revision,
    )
    if not patient:
        return facts
    relations = await told_relations(patient, ports)
    return replace(facts, statements=await ports.consents.statements(patient), relations=relations)


def told(found: Trace, request: AccessRequest, ports: Ports) -> Json:
    """A trace as JSON: the outcome, each rule, and what the caller saw of it."""
    decision, custodian = found.decision, request.custodian
    seen = visibility(decision, custodian.facility_type, ports.policy.disclosure) if custodian else "named"
    return {
        "outcome": decision.outcome,
        "custodian": custodian.organization if custodian else "",
        "policy": ports.policy.revision,
        "decision": explain(decision),
        "patient_choice": choice(decision),
        "visibility": seen,
        "caller_sees": [{"code": one.code, "text": one.text} for one in caller_reasons(decision)],
        "obligations": sorted(decision.obligations),
        "steps": [
            {"kind": step.kind, "rule": step.name, "verdict": step.verdict, **({"why": step.why} if step.why else {})}
            for step in found.steps
        ],
    }


def _requester(said: Json, ports: Ports) -> Requester:
    client = ports.policy.clients.get(str(said.get("client") or ""))
    organization = str(said.get("organization") or (client.organization if client else ""))
    role = said.get("role") or (client.roles[0] if client and len(client.roles) == 1 else None)
    system = bool(said.get("system", client is not None and client.person == "system"))
    return Requester(
        client=client.id if client else str(said.get("client") or ""),
        organization=organization,
        facility_type=ports.policy.facility_type(organization),
        role=str(role) if role else None,
        person=None if system else str(said.get("person") or "somebody"),
        assurance=str(said.get("loa") or "substantial"),
        system=system,
        mandated_by=str(said.get("delegation_registered_by") or ""),
        mandated_role=str(said.get("delegation_role_code") or "").rpartition("|")[2],
    )


def _patient(said: Any, ports: Ports) -> str | None:  # noqa: ANN401 - a key of any value until checked
    if said is None:
        return None
    if isinstance(said, Mapping):
        system, value = str(said.get("system") or BSN_SYSTEM), str(said.get("value") or said.get("bsn") or "")
        return patient_by(system, value, "1900-01-01", ports).id
    id_ = str(said).removeprefix("Patient/")
    if ports.keys.patient_identifier(id_) is None:
        raise Invalid("bad-request", why='patient is an id of this gateway, or {"bsn": …}')
    return id_


def _purpose(code: str) -> str:
    return purpose_of(code) or code


def _emergency(said: Any) -> Emergency | None:  # noqa: ANN401 - as above
    if not isinstance(said, Mapping):
        return None
    threats = said.get("threats") or ()
    return Emergency(
        str(said.get("cannot_consent") or ""),
        frozenset(str(one) for one in ([threats] if isinstance(threats, str) else threats)),
        str(said.get("text") or ""),
    )


def _texts(said: Json, name: str) -> frozenset[str]:
    value = said.get(name) or ()
    if isinstance(value, str):
        value = value.split()
    if not isinstance(value, Sequence):
        raise Invalid("bad-request", why=f"{name} is a list of texts")
    return frozenset(str(one) for one in value)


def caller_of(request: AccessRequest) -> Caller:
    """The caller a question names, for the record of a command."""
    return Caller(request.requester, request.purpose, request.scopes)
