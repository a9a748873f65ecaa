"""Who asks, as a source is told: the signed context and the source's own token."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from gateway.adapters.fhir import FhirSource
from gateway.errors import StartError
from gateway.settings import SourceAuthTable
from tests.attacks.faulty_source import FaultySource, Script, Seen, patient, response, searchset
from tests.gateway.adapters.region import BASE, BSN, HandClock, PlainSigner, claims_of, http, question, table, told

pytestmark = pytest.mark.network


class Hospital:
    """A source with its own token endpoint; it takes only the newest token it gave."""

    def __init__(self, **granted: Any) -> None:
        self.granted = {"token_type": "Bearer", "expires_in": 300, **granted}
        self.given = 0
        self.assertions: list[dict[str, Any]] = []
        self.status = 200

    def answer(self, seen: Seen) -> Script:
        if seen.path == "/token":
            self.given += 1
            self.assertions.append(claims_of(seen.parameters["client_assertion"]))
            token = {"access_token": f"t{self.given}", **self.granted}
            yield 0.01
            yield from response(token, status=self.status, content_type="application/json")
        elif seen.headers.get("authorization") != f"Bearer t{self.given}":
            yield from response(b"", status=401)
        else:
            yield from response(searchset(patient(BSN)) if "/Patient/" in seen.path else searchset())


def with_hospital(test: Callable[[Hospital, FaultySource, FhirSource, HandClock], Any], **granted: Any) -> None:
    async def main() -> None:
        hospital, clock = Hospital(**granted), HandClock()
        async with FaultySource(hospital.answer) as server, http() as client:
            auth = SourceAuthTable("oauth", server.url.replace("/fhir", "/token"), "gateway", "system/*.rs")
            yield_ = FhirSource(table(server.url, auth=auth), client, PlainSigner(), BASE, clock)
            await test(hospital, server, yield_, clock)

    asyncio.run(main())


def test_every_call_says_who_asks_signed_once_per_question() -> None:
    async def main() -> None:
        signer = PlainSigner()
        async with FaultySource(lambda _: response(searchset(patient(BSN)))) as server, http() as client:
            source = FhirSource(table(server.url), client, signer, BASE, HandClock())
            await told(source, question("Patient", "Condition", "Alert"))
            assert len(server.seen) == 3
            assert len({seen.headers["x-zv-context"] for seen in server.seen}) == 1
            assert {seen.headers["x-request-id"] for seen in server.seen} == {"request-1"}
            assert all("authorization" not in seen.headers for seen in server.seen)
        ((typ, signed),) = signer.signed
        claims = claims_of(server.seen[0].headers["x-zv-context"])
        assert (typ, signed) == ("context+jwt", claims)
        assert claims.pop("jti")
        assert claims.pop("exp") - claims["iat"] == 60
        assert claims.pop("iat") == 1772366400
        assert claims == {
            "iss": BASE,
            "aud": "hospital-fhir",
            "subject_organization_id": "90000001",
            "subject_organization": "Ziekenhuis Oost",
            "subject_facility_type": "V4",
            "subject_id": "900001",
            "subject_name": "D. Arts",
            "subject_role": "01.015",
            "responsible": "900002",
            "purpose_of_use": "behandeling",
            "case": "case-1",
            "request_id": "request-1",
        }

    asyncio.run(main())


def test_a_token_is_fetched_once_for_all_and_says_who_asks() -> None:
    async def test(hospital: Hospital, server: FaultySource, source: FhirSource, clock: HandClock) -> None:
        results = await asyncio.gather(*(told(source, question()) for _ in range(5)))
        assert all(len(payloads) == 2 and not failures for payloads, failures in results)
        assert hospital.given == 1
        claims = hospital.assertions[0]
        assert claims["iss"] == claims["sub"] == "gateway"
        assert claims["aud"] == server.url.replace("/fhir", "/token")
        assert claims["extensions"]["hl7-b2b"] == {
            "version": "1",
            "organization_id": "90000001",
            "organization_name": "Ziekenhuis Oost",
            "subject_id": "900001",
            "subject_name": "D. Arts",
            "subject_role": "01.015",
            "purpose_of_use": ["behandeling"],
            "case": "case-1",
        }

    with_hospital(test)


def test_a_token_is_for_one_person_and_purpose_and_not_used_in_its_last_half_minute() -> None:
    async def test(hospital: Hospital, server: FaultySource, source: FhirSource, clock: HandClock) -> None:
        await told(source, question())
        clock.move(269)
        await told(source, question())
        assert hospital.given == 1
        clock.move(2)
        await told(source, question())
        assert hospital.given == 2
        await told(source, question(person="900009"))
        await told(source, question(purpose="spoed"))
        assert hospital.given == 4

    with_hospital(test)


def test_a_token_the_source_forgot_is_renewed_once() -> None:
    async def test(hospital: Hospital, server: FaultySource, source: FhirSource, clock: HandClock) -> None:
        await told(source, question())
        hospital.given += 1  # the source only takes a token that nobody has
        payloads, failures = await told(source, question())
        assert (len(payloads), failures) == (2, [])
        assert hospital.given == 3

    with_hospital(test)


@pytest.mark.parametrize(
    ("granted", "status", "code"),
    [
        ({}, 401, "refused"),
        ({}, 400, "refused"),
        ({}, 500, "status"),
        ({"token_type": "mac"}, 200, "status"),
        ({"access_token": "a\r\nX-Evil: 1"}, 200, "status"),
        ({"access_token": ""}, 200, "status"),
        ({"access_token": None}, 200, "status"),
        ({"access_token": "x" * 10_000}, 200, "status"),
    ],
)
def test_without_a_token_nothing_is_asked(granted: dict[str, Any], status: int, code: str) -> None:
    async def test(hospital: Hospital, server: FaultySource, source: FhirSource, clock: HandClock) -> None:
        hospital.status = status
        payloads, failures = await told(source, question())
        assert payloads == []
        assert [failure.code for failure in failures] == [code]
        assert failures[0].categories == {"Patient", "AllergyIntolerance"}
        assert {seen.path for seen in server.seen} == {"/token"}

    with_hospital(test, **granted)


def test_who_leaves_early_does_not_take_the_token_away() -> None:
    async def test(hospital: Hospital, server: FaultySource, source: FhirSource, clock: HandClock) -> None:
        first = asyncio.create_task(told(source, question()))
        await asyncio.sleep(0.005)
        second = asyncio.create_task(told(source, question()))
        await asyncio.sleep(0)
        first.cancel()
        payloads, failures = await second
        assert (len(payloads), failures) == (2, [])
        assert hospital.given == 1

    with_hospital(test)


@pytest.mark.parametrize(
    ("auth", "text"),
    [
        (SourceAuthTable("basic"), "auth.kind 'basic' is not known; known are: context, oauth"),
        (SourceAuthTable("oauth"), "needs auth.token_endpoint and auth.client_id"),
    ],
)
def test_an_authorization_that_cannot_work_stops_the_start(auth: SourceAuthTable, text: str) -> None:
    async def main() -> None:
        async with http() as client:
            with pytest.raises(StartError, match=text):
                FhirSource(table("https://source.example", auth=auth), client, PlainSigner(), BASE, HandClock())

    asyncio.run(main())
