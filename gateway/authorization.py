"""Gather the facts, ask the pure decision: may this caller ask at all, and later per custodian, may its data be shared."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any, Final

from consent.agreement import in_force
from consent.basis import BASES
from consent.categories import IMPERSONAL, NATIONAL, categories_of_type
from consent.disclosure import visibility
from consent.model import ANY, Case, Custodian, Decision, Effect, Facts, Relation, Statement, Visibility
from gateway.audit.emergency import suspended
from gateway.errors import TABLE, Refused, Unavailable
from gateway.fhir.searchset import check_cursor
from gateway.membership import SUPPORTING
from gateway.model import Answer, Caller, Patient, Place, Question
from gateway.ports import National, NationalQuestion, Ports
from gateway.standing import Standing

log: Final = logging.getLogger("gateway.authorization")

_NATIONAL_PURPOSE: Final = "TREAT"  # of the ground that asks the register, explicit consent (rule B5)
_REQUIRED: Final = "mitz-required"  # the regime in which a local yes does not stand in for the national one


async def authorize(caller: Caller, question: Question, ports: Ports) -> Standing:
    """May this caller ask at all?

    Raises:
        Refused: with the first caller-side reason as code; all reasons are on the record.
    """
    _count(caller, question, ports)
    case = await _case(caller, question, ports)
    facts = Facts(
        now=ports.now(),
        agreements=ports.policy.agreements,
        case_required_roles=_case_roles(question, case, ports),
        policy_revision=ports.policy.revision,
    )
    patient = question.patient.id if question.patient else ""
    late = caller.emergency is not None and await suspended(caller, ports)
    if late:  # a fact of this moment: what was decided before it holds no longer
        facts = replace(facts, suspended=True)
    decisions = {} if late else ports.episodes.decisions(caller, patient, case, facts)
    # A case that is named says about whom the question is, before the item that is read tells it.
    about = question.patient or (_patient_of(case, ports) if case else None)
    standing = Standing(caller, question, facts, case, about, decisions=decisions)
    for door in _asked(question):
        if not any(standing.ask(category, type_).permitted for type_, categories in door for category in categories):
            type_, categories = door[0]
            raise refusal(standing.ask(categories[0], type_) if categories else Decision("deny"))
    if question.patient is None and question.item and case is None:
        await _some_case(caller, question, ports)
    if question.searches:
        check_cursor(question, caller.requester.client, ports)
    return standing


def _count(caller: Caller, question: Question, ports: Ports) -> None:
    """Stop who asks for one patient after another; hit and miss look the same, for nobody was asked yet (attack 59).

    Raises:
        Refused: `too-many-requests`.
    """
    if question.patient is None or ports.variety is None:
        return
    client, now = caller.requester.client, ports.now()
    if not ports.variety.look(client, question.patient.id, now):
        log.warning("a client asks for too many different patients", extra={"state": "enumeration"})
        raise Refused("too-many-requests", retry_after=int(ports.variety.window.total_seconds()))


async def inform(standing: Standing, patient: Patient, ports: Ports) -> None:
    """Add what has been said about sharing this patient's data, read at the newest revision (rule C5)."""
    known = True
    statements: tuple[Statement, ...] = ()
    try:
        statements = await ports.consents.statements(patient.id)
    except (Unavailable, ValueError):  # a register that cannot be read says neither yes nor no (rule A3)
        known = False
    standing.patient = patient
    standing.facts = Facts(
        standing.facts.now, ports.policy.agreements, statements, known, ports.policy.case_roles, ports.policy.revision
    )
    if ports.policy.asks_relations:
        standing.facts = replace(standing.facts, relations=await told_relations(patient.id, ports))
    if standing.case is None and standing.caller.requester.role in ports.policy.case_roles:
        standing.case = await _open_case(standing.caller, patient.id, ports)
    standing.decisions = ports.episodes.decisions(standing.caller, patient.id, standing.case, standing.facts)


