"""Third-party resources behind FHIR servers that are asked: what a server gives comes out, or the record says why not."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable

import pytest

from profiles import exact
from profiles.identifiers import BSN_SYSTEM
from tests.real_inputs import corpus, ips
from tests.real_inputs.corpus import Json, owner
from tests.real_inputs.stand import Person, Source, Stand
from tests.slack import slack

pytestmark = [pytest.mark.real_inputs, pytest.mark.slow]

SECONDS = 2.0  # for anybody's data, through the whole line
MOST_PERSONS = 6  # of one source; with PROVE_ALL=1 all of them
R4_NAMES = {"ProcedureRequest": "ServiceRequest"}
# Types of the files that are no interaction of the gateway, and what the gateway makes one of for all sources.
NOT_SERVED = {"Claim", "Composition", "ExplanationOfBenefit", "ImagingStudy", "SupplyDelivery", "Patient"}


def persons(source: Source) -> list[Person]:
    """Everybody a server holds something about."""
    assert source.shelf is not None
    patients = [one for one in source.shelf.resources if one["resourceType"] == "Patient"]
    found = []
    for patient in corpus.sample(patients, MOST_PERSONS):
        numbers = {each.get("system"): each["value"] for each in patient["identifier"]}
        system = source.system if source.system in numbers else BSN_SYSTEM
        found.append(Person(source, system, numbers[system], patient["birthDate"], patient["id"]))
    return found


def named(kind: str, id_: str) -> str:
    """A resource of a server as the gateway names it: R4 types, the server's ids."""
    return f"{R4_NAMES.get(kind, kind)}/{id_}"


def natives(resources: Iterable[Json]) -> set[str]:
    """Where the items of an answer came from, in the names of their source."""
    return {one.get("meta", {}).get("source", "").partition("#")[2] for one in resources} - {""}


def searched(stand: Stand, patient: str, kinds: Iterable[str]) -> set[str]:
    """What searches for these types give about a patient."""
    return {name for kind in sorted(kinds) for name in natives(stand.search(kind, patient))}


@pytest.mark.parametrize("name", ["nl-core-360", "nl-core", "ips", "synthea", "bgz"])
def test_what_a_server_gives_comes_out_or_the_record_says_why(stand: Stand, name: str) -> None:
    source = stand.sources[name]
    assert source.shelf is not None
    for person in persons(source):
        stand.know(person)
        source.shelf.given.clear()
        began = time.perf_counter()
        answer = stand.summary(person)
        assert time.perf_counter() - began < SECONDS * slack(), name
        assert answer.status_code == 200, answer.text
        summary = exact.decode(answer.content)
        assert ips.faults(summary) == []
        held = [one for one in source.shelf.resources if owner(one) == person.local]
        kinds = {named(one["resourceType"], "").rstrip("/") for one in held} - NOT_SERVED
        shown = natives(entry["resource"] for entry in summary["entry"])
        shown |= searched(stand, stand.patient_id(summary), kinds)
        given = {named(kind, id_) for kind, id_ in source.shelf.given if kind != "Patient"}
        (asked,) = [one for one in stand.record(answer).custodians if one.source == name]
        assert {told for told in asked.states.values() if told.startswith("failed")} == set()
        assert len(given - shown) == len(asked.incidents), (given - shown, asked.incidents)
        _count(stand, name, [one for one in held if one["resourceType"] != "Patient"], given, shown)
        stand.count(name, "not mapped", asked.losses)
        for incident in asked.incidents:
            stand.count(name, f"refused: {incident}")


def _count(stand: Stand, name: str, held: list[Json], given: set[str], shown: set[str]) -> None:
    names = {named(one["resourceType"], one["id"]) for one in held}
    stand.count(name, "persons")
    stand.count(name, "went in", len(names))
    stand.count(name, "came out", len(names & shown))
    for kind, number in Counter(one.partition("/")[0] for one in names - shown - given).items():
        stand.count(name, f"no query of the dialect: {kind}", number)


def test_the_gateway_gives_what_the_qualification_asks_for_itself(stand: Stand) -> None:
    source = stand.sources["bgz"]
    assert source.shelf is not None
    queries = corpus.bgz_queries()
    for person in persons(source):
        stand.know(person)
        summary = exact.decode(stand.summary(person).content)
        wanted: set[str] = set()
        for kind, rest in queries:
            pairs = corpus.pairs(rest)
            if person.value not in rest:
                continue
            found = source.shelf.last(kind, pairs) if rest.startswith("/$lastn") else source.shelf.search(kind, pairs)
            wanted |= {
                named(one["resourceType"], one["id"]) for one in found.matches if one["resourceType"] != "Patient"
            }
        assert len(wanted) > 20
        assert wanted <= searched(stand, stand.patient_id(summary), {one.partition("/")[0] for one in wanted})


def test_what_no_query_asks_for_is_not_said_to_be_absent(stand: Stand) -> None:
    source = stand.sources["nl-core"]
    (person,) = [one for one in persons(source) if one.local == "nl-core-Patient-01"]
    stand.know(person)
    patient = stand.patient_id(exact.decode(stand.summary(person).content))
    for kind in ("Goal", "Coverage", "RelatedPerson"):
        assert source.shelf is not None
        assert any(one["resourceType"] == kind for one in source.shelf.resources)
        answer = stand.send("GET", f"{kind}?patient={patient}")
        assert answer.status_code == 200
        bundle = exact.decode(answer.content)
        codes = [
            each["details"]["coding"][0]["code"] for entry in bundle["entry"] for each in entry["resource"]["issue"]
        ]
        assert (bundle["total"], "source-failed" in codes) == (0, True), kind
