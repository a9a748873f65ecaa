"""What must hold of every decision, on generated worlds."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from consent.decision import GATES, decide
from consent.model import ANY, AccessRequest, Agreement, Custodian, Decision, Emergency, Facts, Statement
from consent.precedence import outranks, standing
from tests.consent.worlds import (
    CASE,
    COORDINATOR,
    GP,
    HOSPITAL,
    MENTAL,
    NOW,
    PATIENT,
    PHYSICIAN,
    POST,
    QUESTION,
    SYSTEM,
    agreement,
    facts,
    statement,
)

pytestmark = pytest.mark.slow  # a world is large; each claim is tried on many

RANK = {"permit": 0, "unavailable": 1, "deny": 2}


def _some(*words: str) -> st.SearchStrategy[frozenset[str]]:
    return st.frozensets(st.sampled_from(words), max_size=2)


_moments = st.sampled_from([None, NOW - timedelta(days=1), NOW, NOW + timedelta(days=1)])

statements = st.builds(
    Statement,
    id=st.sampled_from(["c1", "c2", "c3", "c1#1"]),
    version=st.integers(1, 2),
    effect=st.sampled_from(["permit", "deny"]),
    patient=st.sampled_from([PATIENT, PATIENT, PATIENT, "p1-bbbb"]),
    custodian=st.sampled_from([GP, GP, GP, HOSPITAL, ANY]),
    requesters=_some(POST, HOSPITAL),
    requester_types=_some("N6", "V4"),
    persons=_some("900000101", "900000102"),
    categories=_some("AllergyIntolerance", "Condition"),
    types=_some("AllergyIntolerance"),
    labels=_some("sensitive"),
    purposes=_some("behandeling", "spoed"),
    items=_some("i-1", "i-2"),
    start=_moments,
    end=_moments,
    data_start=st.sampled_from([None, None, "2020", "2021-02-03"]),
    source=st.sampled_from(["consent", "consent", "mitz", "implied", "patient-asked", "objection"]),
    custodian_types=_some("Z3", "V4"),
    within=_some("c1"),
)
agreement_rows = st.builds(
    agreement,
    id=st.sampled_from(["a1", "a2"]),
    basis=st.sampled_from(["explicit", "care-team", "referral", "observation"]),
    emergency=st.sampled_from(["none", "absent_only", "override_objection"]),
    system_access=st.booleans(),
    categories=st.sampled_from([frozenset({ANY}), frozenset({"Condition"})]),
    requesters=st.sampled_from([frozenset({POST}), frozenset({ANY}), frozenset({HOSPITAL})]),
)
questions = st.builds(
    replace,
    st.just(QUESTION),
    requester=st.sampled_from([PHYSICIAN, PHYSICIAN, COORDINATOR, SYSTEM]),
    purpose=st.sampled_from(
        ["behandeling", "behandeling", "triage-coordinatie", "spoed", "spoed-noodtoegang", "HRESCH"]
    ),
    custodian=st.sampled_from([Custodian(GP, "Z3"), Custodian(GP, "Z3"), Custodian(MENTAL, "G5"), None]),
    case=st.sampled_from([None, CASE]),
    item=st.sampled_from([None, "i-1", "i-3"]),
    item_date=st.sampled_from([None, "2019", "2020", "2022-01-01T10:00:00Z", "never"]),
    labels=st.sampled_from([frozenset[str](), frozenset({"sensitive"}), frozenset({"very-restricted"})]),
    emergency=st.sampled_from([None, Emergency("unconscious", frozenset({"life"}), "words")]),
)
worlds = st.builds(
    Facts,
    now=st.just(NOW),
    agreements=st.lists(agreement_rows, max_size=3).map(tuple),
    statements=st.lists(statements, max_size=5).map(tuple),
    statements_known=st.sampled_from([True, True, True, False]),
    national_known=st.sampled_from([True, True, False]),
    case_required_roles=_some("zorgcoordinator"),
)


@given(questions, worlds, statements, st.integers(0, 5))
@settings(max_examples=120, deadline=None)
def test_one_more_objection_never_opens(question: AccessRequest, world: Facts, one: Statement, at: int) -> None:
    objection = replace(one, effect="deny")
    more = replace(world, statements=(*world.statements[:at], objection, *world.statements[at:]))
    assert RANK[decide(question, more).outcome] >= RANK[decide(question, world).outcome]


@given(questions, worlds, statements)
@settings(max_examples=60, deadline=None)
def test_one_more_permit_never_closes(question: AccessRequest, world: Facts, one: Statement) -> None:
    more = replace(world, statements=(*world.statements, replace(one, effect="permit")))
    assert RANK[decide(question, more).outcome] <= RANK[decide(question, world).outcome]


@given(questions, worlds)
@settings(max_examples=60, deadline=None)
def test_without_agreement_never(question: AccessRequest, world: Facts) -> None:
    assert not decide(question, replace(world, agreements=())).permitted


@given(questions, worlds)
@settings(max_examples=60, deadline=None)
def test_an_unreadable_register_never_permits_to_share(question: AccessRequest, world: Facts) -> None:
    decision = decide(question, replace(world, statements_known=False))
    assert question.custodian is None or not decision.permitted


@given(questions, worlds, st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_order_is_irrelevant(question: AccessRequest, world: Facts, random: Any) -> None:
    shuffled = replace(
        world,
        statements=tuple(random.sample(world.statements, len(world.statements))),
        agreements=tuple(random.sample(world.agreements, len(world.agreements))),
    )
    assert decide(question, shuffled) == decide(question, world)


@given(questions, worlds)
@settings(max_examples=60, deadline=None)
def test_an_answer_has_reasons_exactly_when_it_is_no(question: AccessRequest, world: Facts) -> None:
    decision = decide(question, world)
    assert decision.permitted == (not decision.reasons)
    sides = {reason.side for reason in decision.reasons}
    assert len(sides) <= 1, "the caller's and the patient's side are never told in one breath"


@given(questions, worlds)
@settings(max_examples=60, deadline=None)
def test_what_may_be_shared_may_also_be_asked(question: AccessRequest, world: Facts) -> None:
    if decide(question, world).permitted:
        assert decide(replace(question, custodian=None), world).permitted


@given(statements, statements)
def test_outranking_goes_one_way(one: Statement, other: Statement) -> None:
    assert not (
        outranks(one, other) and outranks(other, one) and one.id not in other.within and other.id not in one.within
    )


@given(st.lists(statements, max_size=4), st.lists(statements, max_size=4))
@settings(max_examples=60, deadline=None)
def test_an_objection_stands_unless_one_permit_outranks_it(
    objections: list[Statement], permits: list[Statement]
) -> None:
    plainly = [no for no in objections if not any(outranks(permit, no) for permit in permits)]
    assert standing(objections, permits) == plainly


_garbage = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.binary(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=5,
)
# Rubbish takes long to make on a busy machine; how long says nothing about the decision.
_patient = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
_fields = st.sampled_from([name for name in AccessRequest.__slots__ if name != "custodian"])


@given(_garbage, _garbage)
@_patient
def test_garbage_is_answered_with_no(request: Any, world: Any) -> None:
    assert decide(request, world).outcome == "deny"
    assert decide(QUESTION, world).outcome == "deny"
    assert decide(request, facts(statement("permit"))).outcome == "deny"


@given(_fields, _garbage)
@_patient
def test_garbage_in_one_field_never_raises(name: str, value: Any) -> None:
    bent: AccessRequest = replace(QUESTION, **{name: value})
    assert isinstance(decide(bent, facts(statement("permit"))), Decision)


@given(st.sampled_from([*Agreement.__slots__]), _garbage)
@_patient
def test_garbage_in_an_agreement_never_raises(name: str, value: Any) -> None:
    bent = replace(agreement(), **{name: value})
    assert isinstance(decide(QUESTION, facts(statement("permit"), agreements=(bent,))), Decision)


@given(st.sampled_from([name for name in Statement.__slots__ if name != "specificity"]), _garbage)
@_patient
def test_garbage_in_a_statement_never_raises(name: str, value: Any) -> None:
    bent: Statement = replace(statement("permit"), **{name: value})
    assert isinstance(decide(QUESTION, facts(bent)), Decision)


def test_a_broken_gate_closes_and_the_others_still_speak(monkeypatch: Any) -> None:
    def broken(_request: AccessRequest, _facts: Facts) -> None:
        raise RuntimeError

    monkeypatch.setattr("consent.decision.GATES", (broken, *GATES))
    decision = decide(replace(QUESTION, scopes=frozenset()), facts(statement("permit")))
    assert [reason.code for reason in decision.reasons] == ["broken-gate", "scope-insufficient"]
