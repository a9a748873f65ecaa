"""The part of a gateway that sources see: a key set at an address, and signatures that fit it."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from gateway.clock import SystemClock
from gateway.crypto import jose
from gateway.demo.fhir_server import Manner
from gateway.demo.hosting import Hosted
from gateway.demo.region import Region

Json = dict[str, Any]
PROMPT = {"gp-b": Manner()}  # a GP B that is neither slow nor failing
BSN = "http://fhir.nl/fhir/NamingSystem/bsn"
FORM = "application/x-www-form-urlencoded"

WHO = {
    "subject_organization_id": "90000201",
    "subject_organization": "Streekziekenhuis Oefenstad",
    "subject_facility_type": "V4",
    "subject_id": "900009011",
    "subject_name": "dr. Emma Spoedeisend",
    "subject_role": "01.071",
    "responsible": "",
    "purpose_of_use": "behandeling",
    "case": "",
    "request_id": "request-1",
}


@dataclass
class Stand:
    """A gateway as its sources see it."""

    base: str
    key: jose.Key = field(default_factory=lambda: jose.new_key("ES256"))

    def jwks(self) -> Json:
        return {"keys": [jose.public_jwk(self.key, "gateway-1", "ES256")]}

    def sign(self, claims: Json, typ: str = "context+jwt", key: jose.Key | None = None, kid: str = "gateway-1") -> str:
        now = int(SystemClock().now().timestamp())
        said = {"iss": self.base, "iat": now, "exp": now + 60, "jti": secrets.token_urlsafe(8), **claims}
        return jose.sign(said, key or self.key, algorithm="ES256", typ=typ, kid=kid)

    def context(self, source: str, **changes: Any) -> str:
        return self.sign({"aud": source, **WHO, **changes})

    def headers(self, source: str, **changes: Any) -> dict[str, str]:
        return {"X-ZV-Context": self.context(source, **changes)}

    def assertion(self, endpoint: str, **changes: Any) -> str:
        said = {
            "organization_id": WHO["subject_organization_id"],
            "subject_id": WHO["subject_id"],
            "subject_role": WHO["subject_role"],
            "purpose_of_use": [WHO["purpose_of_use"]],
        }
        claims = {"iss": "roaz-gateway", "sub": "roaz-gateway", "aud": endpoint, "extensions": {"hl7-b2b": said}}
        return self.sign(claims | changes, typ="JWT")


@asynccontextmanager
async def stand() -> AsyncIterator[Stand]:
    hosted = Hosted()
    found = Stand(hosted.base)

    async def jwks(request: Request) -> JSONResponse:
        return JSONResponse(found.jwks())

    await hosted.start(Starlette(routes=[Route("/oauth/jwks", jwks)]))
    try:
        yield found
    finally:
        await hosted.stop()


@dataclass
class Asked:
    """A running region with a gateway's keys in front of it."""

    gateway: Stand
    region: Region
    http: httpx2.AsyncClient

    def base(self, source: str) -> str:
        return self.region.organizations[source].server.base

    async def get(self, source: str, path: str, **changes: Any) -> httpx2.Response:
        return await self.http.get(self.base(source) + path, headers=self.gateway.headers(source, **changes))

    async def post(self, source: str, path: str, form: dict[str, str], **changes: Any) -> httpx2.Response:
        return await self.http.post(
            self.base(source) + path, data=form, headers=self.gateway.headers(source, **changes)
        )

    def number(self, words: str) -> str:
        """The number of the one person whose story holds these words, as local ids carry it."""
        (found,) = [n for n, person in enumerate(self.region.persons, 1) if words in person.shows]
        return f"{found:03d}"


@asynccontextmanager
async def running(**region: Any) -> AsyncIterator[Asked]:
    """A whole region, for as long as the block lasts."""
    async with (
        stand() as gateway,
        Region(gateway.base, **{"manners": PROMPT, **region}) as started,
        httpx2.AsyncClient(timeout=60) as http,
    ):
        yield Asked(gateway, started, http)


def types(bundle: Json) -> list[str]:
    return [entry["resource"]["resourceType"] for entry in bundle.get("entry", ())]


def ids(bundle: Json) -> list[str]:
    return [entry["resource"]["id"] for entry in bundle.get("entry", ())]
