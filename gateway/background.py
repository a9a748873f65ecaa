"""Work beside the requests: purge what may be forgotten. Each job is bounded and repeats; a failure is logged and tried again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from gateway.fhir.interactions import CLINICAL
from gateway.ports import Ports
from gateway.storage import Stores
from profiles.validation import prepare

log: Final = logging.getLogger("gateway.background")

PURGE_SECONDS: Final = 600.0
KEYS_SECONDS: Final = 60.0


class Background:
    """The jobs of one process."""

    def __init__(self, ports: Ports, stores: Stores) -> None:
        self._ports = ports
        self._stores = stores
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Start every job."""
        self._tasks = [
            asyncio.create_task(_repeat("purge", PURGE_SECONDS, self._purge)),
            asyncio.create_task(_repeat("keys", KEYS_SECONDS, self._keys)),
            asyncio.create_task(asyncio.to_thread(prepare, CLINICAL)),  # so that the first caller does not wait for it
        ]

    async def close(self) -> None:
        """Stop every job and wait until it stopped."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _keys(self) -> None:
        """Take up keys that were rotated, and drop those that were removed."""
        self._ports.keys.refresh()

    async def _purge(self) -> None:
        """Forget ids of pulled items after 24 hours."""
        await self._stores.issued.purge(self._ports.now())


async def _repeat(job: str, every: float, work: Callable[[], Awaitable[None]]) -> None:
    while True:
        await asyncio.sleep(every)
        try:
            await work()
        except Exception:  # a job that fails must not end the process; it is tried again
            log.exception("background job failed", extra={"job": job})
