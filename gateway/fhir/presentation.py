"""How an answer leaves: indented when asked, compressed when that is safe and worth it."""

from __future__ import annotations

import re
import zlib
from typing import Final
from urllib.parse import parse_qsl

import msgspec

from gateway.model import Incoming, Outgoing

_COMPRESSED_FROM_BYTES: Final = 1_400  # below that it is one packet either way
_LEVEL: Final = 1  # the next level costs twice the time for a tenth less
_WRITES: Final = ("POST", "PUT")
_MINIMAL: Final = "return=minimal"
_GZIP: Final = 31  # window bits of zlib that mean gzip
_PARTS: Final = re.compile(rb"<div[ >].*?</div>\s*(?=<|$)|<[^>]+>", re.DOTALL)


def presented(asked: Incoming, answer: Outgoing) -> Outgoing:
    """The answer as it leaves."""
    if not answer.body:
        return answer
    if asked.method in _WRITES and b"prefer" in asked.headers and _wants_little(asked, answer):
        return msgspec.structs.replace(answer, body=b"", headers=(*answer.headers, ("preference-applied", _MINIMAL)))
    if b"_pretty" in asked.body or "_pretty" in asked.query:
        answer = _pretty(asked, answer)
    return _compressed(asked, answer)


def _wants_little(asked: Incoming, answer: Outgoing) -> bool:
    """Claim that what was kept need not be sent back. Spec: FHIR R4 3.1.0.5.2 'Managing Return Content'; RFC 7240."""
    kept = answer.status in (200, 201) and any(name == "etag" for name, _ in answer.headers)
    return kept and _MINIMAL in re.split(r"[,;\s]+", asked.header(b"prefer").lower())


def _pretty(asked: Incoming, answer: Outgoing) -> Outgoing:
    """Indented; no digit and no narrative is touched. Spec: FHIR R4 3.1.0.1.9 '_pretty'."""
    form = asked.body.decode("utf-8", "replace") if asked.path.endswith("/_search") else ""
    if dict(parse_qsl(f"{asked.query}&{form}")).get("_pretty") != "true":
        return answer
    if "json" in answer.content_type:
        return msgspec.structs.replace(answer, body=msgspec.json.format(answer.body, indent=2))
    if "xml" in answer.content_type and "html" not in answer.content_type:
        return msgspec.structs.replace(answer, body=_indented(answer.body))
    return answer


def _indented(xml: bytes) -> bytes:
    """FHIR XML has no text but in narratives, so every tag outside them gets a line."""
    lines: list[bytes] = []
    depth = 0
    for part in _PARTS.findall(xml):
        if part.startswith(b"</"):
            depth -= 1
        lines.append(b"  " * depth + part.strip())
        if not part.startswith((b"</", b"<?", b"<div")) and not part.endswith(b"/>"):
            depth += 1
    return b"\n".join(lines)


def _compressed(asked: Incoming, answer: Outgoing) -> Outgoing:
    """Compressed where the client takes it.

    Never a page, and never beside a secret: what the size could tell must not be a token, and no page that a browser
    sends credentials for by itself is compressed (attack 176). Tokens are given by other routes, which never are.
    """
    if len(answer.body) < _COMPRESSED_FROM_BYTES or b"gzip" not in asked.headers.get(b"accept-encoding", b"").lower():
        return answer
    if answer.content_type.startswith("text/html") or not _takes_gzip(asked.header(b"accept-encoding")):
        return answer
    made = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
    body = made.compress(answer.body) + made.flush()
    headers = [pair for pair in answer.headers if pair[0] != "vary"]
    vary = next((value for name, value in answer.headers if name == "vary"), "")
    headers += [("content-encoding", "gzip"), ("vary", f"{vary}, Accept-Encoding" if vary else "Accept-Encoding")]
    return msgspec.structs.replace(answer, body=body, headers=tuple(headers))


def _takes_gzip(header: str) -> bool:
    for part in header.lower().split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        if name == "gzip":
            return not any(re.fullmatch(r"q=0(\.0{0,3})?", parameter) for parameter in parameters)
    return False