async def told_relations(patient: str, ports: Ports) -> tuple[Relation, ...]:
    """Who treats this patient, read at the newest revision; a register that cannot be read names nobody."""
    if ports.relations is None:
        return ()
    try:
        return await ports.relations.of(patient)
    except (Unavailable, ValueError):
        return ()


async def consult(standing: Standing, places: Sequence[Place], ports: Ports) -> None:
    """Ask the national register about each custodian whose ground for sharing asks it, at the same time (rule C2).

    What it says counts for this request only (rule C5); no answer makes that ground unavailable, never open.
    """
    if ports.national is None:
        return
    custodians = [one for one in {place.custodian for place in places} if _asks_national(standing, one)]
    patient, requester, facts = standing.of, standing.caller.requester, standing.facts
    answerable = bool(patient.verified and requester.person)
    questions = [
        NationalQuestion(patient.value, one, requester, tuple(sorted(NATIONAL)), _NATIONAL_PURPOSE)
        for one in sorted(custodians, key=lambda one: one.organization)
    ]
    answers = await asyncio.gather(*(_decisions(one, ports.national) for one in questions if answerable))
    heard = dict(zip((one.custodian.organization for one in questions), answers, strict=False))
    said = [one for ura, found in heard.items() for one in _said(ura, found or {}, patient.id)]
    silent = {one.organization for one in custodians if _is_silent(heard.get(one.organization))}
    standing.facts = replace(
        facts,
        statements=(*said, *facts.statements),
        national_silent=frozenset(silent),
        national_required=ports.settings.consent.basis_regime == _REQUIRED,
    )
    standing.decisions = {}


async def _decisions(question: NationalQuestion, national: National) -> Mapping[str, str] | None:
    try:
        return await national.decisions(question)
    except Exception:  # noqa: BLE001 - whatever the register does, it is no answer
        return None


def _asks_national(standing: Standing, custodian: Custodian) -> bool:
    own, facts = standing.caller.requester.organization, standing.facts
    return any(
        one.basis in BASES
        and BASES[one.basis].national
        and in_force(one, facts.now)
        and bool({own, ANY} & one.requesters)
        and bool({custodian.organization, ANY} & one.custodians)
        for one in facts.agreements
    )


def _is_silent(found: Mapping[str, str] | None) -> bool:
    """Claim that it did not answer: nothing at all, or undecided about anything: that could be a no."""
    return found is None or "Indeterminate" in found.values()


def _said(ura: str, found: Mapping[str, str], patient: str) -> Iterator[Statement]:
    """Only a Permit is a yes and only a Deny is a no; the rest says nothing."""
    for code, word in sorted(found.items()):
        effect: Effect | None = "permit" if word == "Permit" else "deny" if word == "Deny" else None
        if effect is not None:
            names = NATIONAL.get(code, frozenset())
            categories = frozenset() if ANY in names else names
            yield Statement(f"mitz-{code}", 1, effect, patient, ura, categories=categories, source="mitz")


async def informed_again(standing: Standing, ports: Ports) -> bool:
    """Read once more what was said about sharing, after sources were asked; true when it changed (rule C5).

    INVARIANT: what leaves was decided on statements read after the last source answered.
    """
    facts = standing.facts
    try:
        found = await ports.consents.statements(standing.of.id)
    except (Unavailable, ValueError):
        found, known = (), False
    else:
        known = True
    if ports.national is not None:  # what it said just now was said about this moment
        found = (*(one for one in facts.statements if one.source == "mitz"), *found)
    told = await told_relations(standing.of.id, ports) if ports.policy.asks_relations else ()
    same = known == facts.statements_known and (found is facts.statements or found == facts.statements)
    if same and told == facts.relations:
        return False
    standing.facts = replace(facts, statements=found, statements_known=known, relations=told)
    standing.decisions = {}
    return True


def perceptible(answers: list[Answer], ports: Ports) -> list[Answer]:
    """The answers without those a caller may not even notice: what is wholly silent costs no time either (rule A2)."""
    overrides = ports.policy.disclosure
    return [one for one in answers if one.items or not _silent(one, overrides)]


