"""A reference in an answer leads somewhere: what only supports others can be read where they may be seen, and nowhere else."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

import pytest

from tests.gateway.charts import CHARTS, Json, condition, medication
from tests.gateway.world import GP, HOSPITAL, PHYSICIAN, Reply, World

SUPPORT: Final[list[Json]] = [
    {"resourceType": "Medication", "id": "x1", "code": {"text": "Ibuprofen 400"}},
    {"resourceType": "Organization", "id": "x2", "name": "Praktijk"},
    {"resourceType": "PractitionerRole", "id": "x3", "practitioner": {"reference": "Practitioner/x4"}},
    {"resourceType": "Practitioner", "id": "x4", "active": True},
    {"resourceType": "Location", "id": "x5", "name": "Kamer 1"},
]


def said(**other: Json) -> list[Json]:
    use = medication("u1", "g1", medicationReference={"reference": "Medication/x1"}, **other)
    del use["medicationCodeableConcept"]
    asserted = condition("c2", "g1", asserter={"reference": "PractitionerRole/x3"})
    stay = {
        "resourceType": "Encounter", "id": "e1", "status": "finished", "subject": {"reference": "Patient/g1"}, "class": {"code": "AMB"},
        "serviceProvider": {"reference": "Organization/x2"}, "location": [{"location": {"reference": "Location/x5"}}],
    }  # fmt: skip
    return [use, asserted, stay]


@pytest.fixture(scope="module")
def world() -> World:
    return World(charts={**CHARTS, "gp": [*CHARTS["gp"], *said(), *SUPPORT]})


def referred(reply: Reply) -> set[str]:
    """Every literal reference in an answer that is not the patient's own."""
    return {one for one in re.findall(r'"reference":"([^"]+/i[^"]+)"', reply.body.decode()) if "Patient/" not in one}


def test_every_reference_of_an_answer_can_be_followed(world: World) -> None:
    waiting, followed = {"MedicationStatement", "Condition", "Encounter"}, set[str]()
    found = {reference for type_ in waiting for reference in referred(world.search(type_))}
    while found:
        reference = found.pop()
        reply = world.get(reference)
        assert reply.status == 200, (reference, reply.body)
        followed.add(reference)
        found |= referred(reply) - followed
    assert {one.partition("/")[0] for one in followed} == {one["resourceType"] for one in SUPPORT}


@pytest.mark.parametrize("type_", [one["resourceType"] for one in SUPPORT])
def test_what_a_search_finds_can_be_read(world: World, type_: str) -> None:
    (item,) = world.search(type_).items
    read = world.get(f"{type_}/{item['id']}")
    assert read.status == 200
    assert {name for name in read.json if name != "meta"} == {name for name in item if name != "meta"}


def test_a_read_needs_the_scope_of_the_type_and_of_what_refers_to_it(world: World) -> None:
    (item,) = world.search("Medication").items
    for scopes, status in (
        ({"system/MedicationStatement.r"}, 403),
        ({"system/Medication.r"}, 404),
        ({"system/Medication.r", "system/MedicationStatement.r"}, 200),
    ):
        caller = replace(PHYSICIAN, scopes=frozenset(scopes), token_id=f"t{len(scopes)}-{status}")
        assert world.get(f"Medication/{item['id']}", caller).status == status, scopes


def test_what_is_refused_takes_what_supports_it_along() -> None:
    world = World(charts={**CHARTS, "gp": [*CHARTS["gp"], *said(), *SUPPORT]})
    (item,) = world.search("Medication").items
    unknown = world.get("Medication/i1-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")
    world.says("deny", GP)
    refused = world.get(f"Medication/{item['id']}")
    assert (refused.status, refused.code) == (unknown.status, unknown.code) == (404, "item-expired")
    assert HOSPITAL not in str(world.asked())
