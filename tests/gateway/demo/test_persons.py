"""The synthetic persons: valid numbers, valid resources, and stories that are true."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from gateway.demo.facts import Person
from gateway.demo.organizations import region_tables, resources
from gateway.demo.persons import _dated, persons, scenario_persons
from profiles import exact
from profiles.identifiers import BSN_SYSTEM, passes_elfproef
from profiles.validation import validate

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
PERSONS = persons(NOW)
ASKED = [source for source, row in region_tables()["sources"].items() if row["kind"].startswith("fhir-")]
R4 = [source for source in ASKED if region_tables()["sources"][source]["kind"] == "fhir-r4"]


def named(words: str) -> Person:
    """The one person whose story begins with, or holds, these words."""
    (person,) = [person for person in PERSONS if words in person.shows]
    return person


def held(source: str, person: Person) -> list[dict[str, Any]]:
    """What a source holds about this person, the Patient first."""
    position = PERSONS.index(person) + 1
    return [one for one in resources(source, PERSONS) if one["id"].startswith(f"{source}-{position:03d}")]


def test_at_least_fourteen_persons_and_the_first_has_everything() -> None:
    first = PERSONS[0]
    assert len(PERSONS) >= 14
    assert set(first.sources) == {"gp-a", "hospital", "ambulance"}
    kinds = {type(fact).__name__ for chart in first.sources.values() for fact in chart.facts}
    assert kinds == {
        "Allergy",
        "Problem",
        "Medication",
        "MedicationAgreement",
        "Alert",
        "Directive",
        "Will",
        "Pressure",
        "Measurement",
        "Laboratory",
        "Encounter",
    }
    assert first.sources["gp-a"].contacts


def test_every_bsn_is_a_test_bsn_that_passes_the_eleven_test_and_is_used_once() -> None:
    numbers = [person.bsn for person in PERSONS if person.bsn]
    assert all(passes_elfproef(number) and number.startswith("999990") for number in numbers)
    assert len(set(numbers)) == len(numbers)


@pytest.mark.parametrize("source", ASKED)
def test_every_record_survives_json_digit_for_digit_and_refers_only_to_what_it_holds(source: str) -> None:
    written = resources(source, PERSONS)
    keys = {f"{one['resourceType']}/{one['id']}" for one in written}
    assert len(keys) == len(written)
    for resource in written:
        raw = exact.encode(resource)
        assert exact.encode(exact.decode(raw)) == raw
        assert set(references(resource)) <= keys
        assert resource["meta"]["profile"] or resource["resourceType"] == "Observation"


@pytest.mark.parametrize("source", R4)
def test_every_r4_resource_is_valid(source: str) -> None:
    found = {
        one["id"]: [f"{issue.expression}: {issue.text_en}" for issue in validate(one)]
        for one in resources(source, PERSONS)
    }
    assert not {key: issues for key, issues in found.items() if issues}

    for resource in resources("hospital", PERSONS):
        if resource["resourceType"] in ("AllergyIntolerance", "Condition"):
            assert isinstance(resource["clinicalStatus"], str)
        if resource["resourceType"] == "Observation":
            assert resource["category"][0]["coding"][0]["system"] == "http://hl7.org/fhir/observation-category"
        if resource["resourceType"] == "Encounter":
            assert resource["class"]["system"] == "http://hl7.org/fhir/v3/ActCode"


def test_no_id_holds_a_bsn() -> None:
    for source in ASKED:
        assert not any(
            person.bsn and person.bsn in one["id"] for person in PERSONS for one in resources(source, PERSONS)
        )


def test_nothing_anywhere_is_one_explicit_none_and_one_silence() -> None:
    person = named("nothing anywhere")
    assert [one["resourceType"] for one in held("gp-a", person)] == ["Patient"]
    (none,) = held("hospital", person)[1:]
    assert none["code"]["coding"][0]["code"] == "716186003"


def test_consent_stories() -> None:
    assert named("consent refused at one custodian").consents["hospital"] == ("deny",)
    (_, objection) = named("objection to one category").consents["gp-a"]
    assert isinstance(objection, dict)
    assert set(objection["deny"]) == {"MedicationUse", "MedicationRequest"}
    assert named("mental health withheld").consents["mental-health"] == ("deny",)
    assert named("15-year-old").consentBy == ("patient", "parent")


def test_two_custodians_disagree_about_the_same_substance() -> None:
    person = named("disagree on an allergy")
    (gp,), (hospital,) = (
        [one for one in held(source, person) if one["resourceType"] == "AllergyIntolerance"]
        for source in ("gp-a", "hospital")
    )
    assert gp["code"] == hospital["code"]
    assert gp["verificationStatus"]["coding"][0]["code"] == "confirmed"
    assert hospital["verificationStatus"] == "refuted"


def test_one_bsn_two_birth_dates() -> None:
    person = named("two birth dates")
    dates = {held(source, person)[0]["birthDate"] for source in ("gp-a", "hospital")}
    assert dates == {"1961-04-02", "1961-02-04"}


def test_unknown_is_known_nowhere() -> None:
    person = named("unknown in the region")
    assert not person.sources
    for source in ASKED:
        numbers = {
            identifier["value"]
            for one in resources(source, PERSONS)
            if one["resourceType"] == "Patient"
            for identifier in one["identifier"]
        }
        assert person.bsn not in numbers


def test_deceased_at_the_hospital_only() -> None:
    person = named("deceased at one source")
    assert "deceasedDateTime" in held("hospital", person)[0]
    assert "deceasedDateTime" not in held("gp-a", person)[0]


@pytest.mark.parametrize("today", [NOW, datetime(2027, 2, 28, 12, tzinfo=UTC), datetime(2028, 2, 29, 12, tzinfo=UTC)])
def test_ages_hold_on_any_day(today: datetime) -> None:
    baby, youth = (next(one for one in persons(today) if words in one.shows) for words in ("a baby", "15-year-old"))
    assert (today.date() - date.fromisoformat(baby.birthDate)).days == 9
    born = date.fromisoformat(youth.birthDate)
    assert today.year - born.year - ((today.month, today.day) < (born.month, born.day)) == 15


def test_the_baby_is_the_second_of_twins() -> None:
    assert held("gp-a", named("a baby"))[0]["multipleBirthInteger"] == 2


def test_no_bsn_means_the_number_of_the_hospital() -> None:
    person = named("no BSN")
    (identifier,) = held("hospital", person)[0]["identifier"]
    assert identifier == {"system": region_tables()["sources"]["hospital"]["number_system"], "value": person.number}
    assert set(person.sources) == {"hospital"}


def test_directives_conflict_and_ja_maar_is_whole() -> None:
    person = named("directives that conflict")
    gp = {one["id"]: one for one in held("gp-a", person) if one["resourceType"] == "Consent"}
    hospital = {one["id"]: one for one in held("hospital", person) if one["resourceType"] == "Consent"}
    (resuscitate,) = [one for key, one in gp.items() if key.endswith("reanimatie")]
    (refused,) = [one for key, one in hospital.items() if key.endswith("reanimatie")]
    assert resuscitate["provision"]["type"] == "permit"
    assert refused["modifierExtension"][0]["valueCodeableConcept"]["coding"][0]["code"] == "NEE"
    (other,) = [one for key, one in gp.items() if key.endswith("beademing")]
    assert "type" not in other["provision"]
    assert other["modifierExtension"][0]["valueString"].startswith("Ja, maar")


def test_unit_traps_keep_their_digits() -> None:
    person = named("unit traps")
    raw = b"".join(exact.encode(one) for source in ("gp-a", "hospital") for one in held(source, person))
    for digits in (
        b'"value":82.50,',
        b'"value":82500,',
        b'"value":1.50,',
        b'"value":0.010,',
        b'"value":5.50,',
        b'"value":99,',
        b'"comparator":"<"',
    ):
        assert digits in raw, digits


def test_the_protected_person_is_labeled() -> None:
    person = named("protected")
    for resource in held("gp-a", person):
        if resource["resourceType"] != "Medication":
            assert {label["code"] for label in resource["meta"]["security"]} >= {"R", "LOCIS"}


def test_mental_health_knows_the_silent_and_the_open_person() -> None:
    assert held("mental-health", named("mental health withheld"))
    assert held("mental-health", named("mental health shared"))


def test_the_slow_gp_has_its_own_patient() -> None:
    assert [person for person in PERSONS if "gp-b" in person.sources] == [named("is slow")]


def test_duplicate_bsn_is_the_first_number_with_another_birth_date() -> None:
    (twin,) = scenario_persons("duplicate-bsn", NOW)
    assert twin.bsn == PERSONS[0].bsn
    assert twin.birthDate != PERSONS[0].birthDate
    assert scenario_persons("no-consent", NOW) == ()


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("T-9d", "2026-11-13"),
        ("T-15y-40d", "2011-10-13"),
        ("T-3d 16:20", "2026-11-19T16:20:00+01:00"),
        ("T-2h", "2026-11-22T11:00:00+01:00"),
        ("T-5m 08:00", "2026-06-22T08:00:00+02:00"),
        ("T-cel", "T-cel"),
        ("2019-02-09", "2019-02-09"),
    ],
)
def test_relative_dates(written: str, meant: str) -> None:
    from gateway.policy import ZONE

    assert _dated({"at": [written]}, NOW.astimezone(ZONE)) == {"at": [meant]}


def test_patients_carry_bsn_system() -> None:
    first = held("gp-a", PERSONS[0])[0]
    assert first["identifier"] == [{"system": BSN_SYSTEM, "value": PERSONS[0].bsn}]
    assert first["generalPractitioner"][0]["reference"] == "PractitionerRole/gp-a-role"


def references(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["reference"]] if isinstance(node.get("reference"), str) else []
        return own + [found for value in node.values() for found in references(value)]
    return [found for value in node for found in references(value)] if isinstance(node, list) else []
