"""Which network addresses may be connected to, and when two URLs have the same origin."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from gateway.errors import StartError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Origin = tuple[str, str, int]

LOOPBACK: Final = ("127.0.0.0/8", "::1/128")

# Link-local and the instance metadata addresses of cloud platforms: no configuration opens these.
_NEVER: Final[tuple[Network, ...]] = tuple(
    ipaddress.ip_network(text)
    for text in (
        "169.254.0.0/16",
        "fe80::/10",
        "fd00:ec2::/32",
        "100.100.100.200/32",
        "168.63.129.16/32",
        "192.0.0.192/32",
        "0.0.0.0/8",
        "255.255.255.255/32",
    )
)
_NAT64: Final = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("64:ff9b:1::/48"))
_COMPATIBLE: Final = ipaddress.IPv6Network("::/96")
_MISREAD: Final = re.compile(r"[\x00-\x20\x7f\\]")
_PROTECTED: Final = re.compile(
    r"(?:https://[\w.\-]+|https://\[[\w:.]+\]|http://(?:localhost|127\.0\.0\.1|\[::1\]))(?::\d{1,5})?(?:[/?]|\Z)",
    re.ASCII | re.IGNORECASE,
)
_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class AddressPolicy:
    """Public addresses, and the private networks the configuration names; metadata and link-local never."""

    networks: tuple[Network, ...] = ()

    @classmethod
    def of(cls, networks: Iterable[str]) -> AddressPolicy:
        """Make a policy of CIDR texts, as the configuration gives them.

        Raises:
            StartError: one of them is not a network. Exit code 1.
        """
        found: list[Network] = []
        for text in networks:
            try:
                found.append(ipaddress.ip_network(text))
            except ValueError:
                message = f"gateway.source_networks: '{text}' is not a network such as 10.20.0.0/16"
                raise StartError(message, 1) from None
        return cls(tuple(found))

    def permits(self, address: str) -> bool:
        """Claim that a resolved address may be connected to; what cannot be read is refused."""
        try:
            found = _unwrapped(ipaddress.ip_address(address.partition("%")[0]))
        except ValueError:
            return False
        if any(found in network for network in _NEVER) or found.is_multicast or found.is_unspecified:
            return False
        return found.is_global or any(found in network for network in self.networks)


def origin(url: str) -> Origin | None:
    """Scheme, host and port of an absolute http(s) URL; None when it is anything else.

    A URL with user information, a backslash, white space or a control character has no origin here:
    readers disagree on which host such a text names.
    """
    if _MISREAD.search(url):
        return None
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in _PORTS or not parts.hostname or "@" in parts.netloc:
        return None
    return parts.scheme, parts.hostname.rstrip("."), _PORTS[parts.scheme] if port is None else port


def same_origin(one: str, other: str) -> bool:
    """Claim that two URLs have the same scheme, host and port; never true for a URL without origin."""
    found = origin(one)
    return found is not None and found == origin(other)


def is_protected(url: str) -> bool:
    """Claim that what is sent to this URL stays unreadable on the way: TLS, or this machine itself."""
    return _PROTECTED.match(url) is not None


def _unwrapped(address: Address) -> Address:
    """The IPv4 address inside an IPv6 one (mapped, compatible, NAT64, 6to4, Teredo), where the packet ends up."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    inner = address.ipv4_mapped or address.sixtofour
    if inner is None and address.teredo is not None:
        inner = address.teredo[1]
    if inner is None and any(address in network for network in _NAT64):
        inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    if inner is None and address in _COMPATIBLE and int(address) > 1:
        inner = ipaddress.IPv4Address(int(address))
    return inner or address
