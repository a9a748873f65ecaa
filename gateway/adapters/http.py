"""Outgoing HTTP: one request, one absolute deadline, a bounded answer or one code from a short closed list."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Self

from gateway.adapters.address import AddressPolicy, is_protected
from gateway.errors import StartError

if TYPE_CHECKING:
    from aiohttp.abc import AbstractResolver

    from gateway.adapters.connections import Connections

# Everything that can go wrong with a call to a source. "refused" is 401, 403 or 404: at many sources all
# three may mean that there is no consent, or that the person is not known.
Code = Literal[
    "timeout",
    "connection",
    "tls",
    "address",
    "redirect",
    "too-large",
    "truncated",
    "encoding",
    "status",
    "refused",
    "malformed",
    "incomplete",
    "wrong-patient",
    "circuit-open",
]


class HttpError(Exception):
    """No usable answer; `code` says why and carries nothing the other side sent."""

    def __init__(self, code: Code) -> None:
        super().__init__(code)
        self.code: Code = code


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """One complete answer; header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class HttpClient:
    """One request at a time to any source, over connections that are shared.

    INVARIANT: an address is judged when the socket is made, after name resolution, for every connection.
    """

    def __init__(self, addresses: AddressPolicy, *, resolver: AbstractResolver | None = None) -> None:
        self._addresses = addresses
        self._resolver = resolver
        self._connections: Connections | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def load(self) -> None:
        """Load the library connections are made with; any thread may do that beforehand."""
        import gateway.adapters.connections  # noqa: F401, PLC0415 - it takes a sixth of a start

    async def close(self) -> None:
        """Close every connection."""
        if self._connections is not None:
            await self._connections.close()

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes = b"",
        deadline: float,
        limit_bytes: int,
        tls: ssl.SSLContext | None = None,
    ) -> HttpAnswer:
        """Ask once and read the whole answer; a redirect is not followed.

        Units: `deadline` event loop time, for connecting, headers and body together.

        Raises:
            HttpError: there is no complete answer within the deadline and the bound.
        """
        if not is_protected(url):
            raise HttpError("tls")
        if self._connections is None:
            from gateway.adapters.connections import Connections  # noqa: PLC0415 - see `load`

            self._connections = Connections(self._addresses, self._resolver)
        return await self._connections.request(
            method, url, headers=headers, body=body, deadline=deadline, limit_bytes=limit_bytes, tls=tls
        )


def tls_context(ca_file: str, certificate: str, key: str) -> ssl.SSLContext | None:
    """The TLS settings of one source; None where the trusted authorities of the system will do.

    Raises:
        StartError: a file cannot be read or is not what it should be.
    """
    if not (ca_file or certificate):
        return None
    try:
        context = ssl.create_default_context(cafile=ca_file or None)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if certificate:
            context.load_cert_chain(certificate, key or None)
    except (OSError, ssl.SSLError) as error:
        message = f"TLS files of a source cannot be used ({ca_file or certificate}): {type(error).__name__}"
        raise StartError(message, 1) from None
    return context
