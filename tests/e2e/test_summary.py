"""The summary of every person of the demo says what the person is there to show, and is a valid document."""

from __future__ import annotations

import html
import json
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mappings.translation import formats
from profiles import exact
from profiles.validation import validate
from tests.e2e.running import SECTION_SOURCE, Demo, Json, code, of_type, parameters
from tests.rows import rows

pytestmark = [pytest.mark.slow, pytest.mark.network]

EXPECTED: Json = rows(Path(__file__).with_name("summaries.yaml"))
PERSONS: list[Json] = EXPECTED["persons"]
ANSWERED = [person for person in PERSONS if "status" not in person]
NAMES: dict[str, str] = EXPECTED["sources"]
CODES: dict[str, str] = EXPECTED["sections"]
REQUIRED = {"10160-0": "MedicationStatement", "48765-2": "AllergyIntolerance", "11450-4": "Condition"}  # by IPS
PUSHED = {"90000301", "90000701", "90000702"}  # nobody tells a feed who reads what it pushed
FIXED = "er kunnen gegevens zijn die u niet ziet"


def sections(bundle: Json) -> dict[str, Json]:
    return {section["code"]["coding"][0]["code"]: section for section in of_type(bundle, "Composition")[0]["section"]}


def states(section: Json) -> set[tuple[str, str]]:
    """(source, state) as the extension tells them."""
    found = set()
    for told in section.get("extension", ()):
        if told["url"] == SECTION_SOURCE:
            parts = {part["url"]: part for part in told["extension"]}
            name = parts["source"]["valueReference"]["display"] if "source" in parts else ""
            found.add((name, parts["state"]["valueCode"]))
    return found


def plain(markup: str) -> str:
    """The words of a narrative or page, with spaces and colons as a reader sees them."""
    bare = re.sub(r"<style.*?</style>", " ", markup, flags=re.DOTALL)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", bare))).strip()


def narrative(bundle: Json) -> str:
    composition = of_type(bundle, "Composition")[0]
    return plain(" ".join(part["text"]["div"] for part in (composition, *composition["section"])))


def wanted(told: Json) -> set[tuple[str, str]]:
    found = set()
    for source, state in told.items():
        if source in NAMES:
            found |= {(NAMES[source], one) for one in ([state] if isinstance(state, str) else state)}
    return found


def test_every_person_of_the_demo_is_expected_here(demo: Demo) -> None:
    for listed in demo.said["patients"]:
        assert len([words for words in [person["person"] for person in PERSONS] if words in listed["shows"]]) == 1, (
            listed["shows"]
        )
    assert len(PERSONS) == len(demo.said["patients"])


@pytest.mark.parametrize("person", PERSONS, ids=lambda person: person["person"])
def test_the_summary_says_what_the_person_shows(demo: Demo, person: Json) -> None:
    got = demo.once(person["person"])
    assert got.status_code == person.get("status", 200)
    for words in person.get("never", ()):
        assert words not in (got.text if "status" in person else narrative(got.json())), words
    if "status" in person:
        assert code(got) == person["code"]
        return
    bundle = got.json()
    assert FIXED in narrative(bundle)  # rule A2: on every summary
    told = narrative(bundle)
    missing = [words for words in person.get("says", ()) if words not in told and words not in told.replace(": ", " ")]
    assert missing == []
    for digits in person.get("exact", ()):
        assert re.search(re.escape(digits) + r"(?![\d.])", got.text), digits


@pytest.mark.parametrize("person", ANSWERED, ids=lambda person: person["person"])
def test_every_section_tells_the_state_of_every_source(demo: Demo, person: Json) -> None:
    bundle = demo.once(person["person"]).json()
    found = sections(bundle)
    unchecked = person.get("unchecked", ())
    for key, expected in person["sections"].items():
        section = found[CODES[key]]
        assert wanted(expected) <= states(section), (key, states(section))
        if "entries" in expected:
            assert len(section.get("entry", ())) == expected["entries"], key
        if "empty" in expected:
            assert section["emptyReason"]["coding"][0]["code"] == expected["empty"], key
        if "complete" in expected:
            assert plain(section["text"]["div"]).startswith(expected["complete"] + " "), (
                key,
                plain(section["text"]["div"])[:80],
            )
    names = {NAMES[source] for source in person["asked"]}
    for number, section in found.items():
        assert {name for name, _ in states(section)} - {""} <= names, number
        if number == "completeness" or unchecked == "all" or number in unchecked:
            continue
        if number not in {CODES[key] for key in person["sections"]}:
            otherwise = wanted(person.get("otherwise", dict.fromkeys(person["asked"], "unknown")))
            assert states(section) <= otherwise, (number, states(section))
            assert states(section)
    for key, concept in person.get("no_entry", {}).items():
        linked = {entry["reference"] for entry in found[CODES[key]].get("entry", ())}
        for one in of_type(bundle, "AllergyIntolerance"):
            if f"AllergyIntolerance/{one['id']}" in linked:
                assert concept not in json.dumps(one["code"])


