"""The first steps to a server: its certificate, what it declares, whether it gives a token."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from time import perf_counter
from typing import Literal

from gateway.adapters.address import AddressPolicy
from gateway.adapters.http import HttpClient, HttpError
from gateway.adapters.source_auth import Asking, authorization
from gateway.crypto import certificates
from gateway.crypto.certificates import Certificate
from gateway.model import Context
from gateway.sourcekit import statement, tls
from gateway.sourcekit.statement import NotAStatement, Statement

STATEMENT_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at; "note" is neither good nor wrong."""

    name: str
    state: Literal["ok", "wrong", "note"]
    text: str
    reached: bool = True  # false: the other side could not be asked at all


async def declared(
    http: HttpClient, url: str, context: ssl.SSLContext | None, seconds: float
) -> tuple[Statement | None, Check]:
    """What the server declares at /metadata."""
    began = perf_counter()
    try:
        answer = await http.request(
            "GET", url.rstrip("/") + "/metadata", headers={"Accept": "application/fhir+json"},
            deadline=_deadline(seconds), limit_bytes=STATEMENT_BYTES, tls=context,
        )  # fmt: skip
    except HttpError as failure:
        return None, Check("metadata", "wrong", f"no answer: {failure.code}", reached=False)
    if answer.status != 200:
        return None, Check("metadata", "wrong", f"status {answer.status}")
    try:
        found = statement.read(answer.body)
    except NotAStatement as error:
        return None, Check("metadata", "wrong", str(error))
    told = f"FHIR {found.version}, {len(found.types)} types, {_since(began)} ms"
    return found, Check("metadata", "ok", told + (f", {found.software}" if found.software else ""))


async def certified(
    url: str, context: ssl.SSLContext | None, addresses: AddressPolicy, seconds: float, now: datetime
) -> Check:
    """The certificate of the server, and the days it has left."""
    proof = await tls.handshake(url, context, addresses, seconds)
    if proof is None:
        return Check("tls", "note", "no TLS: this machine only")
    if proof.certificate is None:
        return Check("tls", "wrong", proof.trouble or "no certificate", reached=False)
    told = f"{proof.protocol}, {_shown(proof.certificate, now)}"
    if proof.trouble:
        return Check("tls", "wrong", f"not trusted: {proof.trouble}; {told}")
    return Check("tls", "ok" if proof.certificate.days_left(now) > tls.SOON_DAYS else "note", told)


def own(name: str, path: str, now: datetime) -> Check:
    """A certificate of the gateway's own.

    Raises:
        StartError: it cannot be read.
    """
    found = certificates.read_file(Path(path))
    left = found.days_left(now)
    return Check(name, "wrong" if left < 0 else "ok" if left > tls.SOON_DAYS else "note", _shown(found, now))


async def authorized(asking: Asking, context: Context, seconds: float) -> Check:
    """Whether the source's own token endpoint lets the gateway in.

    Raises:
        StartError: its authorization is not configured.
    """
    began = perf_counter()
    try:
        header = await authorization(asking).header(context, _deadline(seconds))
    except HttpError as failure:
        return Check("token", "wrong", f"none given: {failure.code}", reached=failure.code == "refused")
    if not header:
        return Check("token", "note", "none asked for: signed context header only")
    return Check("token", "ok", f"given in {_since(began)} ms")


def _shown(certificate: Certificate, now: datetime) -> str:
    return (
        f"{certificate.subject}, issued by {certificate.issuer}, {certificate.key}, "
        f"until {certificate.ends:%Y-%m-%d}: {certificate.days_left(now)} days left"
    )


def _deadline(seconds: float) -> float:
    return asyncio.get_running_loop().time() + seconds


def _since(began: float) -> int:
    return round((perf_counter() - began) * 1000)
