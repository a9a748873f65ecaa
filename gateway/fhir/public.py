"""The base URL a client reaches the gateway by, as a listed proxy in front tells it."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Final

import msgspec

from gateway.ports import Ports

_HOST: Final = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9.\-]{0,252})|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?")
_PREFIX: Final = re.compile(r"(?:/[A-Za-z0-9._~\-]{1,64}){1,8}")
_PAIR: Final = re.compile(r'\s*([A-Za-z]+)\s*=\s*(?:"([^"]*)"|([^;,\s"]*))\s*')
_PORT: Final = {"http": "80", "https": "443"}


def public_base(headers: Mapping[bytes, bytes], configured: str) -> str:
    """The base URL without /fhir; the configured one when the proxy says nothing that can be used.

    Spec: RFC 7239 'Forwarded'; X-Forwarded-Host, -Proto, -Port and -Prefix. The last element is of the proxy itself.
    """
    forwarded = _forwarded(_last(headers, b"forwarded"))
    host = forwarded.get("host") or _last(headers, b"x-forwarded-host")
    scheme = (forwarded.get("proto") or _last(headers, b"x-forwarded-proto")).lower()
    prefix = _last(headers, b"x-forwarded-prefix").rstrip("/")
    if not host and not scheme and not prefix:
        return configured
    host = host or headers.get(b"host", b"").decode("latin-1")
    scheme = scheme or configured.partition("://")[0]
    if scheme not in _PORT or not _HOST.fullmatch(host) or ".." in host or (prefix and not _PREFIX.fullmatch(prefix)):
        return configured
    port = _last(headers, b"x-forwarded-port")
    if port.isdigit() and len(port) <= 5 and not re.search(r":\d+$", host):
        host = f"{host}:{port}"
    return f"{scheme}://{host.removesuffix(':' + _PORT[scheme])}{prefix}"


def reached(ports: Ports, proxy: str, trusted: Collection[str], headers: Mapping[bytes, bytes]) -> Ports:
    """The ports with the base URL the client used, when the request came through a listed proxy.

    INVARIANT: tokens, keys and the log keep the configured name of this gateway; only links change.
    """
    if proxy not in trusted:
        return ports
    table = ports.settings.gateway
    base = public_base(headers, table.base)
    if base == table.base:
        return ports
    told = msgspec.structs.replace(ports.settings, gateway=msgspec.structs.replace(table, base=base))
    return replace(ports, settings=told)


def _last(headers: Mapping[bytes, bytes], name: bytes) -> str:
    return headers.get(name, b"").decode("latin-1").rpartition(",")[2].strip()


def _forwarded(element: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for pair in element.split(";"):
        match = _PAIR.fullmatch(pair)
        if match:
            found[match[1].lower()] = match[2] if match[2] is not None else match[3]
    return found
