"""Proofs of possession of a key (DPoP): is this proof fresh, for this very request, and used for the first time?"""

from __future__ import annotations

import base64
import hashlib
import re
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from gateway.crypto import jose
from gateway.errors import GatewayError, Refused, Unavailable
from gateway.model import Incoming
from gateway.oauth import discovery
from gateway.ports import Ports

Json = dict[str, Any]

HEADER: Final = b"dpop"
TYPE: Final = "dpop+jwt"
LIFE_SECONDS: Final = 60
SKEW_SECONDS: Final = 10
NONCE_SECONDS: Final = 300
_ID: Final = re.compile(r"[\x21-\x7e]{8,256}")


def nonce(ports: Ports) -> str:
    """The nonce of these minutes: the same at every replica, and nobody else's guess. Spec: RFC 9449 section 8."""
    return _nonce(ports, int(ports.now().timestamp()) // NONCE_SECONDS)


async def proven(asked: Incoming, method: str, addresses: frozenset[str], ports: Ports, token: str = "") -> str:
    """The thumbprint of the key that signed a proof for this request; the proof is now spent.

    `token` is the access token it must go with; empty at the token endpoint.

    Raises:
        Refused: `proof-invalid` with what to mend, or `proof-nonce` with the nonce to use.
        Unavailable: single use cannot be checked.

    Spec: RFC 9449 section 4.3.
    """
    key, claims = _opened(asked.header(HEADER))
    now = ports.now().timestamp()
    issued = _read(jose.date, claims, "iat")
    if issued is None or not now - LIFE_SECONDS <= issued <= now + SKEW_SECONDS:
        raise _refusal(why=f"'iat' must lie at most {LIFE_SECONDS} s back; make a fresh proof for each request")
    if claims.get("htm") != method:
        raise _refusal(why="'htm' must be the method of this request")
    if _address(claims.get("htu")) not in {_address(one) for one in addresses}:
        raise _refusal(why="'htu' must be the address of this request, without query")
    digest = base64.urlsafe_b64encode(hashlib.sha256(token.encode()).digest()).rstrip(b"=").decode()
    if token and claims.get("ath") != digest:
        raise _refusal(why="'ath' must be the base64url SHA-256 of the access token")
    _check_nonce(claims, ports)
    thumbprint = str(key.thumbprint())
    await _spend(thumbprint, _read(jose.text, claims, "jti"), now + LIFE_SECONDS + SKEW_SECONDS, ports)
    return thumbprint


def _opened(text: str) -> tuple[jose.Key, Json]:
    """The key a proof carries and its claims, once its signature fits that key."""
    try:
        return jose.self_signed(text, algorithms=discovery.ALGORITHMS, types=(TYPE,))
    except jose.TokenError as error:
        raise _refusal(why=str(error)) from None


def _check_nonce(claims: Json, ports: Ports) -> None:
    bucket = int(ports.now().timestamp()) // NONCE_SECONDS
    good = claims.get("nonce") in (_nonce(ports, bucket), _nonce(ports, bucket - 1))
    if good or ("nonce" not in claims and not ports.settings.gateway.dpop_nonce):
        return
    raise Refused("proof-nonce", nonce=_nonce(ports, bucket))


async def _spend(thumbprint: str, jti: str, until: float, ports: Ports) -> None:
    if _ID.fullmatch(jti) is None:
        raise _refusal(why="'jti' must be a text of 8 to 256 characters that nobody guesses")
    try:
        first = await ports.replay.first_use(f"dpop:{thumbprint}", jti, datetime.fromtimestamp(until, UTC))
    except GatewayError:
        raise
    except Exception:  # noqa: BLE001 - closed when broken: unknown is not unused
        raise Unavailable("store-unavailable") from None
    if not first:
        raise _refusal(why="this 'jti' was used before; make a fresh proof for each request")


def _nonce(ports: Ports, bucket: int) -> str:
    return ports.keys.item_id("dpop-nonce", str(bucket))


def _address(value: object) -> str:
    """An address in one spelling. Spec: RFC 3986 section 6.2.2 and 6.2.3."""
    if not isinstance(value, str) or "?" in value or "#" in value:
        return ""
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        return ""
    usual = {"https": 443, "http": 80}.get(parts.scheme)
    named = f":{port}" if port not in (None, usual) else ""
    return f"{parts.scheme}://{(parts.hostname or '').lower()}{named}{unquote(parts.path) or '/'}"


def _read(read: Any, claims: Json, name: str) -> Any:  # noqa: ANN401 - text or date, as `read` gives it
    try:
        return read(claims, name)
    except jose.TokenError as error:
        raise _refusal(why=str(error)) from None


def _refusal(*, why: str) -> Refused:
    return Refused("proof-invalid", why=why)
