"""Introspection (RFC 7662) and revocation (RFC 7009) of access tokens, for clients that prove themselves."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

from gateway.errors import GatewayError, Invalid, Refused, Unavailable
from gateway.model import Caller, Incoming
from gateway.oauth import discovery, endpoint
from gateway.oauth.endpoint import TokenAnswer
from gateway.oauth.registered import ClientKeys
from gateway.oauth.tokens import EXTENSION
from gateway.ports import Ports
from gateway.settings import ClientTable

Json = dict[str, Any]
Work = Callable[[dict[str, str], ClientTable, Ports], Awaitable[tuple[Json, Caller | None]]]

log: Final = logging.getLogger("gateway.oauth")

_SHOWN: Final = ("scope", "client_id", "exp", "iat", "sub", "aud", "iss", "jti", "cnf")
_HINTS: Final = frozenset({"access_token", "refresh_token"})


async def introspect(
    form: bytes, content_type: str, ports: Ports, keys: ClientKeys, asked: Incoming | None = None
) -> TokenAnswer:
    """Say whether a token is valid now, to the client it was given to or another of the same organization.

    INVARIANT: of every other token nothing is said but that it is not active.

    Spec: RFC 7662 section 2.
    """
    here = discovery.introspection_endpoint(ports.settings)
    return await _answered(form, content_type, here, _inspected, ports, keys, "introspection", asked)


async def revoke(
    form: bytes, content_type: str, ports: Ports, keys: ClientKeys, asked: Incoming | None = None
) -> TokenAnswer:
    """Take a token of this client back; durable when the answer leaves, and refused everywhere within a second.

    Spec: RFC 7009 section 2: a token that is not known needs no error.
    """
    here = discovery.revocation_endpoint(ports.settings)
    return await _answered(form, content_type, here, _revoked, ports, keys, "revocation", asked)


async def _answered(
    form: bytes,
    content_type: str,
    here: str,
    work: Work,
    ports: Ports,
    keys: ClientKeys,
    interaction: str,
    asked: Incoming | None,
) -> TokenAnswer:
    named = endpoint.Named()
    try:
        fields = endpoint.fields(form, content_type)
        client, _ = await endpoint.proven_client(fields, named, ports, keys, here, asked)
        body, caller = await work(fields, client, ports)
        answer = TokenAnswer(200, body, client=client.id, caller=caller)
    except GatewayError as error:
        answer = endpoint.refusal(error, named.client)
    except Exception:
        log.exception("%s failed", interaction)
        answer = endpoint.refusal(Unavailable("internal"), named.client)
    return replace(answer, interaction=interaction)


async def _inspected(fields: dict[str, str], client: ClientTable, ports: Ports) -> tuple[Json, Caller | None]:
    found = await _found(fields, ports)
    if found is None or found[1].requester.organization != client.organization:
        return {"active": False}, None
    claims, caller = found
    said: Json = {name: claims[name] for name in _SHOWN if name in claims}
    return {
        "active": True,
        "token_type": "DPoP" if "jkt" in claims.get("cnf", {}) else "Bearer",
        **said,
        "extensions": {EXTENSION: _who(claims)},
    }, caller


async def _revoked(fields: dict[str, str], client: ClientTable, ports: Ports) -> tuple[Json, Caller | None]:
    found = await _found(fields, ports)
    if found is None:
        return {}, None
    caller = found[1]
    if caller.requester.client != client.id:
        raise Refused("oauth-foreign-token")
    if ports.revocations is None or ports.tokens is None:
        raise Unavailable("internal")
    now = ports.now()
    await ports.revocations.revoke(caller.token_id, client.id, datetime.fromtimestamp(caller.expires, UTC), now)
    await ports.tokens.refresh(ports.revocations, now.timestamp())
    return {}, caller


async def _found(fields: dict[str, str], ports: Ports) -> tuple[Json, Caller] | None:
    """The claims and caller of the token that was sent, None when it proves nobody (any more)."""
    if ports.tokens is None:
        raise Unavailable("internal")
    token = fields.get("token", "")
    if not token:
        raise Invalid("oauth-request", why="parameter token is missing")
    if fields.get("token_type_hint", "access_token") not in _HINTS:
        raise Invalid("oauth-token-type")
    now = ports.now().timestamp()
    if ports.revocations is not None:
        await ports.tokens.refresh(ports.revocations, now)
    try:
        return ports.tokens.inspect(token, now)
    except Refused:
        return None


def _who(claims: Json) -> Json:
    """Who the token names; the words in which somebody broke the glass are for the review only."""
    said = dict(claims["extensions"][EXTENSION])
    said.pop("emergency", None)
    return said
