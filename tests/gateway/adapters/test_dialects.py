"""The dialects as data: what is asked of whom, for which categories, and never an identifier in a URL."""

from __future__ import annotations

import pytest

from gateway.adapters.dialects import Dialect, dialect, known
from gateway.errors import StartError

EVERY = [dialect(name) for name in known()]
by_name = pytest.mark.parametrize("each", EVERY, ids=known())
MESSAGES = [each for each in EVERY if each.format == "hl7v3"]
NOTHING: frozenset[str] = frozenset()


def test_an_unknown_dialect_names_the_known_ones() -> None:
    with pytest.raises(
        StartError,
        match=r"'fhir@9' is not known; known are: 360@1\.0, bgz-msz@2\.0, mp9@3\.0, r4-identifier@1\.0, saz@1\.0",
    ):
        dialect("fhir@9")


@by_name
def test_names_are_unique_and_identifiers_are_posted(each: Dialect) -> None:
    assert len({query.name for query in each.queries}) == len(each.queries)
    assert all(query.method == "POST" for query in each.queries if query.by_identifier)
    assert all(query.categories and query.gives for query in each.queries)
    assert each.patient_query.patient == "identifier" or each in MESSAGES
    assert all(set(dict(query.narrow_to)) in (set(), query.categories) for query in each.queries)


@by_name
def test_only_what_serves_a_category_asked_is_sent(each: Dialect) -> None:
    assert each.asking(NOTHING, NOTHING) == ()
    for category in each.categories:
        asked = each.asking(frozenset({category}), NOTHING)
        assert asked
        assert all(query.categories == {category} for query in asked)
    assert len(each.asking(each.categories, NOTHING)) == len(each.queries)


@by_name
def test_the_same_query_is_never_sent_twice(each: Dialect) -> None:
    asked = each.asking(each.categories, NOTHING)
    assert len({(query.type, query.interaction, query.patient, query.parameters) for query in asked}) == len(asked)


@pytest.mark.parametrize("each", MESSAGES, ids=lambda each: str(each.name))
def test_a_dialect_of_messages_names_what_asks_and_what_answers(each: Dialect) -> None:
    assert all(query.interaction and query.answer and query.interaction != query.answer for query in each.queries)
    assert len({query.answer for query in each.queries}) == len(each.queries)
    assert each.patient_query.name == each.patient
    assert each.batch or len(each.queries) == 1
    assert {"AllergyIntolerance", "AdvanceDirective"} <= each.partial, "silence about these says nothing"


def test_a_query_is_sent_only_for_a_type_asked() -> None:
    bgz = dialect("bgz-msz@2.0")
    assert [query.name for query in bgz.asking(bgz.categories, frozenset({"Medication"}))] == [
        "medication-use", "medication-agreements", "administration-agreements",
    ]  # fmt: skip
    assert [query.type for query in bgz.asking(bgz.categories, frozenset({"ServiceRequest"}))] == ["ProcedureRequest"]


def test_observations_are_narrowed_to_the_categories_asked() -> None:
    r4 = dialect("r4-identifier@1.0")
    system = "http://terminology.hl7.org/CodeSystem/observation-category|"
    wanted = frozenset({"ObservationVitalSigns", "ObservationLaboratory"})
    assert r4.asking(wanted, NOTHING)[0].parameters == (("category", f"{system}laboratory,{system}vital-signs"),)
    # All of them: no filter, so that an Observation without a category is not missed.
    assert [query.parameters for query in r4.asking(r4.categories, frozenset({"Observation"}))] == [()]


def test_360_asks_by_profile_and_by_code_where_there_is_none() -> None:
    queries = {query.name: query for query in dialect("360@1.0").queries}
    base = "http://nictiz.nl/fhir/StructureDefinition/"
    assert queries["alerts"].parameters == (("_profile", f"{base}nl-core-Alert,{base}zib-Alert"),)
    assert queries["medication-use"].parameters == (
        ("_profile", f"{base}mp-MedicationUse2"),
        ("_include", "MedicationStatement:medication"),
    )
    assert queries["respiration"].parameters == (("code", "http://snomed.info/sct|422834003"),)
    assert {query.method for query in queries.values() if query.type != "Patient"} == {"GET"}


def test_bgz_has_all_queries_of_the_standard() -> None:
    bgz = dialect("bgz-msz@2.0")
    assert len(bgz.queries) == 26
    assert {query.method for query in bgz.queries} == {"POST"}
    assert {query.patient for query in bgz.queries} == {"identifier", "patient.identifier", "beneficiary.identifier"}
    newest = [query.name for query in bgz.queries if ("_count", "1") in query.parameters]
    assert newest == [query.name for query in bgz.queries if not query.pages] == [
        "blood-pressure", "body-weight", "body-height",
    ]  # fmt: skip


def test_consent_to_share_is_never_asked_as_a_clinical_item() -> None:
    for each in EVERY:
        for query in each.queries:
            if query.type == "Consent":
                assert query.parameters
