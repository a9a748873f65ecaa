"""May this requester see this, now, for this purpose? One pure and total answer, with every reason."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Final

from consent import agreement as agreements
from consent import emergency, scopes
from consent.basis import Verdict, Weighed, judge
from consent.categories import IMPERSONAL, obligations_of
from consent.model import AccessRequest, Agreement, Decision, Facts, Reason
from consent.precedence import speaking
from consent.purposes import BARRED, PURPOSES
from consent.roles import ORIGINS, SYSTEM, Role, role_of

Gate = Callable[[AccessRequest, Facts], Reason | None]

_LEVELS: Final = {"low": 1, "substantial": 2, "high": 3}
_LONGEST_CASE: Final = timedelta(hours=24)
_READS: Final = frozenset("rs")
_WRITES: Final = frozenset("cud")
_BROKEN: Final = Reason("broken-gate", "a rule could not be applied, so the answer is no; report the correlation id")
_RANK: Final = {"permit": 0, "unavailable": 1, "deny": 2}


def decide(request: AccessRequest, facts: Facts) -> Decision:
    """Answer one question; see `AccessRequest` for its two forms.

    INVARIANT: never raises; what is not permitted is denied, also when broken. A permit with `per_item`
    holds for asking the source only: ask again for each item.
    """
    try:
        return _decide(request, facts)
    except Exception:  # noqa: BLE001 - broken means no, whatever broke
        return Decision("deny", (_BROKEN,))


def _decide(request: AccessRequest, facts: Facts) -> Decision:
    refused = [passed(gate, request, facts) for gate in GATES]
    covering, reason = _covered(request, facts)
    reasons = tuple(one for one in (*refused, reason) if one is not None)
    if reasons:
        return Decision("deny", reasons)
    if request.custodian is not None and request.action in _READS:
        return _to_share(request, facts, covering)
    return Decision("permit", (), _obligations(request), covering[0].id if covering else "")


def passed(gate: Gate, request: AccessRequest, facts: Facts) -> Reason | None:
    """Give the reason a gate refuses, None when it lets the question through."""
    try:
        return gate(request, facts)
    except Exception:  # noqa: BLE001 - a broken gate is a closed gate, and the other gates still say what they have to say
        return _BROKEN


def _covered(request: AccessRequest, facts: Facts) -> tuple[list[Agreement], Reason | None]:
    try:
        covering = agreements.covering(request, facts)
        reason = _agreement(request, facts, covering)
        bound = any([one.relations for one in covering])  # noqa: C419 - a list of one or two is made faster
        return [one for one in covering if agreements.related(one, request, facts)] if bound else covering, reason
    except Exception:  # noqa: BLE001 - as above
        return [], _BROKEN


def _to_share(request: AccessRequest, facts: Facts, covering: list[Agreement]) -> Decision:
    """Ask the patient's statements, under each agreement that covers the question; the best answer counts."""
    heard, verdicts = speaking(request, facts), []
    known: dict[tuple[str, bool], Weighed] = {}
    for one in covering:
        best = judge(one, heard, request, facts, known)
        if best.outcome == "permit" and not best.per_item:
            break  # nothing is better, and the next agreement comes later in the alphabet
        verdicts.append(best)
    else:
        best = min(verdicts, key=lambda one: (_RANK[one.outcome], one.per_item))
    if best.outcome == "permit":
        words = best.obligations | _obligations(request)
        return Decision("permit", (), words, best.agreement, best.statement, best.per_item)
    hidden = next((one.disclosure for one in covering if one.id == best.agreement), None)
    return Decision(best.outcome, _reasons(verdicts, best), frozenset(), best.agreement, best.statement, False, hidden)


def _reasons(verdicts: list[Verdict], best: Verdict) -> tuple[Reason, ...]:
    """Collect the distinct reasons of the answers like the best; a patient's no is not hidden behind a caller's."""
    found = {one.reason for one in verdicts if one.reason is not None and one.outcome == best.outcome}
    if any(reason.side == "patient" for reason in found):
        found = {reason for reason in found if reason.side == "patient"}
    return tuple(sorted(found, key=lambda reason: (reason.code, reason.rule)))


