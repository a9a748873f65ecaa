"""The organizations of the simulated region, and the record each holds of the persons in its own dialect."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from gateway.demo import r4, stu3
from gateway.demo.elements import Holder, Json, Record
from gateway.demo.facts import Person
from gateway.demo.persons import document
from gateway.demo.search import Records


@cache
def region_tables() -> dict[str, Any]:
    """The organizations, sources, agreements and clients of the region."""
    tables: dict[str, Any] = document("organizations.yaml")
    return tables


def holder(source: str) -> Holder:
    """One organization that holds a record, and who answers for it."""
    row, organization = region_tables()["sources"][source], region_tables()["organizations"][source]
    return Holder(
        source,
        "stu3" if row["kind"] == "fhir-stu3" else "r4",
        organization["ura"],
        organization["name"],
        row["practitioner"],
        row["uzi"],
        row["role"],
        row.get("number_system", ""),
    )


def resources(source: str, persons: Sequence[Person]) -> list[Json]:
    """Everything an organization holds, in its own dialect."""
    of = holder(source)
    write = r4 if of.version == "r4" else stu3
    found: list[Json] = write.staff(of)
    for position, person in enumerate(persons, start=1):
        if source in person.sources:
            found += write.record(Record(of, person, person.sources[source], f"{source}-{position:03d}"))
    return found


def charts(source: str, persons: Sequence[Person]) -> dict[str, Record]:
    """What an organization holds of each person, by BSN."""
    of = holder(source)
    return {
        person.bsn: Record(of, person, person.sources[source], f"{source}-{position:03d}")
        for position, person in enumerate(persons, start=1)
        if source in person.sources and person.bsn
    }


def records(source: str, persons: Sequence[Person]) -> Records:
    """What an organization holds, ready to be searched."""
    return Records(holder(source).version, resources(source, persons))
