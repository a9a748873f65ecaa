"""A gateway's authorization server in memory: one region, a few clients and the fakes it needs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import httpx2
from fastapi import FastAPI

from gateway import policy
from gateway.crypto.ring import KeyRing
from gateway.errors import Unavailable
from gateway.model import Incoming
from gateway.oauth import client as client_side
from gateway.oauth.endpoint import TokenAnswer
from gateway.oauth.registered import ClientKeys
from gateway.oauth.tokens import AccessTokens
from gateway.ports import Ports
from gateway.routes.oauth import router
from gateway.settings import ClientTable, Settings, parse
from tests.fakes import MemoryRevocations

BASE = "http://gateway.test"
ENDPOINT = f"{BASE}/oauth/token"
POST = "00000001"
HOSPITAL = "00000002"
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
ALGORITHMS = ("RS384", "ES384", "PS256", "ES256", "Ed25519")
KEYS = {algorithm: client_side.new_client_key(algorithm) for algorithm in ALGORITHMS}
PRIVATE, PUBLIC = KEYS["ES384"]
OTHER_PRIVATE, OTHER_PUBLIC = client_side.new_client_key("ES384")

PHYSICIAN = {
    "subject_id": "http://fhir.nl/fhir/NamingSystem/uzi-nr-pers|900000001",
    "subject_name": "A. de Vries",
    "subject_role": "01.015",
    "purpose_of_use": ["TREAT"],
    "loa": "high",
}

Json = dict[str, Any]


class FakeClock:
    def __init__(self) -> None:
        self.time = NOW

    def now(self) -> datetime:
        return self.time

    def pass_(self, **span: float) -> None:
        self.time += timedelta(**span)


@dataclass
class FakeReplay:
    seen: set[tuple[str, str]] = field(default_factory=set)
    broken: Exception | None = None

    async def first_use(self, issuer: str, jti: str, expires: datetime) -> bool:
        await asyncio.sleep(0)
        if self.broken:
            raise self.broken
        assert expires > NOW
        first = (issuer, jti) not in self.seen
        self.seen.add((issuer, jti))
        return first


@dataclass
class FakeClients:
    rows: dict[str, ClientTable] = field(default_factory=dict)
    broken: Exception | None = None

    async def client(self, client_id: str) -> ClientTable | None:
        if self.broken:
            raise self.broken
        return self.rows.get(client_id)


def client_row(id_: str = "post", **facts: object) -> Json:
    return {
        "id": id_,
        "organization": POST,
        "jwks": {"keys": [PUBLIC]},
        "scopes": ["system/*.rs", "user/*.cruds"],
        "roles": ["01.015"],
        "purposes": ["behandeling"],
        **facts,
    }


def region(*clients: Json, **gateway: object) -> Settings:
    return parse(
        {
            "gateway": {"base": BASE, **gateway},
            "organizations": [
                {"ura": POST, "name": "Huisartsenpost Oost", "facility_type": "N6"},
                {"ura": HOSPITAL, "name": "Ziekenhuis Oost", "facility_type": "V4"},
            ],
            "clients": list(clients),
        }
    )


def request_with(authorization: bytes) -> Incoming:
    """A request of which only the one header counts."""
    return Incoming("GET", "Condition", "", {b"authorization": authorization}, b"", "10.0.0.1", "r", "r", NOW)


class World:
    """Everything a token request touches, over ASGI."""

    def __init__(
        self, directory: Path, *clients: Json, fetch: Callable[[str], Any] | None = None, **gateway: object
    ) -> None:
        rows = clients or (client_row(), client_row("other", jwks={"keys": [OTHER_PUBLIC]}))
        self.settings = region(*rows, **gateway)
        self.policy = policy.build(self.settings)
        self.clock = FakeClock()
        self.replay = FakeReplay()
        self.clients = FakeClients()
        self.revocations = MemoryRevocations()
        self.ring = KeyRing.create(directory / "keys", NOW)
        self.tokens = AccessTokens(self.ring, self.settings, self.policy)
        self.client_keys = ClientKeys(directory, fetch)
        self.client_keys.load(self.settings.clients)
        self.recorded: list[tuple[TokenAnswer, str, str]] = []
        self.log_broken = False
        none = cast("Any", None)
        self.ports = Ports(
            settings=self.settings,
            policy=self.policy,
            clock=self.clock,
            keys=self.ring,
            replay=self.replay,
            clients=self.clients,
            audit=none,
            index=none,
            consents=none,
            cases=none,
            inbox=none,
            issued=none,
            sources={},
            refusals=none,
            misses=none,
            tokens=self.tokens,
            revocations=self.revocations,
        )
        app = FastAPI()
        app.include_router(router)
        app.state.ports, app.state.client_keys, app.state.record_token = self.ports, self.client_keys, self.record
        self.transport = httpx2.ASGITransport(app)

    async def record(self, outcome: TokenAnswer, peer: str, request_id: str) -> None:
        if self.log_broken:
            raise Unavailable("audit-unavailable")
        self.recorded.append((outcome, peer, request_id))

    def assertion(self, client_id: str = "post", key: Json = PRIVATE, *, who: Json | None = None, **claims: Any) -> str:
        return client_side.assertion(
            client_id,
            key,
            claims.pop("aud", ENDPOINT),
            now=self.clock.time.timestamp(),
            who=PHYSICIAN if who is None else who,
            **claims,
        )

    async def ask(self, assertion: str | None = None, **fields: str) -> httpx2.Response:
        form = {
            "grant_type": "client_credentials",
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": self.assertion() if assertion is None else assertion,
            **fields,
        }
        return await self.post(data={name: value for name, value in form.items() if value != "-"})

    async def about(self, what: str, token: str, assertion: str | None = None, **fields: str) -> httpx2.Response:
        """Send a token to an endpoint of this server, "introspect" or "revoke"."""
        form = {
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": self.assertion() if assertion is None else assertion,
            "token": token,
            **fields,
        }
        return await self.post(f"/oauth/{what}", data={name: value for name, value in form.items() if value != "-"})

    async def post(self, path: str = "/oauth/token", **request: Any) -> httpx2.Response:
        async with httpx2.AsyncClient(transport=self.transport, base_url=BASE) as http:
            return await http.post(path, **request)

    async def get(self, path: str) -> httpx2.Response:
        async with httpx2.AsyncClient(transport=self.transport, base_url=BASE) as http:
            return await http.get(path)
