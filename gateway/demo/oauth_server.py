"""The token endpoint of the simulated hospital: client_credentials with private_key_jwt, opaque tokens bound to who asks."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import JSONResponse

from gateway.demo.context import AccessLogEntry, Asker, Door, Unproven, asker

LIFE_SECONDS: Final = 300
_ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_ASSERTION_SECONDS: Final = 300


@dataclass(frozen=True, slots=True)
class _Given:
    to: Asker
    expires: float


class TokenEndpoint:
    """Gives tokens to one client, and knows afterwards to whom.

    Spec: RFC 6749 section 4.4, RFC 7523 section 2.2.
    """

    def __init__(self, url: str, client: str, door: Door) -> None:
        self.url = url
        self.client = client
        self._door = door
        self._given: dict[str, _Given] = {}

    async def answer(self, request: Request) -> JSONResponse:
        """`POST /oauth/token`."""
        form = dict(parse_qsl((await request.body()).decode("utf-8", "replace")))
        if form.get("grant_type") != "client_credentials":
            return _refused("unsupported_grant_type", "grant_type must be client_credentials")
        if form.get("client_assertion_type") != _ASSERTION_TYPE:
            return _refused("invalid_request", f"client_assertion_type must be {_ASSERTION_TYPE}")
        try:
            to = await self._asker(form.get("client_assertion", ""))
        except Unproven as error:
            return _refused("invalid_client", str(error), 401)
        token, now = secrets.token_urlsafe(32), self._door.clock.now().timestamp()
        self._given = {old: given for old, given in self._given.items() if given.expires > now}
        self._given[token] = _Given(to, now + LIFE_SECONDS)
        answer = {
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": LIFE_SECONDS,
            "scope": form.get("scope", "system/*.rs"),
        }
        return JSONResponse(answer, headers={"Cache-Control": "no-store"})

    def check(self, authorization: str, entry: AccessLogEntry | None) -> None:
        """Check the bearer token, and that it was given to whom the context names.

        Raises:
            Unproven: no token, an unknown or expired one, or one of somebody else.
        """
        kind, _, token = authorization.partition(" ")
        given = self._given.get(token)
        if kind.lower() != "bearer" or given is None or given.expires <= self._door.clock.now().timestamp():
            raise Unproven("a bearer token of this organization's token endpoint is required")
        if entry is not None and entry.asker != given.to:
            raise Unproven("the token was given to another requester than the context names")

    async def _asker(self, assertion: str) -> Asker:
        claims = await self._door.claims(
            assertion, kind="JWT", issuer=self.client, audience=self.url, seconds=_ASSERTION_SECONDS
        )
        said = claims.get("extensions", {}).get("hl7-b2b", {}) if isinstance(claims.get("extensions"), dict) else {}
        if claims.get("sub") != self.client or not isinstance(said, dict):
            raise Unproven("sub must be the client and extensions.hl7-b2b say who asks")
        return asker(said, organization="organization_id", person="subject_id", role="subject_role")


def _refused(error: str, text: str, status: int = 400) -> JSONResponse:
    return JSONResponse({"error": error, "error_description": text}, status)
