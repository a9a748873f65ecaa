"""Reading the log: records of a question, newest first, each as far as the viewer may see it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Final

import msgspec

from gateway.audit.record import decode
from gateway.audit.view import Seen, Viewer, seen
from gateway.logged import AuditQueries, AuditQuery, RecordId

BATCH: Final = 200
_TURN: Final = 8  # records between two turns of the loop


@dataclass(frozen=True, slots=True)
class Line:
    """One record that may be seen; `after` is where the batch it came in starts."""

    id: str
    seen: Seen
    after: str


async def lines(
    queries: AuditQueries, query: AuditQuery, by: Viewer, after: str = "", batch: int = BATCH
) -> AsyncIterator[Line | str]:
    """Every record the viewer may see, newest first; between two batches where the next one starts, so that a reader may stop.

    INVARIANT: the bound of the viewer is part of the question, and is checked again on every record.
    """
    bound = replace(query, parties=by.parties)
    while True:
        found, following = await queries.find(bound, batch, after)
        for number, logged in enumerate(found):
            if number % _TURN == 0:
                await asyncio.sleep(0)  # a long look must not keep those waiting who treat somebody
            visible = seen(decode(logged.body), by)
            if visible is not None:
                yield Line(str(logged.id), visible, after)
        if not following:
            return
        after = following
        yield following


async def line(queries: AuditQueries, id_: RecordId, by: Viewer) -> Line | None:
    """One record, None when there is none for this viewer."""
    logged = await queries.get(id_)
    try:
        visible = seen(decode(logged.body), by) if logged is not None else None
    except msgspec.DecodeError:  # written by another version: it stays in the log, and cannot be said here
        return None
    return Line(str(id_), visible, "") if visible is not None else None
