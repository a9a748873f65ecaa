"""`$validate` over HTTP, the two phases with a terminology server, and the quality table of the sources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from gateway.intake.quality import QualityBook, table
from gateway.metrics import Metrics
from gateway.model import CANONICAL
from gateway.routes.fhir import FhirApp
from profiles.exact import Json
from profiles.judgement import judge
from profiles.library import shipped
from profiles.terminology import Question
from tests.gateway.charts import allergy, person
from tests.gateway.world import GP, PHYSICIAN, World, run
from tests.profiles.examples import OBSERVATION, PATIENT, changed

pytestmark = pytest.mark.slow
CODE = "http://nictiz.nl/fhir/StructureDefinition/nl-core-LaboratoryTestResult"
LAB = changed(
    OBSERVATION,
    valueQuantity={"value": 7, "unit": "mmol/l", "system": "http://unitsofmeasure.org", "code": "mmol/L"},
    subject={"reference": "Patient/p1"},
    performer=...,
    component=...,
)


def equip(world: World, **more: Any) -> None:
    """Give the world a port it has not by default."""
    world.ports = replace(world.ports, **more)
    world.app = FhirApp(world.ports, Metrics())


def said(reply: Any, severity: str = "error") -> list[tuple[str, str]]:
    return [
        (one["details"]["coding"][0]["code"], one.get("expression", [""])[0])
        for one in reply.json["issue"]
        if one["severity"] == severity and "coding" in one["details"]
    ]


def test_the_answer_is_an_outcome_whatever_it_says() -> None:
    world = World()
    good = world.post("Patient/$validate", PATIENT)
    bad = world.post("Patient/$validate", changed(PATIENT, gender="x"))
    assert (good.status, bad.status) == (200, 200)
    assert said(good) == []
    assert said(bad) == [("binding", "Patient.gender")]
    assert world.asked() == []
    assert [(one.interaction, one.status) for one in world.records] == [("validate", 200)] * 2


def test_a_profile_is_asked_in_the_url_or_in_parameters() -> None:
    world = World()
    asked: list[Json] = [{"name": "resource", "resource": LAB}, {"name": "profile", "valueUri": CODE}]
    for reply in (
        world.post(f"Observation/$validate?profile={CODE}", LAB),
        world.post("Observation/$validate", {"resourceType": "Parameters", "parameter": asked}),
    ):
        assert said(reply, "information") == [("not-judged", "Observation.code")]
    unknown = world.post("Observation/$validate?profile=urn:nothing", LAB)
    assert said(unknown) == [("profile-asked-unknown", "Observation")]


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("Patient/$validate?mode=guess", PATIENT, 400, "invalid-parameter"),
        ("Patient/$validate?mode=profile", PATIENT, 400, "invalid-parameter"),
        ("Patient/$validate?deep=yes", PATIENT, 400, "unknown-parameter"),
        ("Patient/$validate", b"{", 415, "unsupported-media-type"),
        ("Nothing/$validate", PATIENT, 404, "not-found"),
    ],
)
def test_what_cannot_be_read_is_refused(path: str, body: Any, status: int, code: str) -> None:
    reply = World().post(path, body)
    assert (reply.status, reply.code) == (status, code)


def test_it_needs_a_token_with_a_scope_for_the_type() -> None:
    world = World()
    assert world.post("Patient/$validate", PATIENT, None).status == 401
    narrow = replace(PHYSICIAN, scopes=frozenset({"user/Observation.rs"}))
    reply = world.post("Patient/$validate", PATIENT, narrow)
    assert (reply.status, reply.code) == (403, "scope-insufficient")


def test_the_type_of_the_path_and_the_mode_count() -> None:
    world = World()
    assert ("profile-of-another-type", "resourceType") in said(world.post("Observation/$validate", PATIENT))
    assert ("mode-delete", "") in said(world.post("Patient/$validate?mode=delete", PATIENT))
    dutch = world.post("Patient/$validate", changed(PATIENT, gender="x"), accept_language="nl")
    assert "waardelijst" in dutch.json["issue"][0]["details"]["text"]


def test_the_statement_of_capabilities_is_valid_and_names_the_operation() -> None:
    statement = World().get("metadata", None).json
    assert [issue for issue in judge(statement, shipped()).issues if issue.is_error] == []
    types = {
        row["type"]
        for row in statement["rest"][0]["resource"]
        if any(one["name"] == "validate" for one in row.get("operation", ()))
    }
    assert {"Patient", "Bundle", "Composition"} <= types


class Server:
    """A terminology server that knows what it is told."""

    def __init__(self, answer: bool | None) -> None:
        self.answer = answer
        self.asked: list[Question] = []

    async def members(self, questions: Sequence[Question]) -> Mapping[Question, bool]:
        self.asked += questions
        return {} if self.answer is None else dict.fromkeys(questions, self.answer)


@pytest.mark.parametrize(("answer", "errors", "open_"), [(True, 0, 0), (False, 1, 0), (None, 0, 1)])
def test_codes_nobody_here_knows_are_asked_and_judged_again(answer: bool | None, errors: int, open_: int) -> None:
    world = World()
    server = Server(answer)
    equip(world, terminology=server)
    reply = world.post(f"Observation/$validate?profile={CODE}", LAB)
    assert [question.code for question in server.asked] == ["14749-6"]
    assert len(said(reply)) == errors
    assert len(said(reply, "information")) == open_


def test_items_of_sources_are_counted_after_the_answer_and_never_hidden() -> None:
    world = World()
    book = QualityBook(world.clock)
    equip(world, quality=book)
    reply = world.search()
    assert reply.status == 200
    shown = len(reply.items)
    assert shown

    async def look() -> None:
        await book.drain()

    run(look())
    assert sum(source.checked for source in book.sources.values()) >= shown
    again = world.search()
    assert len(again.items) == shown
    before = sum(source.checked for source in book.sources.values())
    run(look())
    assert sum(source.checked for source in book.sources.values()) == before, "each version is looked at once"


def test_an_item_that_breaks_its_profile_is_marked_from_then_on() -> None:
    bent = allergy(
        "a9",
        meta={"profile": ["http://nictiz.nl/fhir/StructureDefinition/nl-core-AllergyIntolerance"]},
        identifier=[{"use": "old"}, {"system": "http://fhir.nl/fhir/NamingSystem/bsn", "value": "999990011"}],
    )
    world = World(charts={"gp": [person(), allergy(), bent]}, known_at=(GP,))
    book = QualityBook(world.clock)
    equip(world, quality=book)
    first = world.search()
    assert not [entry for entry in first.json["entry"] if "extension" in entry]
    run(book.drain())
    (unsound,) = {source.invalid for source in book.sources.values()}
    again = world.search()
    assert len(again.items) == len(first.items)
    said = [entry["extension"] for entry in again.json["entry"] if "extension" in entry]
    assert said == [[{"url": f"{CANONICAL}/StructureDefinition/mark", "valueCode": "profile"}]] * unsound
    assert unsound


def test_documents_that_go_out_are_sampled() -> None:
    world = World()
    book = QualityBook(world.clock)
    equip(world, quality=book)
    for _ in range(3):
        assert world.summary().status == 200
    run(book.drain())
    assert book.sources["gateway"].checked == 1
    assert book.sources["gateway"].invalid == 0, book.sources["gateway"].rows
    assert [row["source"] for row in table(run(book.found("99999999")))["sources"]] == ["gateway"], "it is nobody's own"


def test_the_table_shows_only_the_sources_of_ones_own_organization() -> None:
    world = World()
    book = QualityBook(world.clock)
    equip(world, quality=book)
    world.search()
    run(book.drain())
    custodians = {source.custodian for source in book.sources.values()}
    for ura in custodians:
        assert {row["custodian"] for row in table(run(book.found(ura)))["sources"]} == {ura}
    assert table(run(book.found("99999999")))["sources"] == []
    text = repr(table(run(book.found())))
    assert world.patient not in text
