"""The client certificate a listed proxy saw, read from its one header; from anybody else that header says nothing."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Final
from urllib.parse import unquote_to_bytes

from gateway.crypto import certificates
from gateway.errors import Refused, StartError
from gateway.model import Incoming
from gateway.settings import ClientTable, Settings

_PEM: Final = re.compile(rb"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----")
_STRUCTURED: Final = re.compile(rb":([A-Za-z0-9+/=]+):")
_ELEMENT: Final = re.compile(rb'(?:^|;)Cert="([^"]*)"', re.IGNORECASE)
_LONGEST: Final = 16_384


def _of_rfc9440(value: bytes) -> bytes:
    """A byte sequence of structured fields. Spec: RFC 9440 section 2.1."""
    found = _STRUCTURED.fullmatch(value.strip())
    return base64.b64decode(found[1], validate=True) if found else b""


def _of_pem(value: bytes) -> bytes:
    """PEM, its line ends encoded as a URL or folded to spaces."""
    found = _PEM.search(unquote_to_bytes(value))
    return base64.b64decode(b"".join(found[1].split()), validate=True) if found else b""


def _of_elements(value: bytes) -> bytes:
    """The last element: what the nearest proxy saw itself."""
    found = _ELEMENT.search(value.rpartition(b",")[2])
    return _of_pem(found[1]) if found else b""


# How each proxy writes it. INVARIANT: a header that is not here identifies nobody.
FORMS: Final[dict[str, Callable[[bytes], bytes]]] = {
    "client-cert": _of_rfc9440,
    "x-forwarded-client-cert": _of_elements,
    "ssl-client-cert": _of_pem,
    "x-ssl-client-cert": _of_pem,
    "x-client-cert": _of_pem,
}


@dataclass(frozen=True, slots=True)
class Presented:
    """A certificate whose key the proxy saw used; the proxy judged who issued it."""

    thumbprint: str  # x5t#S256
    subject: str  # RFC 4514, as `gateway.crypto.certificates` writes it
    starts: datetime
    ends: datetime
    for_clients: bool


def known_header(settings: Settings) -> None:
    """Refuse a header name nobody knows how to read.

    Raises:
        StartError: it names the known ones. Exit code 1.
    """
    name = settings.gateway.client_certificate_header
    if name and name.lower() not in FORMS:
        message = f"gateway.client_certificate_header: '{name}' is not known; known are: {', '.join(FORMS)}"
        raise StartError(message, 1)


def presented(asked: Incoming | None, settings: Settings) -> Presented | None:
    """The certificate behind a request, None when the proxy saw none.

    INVARIANT: the envelope has dropped the header of every peer that is not a listed proxy.

    Raises:
        Refused: `oauth-client`, the header holds no certificate.
    """
    name = settings.gateway.client_certificate_header.lower()
    value = asked.headers.get(name.encode(), b"") if asked is not None and name else b""
    if not value:
        return None
    found = _read(name, value)
    if found is None:
        raise Refused("oauth-client", why="the proxy passed no readable certificate")
    return found


def valid(certificate: Presented, now: datetime) -> bool:
    """Claim that it is for clients, and neither too young nor too old."""
    return certificate.for_clients and certificate.starts <= now < certificate.ends


def is_of(certificate: Presented, client: ClientTable) -> bool:
    """Claim that it is one this client is registered with.

    Spec: RFC 8705 sections 2.1 (subject) and 2.2 (self-signed: the certificate itself).
    """
    if certificate.thumbprint in client.certificate_thumbprints:
        return True
    wanted = client.certificate_subject
    return bool(wanted) and certificates.same_name(wanted, certificate.subject)


@lru_cache(maxsize=1024)
def _read(name: str, value: bytes) -> Presented | None:
    try:
        der = FORMS[name](value) if len(value) <= _LONGEST else b""
        found = certificates.credential(der) if der else None
    except (ValueError, binascii.Error):
        return None
    if found is None:
        return None
    return Presented(found.thumbprint, found.subject, found.starts, found.ends, found.for_clients)
