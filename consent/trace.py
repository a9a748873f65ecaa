"""Rule by rule: each gate, each agreement and each statement, and what it made of a question."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from consent import agreement as agreements
from consent import decision as deciding
from consent.basis import BASES
from consent.categories import DIRECTORY
from consent.model import ANY, AccessRequest, Agreement, Custodian, Decision, Facts, Statement
from consent.precedence import speaking

Verdict = Literal["passed", "refused", "counts", "does not count", "decides"]


@dataclass(frozen=True, slots=True)
class Step:
    """One rule, and what it said."""

    kind: Literal["gate", "agreement", "statement"]
    name: str  # of the gate, or the id of the agreement or statement
    verdict: Verdict
    why: str = ""


@dataclass(frozen=True, slots=True)
class Trace:
    """A decision with everything that led to it.

    INVARIANT: `decision` is what `decide` answers to the same question on the same facts.
    """

    decision: Decision
    steps: tuple[Step, ...]


def trace(request: AccessRequest, facts: Facts) -> Trace:
    """Decide, and tell what each rule made of the question; never raises, as `decide` never does."""
    decision = deciding.decide(request, facts)
    gates = [_gate(gate, request, facts) for gate in deciding.GATES]
    found = [_agreement(one, request, facts, decision) for one in sorted(facts.agreements, key=lambda one: one.id)]
    said = [_statement(one, request, facts, decision) for one in facts.statements] if request.custodian else []
    return Trace(decision, (*gates, *found, *said))


def _gate(gate: deciding.Gate, request: AccessRequest, facts: Facts) -> Step:
    reason = deciding.passed(gate, request, facts)
    name = gate.__name__.strip("_")
    return Step("gate", name, "passed") if reason is None else Step("gate", name, "refused", reason.text)


def _agreement(one: Agreement, request: AccessRequest, facts: Facts, decision: Decision) -> Step:
    why = _why_not(one, request, facts)
    if why:
        return Step("agreement", one.id, "does not count", why)
    ground = f"basis {one.basis}: " + ("a permit is needed" if BASES[one.basis].permit_needed else "no permit needed")
    return Step("agreement", one.id, "decides" if decision.agreement == one.id else "counts", ground)


def _why_not(one: Agreement, request: AccessRequest, facts: Facts) -> str:
    """Say the first thing that keeps an agreement from covering a question; empty when nothing does."""
    requester, custodian = request.requester, request.custodian
    if one.basis not in BASES:
        return f"its basis '{one.basis}' is not known"
    checks: tuple[tuple[bool, str], ...] = (
        (agreements.in_force(one, facts.now), "it is not in force at this moment"),
        (_in(one.requesters, requester.organization), "this requester is no party to it"),
        (custodian is None or _in(one.custodians, _ura(custodian)), "this custodian is no party to it"),
        (_in(one.facility_types, requester.facility_type), "it is for other kinds of organizations"),
        (_in(one.purposes, request.purpose), "it is for other purposes"),
        (_in(one.roles, requester.role or ANY), "it is for other roles"),
        (request.category not in one.excluded, "it leaves this category out"),
        (_in(one.categories, request.category) or request.category in DIRECTORY, "it is about other categories"),
        (bool(requester.person) or one.system_access, "it gives no access to a system without a person"),
        (agreements.covers(one, request), "the item was sent to others"),
        (agreements.related(one, request, facts), "no treatment relation of a kind it asks for is registered"),
    )
    return next((why for holds, why in checks if not holds), "")


def _statement(one: Statement, request: AccessRequest, facts: Facts, decision: Decision) -> Step:
    heard = speaking(request, facts)
    name = f"{one.id}/{one.version}"
    if one in heard.certain:
        verdict: Verdict = "decides" if decision.statement == name else "counts"
        return Step("statement", name, verdict, f"{one.effect} ({one.source}), specificity {_levels(one)}")
    if one in heard.partial:
        return Step("statement", name, "counts", f"{one.effect} ({one.source}) for some of the items only")
    return Step("statement", name, "does not count", _why_silent(one, request, facts))


def _why_silent(one: Statement, request: AccessRequest, facts: Facts) -> str:
    custodian = request.custodian
    if one.patient != request.patient:
        return "it is of another patient"
    if custodian is not None and one.custodian not in (ANY, custodian.organization):
        return "it binds the data of another custodian"
    if one.start and facts.now < one.start:
        return "it has not begun"
    if one.end and one.end <= facts.now:
        return "it has ended"
    if one.cases and (request.case is None or request.case.id not in one.cases):
        return "it is for another case"
    return "it speaks about another requester, purpose, category, type, label or item"


def _levels(one: Statement) -> str:
    return ".".join(str(level) for level in one.specificity)


def _in(names: frozenset[str], name: str) -> bool:
    return name in names or ANY in names


def _ura(custodian: Custodian | None) -> str:
    return custodian.organization if custodian else ""
