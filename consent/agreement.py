"""Agreements between parties: which of them are in force and cover a question (rule C8)."""

from __future__ import annotations

from datetime import datetime

from consent.basis import BASES
from consent.categories import DIRECTORY
from consent.model import ANY, AccessRequest, Agreement, Facts, Relation, Statement


def in_force(agreement: Agreement, now: datetime) -> bool:
    """Claim that `now` lies between the signed start and end; the end itself is outside."""
    return agreement.start <= now < agreement.end


def covers(agreement: Agreement, request: AccessRequest) -> bool:
    """Claim that the agreement speaks about this requester, purpose, category and role, and the custodian if named.

    Public facts about care (who, where) go along with any category agreed on.
    """
    requester, custodian = request.requester, request.custodian
    return (
        _holds(agreement.requesters, requester.organization)
        and (custodian is None or _holds(agreement.custodians, custodian.organization))
        and _holds(agreement.purposes, request.purpose)
        and (_holds(agreement.categories, request.category) or request.category in DIRECTORY)
        and (_holds(agreement.roles, requester.role) if requester.role else ANY in agreement.roles)
        and (bool(requester.person) or agreement.system_access)
        and request.category not in agreement.excluded
        and _holds(agreement.facility_types, requester.facility_type)
        and (_is_addressed(request) or not BASES[agreement.basis].pushed)
    )


def covering(request: AccessRequest, facts: Facts) -> list[Agreement]:
    """Find every agreement in force that covers the question, by id; an organization without identity has none."""
    if not request.requester.organization:
        return []
    now, organization = facts.now, request.requester.organization
    found = [
        one
        for one in facts.agreements
        if (organization in one.requesters or ANY in one.requesters) and in_force(one, now) and covers(one, request)
    ]
    return sorted(found, key=_name) if len(found) > 1 else found


def related(agreement: Agreement, request: AccessRequest, facts: Facts) -> bool:
    """Claim that the requester treats this patient in one of the ways the agreement asks for; asked per custodian."""
    if not agreement.relations or request.custodian is None:
        return True
    if "case" in agreement.relations and request.case is not None:
        return True  # whether the case holds is a gate of its own
    return any(_stands(one, request, facts.now) for one in facts.relations if one.kind in agreement.relations) or (
        "referral" in agreement.relations and any(_refers(one, request, facts.now) for one in facts.statements)
    )


def party(request: AccessRequest, facts: Facts) -> Agreement | None:
    """Find an agreement in force in which the requester is any party: what writing to its own inbox takes."""
    organization = request.requester.organization
    found = (
        one
        for one in facts.agreements
        if organization
        and (_holds(one.requesters, organization) or _holds(one.custodians, organization))
        and in_force(one, facts.now)
    )
    return min(found, key=lambda one: one.id, default=None)


def _stands(relation: Relation, request: AccessRequest, now: datetime) -> bool:
    assert request.custodian is not None
    return (
        relation.requester == request.requester.organization
        and relation.patient == request.patient
        and relation.custodian in (ANY, request.custodian.organization)
        and (relation.start is None or relation.start <= now)
        and (relation.end is None or now < relation.end)
    )


def _refers(statement: Statement, request: AccessRequest, now: datetime) -> bool:
    """Claim that the custodian recorded that it referred the patient to the requester."""
    assert request.custodian is not None
    return (
        statement.source == "implied"
        and statement.effect == "permit"
        and statement.patient == request.patient
        and statement.custodian == request.custodian.organization
        and request.requester.organization in statement.requesters
        and (statement.start is None or statement.start <= now)
        and (statement.end is None or now < statement.end)
    )


def _is_addressed(request: AccessRequest) -> bool:
    """Claim that what was pushed was sent to the requester too; for others it stands as in a live source (rule C4)."""
    return not request.addressees or request.requester.organization in request.addressees


def _holds(names: frozenset[str], name: str) -> bool:
    return name in names or ANY in names


def _name(agreement: Agreement) -> tuple[str, str, str]:
    return agreement.id, agreement.basis, agreement.emergency
