"""The GP's FHIR server over a real socket: who asks is verified and logged, search is strict, pages end."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import urlencode

import pytest

from gateway.clock import SystemClock
from gateway.crypto import jose
from gateway.demo.context import Asker
from gateway.demo.fhir_server import FhirServer, Manner
from profiles import exact
from tests.gateway.demo.stand import BSN, FORM, WHO, Asked, ids, running, types

pytestmark = [pytest.mark.anyio, pytest.mark.network]

FIRST = "999990019"
PROFILE = "http://nictiz.nl/fhir/StructureDefinition/"


async def test_a_patient_is_found_by_bsn_in_the_body_and_then_by_profile(asked: Asked) -> None:
    gateway, region = asked.gateway, asked.region
    found = await asked.http.post(
        asked.base("gp-a") + "/Patient/_search", data={"identifier": f"{BSN}|{FIRST}"}, headers=gateway.headers("gp-a")
    )
    assert found.status_code == 200
    (patient,) = ids(found.json())
    query = {
        "patient": f"Patient/{patient}",
        "_include": "MedicationStatement:medication",
        "_profile": f"{PROFILE}mp-MedicationUse2,{PROFILE}zib-MedicationUse",
    }
    use = (await asked.get("gp-a", f"/MedicationStatement?{urlencode(query)}")).json()
    assert types(use) == ["MedicationStatement"] * 3 + ["Medication"] * 3
    assert [entry["search"]["mode"] for entry in use["entry"]] == ["match"] * 3 + ["include"] * 3
    assert use["total"] == 3
    assert FIRST not in str(use)
    (role,) = [one["generalPractitioner"][0]["reference"] for one in [found.json()["entry"][0]["resource"]]]
    read = await asked.get("gp-a", f"/{role}")
    assert read.json()["resourceType"] == "PractitionerRole"
    assert len(region.organizations["gp-a"].access_log) == 3


async def test_the_log_says_who_asked_and_holds_no_patient(asked: Asked) -> None:
    gateway, region = asked.gateway, asked.region
    headers = gateway.headers("gp-a", case="case-7", responsible="900009099")
    await asked.http.post(
        asked.base("gp-a") + "/Patient/_search", data={"identifier": f"{BSN}|{FIRST}"}, headers=headers
    )
    (entry,) = region.organizations["gp-a"].access_log
    assert entry.asker == Asker("90000201", "900009011", "01.071", "behandeling", "case-7")
    assert (entry.method, entry.path, entry.responsible) == ("POST", "/fhir/Patient/_search", "900009099")
    assert (entry.request_id, entry.facility_type) == ("request-1", "V4")
    assert FIRST not in repr(entry)
    with pytest.raises(AttributeError):
        entry.path = "/"  # type: ignore[misc]


async def test_the_metadata_is_open_and_says_what_can_be_searched(asked: Asked) -> None:
    region = asked.region
    statement = (await asked.get("gp-a", "/metadata")).json()
    assert statement["fhirVersion"] == "4.0.1"
    rows = {row["type"]: [one["name"] for one in row["searchParam"]] for row in statement["rest"][0]["resource"]}
    assert "patient" in rows["AllergyIntolerance"]
    assert region.organizations["gp-a"].access_log == ()


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "hospital"},
        {"iss": "https://elsewhere.example"},
        {"exp": 1},
        {"iat": 1},
        {"jti": ""},
        {"subject_organization_id": "123"},
        {"purpose_of_use": ""},
        {"purpose_of_use": ["a", "b"]},
        {"request_id": ""},
    ],
)
async def test_a_context_that_is_not_right_is_refused(asked: Asked, changes: dict[str, Any]) -> None:
    gateway, region = asked.gateway, asked.region
    claims = {"aud": "gp-a", **WHO, **changes}
    answer = await asked.http.get(
        asked.base("gp-a") + "/Flag?patient=Patient/x", headers={"X-ZV-Context": gateway.sign(claims)}
    )
    assert answer.status_code == 401
    assert answer.json()["resourceType"] == "OperationOutcome"
    assert region.organizations["gp-a"].access_log == ()


async def test_a_context_needs_the_right_type_key_and_a_short_life(asked: Asked) -> None:
    gateway, region = asked.gateway, asked.region
    now = int(SystemClock().now().timestamp())
    claims = {"aud": "gp-a", **WHO}
    for token in (
        "",
        "not a token",
        gateway.sign(claims, typ="JWT"),
        gateway.sign(claims, key=jose.new_key("ES256")),
        gateway.sign(claims, kid="gateway-9"),
        gateway.sign(claims | {"exp": now + 600}),
    ):
        answer = await asked.http.get(asked.base("gp-a") + "/Flag?patient=Patient/x", headers={"X-ZV-Context": token})
        assert answer.status_code == 401
    assert region.organizations["gp-a"].access_log == ()


async def test_a_context_serves_the_queries_of_one_question_and_none_of_them_twice(asked: Asked) -> None:
    gateway = asked.gateway
    headers = gateway.headers("gp-a")
    assert (
        await asked.http.get(asked.base("gp-a") + "/Flag?patient=Patient/gp-a-001", headers=headers)
    ).status_code == 200
    assert (
        await asked.http.get(asked.base("gp-a") + "/Condition?patient=Patient/gp-a-001", headers=headers)
    ).status_code == 200
    assert (
        await asked.http.get(asked.base("gp-a") + "/Flag?patient=Patient/gp-a-001", headers=headers)
    ).status_code == 401


async def test_pages_are_followed_to_the_end_without_a_patient_in_the_link(asked: Asked) -> None:
    gateway = asked.gateway
    query = urlencode(
        {"patient": "Patient/gp-a-001", "_profile": f"{PROFILE}nl-core-LaboratoryTestResult", "_count": "4"}
    )
    url, found, pages = f"{asked.base('gp-a')}/Observation?{query}", list[str](), 0
    while url:
        page = (await asked.http.get(url, headers=gateway.headers("gp-a"))).json()
        assert page["total"] == 11
        found += ids(page)
        pages += 1
        links = {link["relation"]: link["url"] for link in page["link"]}
        url = links.get("next", "")
        assert "patient" not in url
    assert pages == 3
    assert len(set(found)) == 11


async def test_a_page_belongs_to_the_organization_that_searched(asked: Asked) -> None:
    gateway = asked.gateway
    page = (await asked.get("gp-a", "/Observation?patient=Patient/gp-a-001&_count=1")).json()
    following = next(link["url"] for link in page["link"] if link["relation"] == "next")
    other = gateway.headers("gp-a", subject_organization_id="90000501")
    assert (await asked.http.get(following, headers=other)).status_code == 410
    assert (await asked.http.get(following, headers=gateway.headers("gp-a"))).status_code == 200


@pytest.mark.parametrize(
    "query",
    [
        f"identifier={BSN}|{FIRST}",
        f"identifier={FIRST}",
        f"identifier=http%3A%2F%2Ffhir.nl%2Ffhir%2FNamingSystem%2Fbsn%7C{FIRST}",
        f"_id={FIRST}",
    ],
)
async def test_a_bsn_in_the_url_is_refused(asked: Asked, query: str) -> None:
    region = asked.region
    answer = await asked.get("gp-a", f"/Patient?{query}")
    assert answer.status_code == 400
    assert FIRST not in answer.text
    assert (await asked.get("gp-a", f"/Patient/{FIRST}")).status_code == 400
    assert region.organizations["gp-a"].access_log == ()


@pytest.mark.parametrize(
    "path",
    [
        "/AllergyIntolerance?patient=Patient/gp-a-001&colour=blue",
        "/AllergyIntolerance",
        "/AllergyIntolerance?code=http://snomed.info/sct|372687004",
        "/Spaceship?patient=Patient/gp-a-001",
        "/MedicationStatement?patient=Patient/gp-a-001&_include=MedicationStatement:moon",
        "/Observation?patient=Patient/gp-a-001&_sort=colour",
        "/Condition/$lastn?patient=Patient/gp-a-001",
    ],
)
async def test_what_is_not_known_is_refused(asked: Asked, path: str) -> None:
    assert (await asked.get("gp-a", path)).status_code == 400


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("/AllergyIntolerance?patient=Patient/gp-a-001", 2),
        ("/AllergyIntolerance?patient=gp-a-001&code=http://snomed.info/sct|372687004", 1),
        ("/Observation?patient=Patient/gp-a-001&code=http://loinc.org|85354-9,http://loinc.org|29463-7", 3),
        ("/Observation?patient=Patient/gp-a-001&category=vital-signs&date=lt2000", 0),
        ("/Observation/$lastn?patient=Patient/gp-a-001&code=http://loinc.org|85354-9", 1),
        ("/Observation/$lastn?patient=Patient/gp-a-001&category=laboratory", 8),
        ("/Encounter?patient=Patient/gp-a-001&class=AMB", 2),
        ("/Condition?patient=Patient/nobody", 0),
        ("/Observation?patient=Patient/gp-a-001&code=http://snomed.info/sct|422834003", 0),
    ],
)
async def test_searches(asked: Asked, query: str, count: int) -> None:
    answer = await asked.get("gp-a", query)
    assert answer.status_code == 200, answer.text
    assert answer.json()["total"] == count
    assert ("entry" in answer.json()) == (count > 0)


async def test_counts_sorting_and_missing_resources(asked: Asked) -> None:
    gateway = asked.gateway
    only = await asked.get("gp-a", "/Condition?patient=Patient/gp-a-001&_summary=count")
    assert only.json() == {"resourceType": "Bundle", "type": "searchset", "total": 3}
    newest = await asked.get(
        "gp-a", "/Observation?patient=Patient/gp-a-001&code=http://loinc.org|85354-9&_sort=-date&_count=1"
    )
    assert ids(newest.json()) == ["gp-a-001-bloeddruk-1"]
    assert (await asked.get("gp-a", "/Condition/no-such")).status_code == 404
    plain = {"Content-Type": "text/plain", **gateway.headers("gp-a")}
    assert (
        await asked.http.post(asked.base("gp-a") + "/Patient/_search", content="identifier=x", headers=plain)
    ).status_code == 400


async def test_digits_survive_the_wire(asked: Asked) -> None:
    answer = await asked.get("gp-a", f"/Observation?patient=Patient/gp-a-{asked.number('unit traps')}")
    values = {str(entry["resource"]["valueQuantity"]["value"]) for entry in exact.decode(answer.content)["entry"]}
    assert {"82.50", "5.50", "88", "1.50"} == values


@pytest.mark.slow
async def test_gp_b_is_slow_and_sometimes_fails_for_its_own_patients_only() -> None:
    async with running(manners={"gp-b": Manner(delay=0.1, fail_every=3)}) as asked:
        loop = asyncio.get_running_loop()
        patient = f"Patient/gp-b-{asked.number('is slow')}"
        began = loop.time()
        answers = [
            await asked.get("gp-b", f"/{kind}?patient={patient}")
            for kind in ("Condition", "Flag", "AllergyIntolerance", "Encounter")
        ]
        assert [answer.status_code for answer in answers] == [200, 200, 500, 200]
        assert loop.time() - began >= 0.4
        server = asked.region.organizations["gp-b"].server
        assert isinstance(server, FhirServer)
        asked_before = server.asked
        unknown = await asked.post("gp-b", "/Patient/_search", {"identifier": f"{BSN}|{FIRST}"})
        assert unknown.json()["total"] == 0
        assert server.asked == asked_before


async def test_form_type_is_needed(asked: Asked) -> None:
    gateway = asked.gateway
    headers = {"Content-Type": f"{FORM}; charset=utf-8", **gateway.headers("gp-a")}
    body = urlencode({"identifier": f"{BSN}|{FIRST}"})
    assert (await asked.http.post(asked.base("gp-a") + "/Patient/_search", content=body, headers=headers)).json()[
        "total"
    ] == 1
