"""The region of the third-party files: a gateway that serves in a process of its own, FHIR servers, feeds, and one who asks."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx2

from benchmarks.region import Region, free_port
from gateway.audit.record import Record, decode
from gateway.demo import mllp
from gateway.demo.ambulance import Written
from gateway.demo.mllp import NotAcknowledgedError
from profiles import exact
from profiles.identifiers import BSN_SYSTEM
from tests.e2e.running import Process, command, process
from tests.real_inputs.corpus import Json
from tests.real_inputs.shelf import Servers, Shelf

_READY_WITHIN: Final = 60.0  # seconds
_FHIR: Final = "application/fhir+json"


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """One custodian with one source of third-party files."""

    id: str
    ura: str
    table: Json  # what the configuration says of it besides id and custodian
    shelf: Shelf | None = None

    @property
    def system(self) -> str:
        """The custodian's own patient numbers."""
        return system_of(self.id)


def system_of(source: str) -> str:
    """The identifier system of a source's own patient numbers; an OID where messages can hold nothing else."""
    return f"urn:oid:2.16.840.1.113883.2.4.3.999.{sum(map(ord, source))}"


@dataclass(frozen=True, slots=True)
class Person:
    """Whom the files are about, as a caller asks for them."""

    source: Source
    system: str
    value: str
    birth_date: str
    local: str = ""  # the id of the Patient at a server

    @property
    def parameters(self) -> Json:
        """What `$summary` asks for."""
        asked: list[Json] = [
            {"name": "identifier", "valueIdentifier": {"system": self.system, "value": self.value}},
        ]
        if self.birth_date:
            asked.append({"name": "birthDate", "valueDate": self.birth_date})
        return {"resourceType": "Parameters", "parameter": asked}


@dataclass
class Stand:
    """A running region. `tally` is what the test prints at the end."""

    region: Region
    served: Process
    sources: dict[str, Source]
    http: httpx2.Client
    tally: dict[str, Counter[str]] = field(default_factory=dict)

    def count(self, source: str, what: str, number: int = 1) -> None:
        """Add to the tally of a source."""
        self.tally.setdefault(source, Counter())[what] += number

    def record(self, answer: httpx2.Response) -> Record:
        """The outcome that is on the record for an answer."""
        request = answer.headers["x-request-id"]
        (found,) = [one for one in self.records() if one.request == request and one.kind == "outcome"]
        return found

    def know(self, person: Person) -> None:
        """Let the custodian register the person, with a permit where its data may be asked for."""
        asked = person.source.shelf is not None
        self.region.register(
            person.source.ura, [person.value], permit=asked, listed=not asked or person.system == BSN_SYSTEM,
            system=person.system,
        )  # fmt: skip

    def send(self, method: str, path: str, body: Json | None = None, **headers: str) -> httpx2.Response:
        """One request of the physician."""
        sent = {"authorization": f"Bearer {self.region.token('physician')}", "accept": _FHIR, **headers}
        if body is not None:
            sent["content-type"] = _FHIR
        content = exact.encode(body) if body is not None else None
        return self.http.request(method, f"{self.region.base}/fhir/{path}", content=content, headers=sent)

    def summary(self, person: Person) -> httpx2.Response:
        """`POST Patient/$summary`."""
        return self.send("POST", "Patient/$summary", person.parameters)

    def patient_id(self, summary: Json) -> str:
        """The id the gateway gave the person of a summary."""
        return str(summary["entry"][0]["resource"]["subject"]["reference"].rpartition("/")[2])

    def search(self, kind: str, patient: str) -> list[Json]:
        """Everything of one type about a patient."""
        name = "_id" if kind == "Patient" else "patient"
        found: list[Json] = []
        path = f"{kind}?{name}={patient}&_count=500"
        while path:
            answer = self.send("GET", path)
            assert answer.status_code == 200, (kind, answer.text)
            bundle = exact.decode(answer.content)
            found += [one["resource"] for one in bundle.get("entry", ()) if one["search"]["mode"] == "match"]
            more = [link["url"] for link in bundle["link"] if link["relation"] == "next"]
            path = more[0].partition("/fhir/")[2] if more else ""
        return found

    def post(self, source: Source, body: bytes, media: str) -> httpx2.Response:
        """Post a document into the inbox of a source, with the custodian's token."""
        headers = {"authorization": f"Bearer {self.region.token(f'{source.ura}-push')}", "content-type": media}
        return self.http.post(f"{self.region.base}/inbox/{source.id}", content=body, headers=headers)

    def push(self, source: Source, control: str, body: bytes) -> str:
        """Send one message over MLLP and give the code of its acknowledgment."""
        try:
            asyncio.run(mllp.send(str(source.table["listen"]), [Written(control, body)], attempts=1))
        except NotAcknowledgedError as error:
            return str(error).rpartition(" ")[2]
        return "AA"

    def desk(self) -> list[dict[str, str]]:
        """What `gateway inbox show` tells of every message."""
        names = ("receipt", "source", "key", "digest", "received", "state", "items", "shown", "expires", "reason")
        told = command("inbox", "show", "--config", str(self.region.config), temporary=self.region.directory)
        assert told.returncode == 0, told.stderr
        return [dict(zip(names, line.split("\t"), strict=True)) for line in told.stdout.splitlines()]

    def records(self) -> list[Record]:
        """What is on the record, read beside the gateway."""
        path = self.region.directory / "gateway.db"
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            return [decode(body) for (body,) in database.execute("SELECT body FROM audit_log ORDER BY seq")]

    def said(self) -> str:
        """What the gateway wrote to its log."""
        return self.served.said()


