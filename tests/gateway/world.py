"""The whole outside world in memory around the real line: valid by default, one argument is one deviation."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeVar

import httpx2

from consent.model import Case, Requester, Statement
from gateway import policy
from gateway.audit.record import Record, decode
from gateway.crypto.ring import KeyRing
from gateway.metrics import Metrics
from gateway.model import Caller, Failure, IndexEntry, Payload, SourceQuestion, instant
from gateway.oauth.tokens import AccessTokens
from gateway.ports import Issued, Ports, Source
from gateway.routes.fhir import FhirApp
from gateway.settings import Settings, parse
from gateway.throttle import Counts
from profiles import exact
from profiles.identifiers import BSN_SYSTEM
from tests.fakes import (
    NOON,
    FixedClock,
    MemoryAudit,
    MemoryCases,
    MemoryClients,
    MemoryConsents,
    MemoryContracts,
    MemoryInbox,
    MemoryIndex,
    MemoryIssued,
    MemoryMisses,
    MemoryRelations,
    MemoryReplay,
    MemoryReviews,
    MemoryRevocations,
)
from tests.gateway.charts import BIRTH, BSN, CHARTS, Json, covers

BASE: Final = "http://gateway.test"
GP, HOSPITAL, AMBULANCE, MENTAL = "90000001", "90000002", "90000003", "90000004"
POST, CENTER, STRANGER = "90000005", "90000006", "90000007"  # those who ask
NUMBER_SYSTEM: Final = "http://hospital.example/patient-number"
T = TypeVar("T")

SETTINGS: Final[Json] = {
    "gateway": {"base": BASE, "deadline": "300ms", "maximum_body_bytes": 100_000},
    "organizations": [
        {"ura": GP, "name": "Huisarts De Linde", "facility_type": "Z3"},
        {"ura": HOSPITAL, "name": "Ziekenhuis Oost", "facility_type": "V4"},
        {"ura": AMBULANCE, "name": "Ambulance Oost", "facility_type": "AMB"},
        {"ura": MENTAL, "name": "GGZ De Stilte", "facility_type": "G5"},
        {"ura": POST, "name": "Huisartsenpost Oost", "facility_type": "N6"},
        {"ura": CENTER, "name": "Zorgcoordinatie Oost", "facility_type": "N6"},
        {"ura": STRANGER, "name": "Ver Weg", "facility_type": "V4"},
    ],
    "identifier_systems": [{"system": NUMBER_SYSTEM, "custodian": HOSPITAL}],
    "sources": [
        {"id": "gp", "custodian": GP, "kind": "fhir-r4", "url": "https://gp.example/fhir"},
        {"id": "hospital", "custodian": HOSPITAL, "kind": "fhir-r4", "url": "https://hospital.example/fhir"},
        {"id": "ambulance", "custodian": AMBULANCE, "kind": "mllp", "listen": "127.0.0.1:0", "expected_every": "24h"},
        {"id": "mental", "custodian": MENTAL, "kind": "fhir-r4", "url": "https://mental.example/fhir"},
    ],
    "agreements": [
        {"id": "pull", "requesters": [POST, CENTER], "custodians": [GP, HOSPITAL, MENTAL], "system_access": True,
         "purposes": ["behandeling", "triage-coordinatie"], "start": "2026-01-01", "end": "2026-12-31"},
        {"id": "push", "requesters": [POST, CENTER], "custodians": [AMBULANCE], "basis": "observation",
         "purposes": ["behandeling", "triage-coordinatie"], "start": "2026-01-01", "end": "2026-12-31"},
    ],
}  # fmt: skip

PHYSICIAN: Final = Caller(
    Requester("post-app", POST, "N6", "01.015", "http://fhir.nl/fhir/NamingSystem/uzi-nr-pers|900000001", "high"),
    "behandeling", frozenset({"system/*.cruds", "user/*.cruds"}), "Huisartsenpost Oost", "A. de Vries", token_id="t1",
)  # fmt: skip
COLLEAGUE: Final = replace(
    PHYSICIAN, requester=replace(PHYSICIAN.requester, client="other-app", person="uzi|900000002")
)
COORDINATOR: Final = replace(
    PHYSICIAN, purpose="triage-coordinatie", token_id="t2",
    requester=Requester("center-app", CENTER, "N6", "zorgcoordinator", "uzi|900000003", "substantial"),
)  # fmt: skip
SYSTEM: Final = replace(PHYSICIAN, requester=Requester("sandbox", POST, "N6", system=True), token_id="t3")
OUTSIDER: Final = replace(PHYSICIAN, requester=replace(PHYSICIAN.requester, client="far-app", organization=STRANGER))


def custodian(ura: str) -> Caller:
    """A physician of an organization that holds data."""
    return replace(PHYSICIAN, requester=replace(PHYSICIAN.requester, client=f"client-{ura}", organization=ura))


@cache
def ring() -> KeyRing:
    """One real key ring a session: making RSA keys is slow."""
    return KeyRing.create(_KEYS / "keys", NOON, [NUMBER_SYSTEM])


_DIRECTORY: Final = tempfile.TemporaryDirectory(prefix="keys-")
_KEYS: Final = Path(_DIRECTORY.name)


@dataclass
class Chart:
    """A source that holds a chart and answers what it is asked, unless told to fail, lie or dawdle."""

    resources: list[Json]
    events: list[str] = field(default_factory=list)
    name: str = "source"
    fails: str = ""  # code of the failure of every query
    fails_for: frozenset[str] = frozenset()  # categories that fail while the rest is answered
    lies: bool = False  # returns everything it has, whatever was asked
    seconds: float = 0.0
    body: bytes | None = None  # sends these bytes instead
    raises: Exception | None = None
    asked: list[SourceQuestion] = field(default_factory=list)
    cancelled: int = 0

    async def fetch(self, question: SourceQuestion) -> AsyncIterator[Payload | Failure]:
        self.asked.append(question)
        self.events.append(f"ask {self.name}")
        try:
            await asyncio.sleep(self.seconds)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.raises:
            raise self.raises
        if self.fails:
            yield Failure(self.fails, "*", question.categories)
            return
        answered = question.categories - self.fails_for
        found = [one for one in self.resources if self.lies or covers(answered, one)]
        body = bundle(found) if self.body is None else self.body
        yield Payload("fhir-r4", body, "all", answered, instant(NOON))
        if self.fails_for:
            yield Failure("status", "some", self.fails_for & question.categories)


def bundle(resources: Iterable[Json]) -> bytes:
    """A searchset of resources, as a source sends it."""
    entries = [{"resource": resource} for resource in resources]
    return exact.encode({"resourceType": "Bundle", "type": "searchset", "entry": entries})


@dataclass
class WatchedAudit(MemoryAudit):
    """The log, which also tells when it was written."""

    events: list[str] = field(default_factory=list)
    fails_at: int = 0  # the number of the append that fails, counted from 1
    appends: int = 0

    async def append(self, record: bytes, issued: Iterable[Issued] = ()) -> int:
        self.appends += 1
        self.broken = self.broken or self.appends == self.fails_at
        number = await super().append(record, tuple(issued))
        self.events.append(decode(record).kind)
        return number


@dataclass(frozen=True)
class Reply:
    """One answer as the client got it."""

    status: int
    headers: httpx2.Headers
    body: bytes

    @property
    def json(self) -> Json:
        return exact.decode(self.body)

    @property
    def code(self) -> str:
        """The gateway's own code of an error."""
        found: str = self.json["issue"][0]["details"]["coding"][0]["code"]
        return found

    @property
    def items(self) -> list[Json]:
        """The resources of a searchset that matched."""
        return [entry["resource"] for entry in self.json.get("entry", ()) if entry["search"]["mode"] == "match"]

    @property
    def remarks(self) -> list[str]:
        """The codes of the outcome entries of a searchset, without the fixed sentence."""
        outcomes = [entry["resource"] for entry in self.json.get("entry", ()) if entry["search"]["mode"] == "outcome"]
        codes = [one["details"]["coding"][0]["code"] for outcome in outcomes for one in outcome["issue"]]
        return [code for code in codes if code != "may-be-more"]

    @property
    def resources(self) -> list[Json]:
        """Every resource of a Bundle."""
        return [entry["resource"] for entry in self.json.get("entry", ())]

    def header(self, name: str) -> str:
        return str(self.headers.get(name, ""))

    def link(self, relation: str) -> str:
        """The path and query of a link, empty when there is none."""
        urls = [one["url"] for one in self.json["link"] if one["relation"] == relation]
        return urls[0].removeprefix(f"{BASE}/fhir/") if urls else ""


