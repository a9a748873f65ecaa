"""The shared envelope around every HTTP request: ids, limits, time bounds, proxies, security headers. Raw ASGI."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

import msgspec

from gateway.errors import Invalid
from gateway.ids import new_id
from gateway.model import Incoming, Outgoing
from profiles.identifiers import passes_elfproef

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

BODY_SECONDS: Final = 10.0
MAXIMUM_HEADERS_BYTES: Final = 32_768
MAXIMUM_URL_BYTES: Final = 8_192
_BODILESS: Final = (204, 304)  # an answer that has no body states no length of one
_ID: Final = re.compile(r"[A-Za-z0-9._\-]{1,64}")
# What only a listed proxy may say: the certificate the client showed it.
CERTIFICATES: Final = frozenset(
    {b"client-cert", b"x-forwarded-client-cert", b"ssl-client-cert", b"x-ssl-client-cert", b"x-client-cert"}
)
_SINGLE: Final = frozenset({b"authorization", b"content-length", b"host", b"content-type", b"dpop"}) | CERTIFICATES
_NINE: Final = re.compile(r"\d{9}")
_FORWARDED_FOR: Final = re.compile(rb'(?i)\bfor="?\[?([0-9A-Fa-f.:]{2,45}?)\]?(?::\d{1,5})?"?\s*(?:;|$)')  # RFC 7239
_QUALITY: Final = re.compile(r"[01](\.[0-9]{0,3})?")
_LONGEST_LANGUAGES: Final = 200
_TRACE: Final = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")

# Patient data is never kept by a browser or a proxy, never framed, never guessed to be another type.
SECURITY_HEADERS: Final = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)


def correlation(given: bytes | None) -> str:
    """A correlation id from outside, or nothing when it is too long, oddly made or could hold a BSN (attack 172)."""
    if given is None:
        return ""
    text = given.decode("latin-1")
    if not _ID.fullmatch(text) or any(passes_elfproef(found) for found in _NINE.findall(text)):
        return ""
    return text


def announced(scope: Scope, base: str, trusted: Collection[str], now: datetime) -> Incoming:
    """One request without its body, before anything of it is judged: enough for a record of what is refused."""
    headers: dict[bytes, bytes] = dict(scope["headers"])
    if not CERTIFICATES.isdisjoint(headers) and not (scope.get("client") and scope["client"][0] in trusted):
        headers = {name: value for name, value in headers.items() if name not in CERTIFICATES}
    request_id = correlation(headers.get(b"x-request-id")) or new_id()
    return Incoming(
        method=scope["method"],
        path=scope["path"][len(base) :].lstrip("/"),
        query=scope["query_string"].decode("latin-1"),
        headers=headers,
        body=b"",
        peer=peer(scope, headers, trusted),
        request_id=request_id,
        correlation_id=correlation(headers.get(b"x-correlation-id"))
        or _traced(headers.get(b"traceparent"))
        or request_id,
        received=now,
        language=language(headers.get(b"accept-language", b"")),
    )


def _traced(given: bytes | None) -> str:
    trace = given.decode("latin-1") if given else ""
    return trace[3:35] if _TRACE.fullmatch(trace) else ""


async def received(asked: Incoming, scope: Scope, receive: Receive, limit: int) -> Incoming:
    """The same request with its body, read completely within bounds of size and time.

    Raises:
        Invalid: `bad-request` (two Authorization headers, no Host, a body that stops), `too-large`, or
            `unsupported-media-type`: nothing is decompressed (attack 111).
    """
    headers = scope["headers"]
    if len(headers) != len(asked.headers):  # something is given more than once, or was dropped
        _refuse_twice([name for name, _ in headers])
    if sum([len(name) + len(value) for name, value in headers]) > MAXIMUM_HEADERS_BYTES:
        raise Invalid("headers-too-large", limit=str(MAXIMUM_HEADERS_BYTES))
    if len(scope["path"]) + len(scope["query_string"]) > MAXIMUM_URL_BYTES:
        raise Invalid("uri-too-long", limit=str(MAXIMUM_URL_BYTES))
    if b"host" not in asked.headers:
        raise Invalid("bad-request", why="header host is missing")
    length = asked.headers.get(b"content-length", b"0")
    if not length.isdigit():
        raise Invalid("bad-request", why="content-length is not a number")
    if int(length) > limit:
        raise Invalid("too-large", limit=str(limit))
    if not int(length) and b"transfer-encoding" not in asked.headers:
        return asked
    if asked.headers.get(b"content-encoding", b"identity").strip().lower() != b"identity":
        raise Invalid("unsupported-media-type", type="compressed", possible="the body without Content-Encoding")
    return msgspec.structs.replace(asked, body=await _body(receive, limit))


def _refuse_twice(names: list[bytes]) -> None:
    for name in _SINGLE:
        if names.count(name) > 1:
            raise Invalid("bad-request", why=f"header {name.decode('latin-1')} is given twice")


def language(header: bytes) -> str:
    """Dutch when the caller prefers it, else English."""
    return _preferred(header[:_LONGEST_LANGUAGES]) if header else "en"


@lru_cache(maxsize=256)
def _preferred(header: bytes) -> str:
    """By quality, then by order. Spec: RFC 9110 12.5.4 'Accept-Language'."""
    found = []
    for position, part in enumerate(header.decode("latin-1").lower().split(",")):
        tag, _, quality = part.replace(" ", "").partition(";q=")
        weight = float(quality) if _QUALITY.fullmatch(quality) else 1.0
        if weight > 0 and tag.partition("-")[0] in ("nl", "en"):
            found.append((-weight, position, tag[:2]))
    return min(found)[2] if found else "en"


def peer(scope: Scope, headers: dict[bytes, bytes], trusted: Collection[str]) -> str:
    """The network address of the caller; a forwarded one only from a listed proxy."""
    address = str(scope["client"][0]) if scope.get("client") else "unknown"
    if address in trusted:
        said = _FORWARDED_FOR.search(headers.get(b"forwarded", b"").rpartition(b",")[2])
        forwarded = (said[1] if said else headers.get(b"x-forwarded-for", b"").rpartition(b",")[2]).decode("latin-1")
        forwarded = forwarded.strip()
        return forwarded if re.fullmatch(r"[0-9A-Fa-f.:]{2,45}", forwarded) else address
    return address


async def _body(receive: Receive, limit: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Invalid("bad-request", why="the body stopped")
                part = message.get("body", b"")
                size += len(part)
                if size > limit:
                    raise Invalid("too-large", limit=str(limit))
                parts.append(part)
                if not message.get("more_body"):
                    return b"".join(parts)
    except TimeoutError:
        raise Invalid("bad-request", why="the body came too slowly") from None


async def respond(send: Send, answer: Outgoing, request_id: str, correlation_id: str, *, head: bool = False) -> None:
    """Send one complete answer."""
    described = [
        (b"content-type", answer.content_type.encode()),
        (b"content-length", b"%d" % len(answer.body)),
    ]
    headers = [
        *(described if answer.status not in _BODILESS else ()),
        (b"x-request-id", request_id.encode()),
        (b"x-correlation-id", correlation_id.encode()),
    ]
    if answer.headers:
        own = [(name.encode(), value.encode("latin-1", "replace")) for name, value in answer.headers]
        named = {name for name, _ in own}
        headers += [*own, *(pair for pair in SECURITY_HEADERS if pair[0] not in named)]
    else:
        headers += SECURITY_HEADERS
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if head else answer.body})


async def unless_gone(work: Awaitable[Outgoing], receive: Receive) -> Outgoing | None:
    """Do the work, but stop it when the client hangs up; None then."""
    own = asyncio.current_task()
    assert own is not None
    hung_up = False

    def stop(_: asyncio.Future[None]) -> None:
        nonlocal hung_up
        hung_up = True
        own.cancel()

    gone = asyncio.ensure_future(_disconnected(receive))
    gone.add_done_callback(stop)
    try:
        answer = await work
    except asyncio.CancelledError:
        if not hung_up or own.uncancel():  # somebody else ends the request as well
            raise
        return None
    finally:
        gone.remove_done_callback(stop)
        gone.cancel()
    return answer


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
