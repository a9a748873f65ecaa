"""Which of the statements about a patient speak about a question, and which of them wins."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from operator import ge

from consent import dates
from consent.model import ANY, AccessRequest, Custodian, Facts, Statement


@dataclass(frozen=True, slots=True)
class Speaking:
    """The statements that speak about a question, apart from those that speak about some of its items only."""

    certain: tuple[Statement, ...]
    partial: tuple[Statement, ...]


def speaking(request: AccessRequest, facts: Facts) -> Speaking:
    """Sort the statements of this patient and custodian; withdrawn, expired and future ones are not heard."""
    certain: list[Statement] = []
    partial: list[Statement] = []
    custodian, now = request.custodian, facts.now
    if custodian is None:
        return Speaking((), ())
    patient, organization, category = request.patient, custodian.organization, request.category
    for statement in facts.statements:
        # The cheap tests that leave most statements out come first: this runs for every custodian and category.
        holder = statement.custodian
        if (holder != organization and holder != ANY) or statement.patient != patient:  # noqa: PLR1714 - measured
            continue
        if statement.categories and category not in statement.categories:
            continue
        if (statement.start and now < statement.start) or (statement.end and statement.end <= now):
            continue
        if not _binds(statement, custodian) or not _matches(statement, request):
            continue
        verdict = _about_item(statement, request)
        if verdict is None:
            partial.append(statement)
        elif verdict:
            certain.append(statement)
    return Speaking(tuple(certain), tuple(partial))


def outranks(one: Statement, other: Statement) -> bool:
    """Claim that `one` is more specific than `other`, and so beats it whatever they say.

    More specific on one point does not make up for less specific on another: then neither outranks,
    and the objection wins.

    Spec: NL generic functions, consent, conflict rules: more specific wins; individual holder over holder
    category; individual user over user category; context-specific over general; resource-specific over general.
    """
    if other.id in one.within:
        return one.version == other.version
    return one.id not in other.within and _above(one.specificity, other.specificity)


@lru_cache(maxsize=1024)
def _above(first: tuple[int, ...], second: tuple[int, ...]) -> bool:
    return first != second and all(map(ge, first, second))


def standing(objections: Iterable[Statement], permits: Iterable[Statement]) -> list[Statement]:
    """Find the objections no permit outranks.

    INVARIANT: at equal specificity the objection stands; one more objection never removes another.
    """
    yes = tuple(permits)
    exceptions = any(permit.within for permit in yes)
    levels = {permit.specificity for permit in yes}
    return [
        no
        for no in objections
        if no.firm
        or not (
            # Among statements that are no exceptions to each other only the levels count, and few of them differ.
            any(outranks(permit, no) for permit in yes)
            if exceptions or no.within
            else any(_above(level, no.specificity) for level in levels)
        )
    ]


def most_specific(statements: Iterable[Statement]) -> Statement:
    """Name the statement that decides; ties by id and version, so that order does not matter."""
    first, *others = statements
    for one in others:
        if one.specificity > first.specificity or (
            one.specificity == first.specificity and (one.id, one.version) < (first.id, first.version)
        ):
            first = one
    return first


def _binds(statement: Statement, custodian: Custodian) -> bool:
    """Claim that it binds this custodian's data: a custodian's statement binds nobody else (C1)."""
    return (
        statement.custodian == custodian.organization
        or not statement.custodian_types
        or custodian.facility_type in statement.custodian_types
    )


def _matches(statement: Statement, request: AccessRequest) -> bool:
    requester = request.requester
    return (
        (not statement.requesters or requester.organization in statement.requesters)
        and (not statement.requester_types or requester.facility_type in statement.requester_types)
        and (not statement.persons or requester.person in statement.persons)
        and (not statement.purposes or request.purpose in statement.purposes)
        and (not statement.types or request.type in statement.types)
        and (not statement.cases or (request.case is not None and request.case.id in statement.cases))
    )


def _about_item(statement: Statement, request: AccessRequest) -> bool | None:
    """Say whether it speaks about the item; None = the question names no item, so about some perhaps."""
    if not (statement.items or statement.labels or statement.data_start or statement.data_end):
        return True
    if statement.labels and not statement.labels & request.labels:
        # Labels are known once items are there: a question that names none leaves it open.
        if request.item is not None or request.labels:
            return False
        return None
    if request.item is None:
        return None if statement.items or statement.data_start or statement.data_end else True
    if statement.items and request.item not in statement.items:
        return False
    if not statement.data_start and not statement.data_end:
        return True
    overlap = dates.overlap(request.item_date, statement.data_start, statement.data_end)
    # A date that cannot be placed is inside for an objection and outside for a permit.
    return overlap != "outside" if statement.effect == "deny" else overlap == "inside"