def _obligations(request: AccessRequest) -> frozenset[str]:
    words = obligations_of(request.labels)
    person, launch = bool(request.requester.person), bool(request.launch)
    if scopes.constraints(request.scopes, request.type, request.action, person=person, launch_patient=launch):
        return words | {"scope-constraint"}
    return words


def _scope(request: AccessRequest, _facts: Facts) -> Reason | None:
    person, launch = bool(request.requester.person), bool(request.launch)
    if scopes.covers(request.scopes, request.type, request.action, person=person, launch_patient=launch):
        return None
    needed = f"system/{request.type}.{request.action}"
    return Reason(
        "scope-insufficient",
        f"the token lacks scope {needed}; ask for it at the token endpoint",
        words=(("needed", needed),),
    )


def _purpose(request: AccessRequest, facts: Facts) -> Reason | None:
    name = request.purpose
    if not name:
        return Reason(
            "purpose-missing",
            "the token carries no purpose of use; put purpose_of_use in the client assertion",
            rule="B4",
        )
    if name in BARRED:
        return _refused("purpose", name, f"no agreement can open data for {BARRED[name]}", "B5")
    purpose = PURPOSES.get(name)
    if purpose is None:
        return _refused("purpose", "?", "it is not one of the situations of this region", "B5")
    if purpose.categories is not None and request.category not in purpose.categories:
        return _refused("purpose", name, "it does not open this category", "B5")
    if purpose.emergency:
        late = "an earlier emergency access was not looked at in time; the privacy officer can settle it"
        why = late if facts.suspended else emergency.fault(request.emergency, facts.now)
        return _refused("purpose", name, why, "B2") if why else None
    return None


def _person(request: AccessRequest, _facts: Facts) -> Reason | None:
    requester, purpose = request.requester, PURPOSES.get(request.purpose)
    if requester.person:
        return None
    if purpose is not None and purpose.person:
        return Reason(
            "person-required", "this purpose is for persons: name subject_id in the client assertion", rule="B4"
        )
    if requester.system or request.action in _WRITES or request.category in IMPERSONAL:
        return None
    return Reason("person-required", "patient data is for persons: name subject_id in the client assertion", rule="B4")


def _assurance(request: AccessRequest, facts: Facts) -> Reason | None:
    requester, minimum = request.requester, facts.minimum_assurance
    if not requester.person or not minimum:
        return None
    if requester.assurance is not None and _LEVELS.get(requester.assurance, 0) >= _LEVELS[minimum]:
        return None
    return Reason(
        "assurance-insufficient",
        f"the person must have logged in at level '{minimum}' or higher: state loa in the client assertion",
        rule="B3",
        words=(("needed", minimum),),
    )


def _role(request: AccessRequest, _facts: Facts) -> Reason | None:
    requester, code = request.requester, request.requester.role
    if not code:
        if requester.person:
            return _refused("role", "", "the token names no role; put subject_role in the client assertion", "B7")
        return _role_allows(SYSTEM, "system", request) or _mandate(request)
    role = role_of(code)
    if role is None:
        return _refused("role", "?", "it is not in the role table of this region", "B7")
    return _role_allows(role, code, request) or _mandate(request)


def _mandate(request: AccessRequest) -> Reason | None:
    """Who acts in the name of another sees what both may see; a mandate without either half is none (attack 64)."""
    requester = request.requester
    if not requester.mandated_by and not requester.mandated_role:
        return None
    if not requester.mandated_by or not requester.mandated_role:
        return _refused("role", "", "a mandate names both who gave it and in which role", "B7")
    if requester.mandated_by == requester.person or not requester.person:
        return _refused("role", "", "a mandate is given to a person, and by another", "B7")
    role = role_of(requester.mandated_role)
    if role is None:
        return _refused("role", "?", "the role of who gave the mandate is not in the role table of this region", "B7")
    return _role_allows(role, requester.mandated_role, request)


