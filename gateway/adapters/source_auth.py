"""How the gateway proves to a source who asks and why: a signed context header, and the source's own OAuth token."""

from __future__ import annotations

import asyncio
import secrets
import ssl
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Final, Protocol
from urllib.parse import urlencode

import msgspec

from gateway.adapters.http import HttpClient, HttpError
from gateway.errors import StartError
from gateway.model import Context
from gateway.ports import Clock
from gateway.settings import SourceTable

LIFE_SECONDS: Final = 60
_EARLY_SECONDS: Final = 30  # a token is not used in its last half minute
_TOKENS: Final = 1024
_TOKEN_ANSWER_BYTES: Final = 65_536
_ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class Signer(Protocol):
    """The part of the key ring that signs for the gateway."""

    def sign_jwt(self, claims: dict[str, Any], *, typ: str) -> str:
        """A compact JWS of these claims."""
        ...


@dataclass(frozen=True, slots=True)
class Asking:
    """What every call to one source needs in order to say who asks."""

    table: SourceTable
    http: HttpClient
    signer: Signer
    base: str  # the gateway, as `iss`
    clock: Clock
    tls: ssl.SSLContext | None = None


def context_header(asking: Asking, context: Context) -> str:
    """The signed requester context of rule B6: who asks this source, for whom, why, for at most a minute."""
    requester = context.requester
    claims = _claims(asking, asking.base, asking.table.id) | {
        "subject_organization_id": requester.organization,
        "subject_organization": context.organization_name,
        "subject_facility_type": requester.facility_type,
        "subject_id": requester.person or "",
        "subject_name": context.person_name,
        "subject_role": requester.role or "",
        "responsible": context.responsible,
        "purpose_of_use": context.purpose,
        "case": context.case,
        "request_id": context.request_id,
    }
    return asking.signer.sign_jwt(claims, typ="context+jwt")


class Authorization(Protocol):
    """How one source wants to be convinced, beside the context header."""

    async def header(self, context: Context, deadline: float) -> str:
        """The value of the Authorization header, empty when the source wants none.

        Raises:
            HttpError: there is no token to be had.
        """
        ...

    def forget(self, context: Context) -> None:
        """The source did not take the last token of this context."""
        ...


class ContextOnly:
    """A source that is content with the signed context and the connection itself."""

    async def header(self, context: Context, deadline: float) -> str:  # noqa: ARG002 - the port
        """Nothing beside the context."""
        return ""

    def forget(self, context: Context) -> None:
        """Nothing is kept."""


class _Granted(msgspec.Struct):
    """The token answer.

    Spec: RFC 6749 section 5.1.
    """

    access_token: str
    token_type: str
    expires_in: int = 0


