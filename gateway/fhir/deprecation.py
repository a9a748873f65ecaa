"""What is deprecated still works, and every answer to it says so: since when, until when, and what to read."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from datetime import UTC, date, datetime
from email.utils import format_datetime
from functools import cache
from importlib.resources import files
from typing import Final

import msgspec

from gateway.model import Incoming, Outgoing

PAGE: Final = "/docs/deprecations"
_MEDIA: Final = "media-type:"
_OLD: Final = b"+fhir"  # the only mark of a deprecated media type; a request without it is not looked at


@dataclass(frozen=True, slots=True)
class Deprecation:
    """One thing that will go."""

    match: str
    since: date
    sunset: date
    instead: str

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """What an answer says of it. Spec: RFC 9745 'Deprecation'; RFC 8594 'Sunset'."""
        began = datetime(self.since.year, self.since.month, self.since.day, tzinfo=UTC)
        ends = datetime(self.sunset.year, self.sunset.month, self.sunset.day, tzinfo=UTC)
        return (
            ("deprecation", f"@{int(began.timestamp())}"),
            ("sunset", format_datetime(ends, usegmt=True)),
            ("link", f'<{PAGE}>; rel="deprecation"; type="text/html"'),
        )


@cache
def deprecations() -> tuple[Deprecation, ...]:
    """The table."""
    rows = tomllib.loads(files(__package__).joinpath("deprecations.toml").read_text("utf-8"))["deprecated"]
    return tuple(Deprecation(**row) for row in rows)


def warned(asked: Incoming, answer: Outgoing) -> Outgoing:
    """The answer with the warning, when the request used something that will go."""
    headers = asked.headers
    accept, kind = headers.get(b"accept", b""), headers.get(b"content-type", b"")
    if _OLD not in accept and _OLD not in kind and "%2Bfhir" not in asked.query:
        return answer
    said = f"{accept.decode('latin-1')} {kind.decode('latin-1')} {asked.query.replace('%2B', '+').replace('%2F', '/')}"
    used = next((one for one in deprecations() if one.match.removeprefix(_MEDIA) in said.lower()), None)
    if used is None:
        return answer
    return msgspec.structs.replace(answer, headers=(*answer.headers, *used.headers))
