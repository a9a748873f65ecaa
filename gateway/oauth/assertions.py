"""Client authentication: is this assertion fresh, meant for us, signed by this client, and used for the first time?"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from gateway.crypto import jose
from gateway.errors import GatewayError, Refused, Unavailable
from gateway.oauth import discovery
from gateway.oauth.registered import ClientKeys
from gateway.ports import Ports
from gateway.settings import ClientTable

ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
LIFE_SECONDS: Final = 300
SKEW_SECONDS: Final = 10
# Remembered somewhat longer than valid, because the clocks of replicas differ.
_REMEMBERED_SECONDS: Final = 60
_TYPES: Final = ("JWT", "client-authentication+jwt")
# One text for "no such client", "no such key" and "wrong signature": it says what to check and not which it was.
UNPROVEN: Final = (
    "no client is registered as 'iss', or the signature does not fit its keys; "
    "check client id, 'kid', 'alg' and the key that was registered"
)


def read(text: str) -> jose.Token:
    """Take an assertion apart; nothing is proven yet.

    Raises:
        Refused: `oauth-client`, not a signed JWT, or not of a type and algorithm any client may use.
    """
    try:
        assertion = jose.parse(text)
        jose.check_header(assertion, discovery.ALGORITHMS, _TYPES)
    except jose.TokenError as error:
        raise Refused("oauth-client", why=str(error)) from None
    return assertion


async def registered(assertion: jose.Token, client_id: str | None, ports: Ports) -> ClientTable:
    """The client an assertion claims to come from; nothing is proven yet.

    Raises:
        Refused: `oauth-client`, no such client, or the claims or the form name two different ones.
        Unavailable: the register of clients cannot be read.
    """
    issuer = _sound(jose.text, assertion.claims, "iss")
    if issuer != assertion.claims.get("sub") or client_id not in (None, issuer):
        raise Refused("oauth-client", why="'iss', 'sub' and client_id (when sent) must all be the client id")
    return await by_id(issuer, ports)


async def by_id(client_id: str, ports: Ports) -> ClientTable:
    """The registration of a client.

    Raises:
        Refused: `oauth-client`, there is none.
        Unavailable: the register of clients cannot be read.
    """
    client = ports.policy.clients.get(client_id)
    if client is None:
        try:
            client = await ports.clients.client(client_id)
        except GatewayError:
            raise
        except Exception:  # noqa: BLE001 - a register that cannot be read proves nobody
            raise Unavailable("store-unavailable") from None
    if client is None:
        raise Refused("oauth-client", why=UNPROVEN)
    return client


async def prove(
    assertion: jose.Token, client: ClientTable, keys: ClientKeys, ports: Ports, here: str = ""
) -> dict[str, Any]:
    """The claims of an assertion that is the client's own, and is now spent.

    `here` is the address it was sent to, when that is another endpoint of this server than the token endpoint.

    Raises:
        Refused: `oauth-client` with what to mend.
        Unavailable: single use cannot be checked, so nothing is accepted.

    Spec: RFC 7523 section 3; SMART App Launch 2.2.0, 'Backend Services'.
    """
    now = ports.now().timestamp()
    found = await keys.find(client, assertion.kid, now)
    try:
        claims = jose.verify(assertion, found, algorithms=client.algorithms, types=_TYPES)
    except jose.TokenError:
        raise Refused("oauth-client", why=UNPROVEN) from None
    expires = _timely(claims, now)
    wanted = (discovery.issuer if client.audience == "issuer" else discovery.token_endpoint)(ports.settings)
    audience = claims.get("aud")
    if not isinstance(audience, str) or audience not in (wanted, here or wanted):
        raise Refused("oauth-client", why=f"'aud' must be exactly {wanted}, as one text")
    jti = _sound(jose.text, claims, "jti")
    await _spend(client.id, jti, expires, ports)
    return claims


def _timely(claims: dict[str, Any], now: float) -> float:
    """When an assertion ends, once its times are in order."""
    expires, issued, begins = (_sound(jose.date, claims, name) for name in ("exp", "iat", "nbf"))
    if expires is None or expires <= now:
        raise Refused("oauth-client", why="'exp' is missing or past; make a fresh assertion for each request")
    if expires > now + LIFE_SECONDS or (issued is not None and expires - issued > LIFE_SECONDS + SKEW_SECONDS):
        raise Refused("oauth-client", why=f"'exp' may be at most {LIFE_SECONDS} s ahead")
    if max(issued or 0, begins or 0) > now + SKEW_SECONDS:
        raise Refused("oauth-client", why="'iat' or 'nbf' lies in the future; check the clock of the client")
    return float(expires)


async def _spend(client_id: str, jti: str, expires: float, ports: Ports) -> None:
    until = datetime.fromtimestamp(expires + _REMEMBERED_SECONDS, UTC)
    try:
        first = await ports.replay.first_use(client_id, jti, until)
    except GatewayError:
        raise
    except Exception:  # noqa: BLE001 - closed when broken: unknown is not unused
        raise Unavailable("store-unavailable") from None
    if not first:
        raise Refused("oauth-client", why="this 'jti' was used before; make a fresh assertion for each request")


def _sound(read: Any, claims: dict[str, Any], name: str) -> Any:  # noqa: ANN401 - text or date, as `read` gives it
    try:
        return read(claims, name)
    except jose.TokenError as error:
        raise Refused("oauth-client", why=str(error)) from None
