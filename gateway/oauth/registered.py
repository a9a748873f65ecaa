"""The keys a registered client signs with: from its registration, a file beside it, or its own address."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from gateway.crypto import jose
from gateway.errors import Refused, StartError
from gateway.oauth import dialects
from gateway.settings import ClientTable
from profiles import exact

JwksFetcher = Callable[[str], Awaitable[bytes]]

MAXIMUM_JWKS_BYTES: Final = 65_536
FETCH_SECONDS: Final = 3.0
FRESH_SECONDS: Final = 900.0  # a key the client withdrew is refused after at most this long
REFETCH_SECONDS: Final = 60.0  # an unknown `kid` makes us look again, but not more often than this
_BOUND: Final = ("", "certificate", "dpop")
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(slots=True)
class _Fetched:
    """What a client's own address said, and when it was last asked."""

    keys: jose.PublicKeys | None = None
    read: float = 0.0
    asked: float = -REFETCH_SECONDS
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class ClientKeys:
    """Public keys by client; an address is asked for them seldom, one request at a time."""

    def __init__(self, directory: Path, fetch: JwksFetcher | None = None) -> None:
        self.directory = directory  # what files of the configuration are relative to
        self._fetch = fetch
        self._registered: dict[str, tuple[ClientTable, jose.PublicKeys]] = {}
        self._fetched: dict[tuple[str, str], _Fetched] = {}

    def load(self, clients: Iterable[ClientTable]) -> None:
        """Read the registrations of the configuration at start.

        Raises:
            StartError: a client without usable keys; names the client and the way out. Exit code 1.
        """
        for client in clients:
            ways = [name for name in ("jwks", "jwks_file", "jwks_uri", "issuer") if getattr(client, name)]
            certified = bool(client.certificate_subject or client.certificate_thumbprints)
            if client.bound not in _BOUND:
                message = f"clients '{client.id}'.bound: '{client.bound}' is not one of {', '.join(_BOUND[1:])}"
                raise StartError(message, 1)
            if client.claims not in dialects.known():
                message = f"clients '{client.id}'.claims: '{client.claims}' is not one of {', '.join(dialects.known())}"
                raise StartError(message, 1)
            if len(ways) != 1 and not (certified and not ways):
                message = (
                    f"clients '{client.id}': give exactly one of jwks, jwks_file, jwks_uri (or issuer: for people)"
                )
                raise StartError(message, 1)
            if ways and not client.issuer:  # else people log in as it, and it proves itself nowhere
                self._check(client)

    async def find(self, client: ClientTable, kid: str | None, now: float) -> jose.PublicKeys:
        """The keys this client may sign with; `kid` is the one it claims to have used.

        Raises:
            Refused: `oauth-client` when the client's address gives no keys.
        """
        if client.jwks_uri:
            return await self._from_address(client, kid, now)
        kept = self._registered.get(client.id)
        if kept is None or kept[0] != client:
            try:
                kept = self._registered[client.id] = (client, self._read(client))
            except (jose.TokenError, exact.NotExact, OSError):
                raise Refused("oauth-client", why="no usable key is registered for this client") from None
        return kept[1]

    def _check(self, client: ClientTable) -> None:
        if client.jwks_uri:
            address = urlsplit(client.jwks_uri)
            if address.scheme != "https" and not (address.scheme == "http" and address.hostname in _LOOPBACK):
                message = f"clients '{client.id}'.jwks_uri: must be an https URL"
                raise StartError(message, 1)
            return
        where = f"jwks_file {client.jwks_file}" if client.jwks_file else "jwks"
        try:
            self._registered[client.id] = (client, self._read(client))
        except (jose.TokenError, exact.NotExact) as error:
            message = f"clients '{client.id}'.{where}: {error}"
            raise StartError(message, 1) from None
        except OSError as error:
            message = f"clients '{client.id}'.{where}: cannot be read ({error.strerror})"
            raise StartError(message, 1) from None

    def _read(self, client: ClientTable) -> jose.PublicKeys:
        jwks: Any = client.jwks
        if client.jwks_file:
            with (self.directory / client.jwks_file).open("rb") as file:
                jwks = exact.decode(file.read(MAXIMUM_JWKS_BYTES))
        return jose.public_keys(_as_set(jwks))

    async def _from_address(self, client: ClientTable, kid: str | None, now: float) -> jose.PublicKeys:
        fetched = self._fetched.setdefault((client.id, client.jwks_uri), _Fetched())
        if not _serves(fetched, kid, now):
            async with fetched.lock:
                if not _serves(fetched, kid, now) and now - fetched.asked >= REFETCH_SECONDS:
                    fetched.asked = now
                    fetched.keys, fetched.read = await self._ask(client), now
        if fetched.keys is None or now - fetched.read >= FRESH_SECONDS:
            raise Refused("oauth-client", why="the jwks_uri of this client gave no usable keys")
        return fetched.keys

    async def _ask(self, client: ClientTable) -> jose.PublicKeys | None:
        if self._fetch is None:
            return None
        try:
            async with asyncio.timeout(FETCH_SECONDS):
                raw = await self._fetch(client.jwks_uri)
            return jose.public_keys(exact.decode(raw)) if len(raw) <= MAXIMUM_JWKS_BYTES else None
        except Exception:  # noqa: BLE001 - whatever an address outside does, it only costs its own client
            return None


def _serves(fetched: _Fetched, kid: str | None, now: float) -> bool:
    """Claim that what was fetched is young enough and holds the key asked for."""
    return fetched.keys is not None and now - fetched.read < FRESH_SECONDS and fetched.keys.find(kid) is not None


def _as_set(jwks: Any) -> Any:  # noqa: ANN401 - a parsed file is any value
    """A file may hold one key instead of a set."""
    return {"keys": [jwks]} if isinstance(jwks, dict) and "kty" in jwks else jwks
