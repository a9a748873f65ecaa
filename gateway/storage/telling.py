"""Callers are told, each in the loop it waits in, what became of what they asked the writer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.storage.writer import Outcome

_log = logging.getLogger("gateway.storage.writer")


def tell(outcomes: Sequence[Outcome]) -> None:
    """Hand the outcomes to the loops that wait for them, one call a loop."""
    by_loop: dict[asyncio.AbstractEventLoop, list[Outcome]] = {}
    for outcome in outcomes:
        by_loop.setdefault(outcome[0].future.get_loop(), []).append(outcome)
    for loop, own in by_loop.items():
        try:
            loop.call_soon_threadsafe(_settle, own)
        except RuntimeError:  # the loop is closed: nobody waits any more
            _log.warning("outcome without a caller", extra={"waiting": len(own)})


def _settle(outcomes: Sequence[Outcome]) -> None:
    for entry, result, error in outcomes:
        if entry.after is not None:
            entry.after()
        future = entry.future
        if future.done():  # the caller was cancelled; what it wrote stays
            continue
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)
