"""Who treats whom: told over HTTP, counted by agreements that ask it, and over when it is said to be (rule C8)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from gateway.fhir.interactions import RELATION_TYPES
from gateway.intake.relations import TYPES, table
from tests.gateway.charts import BSN, BSN_SYSTEM, OTHER_BSN, Json
from tests.gateway.world import GP, HOSPITAL, PHYSICIAN, POST, SETTINGS, STRANGER, Reply, World, custodian

pytestmark = pytest.mark.slow

URA = "http://fhir.nl/fhir/NamingSystem/ura"


def region(*relations: str, **more: Any) -> World:
    """A region whose one agreement is for who treats the patient."""
    pull = {**SETTINGS["agreements"][0], "relations": list(relations)}
    return World(settings={"agreements": [pull, *SETTINGS["agreements"][1:]]} | more)


def organization(ura: str) -> Json:
    return {"identifier": {"system": URA, "value": ura}}


def of(bsn: str = BSN) -> Json:
    return {"identifier": {"system": BSN_SYSTEM, "value": bsn}}


def care_team(*uras: str, **other: Any) -> Json:
    members = [{"member": organization(ura)} for ura in uras or (POST,)]
    return {"resourceType": "CareTeam", "status": "active", "subject": of(), "participant": members, **other}


def encounter(ura: str = POST, **other: Any) -> Json:
    kind = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "EMER"}
    return {"resourceType": "Encounter", "status": "in-progress", "class": kind, "subject": of(),
            "serviceProvider": organization(ura), **other}  # fmt: skip


def episode(ura: str = POST, **other: Any) -> Json:
    return {"resourceType": "EpisodeOfCare", "status": "active", "patient": of(), "managingOrganization": organization(ura),
            **other}  # fmt: skip


def seen(world: World) -> bool:
    """Does the post see what the GP holds?"""
    reply = world.search("Condition")
    assert reply.status in (200, 403)
    return reply.status == 200 and bool(reply.items)


@pytest.mark.parametrize(
    ("kind", "told"), [("care-team", care_team()), ("contact", encounter()), ("contact", episode())]
)
def test_a_custodian_tells_who_treats_its_patient(kind: str, told: Json) -> None:
    world = region(kind)
    assert not seen(world), "control: nothing was told"
    made = world.post(told["resourceType"], told, custodian(GP))
    assert made.status == 201, made.body
    assert made.json["id"].startswith("relation-")
    assert BSN not in made.body.decode()
    assert seen(world)
    record = next(one for one in world.records if one.interaction == "create" and one.kind == "outcome")
    assert (record.reasons, record.patient, record.organization) == ((kind,), world.patient, GP)


def test_it_counts_for_the_data_of_who_told_it() -> None:
    world = region("care-team")
    world.post("CareTeam", care_team(), custodian(HOSPITAL))
    assert not seen(world), "the hospital speaks for the hospital"
    assert world.search("Observation").items


def test_another_kind_or_patient_or_organization_does_not_count() -> None:
    for kind, told in (
        ("contact", care_team()),
        ("care-team", encounter()),
        ("care-team", {**care_team(), "subject": of(OTHER_BSN)}),
        ("care-team", care_team(STRANGER)),
    ):
        world = region(kind)
        assert world.post(told["resourceType"], told, custodian(GP)).status == 201
        assert not seen(world)


def test_what_has_ended_ends_at_once_and_a_contact_counts_a_while_after() -> None:
    world = region("care-team", "contact", consent={"contact": {"unended": "30d", "after": "2d"}})
    team = world.post("CareTeam", care_team(), custodian(GP))
    assert seen(world)
    ended = world.request(
        "PUT", f"CareTeam/{team.json['id']}", custodian(GP), body={**team.json, "status": "inactive"},
        headers={"if-match": 'W/"1"'},
    )  # fmt: skip
    assert (ended.status, ended.header("etag")) == (200, 'W/"2"')
    assert not seen(world)
    today = {"period": {"start": "2026-03-01", "end": "2026-03-02T11:00:00+01:00"}}
    assert world.post("Encounter", {**encounter(status="finished"), **today}, custodian(GP)).status == 201
    assert seen(world)
    world.clock.advance(timedelta(days=2, hours=1))
    assert not seen(world)


@pytest.mark.parametrize(
    ("period", "counts"),
    [
        ({"start": "2026-03-02"}, True),
        ({"start": "2026-03-03"}, False),
        ({"start": "2025-01", "end": "2026-03"}, True),
        ({"start": "2025", "end": "2026-03-01"}, False),
    ],
)
def test_the_window_is_that_of_the_period(period: Json, counts: bool) -> None:
    whole, member = region("care-team"), region("care-team")
    whole.post("CareTeam", care_team(period=period), custodian(GP))
    member.post("CareTeam", care_team(participant=[{"member": organization(POST), "period": period}]), custodian(GP))
    assert (seen(whole), seen(member)) == (counts, counts)


def test_a_team_nobody_speaks_of_again_ends_after_the_term_of_the_region() -> None:
    world = region("care-team", consent={"care_team": {"unended": "10d"}})
    world.post("CareTeam", care_team(), custodian(GP))
    world.clock.advance(timedelta(days=9))
    assert seen(world)
    world.clock.advance(timedelta(days=2))
    assert not seen(world)


def test_c6_ones_own_word_counts_only_where_the_agreement_says_so() -> None:
    for kind, counts in (("contact", False), ("care-team", False), ("own-contact", True)):
        world = region(kind)
        assert world.post("Encounter", encounter(), PHYSICIAN).status == 201
        assert seen(world) is counts
    world.clock.advance(timedelta(days=1, minutes=1))
    assert not seen(world), "for a day"


def test_a_relation_opens_nothing_the_patient_refuses() -> None:
    world = region("care-team")
    world.post("CareTeam", care_team(), custodian(GP))
    world.says("deny", GP)
    assert not seen(world)


def wrong() -> list[tuple[Json, str]]:
    return [
        (care_team(status="on"), "CareTeam.status"),
        (care_team(participant=[]), "CareTeam.managingOrganization"),
        (care_team("90009999"), "CareTeam.managingOrganization"),
        (care_team(period={"start": "last week"}), "CareTeam.period"),
        (care_team(period={"start": "2026-03-03", "end": "2026-02-01"}), "CareTeam.period"),
        ({**encounter(), "subject": {"reference": "Patient/1"}}, "Encounter.subject.reference"),
        ({name: value for name, value in episode().items() if name != "patient"}, "EpisodeOfCare.patient"),
    ]


@pytest.mark.parametrize(("told", "where"), wrong())
def test_what_cannot_be_understood_is_refused_with_the_element(told: Json, where: str) -> None:
    world = region("care-team")
    reply = world.post(told["resourceType"], told, custodian(GP))
    assert (reply.status, reply.json["issue"][0]["expression"]) == (422, [where]), reply.body
    assert not seen(world)


def refused(reply: Reply) -> tuple[int, str]:
    return reply.status, reply.code


def test_nobody_else_reads_or_ends_it() -> None:
    world = region("care-team")
    made = world.post("CareTeam", care_team(), custodian(GP)).json
    path, version = f"CareTeam/{made['id']}", {"if-match": 'W/"1"'}
    assert world.get(path, custodian(GP)).json["status"] == "active", "control"
    for caller in (PHYSICIAN, custodian(HOSPITAL)):
        assert refused(world.get(path, caller)) == (404, "not-found")
        assert refused(world.request("PUT", path, caller, body=made, headers=version)) == (404, "not-found")
    assert refused(world.request("PUT", path, custodian(GP), body=made)) == (409, "conflict")
    other = {**made, "subject": of(OTHER_BSN)}
    assert world.request("PUT", path, custodian(GP), body=other, headers=version).status == 422
    read_only = replace(custodian(GP), scopes=frozenset({"system/*.rs"}), token_id="rs")
    assert refused(world.post("CareTeam", care_team(), read_only)) == (403, "scope-insufficient")
    pharmacist = replace(custodian(GP), requester=replace(custodian(GP).requester, role="04.000"), token_id="role")
    assert world.post("CareTeam", care_team(), pharmacist).status == 403


def test_what_is_routed_is_what_is_known() -> None:
    assert tuple(table()) == TYPES == RELATION_TYPES


def test_a_register_that_is_down_names_nobody() -> None:
    world = region("care-team")
    world.post("CareTeam", care_team(), custodian(GP))
    assert seen(world), "control"
    world.relations.broken = True
    assert not seen(world)


def test_the_preflight_knows_it_too() -> None:
    world = region("care-team")
    before = world.get(f"Patient/{world.patient}/$can-access").json
    world.post("CareTeam", care_team(), custodian(GP))
    after = world.get(f"Patient/{world.patient}/$can-access").json
    assert before != after
