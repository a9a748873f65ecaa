"""Rules A1 and A2: what is said to be missing, and what is never said."""

from __future__ import annotations

import pytest

from gateway.model import Answer, Incident
from gateway.summary.assembly import assemble
from gateway.summary.completeness import SectionState, complete
from tests.gateway.summary.region import (
    NOT_CHECKABLE,
    REFUSED_BY_CALLER,
    REFUSED_BY_PATIENT,
    allergy,
    answer,
    failed,
    item,
    material,
    no_allergies,
    refused,
    told,
)


def allergies(*answers: Answer) -> SectionState:
    return next(state for state in complete(answers, {"G5": "silent"}) if state.section.key == "allergies")


def states(state: SectionState) -> list[tuple[str, str]]:
    return [(row.name, row.state) for row in state.states]


@pytest.mark.parametrize(
    ("answers", "expected", "words"),
    [
        ([answer("hospital", allergy("a"))], "data", "data"),
        ([answer("hospital", no_allergies("a"))], "none", "none"),
        ([answer("hospital")], "unknown", "unknown"),
        ([answer("hospital", categories=told(AllergyIntolerance=refused(REFUSED_BY_CALLER)))], "withheld", "withheld"),
        ([answer("hospital", categories=told(AllergyIntolerance=failed()))], "unavailable", "unavailable"),
    ],
    ids=["data", "none", "unknown", "withheld", "unavailable"],
)
def test_the_five_states(answers: list[Answer], expected: str, words: str) -> None:
    state = allergies(*answers)
    assert state.overall == expected
    assert states(state) == [("Ziekenhuis Oost", words)]
    assert (state.answered, state.asked) == ((0, 1) if expected in ("withheld", "unavailable") else (1, 1))


def none_world(beside: Answer, *, stale: bool = False) -> SectionState:
    """One hospital that says none explicitly, beside a second custodian."""
    return allergies(answer("hospital", no_allergies("n"), stale=stale), beside)


@pytest.mark.parametrize(
    ("state", "confirmed"),
    [
        (none_world(beside=answer("gp")), True),
        (none_world(beside=answer("gp", categories={})), True),
        (none_world(beside=answer("gp", categories=told(AllergyIntolerance=failed()))), False),
        (none_world(beside=answer("gp", categories=told(AllergyIntolerance=failed(NOT_CHECKABLE)))), False),
        (none_world(beside=answer("gp", categories=told(AllergyIntolerance=refused(REFUSED_BY_CALLER)))), False),
        (none_world(beside=answer("gp", categories=told(AllergyIntolerance=refused(REFUSED_BY_PATIENT)))), False),
        (none_world(beside=answer("ggz", categories=told(AllergyIntolerance=refused(REFUSED_BY_PATIENT)))), True),
        (none_world(beside=answer("gp", partial=frozenset({"allergies"}))), False),
        (none_world(beside=answer("gp", partial=frozenset({"AllergyIntolerance"}))), False),
        (none_world(beside=answer("gp", partial=frozenset({"medication"}))), True),
        (none_world(beside=answer("gp", stale=True)), False),
        (none_world(beside=answer("gp"), stale=True), False),
        (none_world(beside=answer("gp", allergy("a"))), False),
        (none_world(beside=answer("gp", allergy("a", verification="refuted"))), False),
        (allergies(answer("gp"), answer("hospital")), False),
        (allergies(answer("gp", no_allergies("n"), partial=frozenset({"allergies"}))), False),
        (allergies(answer("gp", allergy("m", "409137002", "No known drug allergy", negative=True))), False),
    ],
    ids=[
        "all answered", "other not asked", "one failed", "one not checkable", "one refused", "one anonymous",
        "one silent", "one partial", "partial by category", "partial elsewhere", "one stale", "sayer stale",
        "contradicted", "even a refuted one contradicts", "nobody says none", "only a partial list says none",
        "none for a part",
    ],
)  # fmt: skip
def test_confirmed_none(state: SectionState, confirmed: bool) -> None:
    assert (state.overall == "none") is confirmed


