"""Loads the region into a running gateway through its own HTTP API: each custodian registers with its own token."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import httpx2

from gateway.demo.ambulance import SOURCE, Written
from gateway.demo.configuration import Client
from gateway.demo.elements import Json
from gateway.demo.region import Region
from gateway.demo.registrations import Registration
from gateway.errors import StartError
from gateway.oauth.client import fetch_token
from profiles import exact

TRANSFER: Final = "ambulance-transfer"  # the client that posts transfer documents
_ATTEMPTS: Final = 6
_FIRST_PAUSE: Final = 0.1  # seconds, doubled each time
_PARALLEL: Final = 8
_PASSING: Final = frozenset({429, 502, 503, 504})


async def load(region: Region, *, transport: httpx2.AsyncBaseTransport | None = None) -> int:
    """Register everything the custodians hold and their patients said, and post documents; gives how many there were.

    Consents go first: data that is findable before its objection is known would be shown too early.

    Raises:
        StartError: the gateway refused something, or did not answer after all attempts. Exit code 3.
    """
    said, held, documents = region.consents(), region.index_entries(), region.documents()
    asked = {registration.client for registration in (*said, *held)} | {TRANSFER}
    clients = [client for client in region.clients if client.id in asked]
    async with httpx2.AsyncClient(base_url=region.gateway_base, transport=transport, timeout=10) as http:
        tokens = await _tokens(region, http, clients, transport)
        await _post(http, tokens, said)
        await _post(http, tokens, held)
        for document in documents:
            await _post_document(http, tokens[TRANSFER], document)
    return len(said) + len(held) + len(documents)


async def role_tokens(region: Region, *, transport: httpx2.AsyncBaseTransport | None = None) -> dict[str, str]:
    """An access token for every role that is printed.

    Raises:
        StartError: the token endpoint refused, or did not answer.
    """
    clients = [client for client in region.clients if client.role]
    async with httpx2.AsyncClient(base_url=region.gateway_base, transport=transport, timeout=10) as http:
        tokens = await _tokens(region, http, clients, transport)
    return {client.role: tokens[client.id] for client in clients}


async def token_endpoint(http: httpx2.AsyncClient) -> str:
    """Where the gateway gives tokens, as it says itself."""
    answer = await _insist("discovery", lambda: http.get("/fhir/.well-known/smart-configuration"))
    return str(answer.json()["token_endpoint"])


async def _tokens(
    region: Region, http: httpx2.AsyncClient, clients: Sequence[Client], transport: httpx2.AsyncBaseTransport | None
) -> dict[str, str]:
    endpoint = await token_endpoint(http)

    async def one(client: Client) -> Json:
        return await fetch_token(
            endpoint,
            client.id,
            client.private_key,
            now=lambda: region.clock.now().timestamp(),
            who=client.who,
            transport=transport,
        )

    answers = await asyncio.gather(*(one(client) for client in clients))
    return {client.id: str(answer["access_token"]) for client, answer in zip(clients, answers, strict=True)}


async def _post(http: httpx2.AsyncClient, tokens: dict[str, str], registrations: Sequence[Registration]) -> None:
    gate = asyncio.Semaphore(_PARALLEL)

    async def one(registration: Registration) -> None:
        kind = registration.resource["resourceType"]
        headers = {"Authorization": f"Bearer {tokens[registration.client]}", "Content-Type": "application/fhir+json"}
        async with gate:
            await _insist(
                f"{registration.client}: POST {kind}",
                lambda: http.post(f"/fhir/{kind}", content=exact.encode(registration.resource), headers=headers),
            )

    try:
        async with asyncio.TaskGroup() as group:
            for registration in registrations:
                group.create_task(one(registration))
    except* StartError as refused:
        first = refused.exceptions[0]
    else:
        return
    raise first


async def _post_document(http: httpx2.AsyncClient, token: str, document: Written) -> None:
    """Post a transfer document into the ambulance service's own inbox; the token says whose it is (rule D1)."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/cda+xml"}
    await _insist(
        f"{TRANSFER}: document {document.control_id}",
        lambda: http.post(f"/inbox/{SOURCE}", content=document.raw, headers=headers),
    )


async def _insist(what: str, call: Callable[[], Awaitable[httpx2.Response]]) -> httpx2.Response:
    """Call until it succeeds; a refusal is final, a passing trouble is not."""
    said = ""
    for attempt in range(_ATTEMPTS):
        if attempt:
            await asyncio.sleep(_FIRST_PAUSE * 2 ** (attempt - 1))
        try:
            answer = await call()
        except httpx2.TransportError as error:
            said = type(error).__name__
            continue
        if answer.is_success:
            return answer
        said = f"status {answer.status_code}"
        if answer.status_code not in _PASSING:
            break
    message = f"the demo could not be loaded: {what}: {said}"
    raise StartError(message, 3)
