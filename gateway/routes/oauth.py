"""HTTP of the authorization server: token, keys and metadata."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from starlette.requests import ClientDisconnect

from gateway.oauth import discovery, endpoint

router = APIRouter()


@router.post("/oauth/token", summary="Get an access token (SMART Backend Services)")
async def token(request: Request) -> JSONResponse:
    """Answer a token request; nothing is given before it is on the record."""
    state = request.app.state
    answer = await endpoint.token(
        await _form(request), request.headers.get("content-type", ""), state.ports, state.client_keys
    )
    peer = getattr(request.state, "peer", "") or (request.client.host if request.client else "")
    try:
        await state.record_token(answer, peer, getattr(request.state, "request_id", ""))
    except Exception:  # noqa: BLE001 - whatever went wrong with the record: no record, no token
        answer = endpoint.unrecorded(answer)
    headers = dict(endpoint.HEADERS)
    if answer.retry_after is not None:
        headers["Retry-After"] = str(answer.retry_after)
    return JSONResponse(answer.body, answer.status, headers)


@router.get("/oauth/jwks", summary="Public keys of the access tokens (JWK Set)")
async def jwks(request: Request) -> JSONResponse:
    """The keys access tokens can be verified with."""
    headers = {"Cache-Control": "public, max-age=300"}
    return JSONResponse(request.app.state.ports.keys.jwks(), headers=headers, media_type="application/jwk-set+json")


@router.get("/.well-known/oauth-authorization-server", summary="Authorization server metadata (RFC 8414)")
async def metadata(request: Request) -> dict[str, Any]:
    """Where everything is and what is supported."""
    return discovery.server_metadata(request.app.state.ports.settings)


async def _form(request: Request) -> bytes:
    """The body, read no further than a form may be long; one byte more shows that it is too long."""
    form = b""
    try:
        async for part in request.stream():
            form += part
            if len(form) > endpoint.MAXIMUM_FORM_BYTES:
                break
    except ClientDisconnect:
        return b""
    return form[: endpoint.MAXIMUM_FORM_BYTES + 1]
