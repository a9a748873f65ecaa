"""What the sources wrote down about who asked equals what the gateway wrote down, and neither holds the patient (rules B6, F5)."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest

from gateway import serving, settings
from gateway.app import Gateway, assemble, database_url
from gateway.audit.record import Record, decode
from gateway.clock import SystemClock
from gateway.crypto.ring import KeyRing
from gateway.demo import loading, output
from gateway.demo.context import AccessLogEntry
from gateway.demo.facts import Coding, Person
from gateway.demo.fhir_server import FhirServer, Manner
from gateway.demo.region import Region
from gateway.demo.registrations import identifier
from gateway.storage import upgrade

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.network]

Json = dict[str, Any]
JSON = "application/fhir+json"
FINAL = {"outcome", "refusal"}


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@dataclass
class Exchange:
    """One request with everything anybody wrote down about it."""

    role: str
    answer: httpx2.Response
    seen: dict[str, list[AccessLogEntry]]  # by source
    records: list[Record]

    @property
    def bundle(self) -> Json:
        return dict(self.answer.json())

    @property
    def said_none(self) -> bool:
        return "GEEN BEKEND: geen bekende allergie" in self.answer.text


class Pages(logging.Handler):
    """Every log line, as text, with what was given beside it."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.startswith("http"):  # the client of this test writes its own URLs down
            return
        self.lines.append(f"{record.getMessage()} {record.__dict__!r}")


@dataclass
class World:
    """A region and a gateway in this process, with real sockets between them."""

    region: Region
    gateway: Gateway
    directory: Path
    http: httpx2.AsyncClient
    tokens: dict[str, str]
    urls: list[str]
    log: Pages
    exchanges: list[Exchange] = field(default_factory=list)

    def person(self, words: str) -> Person:
        (found,) = [person for person in self.region.persons if words in person.shows]
        return found

    async def records(self) -> list[Record]:
        return [decode(one.body) async for one in self.gateway.stores.audit.records()]

    async def ask(self, method: str, path: str, role: str = "physician", **request: Any) -> Exchange:
        for organization in self.region.organizations.values():
            organization.server.log.entries.clear()
        before = len(await self.records())
        headers = {"Authorization": f"Bearer {self.tokens[role]}"} if role else {}
        if "json" in request:
            headers["Content-Type"] = JSON
            request["content"] = json.dumps(request.pop("json"))
        answer = await self.http.request(method, f"/fhir/{path}", headers=headers, **request)
        seen = {id_: list(one.access_log) for id_, one in self.region.organizations.items() if one.access_log}
        made = Exchange(role, answer, seen, (await self.records())[before:])
        self.exchanges.append(made)
        return made

    async def summary(self, person: Person, role: str = "physician") -> Exchange:
        asked = [
            {"name": "identifier", "valueIdentifier": identifier(person)},
            {"name": "birthDate", "valueDate": person.birthDate},
        ]
        return await self.ask("POST", "Patient/$summary", role, json={"resourceType": "Parameters", "parameter": asked})

    async def search(self, type_: str, person: Person, role: str = "physician") -> Exchange:
        found = identifier(person)
        form = {"patient.identifier": f"{found['system']}|{found['value']}", "_count": "500"}
        return await self.ask("POST", f"{type_}/_search", role, data=form)


