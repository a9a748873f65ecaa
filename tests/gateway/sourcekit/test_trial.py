"""`gateway source test`: every query of a dialect against the simulated organizations, in numbers only."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.adapters.dialects import dialect
from gateway.demo.hosting import Hosted
from gateway.demo.search import conformance
from profiles import exact
from tests.gateway.sourcekit.conftest import Kit

pytestmark = [pytest.mark.anyio, pytest.mark.network, pytest.mark.slow]

FIRST = "999990019"


def rows(told: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["query"]: row for row in told["queries"]}


def checks(told: dict[str, Any]) -> dict[str, str]:
    return {check["name"]: check["state"] for check in told["checks"]}


async def test_a_source_with_profile_queries(kit: Kit) -> None:
    code, told = await kit.test("gp-a")
    assert code == 0
    assert checks(told) == {"tls": "note", "metadata": "ok", "version": "ok", "token": "note"}
    found = rows(told)
    assert list(found) == [query.name for query in dialect("360@1.0").queries]
    assert all(row["state"] == "ok" for row in found.values())
    assert found["patient"]["mapped"] == 1
    assert found["allergies"]["items"] == found["allergies"]["mapped"] > 0
    assert found["laboratory"]["status"] == "200 200", "both pages are counted for their query"
    assert found["skin-disorders"]["items"] == 0


async def test_a_source_behind_its_own_token_endpoint(kit: Kit) -> None:
    code, told = await kit.test("hospital")
    assert code == 0
    assert checks(told)["token"] == "ok"
    assert len(rows(told)) == len(dialect("bgz-msz@2.0").queries)
    assert rows(told)["problems"]["mapped"] > 0


async def test_nothing_of_the_patient_is_said(kit: Kit) -> None:
    who = kit.file("patient", FIRST)
    words = ("test", "gp-a", "--config", str(kit.config), "--patient-file", str(who))
    person = kit.region.persons[0]
    code, out, err = await kit.run(*words)
    assert code == 0
    for secret in (FIRST, person.name.family, person.birthDate):
        assert secret not in out + err


async def test_who_asks_and_why_is_told_to_the_source(kit: Kit) -> None:
    await kit.test("gp-a", FIRST, "--requester", "90000202", "--purpose", "beheer", "--role", "01.071")
    asker = kit.region.organizations["gp-a"].access_log[-1].asker
    assert (asker.organization, asker.purpose, asker.role) == ("90000202", "beheer", "01.071")


async def test_a_person_is_never_tried(kit: Kit) -> None:
    for patient in ("123456782", "999990018", "", "http://nobody.example|1"):
        who = kit.file("patient", patient)
        code, out, err = await kit.run("test", "gp-a", "--config", str(kit.config), "--patient-file", str(who))
        assert code in {1, 2}, patient
        assert not out
        assert patient not in err or not patient
    assert not kit.region.organizations["gp-a"].access_log


async def test_a_number_of_the_custodian_is_a_test_patient_too(kit: Kit) -> None:
    system = "https://streekziekenhuis-oefenstad.example/patientnummer"
    code, told = await kit.test("hospital", f"{system}|unknown-there")
    assert code == 1
    assert checks(told)["patient"] == "wrong"


async def test_an_unknown_patient_proves_nothing(kit: Kit) -> None:
    code, told = await kit.test("gp-a", "999994888")
    assert code == 1
    assert checks(told)["patient"] == "wrong"
    assert {row["state"] for name, row in rows(told).items() if name != "patient"} == {"skipped"}


async def test_a_source_of_another_version(kit: Kit) -> None:
    def change(tree: dict[str, Any]) -> None:
        (hospital,) = (row for row in tree["sources"] if row["id"] == "hospital")
        hospital |= {"kind": "fhir-r4", "dialect": "r4-identifier@1.0"}

    kit.change(change)
    code, told = await kit.test("hospital")
    assert code == 1
    assert checks(told)["version"] == "wrong"


async def test_a_source_that_is_not_there(kit: Kit) -> None:
    await kit.region.organizations["gp-a"].hosted.stop()
    code, told = await kit.test("gp-a")
    assert code == 3
    assert checks(told)["metadata"] == "wrong"
    assert told["queries"] == []


async def test_a_token_endpoint_that_is_not_there(kit: Kit) -> None:
    def change(tree: dict[str, Any]) -> None:
        (hospital,) = (row for row in tree["sources"] if row["id"] == "hospital")
        hospital["auth"]["token_endpoint"] = "http://127.0.0.1:9/token"

    kit.change(change)
    code, told = await kit.test("hospital")
    assert code == 3
    assert checks(told)["token"] == "wrong"


async def test_a_feed_is_not_asked(kit: Kit) -> None:
    code, told = await kit.test("ambulance")
    assert (code, checks(told)["kind"], told["queries"]) == (0, "note", [])


async def test_an_inbox_is_looked_at(kit: Kit) -> None:
    row = {"id": "nursing", "custodian": "90000101", "kind": "inbox", "inbox": "drop"}
    kit.change(lambda tree: tree["sources"].append(row))
    assert (await kit.test("nursing"))[0] == 1
    (kit.config.parent / "drop").mkdir()
    assert (await kit.test("nursing"))[0] == 0


async def test_an_unknown_source_names_the_known_ones(kit: Kit) -> None:
    code, out, err = await kit.run("test", "gp-z", "--config", str(kit.config))
    assert (code, out) == (1, "")
    assert "gp-a" in err


def _lying(version: str, answer: dict[str, Any]) -> Starlette:
    """A server that declares everything and answers every search the same."""
    declared = [{"type": kind, "interaction": [{"code": "search-type"}]} for kind in conformance("r4")["parameters"]]
    statement = {"resourceType": "CapabilityStatement", "fhirVersion": version, "rest": [{"resource": declared}]}

    async def metadata(request: Request) -> Response:
        return Response(exact.encode(statement), media_type="application/fhir+json")

    async def search(request: Request) -> Response:
        return Response(exact.encode(answer), media_type="application/fhir+json")

    return Starlette(
        routes=[
            Route("/fhir/metadata", metadata),
            Route("/fhir/{type}/_search", search, methods=["POST"]),
            Route("/fhir/{type}", search),
        ]
    )


async def test_a_source_that_answers_about_somebody_else(kit: Kit) -> None:
    other = {"system": "http://fhir.nl/fhir/NamingSystem/bsn", "value": "999990020"}
    patient = {"resourceType": "Patient", "id": "other", "identifier": [other]}
    hosted = Hosted()
    await hosted.start(
        _lying("4.0.1", {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": patient}]})
    )

    def change(tree: dict[str, Any]) -> None:
        (gp,) = (row for row in tree["sources"] if row["id"] == "gp-a")
        gp["url"] = f"{hosted.base}/fhir"

    kit.change(change)
    try:
        code, told = await kit.test("gp-a")
    finally:
        await hosted.stop()
    assert code == 1
    assert rows(told)["patient"]["state"] == "wrong-patient"
    assert not any(row["mapped"] for row in rows(told).values())