@pytest.mark.parametrize("person", ANSWERED, ids=lambda person: person["person"])
def test_the_page_says_it_too(demo: Demo, person: Json) -> None:
    got = demo.once(person["person"], "text/html")
    assert got.status_code == 200
    assert got.headers["content-type"] == "text/html; charset=utf-8"
    page = plain(got.text)
    assert FIXED in page
    assert [words for words in person.get("page", ()) if words not in page] == []
    assert [words for words in person.get("page_never", ()) if words in page] == []
    assert demo.person(person["person"])["identifier"]["value"] not in got.text


@pytest.mark.parametrize("person", ANSWERED, ids=lambda person: person["person"])
def test_the_document_is_valid(demo: Demo, person: Json) -> None:
    got = demo.once(person["person"])
    assert got.headers["content-type"].startswith("application/fhir+json")
    bundle = exact.decode(got.content)
    assert [issue for issue in validate(bundle) if issue.severity in {"error", "fatal"}] == []
    assert bundle["type"] == "document"
    assert {"identifier", "timestamp"} <= set(bundle)
    composition = bundle["entry"][0]["resource"]
    assert composition["resourceType"] == "Composition"
    assert composition["type"]["coding"][0]["code"] == "60591-5"
    urls = [entry["fullUrl"] for entry in bundle["entry"]]
    assert len(set(urls)) == len(urls)
    found = sections(bundle)
    assert set(REQUIRED) <= set(found)
    assert composition["section"][0]["code"]["coding"][0]["code"] == "completeness"
    for number, section in found.items():
        assert section["title"]
        assert section["text"]["div"].startswith("<div")
        assert not ("entry" in section and "emptyReason" in section), number
        if number in REQUIRED:
            assert section.get("entry") or section.get("emptyReason"), number


@pytest.mark.parametrize("person", ANSWERED, ids=lambda person: person["person"])
def test_another_library_reads_the_document(demo: Demo, person: Json) -> None:
    bundles = pytest.importorskip("fhir.resources.R4B.bundle", reason="fhir.resources is not installed")
    read = bundles.Bundle.model_validate_json(demo.once(person["person"]).text)
    assert read.entry[0].resource.get_resource_type() == "Composition"


def references(node: Any, owner: Json | None = None) -> Iterator[tuple[str, Json | None]]:
    """Every literal reference, with the resource it stands in."""
    if isinstance(node, list):
        for element in node:
            yield from references(element, owner)
    elif isinstance(node, dict):
        owner = node if "resourceType" in node and (owner is None or "contained" not in owner) else owner
        for name, value in node.items():
            if name == "reference" and isinstance(value, str):
                yield value, owner
            else:
                yield from references(value, owner)


@pytest.mark.parametrize("person", ANSWERED, ids=lambda person: person["person"])
def test_every_reference_leads_somewhere(demo: Demo, person: Json) -> None:
    """Spec: FHIR R4 bundle.html#references: relative to the fullUrl of the entry, else absolute."""
    bundle = demo.once(person["person"]).json()
    urls = {entry["fullUrl"] for entry in bundle["entry"]}
    for entry in bundle["entry"]:
        root = entry["fullUrl"].rpartition("/")[0].rpartition("/")[0]
        for reference, owner in references(entry["resource"]):
            if reference.startswith("#"):
                assert owner is not None
                assert reference[1:] in {one["id"] for one in entry["resource"].get("contained", ())}
            elif not reference.startswith(("http", "urn:")):
                assert f"{root}/{reference}" in urls or f"{demo.base}/{reference}" in urls, reference
            elif reference.startswith(("urn:uuid:", demo.base)):
                assert reference in urls, reference