def _silent(answer: Answer, overrides: Mapping[str, Visibility]) -> bool:
    """Claim that every category was refused, by somebody of whom nobody may hear that."""
    decisions = [told.decision for told in answer.told.values()]
    facility = answer.custodian.facility_type
    return bool(decisions) and all(
        one is not None and not one.permitted and visibility(one, facility, overrides) == "silent"
        for one in {id(one): one for one in decisions}.values()  # most categories share one decision
    )


def refusal(decision: Decision) -> Refused | Unavailable:
    """The error a caller sees; patient-side reasons collapse to one code (rule A4)."""
    reason = next((reason for reason in decision.reasons if reason.side == "caller"), None)
    if reason is None:
        return Refused("consent-refused")
    if reason.code not in TABLE:  # a gate that broke is a defect of ours, not of the caller
        return Unavailable("internal")
    words: Mapping[str, Any] = dict(reason.words)
    return Refused(reason.code, **words)


_Door = list[tuple[str, tuple[str, ...]]]  # types, each with categories: one category of one of them must be open


def _asked(question: Question) -> list[_Door]:
    """What must be open; a summary stands or falls with the patient, a search of all types with any of them.

    INVARIANT: a type a question goes over, by a chain or `_has`, is asked for like the one it is about.
    """
    if question.interaction == "summary":
        return [[("Patient", ("Patient",))]]
    if question.interaction == "search-system":
        return [_personal(question), *(_door((type_,)) for type_ in question.named)]
    if question.searches or question.item:
        doors = [_door((type_,)) for type_ in question.named or question.types[:1]]
        return [*doors, _personal(question)] if question.searches and question.types[0] in SUPPORTING else doors
    return [[(question.types[0], _in_order(question.categories))]]


def _personal(question: Question) -> _Door:
    """Something of the person: a directory is open to all, which organizations and doctors one patient has is not (B1)."""
    doors = [
        (type_, tuple(one for one in categories if one not in IMPERSONAL))
        for type_, categories in _door(question.types)
    ]
    return [(type_, categories) for type_, categories in doors if categories]


def _door(types: Sequence[str]) -> _Door:
    return [(type_, _in_order(categories_of_type(type_))) for type_ in types]


@cache
def _in_order(categories: frozenset[str]) -> tuple[str, ...]:
    return tuple(sorted(categories))


def _case_roles(question: Question, case: Case | None, ports: Ports) -> frozenset[str]:
    # A read by id names no patient yet: its case is judged when the owner of the item is known.
    return ports.policy.case_roles if question.patient or case else frozenset()


async def _case(caller: Caller, question: Question, ports: Ports) -> Case | None:
    if caller.case:
        kept = await ports.cases.get(caller.case)
        if kept is None:
            raise Refused("case-refused", why="it is not known")
        return kept[0]
    if question.patient is None or caller.requester.role not in ports.policy.case_roles:
        return None
    return await _open_case(caller, question.patient.id, ports)


def _patient_of(case: Case, ports: Ports) -> Patient | None:
    known = ports.keys.patient_identifier(case.patient) if case.patient else None
    return Patient(case.patient or "", *known) if known else None


async def _some_case(caller: Caller, question: Question, ports: Ports) -> None:
    """Refuse a read by id of who needs a case and has none at all; of whom the item is, is not looked up for that.

    Raises:
        Refused: `case-required`.
    """
    requester = caller.requester
    if requester.role not in ports.policy.case_roles or question.categories <= IMPERSONAL:
        return
    if not await ports.cases.own(requester.client, requester.person or "", ports.now()):
        raise Refused("case-required")


async def _open_case(caller: Caller, patient: str, ports: Ports) -> Case | None:
    """The one open case this person has for this patient; two open cases must be told apart by name."""
    requester = caller.requester
    found = await ports.cases.open_for(requester.client, requester.person, patient, ports.now())
    if len(found) > 1:
        raise Refused("case-refused", why="several are open for this patient; name one in claim 'case'")
    return found[0] if found else None
