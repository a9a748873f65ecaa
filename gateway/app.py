"""The composition root: settings become adapters, stores and ports, and those become one ASGI function."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from gateway.adapters.address import LOOPBACK, AddressPolicy
from gateway.adapters.dialects import partial_by_dialect
from gateway.adapters.guidelines import use_guidelines
from gateway.adapters.http import HttpClient, tls_context
from gateway.adapters.inbox import InboxDirectory
from gateway.adapters.kinds import source_of
from gateway.adapters.mllp import MllpListener
from gateway.adapters.notices import Messenger
from gateway.adapters.terminology import TerminologyServer
from gateway.adapters.witnesses import witnesses_of
from gateway.adapters.workers import Workers
from gateway.audit.evidence import Evidence, base_of, lawful, witnessed_by
from gateway.audit.examining import Examining
from gateway.audit.notary import Notary
from gateway.audit.record import Record, encode
from gateway.audit.witnessing import Witnessing
from gateway.background import Background
from gateway.clock import SystemClock
from gateway.crypto.ring import KeyRing
from gateway.envelope import ASGIApp, Receive, Scope, Send
from gateway.errors import StartError, Unavailable
from gateway.fhir.recent import Recent
from gateway.intake.files import take_file
from gateway.intake.messages import bury, push
from gateway.intake.quality import QualityBook
from gateway.intake.sources import SourceWatch
from gateway.metrics import Metrics
from gateway.model import instant
from gateway.oauth.registered import ClientKeys
from gateway.oauth.tokens import AccessTokens
from gateway.office import Office
from gateway.policy import Policy, build
from gateway.ports import Clock, National, Ports, Source
from gateway.routes.fhir import FhirApp
from gateway.routes.health import HealthApp
from gateway.settings import Settings, SourceTable
from gateway.storage import Database, Stores, check_version, open_stores
from gateway.storage.erasures import Erasures
from gateway.throttle import Allowances, Counts, Quota, Variety
from gateway.verifying import examined

log: Final = logging.getLogger("gateway.app")

JWKS_BYTES: Final = 65_536


class Web:
    """Everything that is not FHIR, made when it is needed first: its framework takes a third of a start to load."""

    def __init__(self, ports: Ports, client_keys: ClientKeys) -> None:
        self._ports = ports
        self._client_keys = client_keys
        self._made: ASGIApp | None = None
        self.evidence: Evidence | None = None
        self.recent = Recent()
        self.examining: Examining | None = None

    def load(self) -> ASGIApp:
        """The application; any thread may ask."""
        if self._made is None:
            from gateway.routes.web import application  # noqa: PLC0415 - see above

            made = application(self._ports, self._client_keys)
            made.state.evidence = self.evidence
            made.state.recent = self.recent
            made.state.examining = self.examining
            self._made = made
        return self._made


@dataclass(slots=True)
class Gateway:
    """A gateway put together; `start` opens its doors, `close` closes them in order."""

    ports: Ports
    stores: Stores
    database: Database
    http: HttpClient
    metrics: Metrics
    web: Web
    fhir: FhirApp
    background: Background
    evidence: Evidence
    workers: Workers
    listeners: Mapping[str, MllpListener] = field(default_factory=dict)
    addresses: dict[str, tuple[str, int]] = field(default_factory=dict)  # source id -> where its feed connects
    started: bool = False
    loading: bool = False  # feeds are still being loaded: alive, not ready

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One ASGI function: FHIR below /fhir and health without a framework, everything else in FastAPI."""
        path = scope["path"] if scope["type"] == "http" else ""
        if path.startswith("/fhir/") or path == "/fhir":
            await self.fhir(scope, receive, send)
        elif path.startswith("/health/"):
            await HealthApp(self.checks)(scope, receive, send)
        else:
            await self.web.load()(scope, receive, send)

    def checks(self) -> dict[str, bool]:
        """What must be true to answer: doors open, feeds loaded, store writable."""
        return {"started": self.started, "feeds": not self.loading, "database": self.database.healthy()}

    async def warm(self) -> None:
        """Load what the first answers do not need; call it when the doors are open."""
        await asyncio.to_thread(self.web.load)
        await asyncio.to_thread(self.http.load)

    async def start(self) -> None:
        """Write the first record, keep the policy revision, open the listeners.

        Raises:
            StartError: a listener cannot be opened.
        """
        ports = self.ports
        silent = await self.evidence.open()
        body = msgspec.json.encode(ports.settings, enc_hook=str, order="deterministic")
        if await self.stores.policies.keep(ports.policy.revision, ports.now(), body):
            await self._note("policy", ("new policy revision",))
        await self._note("start", tuple(f"witness {name} did not answer" for name in silent))
        for source, listener in self.listeners.items():
            self.addresses[source] = await listener.start()
        await self.background.catch_up()
        for inbox_ in self.background.inboxes:
            inbox_.prepare()
        self.background.start()
        self.evidence.start()
        self.background.recover(self.evidence.notary.found)
        self.started = True
        self.metrics.ready.set(1)

    async def close(self) -> None:
        """Stop listening, write the last record, close what is open."""
        self.started = False
        self.metrics.ready.set(0)
        for listener in self.listeners.values():
            await listener.close()
        await self.background.close()
        if self.web.examining is not None:
            await self.web.examining.close()
        if self.evidence.opened:  # a log that was refused is left as it is
            try:
                await self._note("stop", ())
            except Unavailable:  # a log that cannot be written must not keep the process from ending
                log.warning("the stop is not on the record", extra={"state": "stopped"})
            await self.evidence.close()
        await self.workers.close()
        await self.http.close()
        await self.database.close()

    async def _note(self, kind: str, reasons: tuple[str, ...]) -> None:
        ports = self.ports
        record = msgspec.convert(
            {
                "kind": kind,
                "at": instant(ports.now()),
                "request": "gateway",
                "reasons": reasons,
                "policy": ports.policy.revision,
            },
            Record,
        )
        await ports.audit.append(encode(record))


