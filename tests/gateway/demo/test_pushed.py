"""What is pushed in the region: the homes' files and the ambulance's documents say what the person files say, losses listed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.demo import nursing, transfer
from gateway.demo.facts import Person
from gateway.demo.persons import persons
from mappings.model import Loss, Origin, Translation
from mappings.translation import split, translate
from profiles.validation import validate

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
PERSONS = persons(NOW)
ORIGIN = Origin("90000701", "nursing-home", "2026-11-22T12:00:00Z")
NO_LINE = "no line of the map reads this"


def read(body: bytes, format_: str) -> Translation:
    made = translate(body, format_, ORIGIN)
    for resource in made.resources:
        assert [str(issue) for issue in validate(resource) if issue.is_error] == []
    return made


def texts(made: Translation, kind: str) -> list[str]:
    return sorted(one["code"]["text"] for one in made.resources if one["resourceType"] == kind)


def known(source: str) -> list[Person]:
    return [person for person in PERSONS if source in person.sources]


def test_two_nights_each_hold_everybody_and_lose_nothing() -> None:
    first, second = nursing.files(nursing.NIGHTLY, PERSONS, NOW)
    assert (NOW - first.at, NOW - second.at) == (timedelta(hours=29), timedelta(hours=5))
    yesterday, today = read(first.body, "csv"), read(second.body, "csv")
    assert (yesterday.losses, today.losses) == ((), ())
    assert yesterday.facts["coverage"] == today.facts["coverage"] == "full"
    assert len(split(second.body, "csv")) == len(known(nursing.NIGHTLY)) >= 2
    assert (texts(yesterday, "AllergyIntolerance"), texts(today, "AllergyIntolerance")) == (
        ["latex", "sulfonamide"],
        ["sulfonamide"],
    )
    weights = [str(one["valueQuantity"]["value"]) for one in today.resources if one["resourceType"] == "Observation"]
    assert sorted(weights) == ["54.20", "81.5", "83.0"], "digit for digit, with the comma of the file"


def test_the_feed_is_full_once_and_changes_after_and_its_last_night_is_missing() -> None:
    first, second = nursing.files(nursing.FEED, PERSONS, NOW)
    full, delta = read(first.body, "json"), read(second.body, "json")
    assert (full.facts["coverage"], delta.facts["coverage"]) == ("full", "delta")
    assert (full.losses, delta.losses) == ((), ())
    assert NOW - second.at > timedelta(hours=25)
    (medicine,) = [one for one in delta.resources if one["resourceType"] == "MedicationStatement"]
    assert medicine["status"] == "stopped"


def test_a_file_is_there_whole_and_as_old_as_it_is(tmp_path: Path) -> None:
    dropped = nursing.files(nursing.NIGHTLY, PERSONS, NOW)
    nursing.drop(tmp_path / "in", dropped)
    for one in dropped:
        file, marker = tmp_path / "in" / one.name, tmp_path / "in" / f"{one.name}.done"
        assert file.read_bytes() == one.body
        assert file.stat().st_mtime == marker.stat().st_mtime == one.at.timestamp()


def test_a_fact_a_home_has_no_row_for_is_an_error_not_a_loss() -> None:
    (person,) = [one for one in PERSONS if "everything present" in one.shows]
    fact = person.sources["hospital"].facts[-1]
    for write in (nursing._line, nursing._item):
        with pytest.raises(ValueError, match="Encounter"):
            write(fact)


def test_a_transfer_document_says_its_trip_for_whom_it_is_and_what_is_lost() -> None:
    (document,) = transfer.documents(PERSONS)
    made = read(document.raw, "cda")
    assert (made.facts["trip"], made.facts["contact"]) == ("07-2026-0012347-3", "true")
    assert b'<receivedOrganization><id root="2.16.528.1.1007.3.3" extension="90000202"/>' in document.raw
    kinds = [one["resourceType"] for one in made.resources]
    assert {"Condition", "MedicationAdministration", "AllergyIntolerance", "Composition", "Encounter"} <= set(kinds)
    lost = {loss for loss in made.losses if loss.path != "ClinicalDocument.informationRecipient"}
    assert lost == {Loss("ClinicalDocument.author.time", "unmapped", NO_LINE)}