@contextmanager
def standing(directory: Path, shelves: dict[str, tuple[str, Shelf]], pushes: dict[str, Json]) -> Iterator[Stand]:
    """A whole region, for as long as the block lasts. `shelves` gives dialect and content of each source that is asked."""
    region = Region.at(directory / "region")
    region.tree["identifier_systems"] = []
    servers, sources = Servers(), {}
    for name, (dialect, shelf) in shelves.items():
        kind = "fhir-stu3" if shelf.version == "stu3" else "fhir-r4"
        table = {"kind": kind, "dialect": dialect, "url": servers.reserve(name)}
        sources[name] = _added(region, name, table, "explicit", shelf)
    for name, table in pushes.items():
        listen = {"listen": f"127.0.0.1:{free_port()}"} if table["kind"] == "mllp" else {}
        sources[name] = _added(region, name, table | listen, "observation", None)
    region.write()
    with process("serve", "--config", str(region.config), temporary=directory / "serve") as served, httpx2.Client(timeout=30) as http:  # fmt: skip
        try:
            _until_ready(region, served, http)
            for name, (_, shelf) in shelves.items():
                servers.start(name, shelf, region.base)
            yield Stand(region, served, sources, http)
        finally:
            servers.close()
        served.stop()


def _added(region: Region, name: str, table: Json, basis: str, shelf: Shelf | None) -> Source:
    ura = str(90_001_000 + len(region.tree["sources"]))
    region.custodian(ura, basis, {"id": name, **table})
    region.client(f"{ura}-push", ura, ["system/DocumentReference.cd"], person="none")
    region.tree["identifier_systems"].append({"system": system_of(name), "custodian": ura})
    return Source(name, ura, table, shelf)


def _until_ready(region: Region, served: Process, http: httpx2.Client) -> None:
    latest = time.monotonic() + _READY_WITHIN
    while time.monotonic() < latest:
        assert served.exit_code is None, served.said()
        try:
            if http.get(f"{region.base}/health/ready").status_code == 200:
                return
        except httpx2.TransportError:
            pass
        time.sleep(0.05)
    raise subprocess.TimeoutExpired("gateway serve", _READY_WITHIN)
