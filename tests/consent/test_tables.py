"""The tables: purposes, roles, categories, labels, bases, disclosure; complete and of one mind."""

from __future__ import annotations

import sys
import timeit
from typing import Any

import pytest

from consent import basis, categories, disclosure, purposes, roles
from consent.agreement import covering
from consent.categories import category_of, label_of, labels_of, spoken
from consent.decision import decide
from consent.explain import caller_reasons, explain
from consent.model import Decision, Reason
from tests.consent.worlds import QUESTION, facts, statement

ACT_REASON = "http://terminology.hl7.org/CodeSystem/v3-ActReason"


@pytest.mark.parametrize(
    ("code", "situation"),
    [
        ("TREAT", "behandeling"),
        (f"{ACT_REASON}|TREAT", "behandeling"),
        ("urn:oid:2.16.840.1.113883.1.11.20448|COC", "triage-coordinatie"),
        ("ETREAT", "spoed"),
        ("BTG", "spoed-noodtoegang"),
        ("PATRQT", "inzage-betrokkene"),
        ("waarneming", "waarneming"),
        ("http://elsewhere|TREAT", None),
        ("treat", None),
        ("", None),
        ("HRESCH", None),
        (f"{ACT_REASON}|HPAYMT", None),
    ],
)
def test_purpose_of(code: str, situation: str | None) -> None:
    assert purposes.purpose_of(code) == situation


@pytest.mark.parametrize(
    "code", ["HOPERAT", f"{ACT_REASON}|HPAYMT", "HRESCH", "HMARKT", "HLEGAL", "werkgever", "politie", "PUBHLTH"]
)
def test_barred(code: str) -> None:
    assert purposes.is_barred(code)
    assert purposes.purpose_of(code) is None
    assert not purposes.situations_of(code)


PSYCHIATRY = {"coding": [{"system": "http://snomed.info/sct", "code": "394587001"}]}
SURGERY = {"coding": [{"system": "http://snomed.info/sct", "code": "394609007"}]}


def role(**elements: Any) -> dict[str, Any]:
    return {"resourceType": "PractitionerRole", "id": "r", **elements}


@pytest.mark.parametrize(
    ("item", "labels"),
    [
        ({"resourceType": "Encounter", "serviceType": PSYCHIATRY}, {"sensitive"}),
        ({"resourceType": "Encounter", "serviceType": SURGERY}, set()),
        ({"resourceType": "Encounter"}, set()),
        ({"resourceType": "DocumentReference", "context": {"practiceSetting": PSYCHIATRY}}, {"sensitive"}),
        ({"resourceType": "DocumentReference", "context": {"practiceSetting": SURGERY}}, set()),
        ({"resourceType": "Condition", "contained": [role(specialty=[PSYCHIATRY])]}, {"sensitive"}),
        ({"resourceType": "Condition", "contained": [role(specialty=[SURGERY])]}, set()),
        (
            {"resourceType": "MedicationRequest", "contained": [role(code=[{"coding": [{"code": "01.035"}]}])]},
            {"sensitive"},
        ),
        ({"resourceType": "MedicationRequest", "contained": [role(code=[{"coding": [{"code": "01.015"}]}])]}, set()),
        ({"resourceType": "Condition", "contained": [{"resourceType": "Patient", "specialty": [PSYCHIATRY]}]}, set()),
    ],
)
def test_the_department_and_the_author_label_an_item(item: dict[str, Any], labels: set[str]) -> None:
    assert labels_of(item) == labels


@pytest.mark.parametrize(
    ("department", "category"),
    [
        ("394914008", "ObservationImaging"),
        ("408454008", "ObservationLaboratory"),
        ("394609007", "ObservationExam"),
    ],
)
def test_an_observation_without_a_category_is_of_the_department_that_made_it(department: str, category: str) -> None:
    made = {"resourceType": "Observation", "contained": [role(specialty=[{"coding": [{"code": department}]}])]}
    assert category_of(made) == category
    named = {"category": [{"coding": [{"code": "vital-signs"}]}]}
    assert category_of(made | named) == "ObservationVitalSigns", "what it says of itself comes first"


AORTA = "urn:oid:2.16.840.1.113883.2.4.3.111.15.3"


def test_the_categories_of_the_exchange_point_are_understood() -> None:
    assert spoken(AORTA, "BEHAANWIJZING") == {"AdvanceDirective"}
    assert spoken(AORTA, "MEDOVERZICHT") == {"MedicationUse", "MedicationRequest"}
    assert not spoken(AORTA, "SOMETHING")
    assert not spoken("http://elsewhere.example", "BEHAANWIJZING")
    words = [code for code in categories._TABLE["spoken"]["aorta"] if code != "system"]
    assert len(words) == 16
    assert all(spoken(AORTA, code) <= categories.CATEGORIES for code in words)


