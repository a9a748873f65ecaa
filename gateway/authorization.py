"""Gather the facts, ask the pure decision: may this caller ask at all, and later per custodian, may its data be shared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from consent.model import Case, Decision, Facts, Statement
from gateway.audit.emergency import suspended
from gateway.errors import TABLE, Refused, Unavailable
from gateway.model import Caller, Patient, Question
from gateway.ports import Ports
from gateway.standing import Standing


async def authorize(caller: Caller, question: Question, ports: Ports) -> Standing:
    """May this caller ask at all?

    Raises:
        Refused: with the first caller-side reason as code; all reasons are on the record.
    """
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
    standing = Standing(caller, question, facts, case, question.patient, decisions=decisions)
    type_ = question.types[0] if question.interaction != "summary" else "Patient"
    first: Decision | None = None
    for category in _asked(question):
        decision = standing.ask(category, type_)
        if decision.permitted:
            return standing
        first = first or decision
    raise refusal(first or Decision("deny"))


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
    if standing.case is None and standing.caller.requester.role in ports.policy.case_roles:
        standing.case = await _open_case(standing.caller, patient.id, ports)
    standing.decisions = ports.episodes.decisions(standing.caller, patient.id, standing.case, standing.facts)


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
    if known == facts.statements_known and (found is facts.statements or found == facts.statements):
        return False
    standing.facts = replace(facts, statements=found, statements_known=known)
    standing.decisions = {}
    return True


def refusal(decision: Decision) -> Refused | Unavailable:
    """The error a caller sees; patient-side reasons collapse to one code (rule A4)."""
    reason = next((reason for reason in decision.reasons if reason.side == "caller"), None)
    if reason is None:
        return Refused("consent-refused")
    if reason.code not in TABLE:  # a gate that broke is a defect of ours, not of the caller
        return Unavailable("internal")
    words: Mapping[str, Any] = dict(reason.words)
    return Refused(reason.code, **words)


def _asked(question: Question) -> tuple[str, ...]:
    """The categories of which one must be open, in a stable order; a summary stands or falls with the patient."""
    return ("Patient",) if question.interaction == "summary" else _in_order(question.categories)


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


async def _open_case(caller: Caller, patient: str, ports: Ports) -> Case | None:
    """The one open case this person has for this patient; two open cases must be told apart by name."""
    requester = caller.requester
    found = await ports.cases.open_for(requester.client, requester.person, patient, ports.now())
    if len(found) > 1:
        raise Refused("case-refused", why="several are open for this patient; name one in claim 'case'")
    return found[0] if found else None
