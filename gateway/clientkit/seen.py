"""What the client kit sees of a client: each request in order, without tokens and bodies."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final
from urllib.parse import unquote

from profiles.identifiers import passes_elfproef

_NINE: Final = re.compile(r"(?<![0-9A-Za-z_-])\d{9}(?![0-9A-Za-z_-])")


@dataclass(slots=True)
class Seen:
    """One request and what became of it."""

    at: float  # seconds since the scenario began
    method: str
    path: str
    query: str
    token: str = ""  # a digest: which token, not what it is
    body: str = ""  # a digest
    status: int = 0
    fault: str = ""  # what the kit did to it
    gone: bool = False  # the client hung up before the answer

    @property
    def is_token(self) -> bool:
        """Claim that a token was asked."""
        return self.path.endswith("/oauth/token")

    @property
    def is_search(self) -> bool:
        """Claim that it is a search of observations."""
        return self.path.split("/")[2:] in (["Observation"], ["Observation", "_search"])

    @property
    def is_page(self) -> bool:
        """Claim that a next link was followed."""
        return self.is_search and "_cursor=" in self.query

    @property
    def is_summary(self) -> bool:
        """Claim that a summary was asked."""
        return self.path.endswith("$summary")

    @property
    def is_fhir(self) -> bool:
        """Claim that it is a FHIR request that needs a token."""
        return self.path.startswith("/fhir/") and not self.path.endswith(("/metadata", "smart-configuration"))

    @property
    def names_person(self) -> bool:
        """Claim that a BSN stands in the URL, as one or as nine digits that pass for one."""
        url = unquote(f"{self.path}?{self.query}")
        return "bsn|" in url.lower() or any(passes_elfproef(digits) for digits in _NINE.findall(url))

    def same(self, other: Seen) -> bool:
        """Claim that it asks the same."""
        return (self.method, self.path, self.query, self.body) == (other.method, other.path, other.query, other.body)


@dataclass(slots=True)
class Run:
    """One scenario as a client went through it."""

    requests: list[Seen] = field(default_factory=list)
    exit_code: int = 0
    output: str = ""
    timed_out: bool = False

    def after(self, seen: Seen) -> list[Seen]:
        """What came after a request."""
        return self.requests[self.requests.index(seen) + 1 :]

    def faulted(self) -> list[Seen]:
        """The requests the kit did something to."""
        return [one for one in self.requests if one.fault]


def digest(text: bytes) -> str:
    """So much of a digest that two texts can be told apart."""
    return sha256(text).hexdigest()[:16] if text else ""