async def assemble(settings: Settings, directory: Path, clock: Clock | None = None, *, listen: bool = True) -> Gateway:
    """Put a gateway together. `directory` is what relative paths of the configuration start from; `listen` takes feeds.

    Raises:
        StartError: keys, database, a source or a client cannot work; says what and how to mend it.
    """
    clock = clock or SystemClock()
    policy = build(settings, partial_by_dialect())
    use_guidelines(directory / settings.gateway.guidelines)
    keys = KeyRing.open(directory / settings.gateway.keys, policy.identifier_systems)
    url = database_url(settings, directory)
    check_version(url)
    database = Database.open(url, group_commit=settings.audit.group_commit)
    http = HttpClient(_addresses(settings))
    try:
        client_keys = ClientKeys(directory, partial(fetch_jwks, http))
        client_keys.load(settings.clients)
        gateway = await _wired(settings, policy, clock, keys, client_keys, database, http, directory)
    except BaseException:
        await http.close()
        await database.close()
        raise
    if not listen:
        gateway.listeners, gateway.background.inboxes = {}, ()
    return gateway


async def _wired(
    settings: Settings,
    policy: Policy,
    clock: Clock,
    keys: KeyRing,
    client_keys: ClientKeys,
    database: Database,
    http: HttpClient,
    directory: Path,
) -> Gateway:
    stores = open_stores(database, keys.seal, keys.unseal, clock)
    twice = await stores.clients.ids() & policy.clients.keys()
    if twice:
        message = f"client '{min(twice)}' is both in the configuration and in the database; remove one"
        raise StartError(message, 1)
    watch = SourceWatch(clock, stores.sources)
    quality = QualityBook(clock, stores.sources, watch)
    erasures = Erasures(directory / settings.database.erasures, stores.inbox, database_url(settings, directory))
    sources: dict[str, Source] = {
        row.id: watch.watched(row.id, asked)
        for row in settings.sources
        if (asked := source_of(row, http, keys, settings.gateway.base, clock)) is not None
    }
    workers = Workers(directory / settings.gateway.guidelines)
    ports = Ports(
        settings=settings,
        policy=policy,
        clock=clock,
        keys=keys,
        audit=stores.audit,
        replay=stores.replay,
        clients=stores.clients,
        index=stores.index,
        consents=stores.consents,
        cases=stores.cases,
        inbox=stores.inbox,
        desk=stores.inbox,
        issued=stores.issued,
        queries=stores.queries,
        tallies=stores.tallies,
        revocations=stores.revocations,
        contracts=stores.contracts,
        notices=stores.notices,
        relations=stores.relations,
        reviews=stores.reviews,
        errors=stores.errors,
        terminology=_terminology(settings, http),
        allowances=allowances(settings),
        quality=quality,
        office=Office(watch, quality, stores.clients, stores.policies, erasures),
        national=_national(settings, directory, http),
        sources=sources,
        translators=workers,
        tokens=AccessTokens(keys, settings, policy),
        refusals=Counts(30, timedelta(minutes=1)),
        misses=stores.misses,
        variety=Variety(settings.gateway.patients_per_hour, timedelta(hours=1)),
    )
    metrics = Metrics()
    metrics.losses(lambda: watch.losses)

    async def accept(source: str, message: bytes, peer: str) -> bytes:
        answer = await push(source, message, peer, ports)
        metrics.messages.labels(answer.split(b"MSA|", 1)[-1][:2].decode("ascii", "replace")).inc()
        return answer

    listeners = {row.id: MllpListener(row, accept) for row in settings.sources if row.kind == "mllp"}
    gateway = Gateway(
        ports=ports,
        stores=stores,
        database=database,
        http=http,
        metrics=metrics,
        web=Web(ports, client_keys),
        fhir=FhirApp(ports, metrics),
        background=_background(ports, stores, directory, erasures, _messenger(ports, http, keys)),
        evidence=_evidence(ports, stores, keys, http, directory),
        listeners=listeners,
        workers=workers,
    )
    database.follow(gateway.evidence.notary.committed)
    gateway.web.evidence = gateway.evidence
    gateway.web.recent = gateway.fhir.recent
    url = database_url(settings, directory)
    gateway.web.examining = Examining(partial(examined, settings, url, directory, keys, clock))
    return gateway


