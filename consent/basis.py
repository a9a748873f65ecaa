"""The ground on which data may be shared: what each basis needs and what the patient's statements make of it (C2)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from consent import emergency
from consent.categories import WITHHELD
from consent.model import AccessRequest, Agreement, Facts, Outcome, Reason, Statement
from consent.precedence import Speaking, most_specific, standing
from consent.purposes import PURPOSES
from consent.tables import table


@dataclass(frozen=True, slots=True)
class Basis:
    """One ground for sharing."""

    name: str
    permit_needed: bool
    permit_sources: frozenset[str]
    national: bool  # the national register is asked, and its no stands
    pushed: bool  # the custodian sends it: it is a ground for whom it sent it to only


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one agreement makes of the statements."""

    outcome: Outcome
    agreement: str
    reason: Reason | None = None
    statement: str = ""
    per_item: bool = False
    obligations: frozenset[str] = frozenset()


_TABLE: Final = table("basis.toml")
BASES: Final[dict[str, Basis]] = {
    name: Basis(name, row["permit_needed"], frozenset(row["permit_sources"]), row["national"], row["pushed"])
    for name, row in _TABLE["basis"].items()
}
_SPOKEN: Final = "patient-asked"  # what the patient was asked just now
_NONE: Final[frozenset[str]] = frozenset()

OBJECTION: Final = "consent-objection"
MISSING: Final = "consent-missing"
WITHDRAWN: Final = "consent-withdrawn"
UNKNOWN: Final = "consent-unknown"
PATIENT_SIDE: Final = frozenset({OBJECTION, MISSING, WITHDRAWN, UNKNOWN})


Weighed = tuple[Outcome, str, str]  # outcome, code of the reason, deciding statement


def judge(
    agreement: Agreement, heard: Speaking, request: AccessRequest, facts: Facts, known: dict[tuple[str, bool], Weighed]
) -> Verdict:
    """Say what an agreement allows, given what the patient said; `known` keeps what was weighed, by basis.

    INVARIANT: with an unreadable register the answer is never yes; one more objection never opens.
    """
    basis = BASES[agreement.basis]
    key = (basis.name, agreement.patient_asked)
    weighed = known.get(key)
    if weighed is None:
        weighed = known[key] = _weigh(basis, _accepted(agreement, heard.certain), request, facts)
    outcome, code, statement = weighed
    breaking = PURPOSES[request.purpose].emergency
    if breaking and not _emergency_allowed(agreement, request):
        return Verdict("deny", agreement.id, _EMERGENCY_REFUSED)
    overridden = breaking and agreement.emergency == "override_objection"
    if code == OBJECTION and not overridden:
        return _deny(agreement, code, statement)
    if not facts.statements_known or (basis.national and not _answered(request, facts)):
        return Verdict("unavailable", agreement.id, _REASONS[UNKNOWN])
    obligations = emergency.OBLIGATIONS if breaking else _NONE
    per_item = bool(heard.partial) and not overridden and any(one.effect == "deny" for one in heard.partial)
    if outcome == "permit" or (breaking and not request.labels & WITHHELD):
        return Verdict("permit", agreement.id, None, statement, per_item, obligations)
    return _perhaps(agreement, basis, heard, request, facts) or _deny(agreement, code, statement)


def _answered(request: AccessRequest, facts: Facts) -> bool:
    """Claim that the national register answered about this custodian."""
    custodian = request.custodian
    return facts.national_known and (custodian is None or custodian.organization not in facts.national_silent)


def _accepted(agreement: Agreement, statements: tuple[Statement, ...]) -> tuple[Statement, ...]:
    """Leave out the spoken yes of a patient where the agreement does not accept it; a spoken no always counts."""
    if agreement.patient_asked:
        return statements
    for one in statements:
        if one.source == _SPOKEN and one.effect != "deny":
            return tuple(one for one in statements if one.source != _SPOKEN or one.effect == "deny")
    return statements


