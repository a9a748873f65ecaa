"""The OpenID provider people log in at: authorization code with PKCE, state and nonce, and what its ID token proves."""

from __future__ import annotations

import secrets
import ssl
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import urlsplit

import httpx2
from authlib.common.security import generate_token
from authlib.integrations.base_client import OAuthError
from authlib.integrations.httpx_client import AsyncOAuth2Client
from authlib.oidc.core import CodeIDToken

from gateway.crypto import jose
from gateway.errors import Refused, Unavailable
from gateway.oauth.login import Identity
from gateway.settings import LoginTable
from profiles import exact

Json = dict[str, Any]

PENDING: Final = timedelta(minutes=10)  # between leaving for the provider and coming back
MAXIMUM_PENDING: Final = 2_000
FRESH_METADATA: Final = timedelta(minutes=15)
TIMEOUT_SECONDS: Final = 5.0
LEEWAY_SECONDS: Final = 30
_ALGORITHMS: Final = ("RS256", "RS384", "PS256", "PS384", "ES256", "ES384", "Ed25519")
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
_CLAIMS: Final = {
    "organization": "organization_id",
    "person": "subject_id",
    "roles": "roles",
    "responsible": "responsible",
    "name": "name",
}


@dataclass(frozen=True, slots=True)
class Pending:
    """One login that left for the provider."""

    verifier: str = field(repr=False)
    nonce: str = field(repr=False)
    browser: str = field(repr=False)  # what the cookie of the same browser holds
    to: str  # page to go to afterwards
    since: datetime
    again: bool  # the person must prove anew who they are


@dataclass(slots=True)
class _Known:
    metadata: Json
    keys: jose.PublicKeys
    read: datetime