@pytest.mark.parametrize("person", ANSWERED, ids=lambda person: person["person"])
def test_every_item_has_its_source_and_every_source_its_provenance(demo: Demo, person: Json) -> None:
    bundle = demo.once(person["person"]).json()
    items = {}
    for entry in bundle["entry"]:
        resource = entry["resource"]
        source = resource.get("meta", {}).get("source", "")
        if source.startswith("urn:roaz:"):
            items[f"{resource['resourceType']}/{resource['id']}"] = resource
            (custodian,) = [tag["code"] for tag in resource["meta"]["tag"] if tag["system"].endswith("/ura")]
            assert re.fullmatch(r"9000\d{4}", custodian)
            assert "lastUpdated" in resource["meta"]
            assert [one for one in resource["meta"]["extension"] if one["url"].endswith("/fetched-at")]
            assert not re.search(r"9999\d{5}", source)
    organizations = {f"Organization/{one['id']}": one for one in of_type(bundle, "Organization")}
    told: dict[str, str] = {}
    for provenance in of_type(bundle, "Provenance"):
        (author,) = [
            agent["who"]["reference"] for agent in provenance["agent"] if agent["type"]["coding"][0]["code"] == "author"
        ]
        ura = organizations["/".join(author.split("/")[-2:])]["identifier"][0]["value"]
        extensions = {one["url"].rpartition("/")[2]: one for one in provenance["extension"]}
        assert extensions["source-format"]["valueCode"] in formats()
        assert re.fullmatch(r".+\|\d+(\.\d+)*", extensions["map"]["valueString"])  # map and version
        assert extensions["requester-told"]["valueBoolean"] is (ura not in PUSHED)
        told |= dict.fromkeys((target["reference"] for target in provenance["target"]), ura)
    for name, item in items.items():
        custodian = next(tag["code"] for tag in item["meta"]["tag"] if tag["system"].endswith("/ura"))
        if item["resourceType"] not in {"Practitioner", "PractitionerRole", "Organization"}:
            assert told.get(name, told.get(f"{demo.base}/{name}")) == custodian, name


def test_by_id_is_the_same_summary(demo: Demo) -> None:
    person = demo.person("everything present")
    id_ = demo.patient_id(person)
    by_identifier = demo.once("everything present").json()
    for got in (
        demo.get(f"Patient/{id_}/$summary"),
        demo.post(f"Patient/{id_}/$summary", {"resourceType": "Parameters"}),
    ):
        assert got.status_code == 200
        bundle = got.json()
        assert of_type(bundle, "Patient")[0]["id"] == id_
        ids = [{(one["resource"]["resourceType"], one["resource"]["id"]) for one in found["entry"]
                if one["resource"].get("meta", {}).get("source", "").startswith("urn:roaz:")}
               for found in (bundle, by_identifier)]  # fmt: skip
        assert ids[0] == ids[1]


def test_the_birth_date_of_somebody_else_shows_nothing(demo: Demo) -> None:
    person = {**demo.person("a 15-year-old"), "birthDate": "1950-01-01"}
    got = demo.summary(person)
    assert got.status_code in {200, 409}
    assert "Puberstra" not in got.text
    assert "INSULINE" not in got.text
    if got.status_code == 409:
        assert code(got) == "patient-ambiguous"


def test_a_number_of_the_hospital_needs_the_birth_date(demo: Demo) -> None:
    person = demo.person("no BSN")
    asked = parameters(person)
    del asked["parameter"][1]
    refused = demo.post("Patient/$summary", asked)
    assert (refused.status_code, code(refused)) == (400, "identifier-invalid")
    wrong = demo.summary({**person, "birthDate": "1979-06-22"})
    assert "wespengif" not in wrong.text
    assert "Testsson" not in wrong.text


@pytest.mark.parametrize(
    ("profile", "status"),
    [
        ("http://hl7.org/fhir/uv/ips/StructureDefinition/Bundle-uv-ips", 200),
        ("", 200),
        ("https://nobody.example/profile", 400),
    ],
)
def test_a_profile_is_chosen_by_its_canonical(demo: Demo, profile: str, status: int) -> None:
    asked = parameters(demo.person("a 15-year-old"))
    if profile:
        asked["parameter"].append({"name": "profile", "valueCanonical": profile})
    got = demo.post("Patient/$summary", asked)
    assert got.status_code == status
    if status == 200:
        assert "http://hl7.org/fhir/uv/ips/StructureDefinition/Bundle-uv-ips" in got.json()["meta"]["profile"]


def test_two_summaries_are_two_documents(demo: Demo) -> None:
    first, second = (demo.summary(demo.person("a 15-year-old")).json()["identifier"]["value"] for _ in range(2))
    assert first != second
    for value in (first, second):
        uuid.UUID(value.removeprefix("urn:uuid:"))