class ClientCredentials:
    """Tokens of the source's own token endpoint, one per person, purpose and case, fetched once for all who wait.

    Spec: RFC 7523 section 2.2 (private_key_jwt); SMART Backend Services 2.2.
    """

    def __init__(self, asking: Asking) -> None:
        self._asking = asking
        self._auth = asking.table.auth
        self._kept: OrderedDict[tuple[str, ...], tuple[str, float]] = OrderedDict()
        self._coming: dict[tuple[str, ...], asyncio.Task[str]] = {}

    async def header(self, context: Context, deadline: float) -> str:
        """A token that has more than half a minute to live.

        Raises:
            HttpError: the token endpoint did not give one in time.
        """
        key = _key(context)
        kept = self._kept.get(key)
        if kept is not None and self._asking.clock.now().timestamp() < kept[1]:
            self._kept.move_to_end(key)
            return kept[0]
        task = self._coming.get(key)
        if task is None:
            task = asyncio.create_task(self._fetch(key, context, deadline))
            self._coming[key] = task
            task.add_done_callback(lambda done: self._arrived(key, done))
        try:
            # Who leaves early must not take the token away from the others who wait for it.
            async with asyncio.timeout_at(deadline):
                return await asyncio.shield(task)
        except TimeoutError:
            raise HttpError("timeout") from None

    def forget(self, context: Context) -> None:
        """The source did not take the last token of this context."""
        self._kept.pop(_key(context), None)

    def _arrived(self, key: tuple[str, ...], task: asyncio.Task[str]) -> None:
        self._coming.pop(key, None)
        if not task.cancelled():
            task.exception()  # seen here too: perhaps nobody waits any more

    async def _fetch(self, key: tuple[str, ...], context: Context, deadline: float) -> str:
        answer = await self._asking.http.request(
            "POST",
            self._auth.token_endpoint,
            headers={"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"},
            body=self._form(context),
            deadline=deadline,
            limit_bytes=_TOKEN_ANSWER_BYTES,
            tls=self._asking.tls,
        )
        if answer.status != 200:
            raise HttpError("refused" if answer.status in (400, 401, 403) else "status")
        try:
            granted = msgspec.json.decode(answer.body, type=_Granted, strict=False)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise HttpError("status") from None
        if granted.token_type.lower() != "bearer" or not _is_token(granted.access_token):
            raise HttpError("status")
        return self._keep(key, granted)

    def _keep(self, key: tuple[str, ...], granted: _Granted) -> str:
        header = f"Bearer {granted.access_token}"
        until = self._asking.clock.now().timestamp() + granted.expires_in - _EARLY_SECONDS
        self._kept[key] = (header, until)
        self._kept.move_to_end(key)
        while len(self._kept) > _TOKENS:
            self._kept.popitem(last=False)
        return header

    def _form(self, context: Context) -> bytes:
        requester = context.requester
        claims = _claims(self._asking, self._auth.client_id, self._auth.token_endpoint) | {
            "sub": self._auth.client_id,
            "extensions": {
                "hl7-b2b": {
                    "version": "1",
                    "organization_id": requester.organization,
                    "organization_name": context.organization_name,
                    "subject_id": requester.person or "",
                    "subject_name": context.person_name,
                    "subject_role": requester.role or "",
                    "purpose_of_use": [context.purpose],
                    "case": context.case,
                }
            },
        }
        form = {
            "grant_type": "client_credentials",
            "client_assertion_type": _ASSERTION_TYPE,
            "client_assertion": self._asking.signer.sign_jwt(claims, typ="JWT"),
        }
        if self._auth.scope:
            form["scope"] = self._auth.scope
        return urlencode(form).encode()


def authorization(asking: Asking) -> Authorization:
    """The authorization a source is configured with.

    Raises:
        StartError: an unknown kind, or the token endpoint or client id is missing. Exit code 1.
    """
    auth = asking.table.auth
    if auth.kind == "context":
        return ContextOnly()
    if auth.kind != "oauth":
        message = f"source '{asking.table.id}': auth.kind '{auth.kind}' is not known; known are: context, oauth"
        raise StartError(message, 1)
    if not (auth.token_endpoint and auth.client_id):
        message = f"source '{asking.table.id}': auth.kind \"oauth\" needs auth.token_endpoint and auth.client_id"
        raise StartError(message, 1)
    return ClientCredentials(asking)


def _claims(asking: Asking, issuer: str, audience: str) -> dict[str, Any]:
    now = int(asking.clock.now().timestamp())
    return {"iss": issuer, "aud": audience, "iat": now, "exp": now + LIFE_SECONDS, "jti": secrets.token_urlsafe(16)}


def _key(context: Context) -> tuple[str, ...]:
    requester = context.requester
    return (
        requester.organization,
        requester.person or "",
        context.person_name,
        requester.role or "",
        context.purpose,
        context.case,
    )


def _is_token(text: str) -> bool:
    """Claim that a token can stand in a header as it is (RFC 6750 section 2.1, bounded)."""
    return 0 < len(text) <= 8192 and text.isascii() and all("!" <= character <= "~" for character in text)