class World:
    """Everything around the line. By default every custodian knows the patient, may share, and answers."""

    def __init__(
        self,
        *,
        charts: Mapping[str, list[Json]] = CHARTS,
        permits: Iterable[str] = (GP, HOSPITAL, MENTAL),
        known_at: Iterable[str] = (GP, HOSPITAL, MENTAL),
        settings: Mapping[str, Any] | None = None,
        sources: Mapping[str, Source] | None = None,
    ) -> None:
        self.settings: Settings = parse(exact.decode(exact.encode(SETTINGS | dict(settings or {}))))
        self.policy = policy.build(self.settings)
        self.clock = FixedClock()
        self.events: list[str] = []  # what happened, in order, across audit and sources
        self.audit = WatchedAudit(events=self.events)
        self.index = MemoryIndex(self.clock)
        self.consents, self.cases, self.inbox = MemoryConsents(), MemoryCases(), MemoryInbox(self.index)
        self.revocations, self.contracts, self.reviews = MemoryRevocations(), MemoryContracts(), MemoryReviews()
        self.relations = MemoryRelations()
        self.charts = {name: Chart(list(held), self.events, name) for name, held in charts.items()}
        self.keys = ring()
        self.tokens = AccessTokens(self.keys, self.settings, self.policy)
        self.ports = Ports(
            settings=self.settings, policy=self.policy, clock=self.clock, keys=self.keys, audit=self.audit,
            replay=MemoryReplay(), clients=MemoryClients(), index=self.index, consents=self.consents, cases=self.cases,
            inbox=self.inbox, issued=MemoryIssued(self.audit), sources=dict(self.charts) | dict(sources or {}),
            refusals=Counts(30, timedelta(minutes=1)), misses=MemoryMisses(), tokens=self.tokens,
            revocations=self.revocations, contracts=self.contracts, reviews=self.reviews,
            relations=self.relations, notices=self.reviews.outbox,
        )  # fmt: skip
        self.app = FhirApp(self.ports, Metrics())
        self.patient = self.patient_id()
        for ura in known_at:
            self.knows(ura)
        for ura in permits:
            self.says("permit", ura)

    def patient_id(self, bsn: str = BSN) -> str:
        return self.keys.patient_id(BSN_SYSTEM, bsn)

    def knows(self, ura: str, *categories: str, bsn: str = BSN) -> None:
        """A custodian is registered as holding data of the patient."""
        entry = IndexEntry(f"{ura}-{bsn}", self.patient_id(bsn), ura, frozenset(categories), "explicit", NOON, "x")
        run(self.index.register(entry))

    def says(self, effect: str, ura: str, *, bsn: str = BSN, **terms: Any) -> None:
        """The patient permits or denies a custodian, for all or for what the terms say."""
        patient, name = self.patient_id(bsn), f"consent-{len(self.consents.kept)}"
        statement = Statement(name, 1, effect, patient, ura, **terms)  # type: ignore[arg-type]
        run(self.consents.put(name, None, b"{}", patient, (statement,)))

    def opens_case(self, caller: Caller = COORDINATOR, *, id: str = "case-1", **deviation: Any) -> Case:  # noqa: A002 - the field's name
        """A caller has an open case for the patient."""
        requester = caller.requester
        case = Case(id, "caller", requester.organization, self.patient, NOON, NOON + timedelta(hours=24),
                    requester.client, requester.person)  # fmt: skip
        case = replace(case, **deviation)
        self.cases.kept[case.id] = (case, b'{"resourceType":"Task","status":"in-progress"}')
        return case

    def with_source_down(self, *names: str, code: str = "connection") -> World:
        """The same world in which some sources do not answer."""
        for name in names:
            self.charts[name].fails = code
        return self

    def token(self, caller: Caller) -> str:
        return self.tokens.issue(caller, self.clock.now().timestamp())[0]

    async def send(
        self,
        method: str,
        path: str,
        caller: Caller | None = PHYSICIAN,
        *,
        body: Json | bytes | str = b"",
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """One request below the FHIR base. A dict is sent as FHIR JSON, a text as a form."""
        sent = {} if caller is None else {"authorization": f"Bearer {self.token(caller)}"}
        if isinstance(body, dict):
            sent["content-type"], body = "application/fhir+json", exact.encode(body)
        elif isinstance(body, str):
            sent["content-type"], body = "application/x-www-form-urlencoded", body.encode()
        transport = httpx2.ASGITransport(self.app)
        async with httpx2.AsyncClient(transport=transport, base_url=f"{BASE}/fhir/") as http:
            url = f"{BASE}/fhir/{path}"
            answer = await http.request(method, url, content=body, headers={**sent, **(headers or {})})
        return Reply(answer.status_code, answer.headers, answer.content)

    def request(self, method: str, path: str, caller: Caller | None = PHYSICIAN, **more: Any) -> Reply:
        return run(self.send(method, path, caller, **more))

    def get(self, path: str, caller: Caller | None = PHYSICIAN, **headers: str) -> Reply:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.request("GET", path, caller, headers=named)

    def search(
        self, type_: str = "AllergyIntolerance", caller: Caller | None = PHYSICIAN, more: str = "", **headers: str
    ) -> Reply:
        """Search one type within the patient."""
        return self.get(f"{type_}?patient={self.patient}{more}", caller, **headers)

    def summary(self, caller: Caller | None = PHYSICIAN, **headers: str) -> Reply:
        return self.get(f"Patient/{self.patient}/$summary", caller, **headers)

    def post(self, path: str, body: Json | bytes | str, caller: Caller | None = PHYSICIAN, **headers: str) -> Reply:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.request("POST", path, caller, body=body, headers=named)

    def find(self, bsn: str = BSN, birth: str = BIRTH) -> Reply:
        """Look a person up by BSN and birth date."""
        return self.post("Patient/_search", f"identifier={BSN_SYSTEM}|{bsn}&birthdate={birth}")

    @property
    def records(self) -> list[Record]:
        """What is on the record."""
        return [decode(raw) for raw in self.audit.records]

    def asked(self) -> list[str]:
        """The sources that were asked."""
        return [name for name, chart in self.charts.items() if chart.asked]


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end; a test that needs two things at the same time is async itself."""
    return asyncio.run(work)


async def raw(
    app: FhirApp, scope: Json, *, receive: Callable[[], Any] | None = None, body: bytes = b""
) -> Reply | None:
    """One request as the server hands it over, spelled exactly as given; None when no answer was sent."""
    sent: list[Any] = []
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def from_client() -> Any:
        if waiting:
            return waiting.pop()
        await asyncio.sleep(3600)
        return {"type": "http.disconnect"}

    async def to_client(message: Any) -> None:
        sent.append(message)

    whole = {"type": "http", "method": "GET", "query_string": b"", "client": ("10.0.0.1", 1),
             "headers": [(b"host", b"gateway.test")], **scope}  # fmt: skip
    await app(whole, receive or from_client, to_client)
    if not sent:
        return None
    start, content = sent[0], b"".join(message.get("body", b"") for message in sent[1:])
    return Reply(start["status"], httpx2.Headers(start["headers"]), content)
