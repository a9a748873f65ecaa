"""Tokens that are worth nothing without the certificate or key they were given to (RFC 8705, RFC 9449)."""

from __future__ import annotations

from typing import Final

from gateway.errors import Refused
from gateway.model import Caller, Incoming
from gateway.oauth import certificates, discovery, proof
from gateway.ports import Ports
from gateway.settings import ClientTable

CERTIFICATE: Final = "x5t#S256"
KEY: Final = "jkt"


async def bound_to(client: ClientTable, asked: Incoming | None, ports: Ports) -> str:
    """What a new token of this client is bound to, as "<confirmation>:<thumbprint>"; empty = to nothing.

    Raises:
        Refused: the client is registered for bound tokens, and the request shows nothing to bind them to.
    """
    if asked is not None and proof.HEADER in asked.headers:
        key = await proof.proven(asked, "POST", frozenset({discovery.token_endpoint(ports.settings)}), ports)
        return f"{KEY}:{key}"
    if client.bound == "dpop":
        raise Refused("proof-invalid", why="this client is registered for bound tokens: send a proof in header DPoP")
    if client.bound != "certificate":
        return ""
    found = certificates.presented(asked, ports.settings)
    if found is None or not certificates.valid(found, ports.now()) or not _may_show(found, client):
        raise Refused(
            "oauth-client", why="this client is registered for tokens bound to its certificate: connect with it"
        )
    return f"{CERTIFICATE}:{found.thumbprint}"


async def hold(caller: Caller, asked: Incoming, ports: Ports) -> None:
    """Let a bound token through only with what it is bound to.

    Raises:
        Refused: `token-invalid` without the certificate, `proof-invalid` or `proof-nonce` without a proof of the key.
    """
    kind, _, thumbprint = caller.bound.partition(":")
    if kind == CERTIFICATE:
        found = _shown(asked, ports)
        if found is None or found.thumbprint != thumbprint or not certificates.valid(found, ports.now()):
            raise Refused("token-invalid", why="it is bound to a certificate, and this connection does not show it")
        return
    token = asked.headers.get(b"authorization", b"").partition(b" ")[2].decode("latin-1")
    root = discovery.issuer(ports.settings)
    # A route that is not FHIR has its path from the root; no path means something in both places.
    here = frozenset({f"{discovery.audience(ports.settings)}/{asked.path}".rstrip("/"), f"{root}/{asked.path}"})
    if await proof.proven(asked, asked.method, here, ports, token) != thumbprint:
        raise Refused("proof-invalid", why="the proof is of another key than the token is bound to")


def _shown(asked: Incoming, ports: Ports) -> certificates.Presented | None:
    try:
        return certificates.presented(asked, ports.settings)
    except Refused:
        return None


def _may_show(found: certificates.Presented, client: ClientTable) -> bool:
    """A client that is registered with certificates uses one of them; another may bind to any it holds."""
    registered = bool(client.certificate_subject or client.certificate_thumbprints)
    return not registered or certificates.is_of(found, client)