def spied(urls: list[str], original: Any) -> Any:
    """The application of a source, with every URL it was asked written down whole."""

    def application(self: FhirServer, *more: Any) -> Any:
        inner = original(self, *more)

        async def spy(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "http":
                urls.append(f"{scope['path']}?{scope['query_string'].decode()}")
            await inner(scope, receive, send)

        return spy

    return application


async def built(region: Region, directory: Path, listen: str) -> Gateway:
    tree = region.settings_tree()
    tree["gateway"] |= {"listen": listen, "source_networks": ["127.0.0.0/8"], "token_lifetime": "8h"}
    tree["gateway"]["deadline"] = "20s"  # nothing here is about a source that is late, and the machine may be busy
    tree["database"] = {"url": "sqlite:///demo.db"}
    read = settings.parse(tree, "test")
    KeyRing.create(directory / read.gateway.keys, SystemClock().now())
    upgrade(database_url(read, directory))
    return await assemble(read, directory)


@pytest.fixture(scope="module")
async def world(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    directory, urls, log = tmp_path_factory.mktemp("records"), list[str](), Pages()
    root = logging.getLogger()
    level = root.level
    root.addHandler(log)
    root.setLevel(logging.DEBUG)
    bound = serving.bind("127.0.0.1:0")
    listen = f"127.0.0.1:{bound.getsockname()[1]}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FhirServer, "application", spied(urls, FhirServer.application))
        async with Region(f"http://{listen}", directory=directory, manners={"gp-b": Manner()}) as region:
            region.drop()  # the directories of those who drop files, with what waits in them
            gateway = await built(region, directory, listen)
            door = serving.Serving(gateway, bound)
            await gateway.start()
            await door.start()
            try:
                for host, port in gateway.addresses.values():
                    await region.push(f"{host}:{port}")
                await loading.load(region)
                while any(inbox.waiting() for inbox in gateway.background.inboxes):
                    for inbox in gateway.background.inboxes:
                        await inbox.sweep(gateway.ports.now())
                    await asyncio.sleep(0.01)
                tokens = await loading.role_tokens(region)
                async with httpx2.AsyncClient(base_url=region.gateway_base, timeout=20) as http:
                    found = World(region, gateway, directory, http, tokens, urls, log)
                    await everything(found)
                    yield found
            finally:
                await door.stop()
                await gateway.close()
                root.removeHandler(log)
                root.setLevel(level)


async def everything(world: World) -> None:
    """Every kind of question, answered and refused, each on its own so that its traces can be told apart."""
    first, second = world.region.persons[0], world.person("directives that conflict")
    for person in world.region.persons:
        await world.summary(person)
    for type_ in ("Observation", "AllergyIntolerance", "Encounter"):
        found = await world.search(type_, first, "ambulance")
        for source in ("gp-a", "hospital", "ambulance"):
            for resource in resources(found.bundle):
                if resource["meta"]["source"].startswith(f"urn:roaz:{source}#"):
                    await world.ask("GET", f"{type_}/{resource['id']}", "ambulance")
                    break
    await world.search("Condition", world.person("withheld in silence"))
    await world.search("Condition", first, "system")
    patient = {"resourceType": "Patient", "identifier": [identifier(first)], "birthDate": first.birthDate}
    await world.ask("POST", "Patient/$match", json={"resourceType": "Parameters", "parameter": [
        {"name": "resource", "resource": patient}]})  # fmt: skip
    await world.summary(second, "coordinator")  # no case yet
    opened = await world.ask("POST", "Task", "coordinator", json=output.case(second))
    await world.summary(second, "coordinator")
    closed = {**opened.bundle, "status": "completed"}
    await world.ask("PUT", f"Task/{closed['id']}", "coordinator", json=closed)
    await world.summary(second, "coordinator")
    await world.search("Condition", first, "auditor")
    await world.ask("GET", f"Observation?patient={first.bsn}")
    await world.ask("GET", f"Patient/{first.bsn}")
    await world.ask("GET", f"{first.name.family}/{first.bsn}")
    await world.ask("POST", "Patient/$summary", json={"resourceType": "Parameters", "parameter": [
        {"name": "identifier", "valueString": f"BSN {first.bsn} {first.name.full}"}]})  # fmt: skip
    await world.ask("POST", "Task", "coordinator", json={"resourceType": "Task", "description": first.name.full})
    await world.ask("POST", "AllergyIntolerance/_search", data={first.name.full: first.bsn})
    await world.ask(
        "POST", "Patient/$summary", content=b'{"resourceType":"Parameters","naam":"' + first.name.full.encode()
    )
    await world.ask("GET", "Observation?patient=p1-x", role="")


def resources(bundle: Json) -> Iterator[Json]:
    """The items of sources in an answer."""
    for entry in bundle.get("entry", ()):
        resource = entry["resource"]
        if resource.get("meta", {}).get("source", "").startswith("urn:roaz:"):
            yield resource


def asked(world: World) -> list[Exchange]:
    return [one for one in world.exchanges if one.seen]


async def test_every_request_has_exactly_one_end_and_its_intent_stands_before_it(world: World) -> None:
    for exchange in world.exchanges:
        request = exchange.answer.headers["x-request-id"]
        kinds = [record.kind for record in exchange.records if record.request == request]
        assert [kind for kind in kinds if kind in FINAL] == kinds[-1:], (exchange.answer.request.url, kinds)
        assert kinds.count("intent") <= 1
        assert {record.request for record in exchange.records} == {request}
        (end,) = [record for record in exchange.records if record.kind in FINAL]
        assert end.status in (0, exchange.answer.status_code) or end.kind == "refusal"
        if end.kind == "refusal":
            assert end.status == exchange.answer.status_code
            assert end.error
        if exchange.seen:
            assert kinds[0] == "intent"
    requests = [
        record.request
        for record in await world.records()
        if record.kind in FINAL and record.request != "gateway" and record.interaction != "inbox-push"
    ]
    assert len(set(requests)) == len(requests)


async def test_who_asked_is_the_same_in_both_books(world: World) -> None:
    assert len(asked(world)) > 20
    for exchange in asked(world):
        (end,) = [record for record in exchange.records if record.kind in FINAL]
        for source, entries in exchange.seen.items():
            for entry in entries:
                said = entry.asker
                assert (said.organization, said.person, said.role, said.purpose, said.case) == (
                    end.organization, end.person, end.role, end.purpose, end.case,
                ), source  # fmt: skip
                assert (entry.person_name, entry.responsible, entry.facility_type) == (
                    end.person_name, end.responsible, end.facility,
                )  # fmt: skip
                assert entry.source == source


async def test_who_was_asked_is_the_same_in_both_books(world: World) -> None:
    """The sources that saw a question are those of the intent and of the outcome; nobody else was asked."""
    for exchange in world.exchanges:
        pulled = set(world.region.organizations)
        intended = {one.source for record in exchange.records if record.kind == "intent" for one in record.custodians}
        assert intended & pulled == set(exchange.seen), exchange.answer.request.url
        told = {
            one.source
            for record in exchange.records
            if record.kind in FINAL
            for one in record.custodians
            if any(state == "answered" or state.startswith("failed") for state in one.states.values())
        }
        assert set(exchange.seen) <= told


async def test_refused_requests_reached_no_source(world: World) -> None:
    refused = [one for one in world.exchanges if one.answer.status_code in {400, 401, 403, 404, 422}]
    assert len(refused) >= 9
    for exchange in refused:
        assert exchange.seen == {}


async def test_a_source_gets_ids_of_its_own(world: World) -> None:
    """One id to all sources would link them: each source sees another, and never that of the caller."""
    for exchange in asked(world):
        ids = {source: {entry.request_id for entry in entries} for source, entries in exchange.seen.items()}
        own = {exchange.answer.headers["x-request-id"], exchange.answer.headers["x-correlation-id"]}
        for source, found in ids.items():
            assert not found & own
            for other, others in ids.items():
                assert other == source or not found & others, "two sources saw the same id"


async def test_the_manifest_is_what_was_given(world: World) -> None:
    checked = 0
    for exchange in world.exchanges:
        if exchange.answer.status_code != 200 or exchange.bundle.get("resourceType") != "Bundle":
            continue
        (end,) = [record for record in exchange.records if record.kind in FINAL]
        manifest = {(one.type, one.id) for told in end.custodians for one in told.shown if one.type != "Patient"}
        given = {(one["resourceType"], one["id"]) for one in resources(exchange.bundle)}
        assert given - manifest == set(), "given and not in the manifest"
        if exchange.said_none:  # its "none known" stands in the text, unconfirmed, and so is no entry
            given |= {one for one in manifest if one[0] == "AllergyIntolerance"}
        assert manifest - given == set(), "in the manifest and not given"
        checked += len(given)
    assert checked > 100


async def test_a_read_is_in_the_manifest_with_its_version(world: World) -> None:
    reads = [
        one
        for one in world.exchanges
        if re.search(r"/fhir/(Observation|AllergyIntolerance|Encounter)/i", str(one.answer.request.url))
    ]
    assert len(reads) >= 6
    for exchange in reads:
        assert exchange.answer.status_code == 200
        (end,) = [record for record in exchange.records if record.kind in FINAL]
        (shown,) = [one for told in end.custodians for one in told.shown]
        assert shown.id == exchange.answer.json()["id"]
        assert shown.version


def secrets(world: World) -> set[str]:
    """Numbers, names and clinical words of every person of the demo."""
    found: set[str] = set()
    for person in world.region.persons:
        found |= {person.bsn, person.number, person.name.full, person.name.family, person.phone}
        for chart in person.sources.values():
            found |= {contact.name.full for contact in chart.contacts} | {contact.phone for contact in chart.contacts}
            found |= {chart.trip.complaint} if chart.trip else set()
            for fact in chart.facts:
                for name in ("code", "treatment", "type", "reaction"):
                    coded = getattr(fact, name, None)
                    found |= {coded.display} if isinstance(coded, Coding) else set()
                found |= {str(getattr(fact, name, "")) for name in ("text", "note", "dosage", "reason")}
    return {word for word in found if len(word) > 4}


def holds(text: bytes, world: World) -> list[str]:
    return [word for word in sorted(secrets(world)) if word.encode() in text]


async def test_no_log_line_holds_a_patient(world: World) -> None:
    assert world.log.lines
    assert holds("\n".join(world.log.lines).encode(), world) == []


async def test_no_error_holds_a_patient(world: World) -> None:
    bodies = [one.answer.content for one in world.exchanges if one.answer.status_code >= 400]
    assert len(bodies) >= 10
    assert holds(b"\n".join(bodies), world) == []


async def test_no_url_at_a_source_holds_a_patient(world: World) -> None:
    assert len(world.urls) > 100
    assert holds("\n".join(world.urls).encode(), world) == []


async def test_no_metric_holds_a_patient(world: World) -> None:
    text = world.gateway.metrics.text()
    assert b"gateway_requests_total" in text
    assert holds(text, world) == []
    for custodian in ("90000101", "90000201", "gp-a", "hospital"):
        assert custodian.encode() not in text


async def test_no_record_holds_a_patient(world: World) -> None:
    bodies = [one.body async for one in world.gateway.stores.audit.records()]
    assert len(bodies) > 100
    assert holds(b"\n".join(bodies), world) == []


async def test_no_file_of_the_database_holds_a_patient(world: World) -> None:
    files = [file for file in world.directory.iterdir() if file.name.startswith("demo.db")]
    assert any(file.stat().st_size > 100_000 for file in files)
    for file in files:
        assert holds(file.read_bytes(), world) == [], file.name


async def test_the_words_would_have_been_found(world: World) -> None:
    """The sentinel itself works: what the physician was given does hold them."""
    (first, *_) = world.exchanges
    assert {"Voorbeeld", "METOPROLOL TABLET MGA 50MG", "amoxicilline"} <= set(holds(first.answer.content, world))
    assert len(secrets(world)) > 100
