"""HTTP of the authorization server: token, keys and metadata."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from gateway import envelope
from gateway.errors import Invalid
from gateway.model import Incoming
from gateway.oauth import discovery, endpoint, inspection
from gateway.oauth.endpoint import TokenAnswer
from gateway.oauth.registered import ClientKeys
from gateway.ports import Ports

Work = Callable[[bytes, str, Ports, ClientKeys, Incoming | None], Awaitable[TokenAnswer]]

router = APIRouter()


@router.post("/oauth/token", summary="Get an access token (SMART Backend Services)")
async def token(request: Request) -> Response:
    """Answer a token request; nothing is given before it is on the record."""
    return await _answered(request, endpoint.token)


@router.post("/oauth/introspect", summary="Is this access token valid, and whose is it (RFC 7662)")
async def introspect(request: Request) -> Response:
    """Answer about a token of the own organization."""
    return await _answered(request, inspection.introspect)


@router.post("/oauth/revoke", summary="Take an access token back (RFC 7009)")
async def revoke(request: Request) -> Response:
    """End a token of this client."""
    return await _answered(request, inspection.revoke)


async def _answered(request: Request, work: Work) -> Response:
    state = request.app.state
    trusted = frozenset(state.ports.settings.gateway.trusted_proxies)
    asked = envelope.announced(request.scope, "", trusted, state.ports.now())
    try:
        asked = await envelope.received(asked, request.scope, request.receive, endpoint.MAXIMUM_FORM_BYTES)
        answer = await work(asked.body, asked.header(b"content-type"), state.ports, state.client_keys, asked)
    except Invalid as error:
        answer = endpoint.refusal(error)
    try:
        await state.record_token(answer, asked.peer, asked.request_id)
    except Exception:  # noqa: BLE001 - whatever went wrong with the record: no record, no token
        answer = endpoint.unrecorded(answer)
    own = {name.decode(): value.decode() for name, value in envelope.SECURITY_HEADERS}
    own |= {"x-request-id": asked.request_id, "pragma": "no-cache"}
    if answer.retry_after is not None:
        own["retry-after"] = str(answer.retry_after)
    if answer.nonce:
        own["dpop-nonce"] = answer.nonce
    if answer.status == 401:  # RFC 7235 3.1: a refused login names a way to log in
        own["www-authenticate"] = 'Bearer realm="token", error="invalid_client"'
    if not answer.body:
        return Response(status_code=answer.status, headers=own)
    return JSONResponse(answer.body, answer.status, own)


@router.api_route("/oauth/jwks", methods=["GET", "HEAD"], summary="Public keys of the access tokens (JWK Set)")
async def jwks(request: Request) -> JSONResponse:
    """The keys access tokens can be verified with."""
    headers = {"Cache-Control": "public, max-age=300"}
    return JSONResponse(request.app.state.ports.keys.jwks(), headers=headers, media_type="application/jwk-set+json")


@router.api_route(
    "/.well-known/oauth-authorization-server",
    methods=["GET", "HEAD"],
    summary="Authorization server metadata (RFC 8414)",
)
async def metadata(request: Request) -> dict[str, Any]:
    """Where everything is and what is supported."""
    return discovery.server_metadata(request.app.state.ports.settings)
