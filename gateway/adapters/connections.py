"""Connections over aiohttp; loaded with the first call to a source, for it takes a sixth of a start."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
import zlib
from collections.abc import Mapping
from typing import Final

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from gateway.adapters.address import AddressPolicy
from gateway.adapters.http import Code, HttpAnswer, HttpError

# Common servers drop an idle connection after 5 s or more; being first avoids writing into a closing one.
_KEEP_ALIVE_SECONDS: Final = 4.0
_PER_HOST: Final = 32
_TOTAL: Final = 512
_GZIP_OR_ZLIB: Final = zlib.MAX_WBITS | 32


class Connections:
    """Connections to all sources, kept alive and bounded; nothing is remembered between requests but connections."""

    def __init__(self, addresses: AddressPolicy, resolver: AbstractResolver | None) -> None:
        self._addresses = addresses
        connector = aiohttp.TCPConnector(
            limit=_TOTAL,
            limit_per_host=_PER_HOST,
            keepalive_timeout=_KEEP_ALIVE_SECONDS,
            socket_factory=self._socket,
            resolver=resolver,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
            skip_auto_headers=("User-Agent",),
        )

    async def close(self) -> None:
        """Close every connection."""
        await self._session.close()

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes,
        deadline: float,
        limit_bytes: int,
        tls: ssl.SSLContext | None,
    ) -> HttpAnswer:
        """Ask once and read the whole answer, see `HttpClient.request`."""
        opening = self._session.request(
            method,
            URL(url, encoded=True),
            headers={**headers, "Accept-Encoding": "identity"},
            data=body or None,
            allow_redirects=False,
            ssl=True if tls is None else tls,
        )
        try:
            async with asyncio.timeout_at(deadline), opening as response:
                return await _complete(response, limit_bytes)
        except TimeoutError:
            raise HttpError("timeout") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # aiohttp refuses malformed heads and URLs with a ValueError or a ClientError.
            raise HttpError(_code(error)) from None

    def _socket(self, address: aiohttp.AddrInfoType) -> socket.socket:
        """Make the socket of one connection, or refuse where it would lead."""
        family, kind, protocol, _, where = address
        if not self._addresses.permits(str(where[0])):
            raise PermissionError(errno.EACCES, "address refused")
        return socket.socket(family=family, type=kind, proto=protocol)


async def _complete(response: aiohttp.ClientResponse, limit_bytes: int) -> HttpAnswer:
    """Read an answer to its end; a connection with half an answer in it is closed, not kept."""
    whole = False
    try:
        _refuse_redirect(response.status)
        body = await _bounded(response, limit_bytes)
        whole = True
    finally:
        if not whole:
            response.close()
    return HttpAnswer(response.status, {name.lower(): value for name, value in response.headers.items()}, body)


def _refuse_redirect(status: int) -> None:
    if 300 <= status < 400:
        raise HttpError("redirect")


async def _bounded(response: aiohttp.ClientResponse, limit_bytes: int) -> bytes:
    """Read the body, inflated where the source compressed it all the same, never more than the bound."""
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("", "identity", "gzip", "deflate"):
        raise HttpError("encoding")
    inflate = zlib.decompressobj(_GZIP_OR_ZLIB) if encoding in ("gzip", "deflate") else None
    parts: list[bytes] = []
    size = 0
    async for chunk in response.content.iter_any():
        part = chunk if inflate is None else _inflated(inflate, chunk, limit_bytes - size + 1)
        size += len(part)
        if size > limit_bytes:
            raise HttpError("too-large")
        parts.append(part)
    if inflate is not None and not inflate.eof:
        raise HttpError("truncated")
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _inflated(inflate: zlib._Decompress, chunk: bytes, room: int) -> bytes:
    try:
        part = inflate.decompress(chunk, room)
    except zlib.error:
        raise HttpError("encoding") from None
    if inflate.unused_data:
        raise HttpError("encoding")  # something follows the compressed body: what it is cannot be told
    return part


def _code(error: Exception) -> Code:
    if isinstance(error, (aiohttp.ClientSSLError, ssl.SSLError)):
        return "tls"
    if isinstance(error, aiohttp.ClientPayloadError):
        return "truncated"
    if isinstance(error, aiohttp.ClientConnectorError) and error.os_error.errno == errno.EACCES:
        return "address"
    return "connection"
