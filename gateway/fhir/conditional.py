"""Reads that are answered only when something changed: ETag and Last-Modified of what is read."""

from __future__ import annotations

import re
from datetime import UTC
from email.utils import format_datetime, parsedate_to_datetime
from functools import lru_cache
from hashlib import blake2b
from typing import Final

import msgspec

from gateway.model import Incoming, Outgoing
from profiles import dates

# When something was fetched says nothing about what it is: the same content has the same tag.
_FETCHED: Final = b'/fetched-at","valueInstant":"'
_UPDATED: Final = b'"lastUpdated":"'
_VERSION: Final = b'"versionId":"'
_TAG: Final = re.compile(r'(?:W/)?"[^"]*"')


def tagged(answer: Outgoing, *, versioned: bool = False) -> Outgoing:
    """The same answer with what a client needs to ask again whether it changed; what is versioned has its version as tag.

    Spec: FHIR R4 3.1.0.2.1 and 3.1.0.4; RFC 9110 8.8. The tag is weak: it speaks of the content, not of the bytes.
    """
    named = {name for name, _ in answer.headers}
    headers = list(answer.headers)
    if "etag" not in named:
        headers.append(("etag", f'W/"{_tag(answer.body, versioned=versioned)}"'))
    updated = _value(answer.body, _UPDATED)
    modified = _date(updated.decode("ascii", "replace")) if updated else ""
    if modified and "last-modified" not in named:
        headers.append(("last-modified", modified))
    return msgspec.structs.replace(answer, headers=tuple(headers))


def unless_unchanged(asked: Incoming, answer: Outgoing) -> Outgoing:
    """304 when the client has it: If-None-Match decides, without it If-Modified-Since. Spec: RFC 9110 13.2.2."""
    known = asked.headers.get(b"if-none-match")
    since = asked.headers.get(b"if-modified-since")
    if known is None and since is None:
        return answer
    headers = dict(answer.headers)
    if known is not None:
        tags = {tag.removeprefix("W/") for tag in _TAG.findall(known.decode("latin-1"))}
        same = known.strip() == b"*" or headers.get("etag", "").removeprefix("W/") in tags
    else:
        same = _not_after(headers.get("last-modified", ""), (since or b"").decode("latin-1"))
    return msgspec.structs.replace(answer, status=304, body=b"") if same else answer


def _tag(body: bytes, *, versioned: bool) -> str:
    version = _value(body, _VERSION) if versioned else b""
    if version:
        return version.decode("ascii", "replace")
    return blake2b(_without(_without(body, _FETCHED), _UPDATED), digest_size=12).hexdigest()


def _value(body: bytes, mark: bytes) -> bytes:
    """What stands between the last mark and the next quote: the own meta is stamped behind what is contained."""
    at = body.rfind(mark)
    return body[at + len(mark) : body.index(b'"', at + len(mark))] if at >= 0 else b""


def _without(body: bytes, mark: bytes) -> bytes:
    at = body.rfind(mark)
    return body[:at] + body[body.index(b'"', at + len(mark)) :] if at >= 0 else body


@lru_cache(maxsize=4096)
def _date(text: str) -> str:
    found = dates.parse(text)
    if found is None:
        return ""
    return format_datetime(found.lower.astimezone(UTC).replace(microsecond=0), usegmt=True)


def _not_after(modified: str, since: str) -> bool:
    try:
        asked = parsedate_to_datetime(since)
        held = parsedate_to_datetime(modified)
    except (ValueError, TypeError):  # a date that cannot be read is no condition
        return False
    return held <= (asked if asked.tzinfo else asked.replace(tzinfo=UTC))
