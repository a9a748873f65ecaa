"""Who a server proves to be when a TLS connection is opened, and for how many days it still can."""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from gateway.adapters.address import AddressPolicy
from gateway.crypto import certificates
from gateway.crypto.certificates import Certificate

SOON_DAYS: Final = 30


@dataclass(frozen=True, slots=True)
class Proof:
    """What the handshake told: nothing is sent over the connection."""

    protocol: str = ""  # "TLSv1.3"; empty = none was agreed
    certificate: Certificate | None = None
    trouble: str = ""  # why the certificate or the connection is not trusted


async def handshake(url: str, context: ssl.SSLContext | None, addresses: AddressPolicy, seconds: float) -> Proof | None:
    """Open and close a TLS connection to the server of a URL; None when the URL has no TLS."""
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname:
        return None
    trusting = context or ssl.create_default_context()
    try:
        async with asyncio.timeout(seconds):
            address = await _address(parts.hostname, parts.port or 443, addresses)
            try:
                return await _shaken(address, parts.hostname, trusting)
            except ssl.SSLCertVerificationError as error:
                shown = await _shaken(address, parts.hostname, _curious())
                return Proof(shown.protocol, shown.certificate, error.verify_message)
    except TimeoutError:
        return Proof(trouble="timeout")
    except (OSError, ValueError) as error:
        return Proof(trouble=type(error).__name__)


async def _address(host: str, port: int, addresses: AddressPolicy) -> tuple[str, int]:
    """The first address of the host that may be connected to."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    permitted = [str(where[0]) for *_, where in found if addresses.permits(str(where[0]))]
    if not permitted:
        raise PermissionError
    return permitted[0], port


async def _shaken(address: tuple[str, int], host: str, context: ssl.SSLContext) -> Proof:
    _, writer = await asyncio.open_connection(*address, ssl=context, server_hostname=host)
    try:
        made = writer.get_extra_info("ssl_object")
        der = made.getpeercert(binary_form=True)
        return Proof(made.version() or "", certificates.read(der) if der else None)
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


def _curious() -> ssl.SSLContext:
    """Settings to read the certificate of a server that is not trusted; nothing else is done with it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
