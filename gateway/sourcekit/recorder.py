"""Outgoing HTTP that keeps time, status and size of every call, and by which query of a dialect it was made."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from time import perf_counter
from typing import Final
from urllib.parse import urlencode, urlsplit

from gateway.adapters.address import AddressPolicy
from gateway.adapters.dialects import Query
from gateway.adapters.http import HttpAnswer, HttpClient, HttpError

TOKEN: Final = "token"  # noqa: S105 - the name under which calls to the token endpoint are kept
# A query runs in a task of its own: what its first call was for holds for its next pages too.
_running: ContextVar[str] = ContextVar("_running", default="")


@dataclass(frozen=True, slots=True)
class Call:
    """One call as it went; no address, no content."""

    query: str
    outcome: str  # HTTP status, or the code of why there was no answer
    seconds: float
    size: int = 0


@dataclass(slots=True)
class Calls:
    """The calls of one query together."""

    outcomes: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, call: Call) -> None:
        """Keep one more; the pages of a query come one after the other."""
        self.outcomes.append(call.outcome)
        self.seconds += call.seconds


class Recorder(HttpClient):
    """The HTTP client of a trial: asks as the gateway does, and writes down how it went."""

    def __init__(self, addresses: AddressPolicy, queries: tuple[Query, ...] = (), token_endpoint: str = "") -> None:
        super().__init__(addresses)
        self._queries = {(query.type, urlencode(query.parameters)): query.name for query in queries}
        self._token_endpoint = token_endpoint
        self.calls: list[Call] = []

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes = b"",
        deadline: float,
        limit_bytes: int,
        tls: ssl.SSLContext | None = None,
    ) -> HttpAnswer:
        """Ask once and keep how it went.

        Raises:
            HttpError: as the client it stands for.
        """
        name = TOKEN if url == self._token_endpoint else self._name(url, body)
        began = perf_counter()
        try:
            answer = await super().request(
                method, url, headers=headers, body=body, deadline=deadline, limit_bytes=limit_bytes, tls=tls
            )
        except HttpError as failure:
            self.calls.append(Call(name, failure.code, perf_counter() - began))
            raise
        self.calls.append(Call(name, str(answer.status), perf_counter() - began, len(answer.body)))
        return answer

    def by_query(self) -> dict[str, Calls]:
        """The calls of every query that was asked."""
        found: dict[str, Calls] = {}
        for call in self.calls:
            found.setdefault(call.query, Calls()).add(call)
        return found

    def _name(self, url: str, body: bytes) -> str:
        """The query of a first call: its type, and its parameters after the one that names the patient."""
        parts = urlsplit(url)
        type_ = parts.path.removesuffix("/_search").rpartition("/")[2]
        fixed = (body.decode("latin-1") or parts.query).partition("&")[2]
        name = self._queries.get((type_, fixed))
        if name is None and type_ == "Patient":
            name = next((kept for (kind, _), kept in self._queries.items() if kind == "Patient"), None)
        if name is not None:
            _running.set(name)
        return name or _running.get()