def _role_allows(role: Role, code: str, request: AccessRequest) -> Reason | None:
    if request.purpose in PURPOSES and request.purpose not in role.purposes:
        return _refused("role", code, f"it does not act for purpose '{request.purpose}'", "B7")
    if request.action in _READS:
        narrowed = ORIGINS.get(request.case.origin) if request.case is not None else None
        if request.category not in role.view:
            return _refused("role", code, "its view does not hold this category", "B7")
        if narrowed is not None and request.category not in narrowed:
            return _refused("role", code, "a case of this origin shows a reduced view", "B1")
        return None
    if request.action in _WRITES and role.may_write(request.type):
        return None
    return _refused("role", code, "it may not write this resource type", "B7")


def _patient(request: AccessRequest, _facts: Facts) -> Reason | None:
    if request.launch and request.patient not in (None, request.launch):
        return Reason("patient-refused", "the token is bound to another patient; ask a token for this one", rule="B4")
    # Without a patient nobody's objection can be found, so nothing of a custodian is shared.
    if request.custodian is None or request.patient or request.action in _WRITES:
        return None
    return Reason("patient-required", "a custodian is asked about exactly one patient: name the patient", rule="C5")


def _case(request: AccessRequest, facts: Facts) -> Reason | None:
    if request.requester.role not in facts.case_required_roles or request.category in IMPERSONAL:
        return None
    # Opening a case, and looking for one's own cases, is how a case comes to be.
    if request.type == "Task" and request.custodian is None and (request.action in _WRITES or request.patient is None):
        return None
    if request.case is None:
        return Reason(
            "case-required",
            "this role needs an open case for this patient: POST Task, or name it in claim 'case'",
            rule="B1",
        )
    why = _case_fault(request, facts)
    return _refused("case", "", why, "B1") if why else None


def _case_fault(request: AccessRequest, facts: Facts) -> str:
    """Say what is wrong with the case; empty when nothing is."""
    case, requester = request.case, request.requester
    assert case is not None
    if case.closed is not None and case.closed <= facts.now:
        return "it is closed; open a new one"
    if not case.opened <= facts.now < min(case.expires, case.opened + _LONGEST_CASE):
        return "it is not open at this moment; open a new one"
    if case.client != requester.client or case.person != requester.person:
        return "another client or person opened it; open your own"
    if case.organization != requester.organization:
        return "it is on behalf of another organization; open one on behalf of yours"
    if case.patient is not None and case.patient != request.patient:
        return "it is about another patient; open one for this patient"
    if case.origin not in ORIGINS:
        return "its origin is not known; use caller, professional or dispatch"
    return ""


def _agreement(request: AccessRequest, facts: Facts, covering: list[Agreement]) -> Reason | None:
    if request.custodian is None and request.category in IMPERSONAL:
        return None
    if request.action in _WRITES:
        return _write_agreement(request, facts)
    for one in covering:
        if not one.relations or agreements.related(one, request, facts):
            return None
    if covering:
        return Reason("relation-missing", "this agreement is for who treats the patient: none is registered", rule="C8")
    return Reason(
        "agreement-missing",
        "no agreement in force covers this requester, purpose, role and category; the region administrator can add one",
        rule="C8",
    )


def _write_agreement(request: AccessRequest, facts: Facts) -> Reason | None:
    own = request.requester.organization
    if request.custodian is not None and request.custodian.organization != own:
        return _refused("write", "", "an organization writes to its own inbox only", "C4")
    if agreements.party(request, facts) is not None:
        return None
    return Reason("agreement-missing", "this organization is no party to any agreement in force", rule="C8")


def _refused(what: str, value: str, why: str, rule: str) -> Reason:
    named = f" '{value}'" if value else ""
    return Reason(
        f"{what}-refused", f"the {what}{named} cannot be used: {why}", "caller", rule, ((what, value), ("why", why))
    )


GATES: Final[tuple[Gate, ...]] = (_scope, _purpose, _person, _assurance, _role, _case, _patient)
