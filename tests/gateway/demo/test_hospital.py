"""The hospital: its own token endpoint, STU3 searches by code with the patient in the body."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx2
import pytest

from gateway.clock import SystemClock
from gateway.demo.oauth_server import LIFE_SECONDS
from tests.fakes import FixedClock
from tests.gateway.demo.stand import BSN, Asked, ids, running, types

pytestmark = [pytest.mark.anyio, pytest.mark.network]

FIRST = f"{BSN}|999990019"


def endpoint(asked: Asked) -> str:
    return asked.base("hospital").removesuffix("/fhir") + "/oauth/token"


async def ask_token(asked: Asked, form: dict[str, str] | None = None, **changes: Any) -> httpx2.Response:
    usual = {
        "grant_type": "client_credentials",
        "client_assertion": asked.gateway.assertion(endpoint(asked), **changes),
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
    }
    return await asked.http.post(endpoint(asked), data=usual | (form or {}))


async def search(asked: Asked, path: str, form: dict[str, str], token: str = "", **who: Any) -> httpx2.Response:
    if not token:
        token = (await ask_token(asked)).json()["access_token"]
    headers = {"Authorization": f"Bearer {token}", **asked.gateway.headers("hospital", **who)}
    return await asked.http.post(asked.base("hospital") + path, data=form, headers=headers)


async def test_a_token_is_opaque_short_lived_and_opens_the_record(asked: Asked) -> None:
    answer = await ask_token(asked)
    said = answer.json()
    assert (said["token_type"], said["expires_in"]) == ("Bearer", LIFE_SECONDS)
    assert "." not in said["access_token"]
    assert answer.headers["cache-control"] == "no-store"
    form = {"patient.identifier": FIRST}
    found = await search(asked, "/AllergyIntolerance/_search", form, said["access_token"])
    assert ids(found.json()) == ["hospital-001-penicilline", "hospital-001-latex"]
    (entry,) = asked.region.organizations["hospital"].access_log
    assert entry.asker.person == "900009011"


@pytest.mark.parametrize(
    ("form", "changes", "error"),
    [
        ({"grant_type": "password"}, {}, "unsupported_grant_type"),
        ({"client_assertion_type": "x"}, {}, "invalid_request"),
        ({"client_assertion": "x"}, {}, "invalid_client"),
        ({}, {"aud": "https://elsewhere.example"}, "invalid_client"),
        ({}, {"iss": "somebody"}, "invalid_client"),
        ({}, {"sub": "somebody"}, "invalid_client"),
        ({}, {"exp": 1}, "invalid_client"),
        ({}, {"extensions": {}}, "invalid_client"),
        ({}, {"extensions": {"hl7-b2b": {"organization_id": "90000201"}}}, "invalid_client"),
    ],
)
async def test_no_token_without_a_right_assertion(
    asked: Asked, form: dict[str, str], changes: dict[str, Any], error: str
) -> None:
    answer = await ask_token(asked, form, **changes)
    assert answer.status_code in (400, 401)
    assert answer.json()["error"] == error


async def test_an_assertion_is_used_once(asked: Asked) -> None:
    assertion = asked.gateway.assertion(endpoint(asked))
    assert (await ask_token(asked, {"client_assertion": assertion})).status_code == 200
    assert (await ask_token(asked, {"client_assertion": assertion})).status_code == 401


async def test_a_token_is_bound_to_who_asked_for_it(asked: Asked) -> None:
    token = (await ask_token(asked)).json()["access_token"]
    form = {"patient.identifier": FIRST}
    for who in ({"subject_id": "900000000"}, {"subject_organization_id": "90000501"}, {"purpose_of_use": "spoed"}):
        assert (await search(asked, "/Flag/_search", form, token, **who)).status_code == 401
    assert (await search(asked, "/Flag/_search", form, "made-up")).status_code == 401
    assert (await asked.post("hospital", "/Flag/_search", form)).status_code == 401
    assert (await search(asked, "/Flag/_search", form, token)).status_code == 200


@pytest.mark.slow
async def test_a_token_ends_after_five_minutes() -> None:
    clock = FixedClock(SystemClock().now())
    async with running(clock=clock) as asked:
        token = (await ask_token(asked)).json()["access_token"]
        clock.advance(timedelta(seconds=LIFE_SECONDS))
        assert (await search(asked, "/Flag/_search", {"patient.identifier": FIRST}, token)).status_code == 401


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "form", "found"),
    [
        ("/Patient/_search", {"identifier": FIRST, "_include": "Patient:general-practitioner"}, ["Patient"]),
        (
            "/Consent/_search",
            {"patient.identifier": FIRST, "category": "http://snomed.info/sct|11291000146105"},
            ["Consent"],
        ),
        ("/Consent/_search", {"patient.identifier": FIRST, "category": "11341000146107"}, ["Consent"]),
        ("/Condition/_search", {"patient.identifier": FIRST}, ["Condition", "Condition"]),
        ("/Flag/_search", {"patient.identifier": FIRST}, ["Flag"]),
        (
            "/MedicationStatement/_search",
            {
                "patient.identifier": FIRST,
                "category": "urn:oid:2.16.840.1.113883.2.4.3.11.60.20.77.5.3|6",
                "_include": "MedicationStatement:medication",
            },
            ["MedicationStatement", "Medication"],
        ),
        (
            "/MedicationRequest/_search",
            {
                "patient.identifier": FIRST,
                "category": "http://snomed.info/sct|16076005",
                "_include": "MedicationRequest:medication",
            },
            ["MedicationRequest", "Medication"],
        ),
        ("/Observation/$lastn", {"patient.identifier": FIRST, "code": "http://loinc.org|85354-9"}, ["Observation"]),
        (
            "/Observation/_search",
            {"patient.identifier": FIRST, "category": "http://snomed.info/sct|49581000146104"},
            ["Observation", "Observation"],
        ),
        ("/Encounter/_search", {"patient.identifier": FIRST}, ["Encounter", "Encounter"]),
        ("/Coverage/_search", {"beneficiary.identifier": FIRST}, []),
        ("/ProcedureRequest/_search", {"patient.identifier": FIRST, "status": "active"}, []),
        ("/Condition/_search", {"patient.identifier": f"{BSN}|999990081"}, []),
    ],
)
async def test_queries_by_code(asked: Asked, path: str, form: dict[str, str], found: list[str]) -> None:
    answer = await search(asked, path, form)
    assert answer.status_code == 200, answer.text
    assert types(answer.json()) == found
    assert "999990019" not in str(answer.json().get("link"))


async def test_a_tourist_is_found_by_the_number_of_the_hospital(asked: Asked) -> None:
    (tourist,) = [person for person in asked.region.persons if not person.bsn]
    (row,) = asked.region.settings_tree()["identifier_systems"]
    answer = await search(
        asked, "/AllergyIntolerance/_search", {"patient.identifier": f"{row['system']}|{tourist.number}"}
    )
    assert answer.json()["total"] == 1


async def test_a_bsn_in_the_url_is_refused(asked: Asked) -> None:
    answer = await asked.http.get(asked.base("hospital") + f"/Condition?patient.identifier={FIRST}")
    assert answer.status_code == 400
    statement = (await asked.http.get(asked.base("hospital") + "/metadata")).json()
    assert statement["fhirVersion"] == "3.0.2"
