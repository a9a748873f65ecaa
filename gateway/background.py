"""Work beside the requests: purge what may be forgotten. Each job is bounded and repeats; a failure is logged and tried again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final

from gateway.adapters.inbox import InboxDirectory
from gateway.errors import Unavailable
from gateway.fhir.interactions import CLINICAL
from gateway.intake.contracts import refresh
from gateway.intake.desk import note
from gateway.ports import Ports
from gateway.storage import Stores
from gateway.storage.erasures import Erasures
from profiles.validation import prepare

log: Final = logging.getLogger("gateway.background")

PURGE_SECONDS: Final = 600.0
KEYS_SECONDS: Final = 60.0
PICK_UP_SECONDS: Final = 5.0
ERASE_SECONDS: Final = 300.0
AGREEMENTS_SECONDS: Final = 1.0  # what two people decided or one ended at another process counts here after this


class Background:
    """The jobs of one process."""

    def __init__(
        self, ports: Ports, stores: Stores, inboxes: Sequence[InboxDirectory] = (), erasures: Erasures | None = None
    ) -> None:
        self._ports = ports
        self._stores = stores
        self._erasures = erasures
        self.inboxes = inboxes  # drop directories; emptied for a process that takes nothing in
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Start every job."""
        self._tasks = [
            asyncio.create_task(_repeat("purge", PURGE_SECONDS, self._purge)),
            asyncio.create_task(_repeat("keys", KEYS_SECONDS, self._keys)),
            asyncio.create_task(_repeat("agreements", AGREEMENTS_SECONDS, partial(refresh, self._ports))),
            *(
                asyncio.create_task(_repeat("pick-up", PICK_UP_SECONDS, partial(self._pick_up, inbox)))
                for inbox in self.inboxes
            ),
            asyncio.create_task(_repeat("erase", ERASE_SECONDS, self.erase)),
            *([asyncio.create_task(self._ports.quality.work())] if self._ports.quality is not None else ()),
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

    async def _pick_up(self, inbox: InboxDirectory) -> None:
        """Take in the whole files of a drop directory; what cannot be kept now stays there for the next time."""
        try:
            await inbox.sweep(self._ports.now())
        except Unavailable as error:
            log.warning("files wait in the inbox", extra={"state": error.code})

    async def erase(self) -> int:
        """Erase what was pushed and has had its time (rule C4), and what the list of erasures names; give how many."""
        if self._erasures is None:
            return 0
        now = self._ports.now()
        count = await self._erasures.catch_up(now)
        while due := await self._erasures.due(now):
            await note("expire", "D", self._ports, reasons=tuple(due))
            count += await self._erasures.erase(due, now)
        for inbox in self.inboxes:
            await asyncio.to_thread(inbox.purge, await self._erasures.gone(inbox.source))
        return count

    async def catch_up(self) -> None:
        """Before anything is shown: take up agreements, and erase again what a database from a backup still holds."""
        await refresh(self._ports)
        if self._erasures is not None:
            await self._erasures.catch_up(self._ports.now())

    async def _purge(self) -> None:
        """Forget ids of pulled items after 24 hours."""
        await self._stores.issued.purge(self._ports.now())


async def _repeat(job: str, every: float, work: Callable[[], Awaitable[object]]) -> None:
    while True:
        await asyncio.sleep(every)
        try:
            await work()
        except Exception:  # a job that fails must not end the process; it is tried again
            log.exception("background job failed", extra={"job": job})
