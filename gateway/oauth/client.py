"""The other side of the token endpoint: assertions and tokens for a client whose private key is at hand."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any, Final, cast

import httpx2
from authlib.common.urls import add_params_to_qs
from authlib.integrations.base_client import OAuthError
from authlib.integrations.httpx_client import AsyncOAuth2Client

from gateway.crypto import jose
from gateway.errors import StartError
from gateway.oauth.assertions import ASSERTION_TYPE
from gateway.oauth.claims import EXTENSION

Json = dict[str, Any]

ASSERTION_SECONDS: Final = 60
TIMEOUT_SECONDS: Final = 10.0


def new_client_key(algorithm: str = "ES384") -> tuple[Json, Json]:
    """A fresh key pair as (private JWK, public JWK); register the public one.

    Raises:
        jose.TokenError: an algorithm the gateway does not accept.
    """
    key = jose.new_key(algorithm)
    kid = key.thumbprint()
    return jose.private_jwk(key, kid, algorithm), jose.public_jwk(key, kid, algorithm)


def assertion(client_id: str, key: Json, audience: str, *, now: float, who: Json | None = None, **claims: Any) -> str:  # noqa: ANN401 - claims are any JSON
    """A client assertion that lives a minute.

    `who` holds the claims of `extensions.hl7-b2b` (`subject_id`, `subject_role`, `purpose_of_use`, …);
    `claims` replace or add others.

    Raises:
        jose.TokenError: `key` is not a private JWK.
    """
    issued = int(now)
    said: Json = {
        "iss": client_id,
        "sub": client_id,
        "aud": audience,
        "iat": issued,
        "exp": issued + ASSERTION_SECONDS,
        "jti": secrets.token_urlsafe(16),
    }
    if who:
        said["extensions"] = {EXTENSION: {"version": "1", **who}}
    private = jose.private_key(key)
    return jose.sign(
        said | claims, private, algorithm=_algorithm(key), typ="JWT", kid=private.kid or private.thumbprint()
    )


async def fetch_token(
    token_endpoint: str,
    client_id: str,
    key: Json,
    *,
    now: Callable[[], float],
    scope: str = "",
    who: Json | None = None,
    audience: str = "",
    transport: httpx2.AsyncBaseTransport | None = None,
) -> Json:
    """Ask for an access token; gives the answer of the token endpoint.

    Raises:
        StartError: refused (exit code 1, with the reason the server gave) or not reached (exit code 3).
        jose.TokenError: `key` is not a private JWK.
    """

    def authenticate(_: object, _method: str, uri: str, headers: Any, body: str) -> tuple[str, Any, str]:  # noqa: ANN401 - authlib is untyped
        # authlib's own private_key_jwt signs for an hour; five minutes is the most a server may accept.
        text = assertion(client_id, key, audience or token_endpoint, now=now(), who=who)
        fields = [("client_assertion_type", ASSERTION_TYPE), ("client_assertion", text)]
        return uri, headers, add_params_to_qs(body, fields)

    async with AsyncOAuth2Client(
        client_id,
        scope=scope or None,
        token_endpoint_auth_method=authenticate,
        transport=transport,
        timeout=TIMEOUT_SECONDS,
        follow_redirects=False,
    ) as client:
        try:
            return dict(cast("Json", await client.fetch_token(token_endpoint, grant_type="client_credentials")))
        except OAuthError as error:
            message = f"{token_endpoint} refused: {error.error}: {error.description}"
            raise StartError(message, 1) from None
        except (httpx2.HTTPError, ValueError) as error:
            message = f"{token_endpoint} gave no token: {type(error).__name__}"
            raise StartError(message, 3) from None


def _algorithm(key: Json) -> str:
    """The algorithm a key says it is for, else the one that fits its type."""
    by_type = {"EC": "ES384" if key.get("crv") == "P-384" else "ES256", "OKP": "Ed25519"}
    return str(key.get("alg") or by_type.get(key["kty"], "RS384"))