def test_a_refusal_by_the_patient_is_anonymous_and_counted_nowhere() -> None:
    state = allergies(answer("gp"), answer("hospital", categories=told(AllergyIntolerance=refused(REFUSED_BY_PATIENT))))
    assert states(state) == [("Huisarts De Linde", "unknown"), ("", "withheld")]
    assert (state.answered, state.asked, state.more, state.complete) == (1, 1, True, False)


def test_two_anonymous_refusals_look_like_one() -> None:
    refusing = told(AllergyIntolerance=refused(REFUSED_BY_PATIENT))
    one = allergies(answer("gp"), answer("hospital", categories=refusing))
    two = allergies(answer("gp"), answer("hospital", categories=refusing), answer("ambulance", categories=refusing))
    assert one == two


@pytest.mark.parametrize("why", [REFUSED_BY_CALLER, REFUSED_BY_PATIENT, NOT_CHECKABLE])
def test_a_silent_custodian_leaves_no_trace(why: object) -> None:
    told_nothing = {category: refused(why) for category in told()}  # type: ignore[arg-type]
    without = complete([answer("gp", allergy("a"))], {"G5": "silent"})
    beside = complete([answer("gp", allergy("a")), answer("ggz", categories=told_nothing)], {"G5": "silent"})
    assert [(s.states, s.overall, s.answered, s.asked, s.more) for s in without] == [
        (s.states, s.overall, s.answered, s.asked, s.more) for s in beside
    ]


def test_a_dead_register_is_unavailable_not_withheld() -> None:
    state = allergies(answer("hospital", categories=told(AllergyIntolerance=failed(NOT_CHECKABLE))))
    assert [(row.state, row.reason) for row in state.states] == [("unavailable", "not-checkable")]


def test_data_beside_a_failed_question_is_incomplete() -> None:
    medication = item("MedicationStatement", "m", {"status": "active", "medicationCodeableConcept": {"text": "x"}})
    answers = [answer("hospital", medication, categories=told(MedicationRequest=failed()))]
    state = next(state for state in complete(answers, {}) if state.section.key == "medication")
    assert [row.state for row in state.states] == ["data", "unavailable"]
    assert not state.complete


def test_an_item_with_an_unknown_modifier_is_counted_not_shown() -> None:
    strange = allergy("s")
    strange.resource["modifierExtension"] = [{"url": "https://other.example/not", "valueBoolean": True}]
    strange.raw = strange.raw.replace(b"{", b'{"modifierExtension":[],', 1)
    state = allergies(answer("hospital", strange))
    assert (state.overall, state.items, state.complete) == ("unavailable", (), False)
    assert [(stub.kind, stub.count) for stub in state.stubs] == [("unsafe", 1)]


def test_an_incident_of_screening_is_counted_as_well() -> None:
    incident = Incident("unknown-modifier", "hospital", "AllergyIntolerance")
    state = allergies(answer("hospital", no_allergies("n"), incidents=[incident]))
    assert state.overall == "unavailable"


def test_two_sources_of_one_custodian_count_once() -> None:
    state = allergies(answer("hospital", source="epd"), answer("hospital", source="inbox"))
    assert (state.answered, state.asked, len(state.states)) == (1, 1, 2)
    state = allergies(
        answer("hospital", source="epd"),
        answer("hospital", source="inbox", categories=told(AllergyIntolerance=failed())),
    )
    assert (state.answered, state.asked) == (0, 1)


def test_child_abuse_alerts_are_masked() -> None:
    flag = item(
        "Flag",
        "f",
        {"status": "active", "code": {"coding": [{"system": "http://snomed.info/sct", "code": "397940009"}]}},
    )
    state = next(s for s in complete([answer("gp", flag)], {}) if s.section.key == "alerts")
    assert (state.items, state.overall) == ((), "withheld")


def test_a_privacy_consent_is_no_clinical_item() -> None:
    scope = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy"}]}
    consent = item("Consent", "c", {"status": "active", "scope": scope})
    assert not any(state.items for state in complete([answer("gp", consent)], {}))


def test_an_overdue_feed_marks_every_item() -> None:
    given = answer("ambulance", allergy("a"), stale=True)
    views = assemble(material(given), "nl").sections
    lines = next(view for view in views if view.key == "allergies").lines
    assert [note.key for note in lines[0].notes] == ["stale"]