def test_nothing_is_both_a_situation_and_barred() -> None:
    assert not set(purposes.BARRED) & {code for row in purposes.PURPOSES.values() for code in (row.name, *row.codes)}
    assert set(purposes.PURPOSES) == {
        "behandeling",
        "triage-coordinatie",
        "waarneming",
        "verwijzing",
        "spoed",
        "spoed-noodtoegang",
        "inzage-betrokkene",
        "toezicht",
        "beheer",
    }


def test_a_patient_who_says_treatment_means_all_care_but_not_breaking_the_glass() -> None:
    meant = purposes.situations_of(f"{ACT_REASON}|TREAT")
    assert "triage-coordinatie" in meant
    assert "spoed-noodtoegang" not in meant


def test_roles_speak_of_known_categories_and_purposes() -> None:
    for role in (*roles.ROLES.values(), roles.SYSTEM):
        assert role.view <= categories.CATEGORIES
        assert role.purposes <= set(purposes.PURPOSES)
    for purpose in purposes.PURPOSES.values():
        assert (purpose.categories or frozenset()) <= categories.CATEGORIES


def test_break_the_glass_is_for_physicians_dispatch_and_ambulance() -> None:
    breaking = {code for code, role in roles.ROLES.items() if "spoed-noodtoegang" in role.purposes}
    assert {"01.015", "01.071", "meldkamer", "ambulance"} <= breaking
    assert not breaking & {"zorgcoordinator", "triagist", "30.000", "auditor", "administrator"}


def test_dispatch_sees_less_than_the_ambulance() -> None:
    assert roles.ROLES["meldkamer"].view < roles.ROLES["ambulance"].view
    assert roles.role_of("nobody") is None
    assert not roles.ROLES["01.048"].view


def test_bases() -> None:
    assert set(basis.BASES) == {"explicit", "care-team", "referral", "observation"}
    assert basis.BASES["explicit"].permit_needed
    assert not basis.BASES["referral"].permit_needed


def coded(kind: str, **elements: Any) -> dict[str, Any]:
    made: dict[str, Any] = {"resourceType": kind}
    for name, code in elements.items():
        concept = {"coding": [{"code": code}]}
        made[name] = [concept] if name == "category" else concept
    return made


@pytest.mark.parametrize(
    ("resource", "category"),
    [
        (coded("Patient"), "Patient"),
        (coded("Flag"), "Alert"),
        (coded("AllergyIntolerance"), "AllergyIntolerance"),
        (coded("MedicationStatement"), "MedicationUse"),
        (coded("MedicationRequest"), "MedicationRequest"),
        (coded("Observation", category="vital-signs"), "ObservationVitalSigns"),
        (coded("Observation", category="laboratory"), "ObservationLaboratory"),
        (coded("Observation", code="8480-6"), "ObservationVitalSigns"),
        (coded("Observation", code="75367002"), "ObservationVitalSigns"),
        (coded("Observation", category="strange", code="365980008"), "ObservationSocialHistory"),
        ({"resourceType": "Observation", "specimen": {}}, "ObservationLaboratory"),
        (coded("Observation", category="49581000146104"), "ObservationLaboratory"),
        (coded("Observation"), "ObservationExam"),
        (coded("Consent", scope="treatment"), "AdvanceDirective"),
        (coded("Consent", scope="adr"), "AdvanceDirective"),
        (coded("Consent", category="129125009"), "AdvanceDirective"),
        (coded("Consent", scope="patient-privacy"), "Consent"),
        (coded("Consent", scope="patient-privacy", category="acd"), "Consent"),
        (coded("Consent"), "Consent"),
        (coded("Organization"), "CareServiceEntities"),
        (coded("Nonsense"), ""),
        ({}, ""),
    ],
)
def test_category_of(resource: dict[str, Any], category: str) -> None:
    assert category_of(resource) == category


def test_types_and_categories_agree() -> None:
    assert categories.categories_of_type("Consent") == {"AdvanceDirective", "Consent"}
    assert categories.types_of_category("Alert") == {"Flag"}
    assert categories.categories_of_type("Nonsense") == frozenset()
    for name in categories.CATEGORIES:
        assert all(name in categories.categories_of_type(kind) for kind in categories.types_of_category(name))


CONFIDENTIALITY = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"


def labeled(*codings: tuple[str, str]) -> dict[str, Any]:
    return {"resourceType": "Condition", "meta": {"security": [{"system": s, "code": c} for s, c in codings]}}