def _messenger(ports: Ports, http: HttpClient, keys: KeyRing) -> Messenger | None:
    """Who tells organizations of emergency accesses, where any wants to be told."""
    wanted = any(one.notices or one.privacy_officer for one in ports.policy.organizations.values())
    return Messenger(ports, http, keys) if wanted else None


def _background(
    ports: Ports, stores: Stores, directory: Path, erasures: Erasures, messenger: Messenger | None
) -> Background:
    """The jobs, with a drop directory for every source that has one."""

    async def take_in(source: SourceTable, body: bytes, dated: datetime | None, written: datetime) -> str:
        return await take_file(source, body, dated, written, ports)

    async def bury_file(source: SourceTable, body: bytes, digest: str, why: str) -> None:
        await bury(source, body, digest, why, ports)

    settings = ports.settings
    inboxes = [
        InboxDirectory(row, directory / row.inbox, take_in, bury_file)
        for row in settings.sources
        if row.kind == "inbox" and row.inbox
    ]
    return Background(ports, stores, inboxes, erasures, messenger)


def _evidence(ports: Ports, stores: Stores, keys: KeyRing, http: HttpClient, directory: Path) -> Evidence:
    """The notary of the log and its witnesses."""
    table = ports.settings.audit
    lawful(table)
    base = base_of(table.origin, ports.settings.gateway.base)

    async def jumped(step: timedelta) -> None:
        reasons = (f"the wall clock moved by {step.total_seconds():.3f} s",)
        record = Record(kind="clock", at=instant(ports.now()), request="gateway", reasons=reasons)
        await ports.audit.append(encode(record))

    witnessing = Witnessing(witnesses_of(table, directory, http), stores.trees, keys, base)
    notary = Notary(stores.trees, keys, ports.clock, base, table.heartbeat, table.clock_jump, jumped, witnessing.submit)
    return Evidence(notary, witnessing, stores.witnessed, keys, base, witnessed_by(table.witnessed))


def _national(settings: Settings, directory: Path, http: HttpClient) -> National | None:
    """The national consent register, when the region asks it."""
    row = settings.consent
    if not row.national:
        return None
    from gateway.adapters.mitz import MitzRegister  # noqa: PLC0415 - loads an XML library few regions need at start

    files = (row.national_ca_file, row.national_certificate, row.national_key)
    return MitzRegister(http, row.national, tls_context(*(str(directory / name) if name else "" for name in files)))


def allowances(settings: Settings) -> Allowances:
    """What each client may ask, as the configuration says it."""

    def quotas(minute: int, day: int) -> list[Quota]:
        rows = (Quota("minute", minute, 60), Quota("day", day, 86_400))
        return [quota for quota in rows if quota.requests]

    limits = settings.limits
    own = {
        row.id: quotas(
            row.requests_per_minute or limits.requests_per_minute, row.requests_per_day or limits.requests_per_day
        )
        for row in settings.clients
        if row.requests_per_minute or row.requests_per_day
    }
    return Allowances(quotas(limits.requests_per_minute, limits.requests_per_day), own)


def _terminology(settings: Settings, http: HttpClient) -> TerminologyServer | None:
    table = settings.terminology
    return TerminologyServer(http, table.url, table.deadline.total_seconds()) if table.url else None


def _addresses(settings: Settings) -> AddressPolicy:
    try:
        return AddressPolicy.of((*settings.gateway.source_networks, *(LOOPBACK if settings.gateway.demo else ())))
    except ValueError as error:
        message = f"gateway.source_networks: {error}"
        raise StartError(message, 1) from None


def database_url(settings: Settings, directory: Path) -> str:
    """The database URL with a relative SQLite path made absolute from the configuration's directory."""
    url = settings.database.url
    path = url.removeprefix("sqlite:///")
    if path == url or path.startswith("/"):
        return url
    return f"sqlite:///{(directory / path).resolve()}"


async def fetch_jwks(http: HttpClient, url: str) -> bytes:
    """The keys a client publishes, bounded in size and time."""
    deadline = asyncio.get_running_loop().time() + 3.0
    answer = await http.request(
        "GET", url, headers={"accept": "application/json"}, body=b"", deadline=deadline, limit_bytes=JWKS_BYTES
    )
    return answer.body if answer.status == 200 else b""
