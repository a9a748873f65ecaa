"""One FHIR source: which calls are made, what comes of them, and what is remembered."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from gateway.adapters.fhir import FhirSource
from gateway.adapters.searchset import EMPTY
from gateway.errors import StartError
from gateway.model import Failure, Payload
from gateway.settings import Duration, SourceTable
from tests.attacks.faulty_source import HANG, FaultySource, Script, Seen, patient, response, searchset
from tests.gateway.adapters.region import BASE, BSN, HandClock, PlainSigner, http, question, source, table, told

pytestmark = pytest.mark.network


def of_patient(found: dict[str, Any], seen: Seen) -> Script:
    return response(found if "/Patient/" in seen.path else searchset())


def well(seen: Seen) -> Script:
    return response(searchset(patient(BSN)) if "/Patient/" in seen.path else searchset())


@pytest.mark.parametrize("dialect", ["360@1.0", "bgz-msz@2.0", "r4-identifier@1.0"])
def test_everything_a_dialect_can_ask_is_asked_once_without_a_bsn_in_a_url(dialect: str) -> None:
    async def main() -> None:
        async with FaultySource(well) as server, http() as client:
            asked = source(client, server.url, dialect)
            payloads, failures = await told(asked, question(*asked.categories))
            assert failures == []
            assert len(payloads) == len(server.seen) == len(asked._dialect.queries)
            assert len({(seen.target, seen.body) for seen in server.seen}) == len(server.seen)
            assert all(BSN not in seen.target for seen in server.seen)
            assert frozenset().union(*(payload.categories for payload in payloads)) == asked.categories
            assert {payload.format for payload in payloads} == {"fhir-stu3" if "bgz" in dialect else "fhir-r4"}
            assert {payload.fetched for payload in payloads} == {"2026-03-01T12:00:00.000Z"}

    asyncio.run(main())


def test_a_filter_is_sent_to_the_queries_that_take_it_and_to_no_other() -> None:
    filters = (("Observation", "date", "ge2026-01-01"), ("Observation", "code", "1"), ("Flag", "date", "le2026-01-01"))

    async def main() -> None:
        async with FaultySource(well) as server, http() as client:
            for dialect, sent in (("r4-identifier@1.0", {"ge2026-01-01"}), ("360@1.0", set()), ("bgz-msz@2.0", set())):
                server.seen.clear()
                asked = question("Alert", "ObservationVitalSigns")
                await told(source(client, server.url, dialect), replace(asked, filters=filters))
                assert server.seen
                assert {seen.parameters["date"] for seen in server.seen if "date" in seen.parameters} == sent
                assert all(
                    "code" not in seen.parameters or "bgz" in dialect or "360" in dialect for seen in server.seen
                )
                assert all("/Observation" in seen.path for seen in server.seen if "date" in seen.parameters)

    asyncio.run(main())


def test_the_bytes_come_as_they_were_sent() -> None:
    body = b'{"resourceType":"Bundle","type":"searchset","entry":[{"resource":{"v":1.10,"x":12345678901234567.890}}]}'

    async def main() -> None:
        async with FaultySource(lambda _: response(body)) as server, http() as client:
            payloads, _ = await told(source(client, server.url), question("Condition"))
            assert [payload.body for payload in payloads] == [body]

    asyncio.run(main())


def test_local_ids_are_asked_once_and_remembered_for_five_minutes() -> None:
    async def main() -> None:
        clock = HandClock()
        async with FaultySource(well) as server, http() as client:
            asked = FhirSource(table(server.url, "360@1.0"), client, PlainSigner(), BASE, clock)
            for _ in range(3):
                await told(asked, question("Alert"))
            assert [seen.method for seen in server.seen] == ["POST", "GET", "GET", "GET"]
            assert server.seen[0].parameters["_elements"] == "identifier"
            assert server.seen[1].parameters["patient"] == "Patient/local-1"
            clock.move(301)
            await told(asked, question("Alert"))
            assert [seen.method for seen in server.seen[4:]] == ["POST", "GET"]
            await told(asked, question("Alert", bsn="999990032"))
            assert server.seen[-1].method == "POST", "another person is another question"

    asyncio.run(main())


def test_several_records_of_one_person_are_all_followed() -> None:
    async def main() -> None:
        both = searchset(patient(BSN), patient(BSN, "local-2"))
        answer = partial(of_patient, both)
        async with FaultySource(answer) as server, http() as client:
            payloads, failures = await told(source(client, server.url, "360@1.0"), question("Patient", "Alert"))
            assert failures == []
            alerts = [seen.parameters["patient"] for seen in server.seen if "/Flag" in seen.path]
            assert sorted(alerts) == ["Patient/local-1", "Patient/local-2"]
            assert [payload.query for payload in payloads].count("patient") == 1

    asyncio.run(main())


def test_more_records_than_one_person_can_have_are_not_followed() -> None:
    async def main() -> None:
        many = searchset(*(patient(BSN, f"local-{n}") for n in range(50)))
        async with FaultySource(lambda _: response(many)) as server, http() as client:
            payloads, failures = await told(source(client, server.url, "360@1.0"), question("Patient", "Alert"))
            assert payloads == []
            assert [(failure.code, set(failure.categories)) for failure in failures] == [
                ("too-large", {"Patient", "Alert"})
            ]
            assert len(server.seen) == 1

    asyncio.run(main())


def test_a_person_who_is_not_known_there_is_an_empty_answer() -> None:
    async def main() -> None:
        async with FaultySource(lambda _: response(searchset())) as server, http() as client:
            payloads, failures = await told(source(client, server.url, "360@1.0"), question("Patient", "Alert"))
            assert failures == []
            assert payloads == [
                Payload("fhir-r4", EMPTY, "patient", frozenset({"Patient", "Alert"}), "2026-03-01T12:00:00.000Z")
            ]
            await told(source(client, server.url, "360@1.0"), question("Alert"))
            assert len(server.seen) == 2, "and is asked again next time"

    asyncio.run(main())


def test_a_local_id_that_is_the_bsn_goes_into_a_body() -> None:
    async def main() -> None:
        found = searchset(patient(BSN, BSN))
        answer = partial(of_patient, found)
        async with FaultySource(answer) as server, http() as client:
            _, failures = await told(source(client, server.url, "360@1.0"), question("Alert"))
            assert failures == []
            assert server.seen[-1].method == "POST"
            assert server.seen[-1].path == "/fhir/Flag/_search"
            assert all(BSN not in seen.target for seen in server.seen)

    asyncio.run(main())


@pytest.mark.parametrize("identity", ["../Patient", "a b", "", "x" * 65, "a?b=c"])
def test_a_local_id_that_is_no_id_is_not_used(identity: str) -> None:
    async def main() -> None:
        async with FaultySource(lambda _: response(searchset(patient(BSN, identity)))) as server, http() as client:
            payloads, failures = await told(source(client, server.url, "360@1.0"), question("Alert"))
            assert (payloads, [failure.code for failure in failures]) == ([], ["malformed"])
            assert len(server.seen) == 1

    asyncio.run(main())


def test_a_source_is_only_asked_what_it_holds() -> None:
    async def main() -> None:
        async with FaultySource(well) as server, http() as client:
            asked = source(client, server.url, categories=("Alert", "Genomics"))
            assert asked.categories == {"Alert"}
            payloads, _ = await told(asked, question("Alert", "Condition"))
            assert [payload.query for payload in payloads] == ["flags"]
            assert await told(asked, question("Condition")) == ([], [])
            assert len(server.seen) == 1

    asyncio.run(main())


def test_a_type_no_query_gives_is_said_not_to_be_asked() -> None:
    async def main() -> None:
        async with FaultySource(well) as server, http() as client:
            asked = source(client, server.url)
            _, failures = await told(asked, question("Episode", types=frozenset({"Goal", "Patient"})))
            assert failures == [Failure("not-asked", "", frozenset({"Episode"}))]
            _, failures = await told(asked, question("Episode", types=frozenset({"EpisodeOfCare", "Patient"})))
            assert failures == []

    asyncio.run(main())


def test_the_deadline_of_the_source_is_kept_too() -> None:
    async def main() -> None:
        async with FaultySource(lambda _: [HANG]) as server, http() as client:
            began = time.monotonic()
            _, failures = await told(source(client, server.url, deadline=Duration(seconds=0.1)), question())
            assert time.monotonic() - began < 1
            assert {failure.code for failure in failures} == {"timeout"}

    asyncio.run(main())


def test_answers_come_as_they_arrive_and_leaving_ends_the_calls() -> None:
    async def main() -> None:
        async with FaultySource(lambda s: well(s) if "/Patient/" in s.path else [HANG]) as server, http() as client:
            parts = source(client, server.url).fetch(question("Patient", "Alert"))
            first = await anext(aiter(parts))
            assert isinstance(first, Payload)
            await parts.aclose()
            await asyncio.sleep(0.05)
            left = [task for task in asyncio.all_tasks() if "FhirSource" in repr(task)]
            assert left == []
            assert len(server.seen) == 2

    asyncio.run(main())


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"dialect": "fhir@9"}, "dialect 'fhir@9' is not known"),
        ({"kind": "fhir-stu3"}, "is for kind 'fhir-r4'"),
        ({"url": "http://hospital.example/fhir"}, "must be https"),
        ({"url": "hospital"}, "must be https"),
        ({"ca_file": "/nowhere/ca.pem"}, "TLS files of a source cannot be used"),
    ],
)
def test_what_cannot_work_stops_the_start(more: dict[str, Any], text: str) -> None:
    async def main() -> None:
        given = {"kind": "fhir-r4", "dialect": "360@1.0", "url": "https://hospital.example/fhir"} | more
        async with http() as client:
            with pytest.raises(StartError, match=text):
                FhirSource(SourceTable(id="h", custodian="90000002", **given), client, PlainSigner(), BASE, HandClock())

    asyncio.run(main())


@pytest.mark.slow
def test_a_fan_out_to_ten_sources_costs_little_processor_time() -> None:
    """Measured with the fault server in the same process, so its half of the work is in it: a loose bound."""

    async def main() -> float:
        answer = response(searchset(patient(BSN), *({"resourceType": "Basic", "id": "x" * 60} for _ in range(20))))
        async with FaultySource(lambda _: answer) as server, http() as client:
            sources = [source(client, server.url) for _ in range(10)]

            async def once() -> None:
                results = await asyncio.gather(*(told(each, question()) for each in sources))
                assert all(len(payloads) == 2 for payloads, _ in results)

            await once()
            began = time.process_time()
            for _ in range(20):
                await once()
            return (time.process_time() - began) / 20

    assert asyncio.run(main()) < 0.060  # bare aiohttp takes 4 to 8 ms here; the rest is the server beside it