class Provider:
    """The one provider of this gateway."""

    def __init__(
        self,
        table: LoginTable,
        base: str,
        directory: Path,
        now: Callable[[], datetime],
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self._table = table
        self._directory = directory
        self._now = now
        self._transport = transport
        self._callback = f"{base.rstrip('/')}/pages/callback"
        self._pending: OrderedDict[str, Pending] = OrderedDict()
        self._known: _Known | None = None

    async def leave(self, browser: str, to: str, *, again: bool) -> str:
        """Where to send somebody who wants to log in.

        Raises:
            Unavailable: `login-unavailable`.

        Spec: OpenID Connect Core 1.0 section 3.1.2.1; RFC 7636 (PKCE, S256).
        """
        known = await self._metadata()
        pending = Pending(generate_token(48), secrets.token_urlsafe(16), browser, to, self._now(), again)
        state = secrets.token_urlsafe(24)
        while len(self._pending) >= MAXIMUM_PENDING:
            self._pending.popitem(last=False)
        self._pending[state] = pending
        more = {"prompt": "login", "max_age": "0"} if again else {}
        async with self._client() as client:
            url, _ = client.create_authorization_url(
                str(known.metadata["authorization_endpoint"]),
                state=state,
                nonce=pending.nonce,
                code_verifier=pending.verifier,
                **more,
            )
        return str(url)

    async def back(self, state: str, code: str, browser: str) -> tuple[Identity, str]:
        """Who came back from the provider, and the page they were on their way to.

        Raises:
            Refused: `login-refused`: another browser, a state or code that does not fit, an ID token that proves nothing,
                no second factor.
            Unavailable: `login-unavailable`.
        """
        pending = self._pending.pop(state, None)
        if pending is None or self._now() - pending.since > PENDING:
            raise Refused("login-refused", why="this login was not begun here or took too long; log in again")
        if not browser or not secrets.compare_digest(pending.browser, browser):
            raise Refused("login-refused", why="the login was begun in another browser")
        known = await self._metadata()
        given = await self._exchange(known, code, pending)
        return self._identity(await self._claims(known, given, pending), pending), pending.to

    async def _exchange(self, known: _Known, code: str, pending: Pending) -> Json:
        async with self._client() as client:
            try:
                return dict(
                    cast(
                        "Json",
                        await client.fetch_token(
                            str(known.metadata["token_endpoint"]),
                            grant_type="authorization_code",
                            code=code,
                            code_verifier=pending.verifier,
                        ),
                    )
                )
            except OAuthError:
                raise Refused("login-refused", why="the provider did not accept the code") from None
            except (httpx2.HTTPError, ValueError):
                raise Unavailable("login-unavailable") from None

    async def _claims(self, known: _Known, given: Json, pending: Pending) -> Json:
        """The claims of the ID token, once signature, issuer, audience, times and nonce fit.

        Spec: OpenID Connect Core 1.0 section 3.1.3.7.
        """
        params = {"nonce": pending.nonce, "client_id": self._table.client_id,
                  "access_token": given.get("access_token"), "max_age": 1 if pending.again else None}  # fmt: skip
        expected = {"iss": {"essential": True, "value": self._table.issuer},
                    "aud": {"essential": True, "value": self._table.client_id}}  # fmt: skip
        try:
            token = jose.parse(str(given.get("id_token", "")))
            if "typ" not in token.header:  # many providers leave it out
                token = replace(token, header=token.header | {"typ": "JWT"})
            keys = known.keys
            if token.kid is not None and keys.find(token.kid) is None:  # rotated since we looked
                keys = (await self._metadata(anew=True)).keys
            claims = jose.verify(token, keys, algorithms=_ALGORITHMS, types=("JWT",))
            checked = CodeIDToken(claims, token.header, expected, params)
            checked.validate(int(self._now().timestamp()), LEEWAY_SECONDS)
        except Unavailable:
            raise
        except Exception:  # noqa: BLE001 - whatever is wrong with it, it proves nobody
            raise Refused("login-refused", why="the ID token of the provider does not hold") from None
        return claims

    def _identity(self, claims: Json, pending: Pending) -> Identity:
        if not set(self._table.second_factor).intersection(_texts(claims.get("amr"))):
            raise Refused("login-refused", why="the login had one factor only; use a second one")
        at = datetime.fromtimestamp(jose.date(claims, "auth_time") or jose.date(claims, "iat") or 0.0, UTC)
        if pending.again and at < pending.since - timedelta(seconds=LEEWAY_SECONDS):
            raise Refused("login-refused", why="the provider did not ask who you are again")
        said = {name: claims.get(self._table.claims.get(name, claim)) for name, claim in _CLAIMS.items()}
        return Identity(
            issuer=self._table.issuer,
            organization=str(said["organization"] or ""),
            person=str(said["person"] or ""),
            roles=tuple(_texts(said["roles"])),
            assurance=self._table.assurance.get(str(claims.get("acr", "")), "low"),
            authenticated=at,
            name=str(said["name"] or "")[:200],
            responsible=str(said["responsible"] or ""),
        )

    async def _metadata(self, *, anew: bool = False) -> _Known:
        """What the provider says about itself, read again now and then."""
        known = self._known
        if known is not None and not anew and self._now() - known.read < FRESH_METADATA:
            return known
        try:
            async with httpx2.AsyncClient(
                transport=self._transport, timeout=TIMEOUT_SECONDS, follow_redirects=False, verify=_trusted()
            ) as http:
                found = await http.get(f"{self._table.issuer.rstrip('/')}/.well-known/openid-configuration")
                metadata = exact.decode(found.raise_for_status().content)
                if metadata.get("issuer") != self._table.issuer or not all(
                    _is_safe(str(metadata.get(name, "")))
                    for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")
                ):
                    raise Unavailable("login-unavailable")
                keys = (await http.get(str(metadata["jwks_uri"]))).raise_for_status().content
                known = self._known = _Known(metadata, jose.public_keys(exact.decode(keys)), self._now())
        except (httpx2.HTTPError, exact.NotExact, jose.TokenError, AttributeError):
            raise Unavailable("login-unavailable") from None
        return known

    def _client(self) -> AsyncOAuth2Client:
        secret = self._table.secret_file
        return AsyncOAuth2Client(
            self._table.client_id,
            (self._directory / secret).read_text(encoding="utf-8").strip() if secret else None,
            scope=" ".join(self._table.scopes),
            redirect_uri=self._callback,
            code_challenge_method="S256",
            token_endpoint_auth_method="client_secret_basic" if secret else "none",
            transport=self._transport,
            timeout=TIMEOUT_SECONDS,
            follow_redirects=False,
            verify=_trusted(),
        )


@cache
def _trusted() -> ssl.SSLContext:
    """The authorities of this machine; reading them is slow, so it is done once."""
    return ssl.create_default_context()


def _is_safe(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)


def _texts(value: object) -> list[str]:
    """A claim that may be one text or a list of them."""
    rows = value if isinstance(value, list) else [value]
    return [one for one in rows if isinstance(one, str) and 0 < len(one) <= 200]
