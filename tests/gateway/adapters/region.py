"""What the tests of the adapters share: a clock, a signer, questions about synthetic persons."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from consent.model import Requester
from gateway.adapters.address import LOOPBACK, AddressPolicy
from gateway.adapters.fhir import FhirSource
from gateway.adapters.http import HttpClient
from gateway.model import Context, Failure, Patient, Payload, SourceQuestion
from gateway.settings import SourceTable
from profiles.identifiers import BSN_SYSTEM

BSN = "999990019"
OTHER_BSN = "999990020"
BASE = "https://gateway.example"


@dataclass(slots=True)
class HandClock:
    """Time that moves when the test says so."""

    time: datetime = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time

    def move(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


@dataclass(slots=True)
class PlainSigner:
    """A signer whose signature is a word: what is tested is what is signed, and how often."""

    signed: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def sign_jwt(self, claims: dict[str, Any], *, typ: str) -> str:
        self.signed.append((typ, claims))
        return (
            ".".join(base64.urlsafe_b64encode(json.dumps(p).encode()).decode() for p in ({"typ": typ}, claims)) + ".s"
        )


def claims_of(token: str) -> dict[str, Any]:
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(token.split(".")[1]))
    return claims


def question(
    *categories: str,
    seconds: float = 4.0,
    bsn: str = BSN,
    types: frozenset[str] = frozenset(),
    purpose: str = "behandeling",
    person: str = "900001",
) -> SourceQuestion:
    requester = Requester("triage-app", "90000001", "V4", role="01.015", person=person)
    context = Context(requester, "Ziekenhuis Oost", "D. Arts", "900002", purpose, "case-1", "request-1")
    return SourceQuestion(
        Patient(f"p1-{bsn[-3:]}x", BSN_SYSTEM, bsn),
        frozenset(categories or ("Patient", "AllergyIntolerance")),
        types,
        context,
        asyncio.get_running_loop().time() + seconds,
    )


@asynccontextmanager
async def http() -> AsyncIterator[HttpClient]:
    async with HttpClient(AddressPolicy.of(LOOPBACK)) as client:
        yield client


def table(url: str, dialect: str = "r4-identifier@1.0", **more: Any) -> SourceTable:
    kind = "fhir-stu3" if dialect.startswith("bgz") else "fhir-r4"
    return SourceTable(id="hospital-fhir", custodian="90000002", kind=kind, dialect=dialect, url=url, **more)


def source(client: HttpClient, url: str, dialect: str = "r4-identifier@1.0", **more: Any) -> FhirSource:
    return FhirSource(table(url, dialect, **more), client, PlainSigner(), BASE, HandClock())


async def told(from_: FhirSource, asked: SourceQuestion) -> tuple[list[Payload], list[Failure]]:
    """Everything a source said, sorted out."""
    payloads: list[Payload] = []
    failures: list[Failure] = []
    async for part in from_.fetch(asked):
        if isinstance(part, Payload):
            payloads.append(part)
        else:
            failures.append(part)
    return payloads, failures
