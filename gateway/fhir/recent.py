"""What a client asked lately and what became of it, for the client itself: no patient, no content, bounded in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from gateway.errors import GatewayError
from gateway.model import Incoming, Json, instant

KEPT: Final = 50  # requests of a client
_CLIENTS: Final = 1_000


class _Request(msgspec.Struct, frozen=True):
    at: datetime
    request: str
    correlation: str
    method: str
    interaction: str
    status: int
    seconds: float
    error: GatewayError | None


class Recent:
    """The last requests of each client of this process."""

    def __init__(self) -> None:
        self._kept: dict[str, deque[_Request]] = {}

    def note(
        self, client: str, asked: Incoming, interaction: str, status: int, seconds: float, error: GatewayError | None
    ) -> None:
        """Remember one request of a client that proved itself; never its URL, its headers or its body."""
        found = self._kept.get(client)
        if found is None:
            while len(self._kept) >= _CLIENTS:
                del self._kept[next(iter(self._kept))]
            found = self._kept[client] = deque(maxlen=KEPT)
        ids = asked.request_id, asked.correlation_id
        found.append(_Request(asked.received, *ids, asked.method, interaction, status, seconds, error))

    def of(self, client: str, language: str) -> Sequence[Json]:
        """The requests of one client, the newest first, with the reason as the client was told it (rule A4)."""
        return [_told(row, language) for row in reversed(self._kept.get(client, ()))]


def _told(row: _Request, language: str) -> Json:
    told: Json = {
        "at": instant(row.at),
        "request": row.request,
        "correlation": row.correlation,
        "method": row.method,
        "interaction": row.interaction,
        "status": row.status,
        "milliseconds": round(row.seconds * 1000),
    }
    if row.error is not None:
        told |= {"error": row.error.code, "reason": row.error.text(language), "expression": row.error.expression}
    return told