def _weigh(basis: Basis, statements: Iterable[Statement], request: AccessRequest, facts: Facts) -> Weighed:
    """Weigh statements by the precedence rules."""
    permits, objections, national_yes, national_no, ended = _sorted(basis, statements)
    permits = _not_taken_back(permits, objections)
    if national_no and facts.national_yields:
        national_no = [no for no in national_no if not any(_younger(one, no) for one in permits)]
    blocking = standing(objections, permits) if objections else []
    if national_no and basis.national:
        blocking = blocking + national_no
    if blocking:
        return "deny", OBJECTION, _named(most_specific(blocking))
    if basis.national:
        if facts.national_required:
            permits = []  # this regime wants the national yes: NotApplicable is no, whatever was said here
        if national_yes and "mitz" in basis.permit_sources:
            permits = permits + national_yes
    withheld = request.labels & WITHHELD
    if withheld:
        permits = [one for one in permits if withheld <= one.labels]
    if permits:
        return "permit", "", _named(most_specific(permits))
    if not basis.permit_needed and not withheld:
        return "permit", "", f"basis {basis.name}"
    return ("deny", WITHDRAWN, _named(most_specific(ended))) if ended else ("deny", MISSING, "")


_Heard = tuple[list[Statement], list[Statement], list[Statement], list[Statement], list[Statement]]


def _sorted(basis: Basis, statements: Iterable[Statement]) -> _Heard:
    """Lay statements apart: permits, objections, national yes and no, withdrawn; of sources this basis knows."""
    heard: _Heard = ([], [], [], [], [])
    permits, objections, national_yes, national_no, ended = heard
    for one in statements:
        if one.effect == "withdrawn":
            ended.append(one)
        elif one.source == "mitz":
            (national_no if one.effect == "deny" else national_yes).append(one)
        elif one.effect == "deny":
            objections.append(one)
        elif one.source in basis.permit_sources:
            permits.append(one)
    return heard


def _not_taken_back(permits: list[Statement], objections: list[Statement]) -> list[Statement]:
    """Leave out a spoken yes after which the patient said no: that no ends it, however general it is (rule B2, C6)."""
    spoken = [no for no in objections if no.source == _SPOKEN]
    if not spoken:
        return permits
    return [one for one in permits if one.source != _SPOKEN or all(_younger(one, no) for no in spoken)]


def _younger(permit: Statement, no: Statement) -> bool:
    return permit.said is not None and no.said is not None and permit.said > no.said


def _perhaps(
    agreement: Agreement, basis: Basis, heard: Speaking, request: AccessRequest, facts: Facts
) -> Verdict | None:
    """Ask again for each item, where a permit speaks about some items only."""
    permits = [one for one in heard.partial if one.effect == "permit"]
    if not permits:
        return None
    outcome, _, statement = _weigh(basis, _accepted(agreement, (*heard.certain, *permits)), request, facts)
    return Verdict("permit", agreement.id, None, statement, per_item=True) if outcome == "permit" else None


def _emergency_allowed(agreement: Agreement, request: AccessRequest) -> bool:
    custodian = request.custodian
    return (
        agreement.emergency in ("absent_only", "override_objection")
        and custodian is not None
        and custodian.facility_type not in emergency.NEVER
    )


def _deny(agreement: Agreement, code: str, statement: str) -> Verdict:
    reason = _REASONS[code]
    return Verdict("deny", agreement.id, Reason(reason.code, reason.text, reason.side, statement), statement)


def _named(statement: Statement) -> str:
    return f"{statement.id}/{statement.version}"


_EMERGENCY_REFUSED: Final = Reason(
    "purpose-refused",
    "the agreement with this custodian does not allow emergency access",
    "caller",
    "B2",
    (("purpose", "spoed-noodtoegang"), ("why", "the agreement with this custodian does not allow emergency access")),
)
_REASONS: Final = {
    OBJECTION: Reason(OBJECTION, "the patient objects to sharing this with this requester", "patient"),
    MISSING: Reason(MISSING, "the patient has not permitted this custodian to share this; ask the patient", "patient"),
    WITHDRAWN: Reason(WITHDRAWN, "the patient permitted this and took it back; ask the patient", "patient"),
    UNKNOWN: Reason(UNKNOWN, "consent could not be checked; try again", "patient", "A3"),
}