def test_labels() -> None:
    assert labels_of({"resourceType": "Condition"}) == frozenset()
    assert labels_of(labeled((CONFIDENTIALITY, "N"))) == frozenset()
    assert labels_of(labeled((CONFIDENTIALITY, "V"))) == {"very-restricted"}
    assert labels_of(labeled(("http://elsewhere", "N"))) == {"restricted"}
    assert labels_of({"resourceType": "Condition", "meta": {"security": [{}]}}) == {"restricted"}
    assert labels_of(coded("Flag", code="397940009")) == {"child-abuse"}
    assert labels_of(coded("Flag", code="432415000")) == frozenset()
    assert labels_of({"resourceType": "FamilyMemberHistory"}) == {"third-party"}
    assert label_of(CONFIDENTIALITY, "N") == "plain"
    assert categories.obligations_of(frozenset({"child-abuse", "extra-protected"})) == {"mask", "review"}


def test_what_patients_call_a_part_of_the_record() -> None:
    assert spoken("http://loinc.org", "10160-0") == {"MedicationUse", "MedicationRequest"}
    assert spoken(categories.SYSTEM, "Alert") == {"Alert"}
    assert spoken(categories.SYSTEM, "Everything") == frozenset()
    assert spoken("http://loinc.org", "system") == frozenset()
    assert spoken("http://fhir.nl/otv/CodeSystem/gegevenscategorie", "GGC002") == {"*"}


NO = Decision("deny", (Reason("consent-objection", "no", "patient", "c1/1"),))
OWN = Decision("deny", (Reason("scope-insufficient", "no"),))
DEAD = Decision("unavailable", (Reason("consent-unknown", "?", "patient"),))


@pytest.mark.parametrize(
    ("decision", "facility", "expected"),
    [
        (NO, "Z3", "anonymous"),
        (OWN, "Z3", "named"),
        (DEAD, "Z3", "named"),
        (NO, "G5", "silent"),
        (OWN, "G5", "silent"),
        (DEAD, "verslavingszorg", "silent"),
        (Decision("permit"), "G5", "named"),
        (NO, "", "anonymous"),
        (NO, "V4", "named"),
        (OWN, "X1", "silent"),
    ],
)
def test_visibility(decision: Decision, facility: str, expected: str) -> None:
    assert disclosure.visibility(decision, facility, {"V4": "named", "X1": "silent"}) == expected


def test_the_fixed_sentence_does_not_depend_on_what_was_found() -> None:
    assert disclosure.sentence("01.015") == disclosure.sentence(None) == "Er kunnen gegevens zijn die u niet ziet."
    assert disclosure.sentence("01.015", "en").startswith("There may")


def test_explain_tells_all_and_the_caller_hears_one_word() -> None:
    decision = decide(QUESTION, facts(statement("permit"), statement("deny")))
    text = "\n".join(explain(decision))
    assert "Denied." in text
    assert "consent-objection" in text
    assert "c-deny/1" in text
    missing = decide(QUESTION, facts())
    assert caller_reasons(missing) == caller_reasons(decision)
    assert [reason.code for reason in caller_reasons(decision)] == ["consent-refused"]
    assert caller_reasons(decide(QUESTION, facts(statement("permit")))) == ()
    partial = decide(QUESTION, facts(statement("permit"), statement("deny", items=frozenset({"i"}))))
    assert "each item is decided for itself" in "\n".join(explain(partial))


def test_an_organization_without_identity_has_no_agreement() -> None:
    from dataclasses import replace

    nameless = replace(QUESTION, requester=replace(QUESTION.requester, organization=""))
    world = facts(agreements=(replace(facts().agreements[0], requesters=frozenset({"*"})),))
    assert covering(QUESTION, world)
    assert not covering(nameless, world)


def microseconds(call: Any) -> float:
    """The quietest of many runs: what the code costs, not what the neighbors do."""
    if sys.gettrace() is not None:
        pytest.skip("a tracer is at work: times say nothing")
    return min(timeit.repeat(call, number=50, repeat=60)) / 50 * 1e6


def test_category_of_is_fast_enough_for_each_item() -> None:
    plain = coded("Observation", category="vital-signs", code="8480-6")
    strange = coded("Observation", category="strange", code="stranger")
    assert microseconds(lambda: category_of(plain)) <= 9
    assert microseconds(lambda: category_of(strange)) <= 9
    assert microseconds(lambda: labels_of(plain)) <= 9


def test_deciding_is_fast() -> None:
    from consent.model import Agreement
    from tests.consent.worlds import GP, agreement

    others = [agreement(id=f"b{n}", requesters=frozenset({f"9100{n:04}"})) for n in range(17)]
    rows: tuple[Agreement, ...] = (*others, agreement(id="a2"), agreement(id="a3", basis="care-team"), agreement())
    said = [statement("permit", id=f"c{n}", custodian=f"92000{n:03}") for n in range(40)]
    said += [statement("permit", id=f"d{n}", requesters=frozenset({"90000001"})) for n in range(5)]
    said += [statement("deny", id=f"e{n}", custodian=GP) for n in range(5)]
    world = facts(*said, agreements=rows)
    assert decide(QUESTION, world).permitted
    assert microseconds(lambda: decide(QUESTION, world)) <= 90  # 30 µs on a quiet machine
