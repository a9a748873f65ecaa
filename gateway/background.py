"""Work beside the requests: purge, erase, pick up. Each job is bounded and repeats, in one process; a failure is tried again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from functools import partial
from typing import Final

from gateway.adapters.inbox import InboxDirectory
from gateway.adapters.notices import Messenger
from gateway.audit.checkpoints import Log
from gateway.audit.record import decode, encode, unknown
from gateway.audit.retention import Retention
from gateway.errors import Unavailable
from gateway.fhir.interactions import CLINICAL
from gateway.intake.contracts import refresh
from gateway.intake.desk import note
from gateway.ports import Ports
from gateway.storage import Stores
from gateway.storage.audit_retention import AuditRetention
from gateway.storage.erasures import Erasures
from profiles.validation import prepare

log: Final = logging.getLogger("gateway.background")

PURGE_SECONDS: Final = 600.0
KEYS_SECONDS: Final = 60.0
PICK_UP_SECONDS: Final = 5.0
ERASE_SECONDS: Final = 300.0
AGREEMENTS_SECONDS: Final = 1.0  # what two people decided or one ended at another process counts here after this
LOOKUP_SECONDS: Final = 0.5
LOOKUP_RECORDS: Final = 512  # together they cost a tenth; a question takes in what is not there yet
LOOKUP_TURNS: Final = 10
SPACE_SECONDS: Final = 5.0
RESERVE_BYTES: Final = 67_108_864  # tens of thousands of records
INTENTS_SECONDS: Final = 40.0  # a lease of the log ends after 30
THIN_SECONDS: Final = 120.0
RETIRE_SECONDS: Final = 21_600.0
FIGURES_SECONDS: Final = 5.0  # what a crash may cost of the figures about sources
QUOTAS_SECONDS: Final = 1.0  # so long a client may go on at each process after it used its quota up at another
NOTICES_SECONDS: Final = 1.0  # who must hear of a broken glass hears at once
LEASE_SECONDS: Final = 30.0  # beyond the time between two turns: so late another process takes a job over


class Background:
    """The jobs of one process."""

    def __init__(
        self,
        ports: Ports,
        stores: Stores,
        inboxes: Sequence[InboxDirectory] = (),
        erasures: Erasures | None = None,
        messenger: Messenger | None = None,
    ) -> None:
        self._ports = ports
        self._stores = stores
        self._erasures = erasures
        self._messenger = messenger
        self.inboxes = inboxes  # drop directories; emptied for a process that takes nothing in
        self._own_until = 0
        self._turns = 0
        self._recovered: set[Log] = set()  # logs of which every intent has an outcome
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Start every job."""
        self._tasks = [
            asyncio.create_task(_repeat("keys", KEYS_SECONDS, self._keys)),
            asyncio.create_task(_repeat("agreements", AGREEMENTS_SECONDS, partial(refresh, self._ports))),
            asyncio.create_task(_repeat("files", ERASE_SECONDS, self._tidy)),  # each process has directories of its own
            self._alone("purge", PURGE_SECONDS, self._purge),
            *(
                self._alone(f"pick-up {inbox.source}", PICK_UP_SECONDS, partial(self._pick_up, inbox))
                for inbox in self.inboxes
            ),
            *([asyncio.create_task(self._ports.quality.work())] if self._ports.quality is not None else ()),
            asyncio.create_task(_repeat("figures", FIGURES_SECONDS, self._keep_figures)),
            asyncio.create_task(_repeat("quotas", QUOTAS_SECONDS, self._share_quotas, at_once=True)),
            *([self._alone("notices", NOTICES_SECONDS, self._messenger.send_due)] if self._messenger else ()),
            self._alone("erase", ERASE_SECONDS, self.erase),
            self._alone("audit-lookup", LOOKUP_SECONDS, self._fill),
            asyncio.create_task(_repeat("space", SPACE_SECONDS, self._watch_space)),
            self._alone("audit-thin", THIN_SECONDS, self._thin),
            self._alone("audit-retire", RETIRE_SECONDS, self._retire),
            asyncio.create_task(asyncio.to_thread(prepare, CLINICAL)),  # so that the first caller does not wait for it
        ]

    def recover(self, found: Mapping[Log, int]) -> None:
        """Close what processes that died had begun, without keeping anybody waiting for it.

        `found`: the records of each log nobody else writes. A process whose lease has yet to end is looked at later.
        """
        self._own_until = found.get(self._stores.trees.own, 0)
        self._tasks.append(asyncio.create_task(_repeat("intents", INTENTS_SECONDS, self._close_intents, at_once=True)))

    async def _close_intents(self) -> None:
        """Give every intent of a log nobody writes any more an outcome: unknown."""
        trees, live = self._stores.trees, await self._stores.trees.live(self._ports.now())
        dead = [log for log in await trees.logs() if log not in live | self._recovered]
        until = {log: await trees.newest(log) if log != trees.own else self._own_until for log in dead}
        for logged in await self._stores.queries.open_intents(until):
            intent = decode(logged.body)
            sent = [decode(one.body) for one in await self._stores.queries.fragments(intent.request)]
            await self._stores.audit.append(encode(unknown(intent, self._ports.now(), sent)))
        self._recovered.update(dead)

    async def close(self) -> None:
        """Stop every job and wait until it stopped."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._tasks:
            with suppress(Unavailable):
                await self._keep_figures()
                await self._share_quotas()
            with suppress(Unavailable):  # the leases end by themselves
                await self._stores.jobs.give_back()

    def _alone(self, job: str, every: float, work: Callable[[], Awaitable[object]]) -> asyncio.Task[None]:
        """A job that one of several serving processes does."""
        lasting = timedelta(seconds=every + LEASE_SECONDS)

        async def turn() -> None:
            if await self._stores.jobs.take(job, lasting):
                async with self._holding(job, lasting):
                    await work()

        return asyncio.create_task(_repeat(job, every, turn))

    @asynccontextmanager
    async def _holding(self, job: str, lasting: timedelta) -> AsyncIterator[None]:
        """Keep the lease while work takes longer than it lasts."""

        async def keep() -> None:
            await self._stores.jobs.take(job, lasting)

        keeping = asyncio.create_task(_repeat(f"lease of {job}", lasting.total_seconds() / 3, keep))
        try:
            yield
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)

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
        await self._tidy()
        return count

    async def _tidy(self) -> None:
        """Remove the files of what was erased."""
        if self._erasures is not None:
            for inbox in self.inboxes:
                await asyncio.to_thread(inbox.purge, await self._erasures.gone(inbox.source))

    async def catch_up(self) -> None:
        """Before anything is shown: take up agreements, and erase again what a database from a backup still holds."""
        await refresh(self._ports)
        if self._erasures is not None:
            await self._erasures.catch_up(self._ports.now())

    async def _fill(self) -> None:
        """Take in the records the log is asked by; a few wait until there are more, for a while."""
        self._turns += 1
        least = 1 if self._turns % LOOKUP_TURNS == 0 else LOOKUP_RECORDS
        while await self._stores.queries.fill(least):
            least = LOOKUP_RECORDS  # while records keep coming there would be no end of a few

    async def _watch_space(self) -> None:
        """Refuse callers nobody knows first: what space is left is for the records of care."""
        free = self._stores.trees.database.free_bytes()
        full = free is not None and free < RESERVE_BYTES
        if full and not self._ports.refusals.full:
            log.error("the disk is almost full; callers who are not known are refused", extra={"state": "reserve"})
        self._ports.refusals.full = full

    async def _share_quotas(self) -> None:
        """Tell other processes what clients asked here, and learn what they asked there."""
        allowances, usage, now = self._ports.allowances, self._stores.usage, self._ports.now().timestamp()
        if allowances is not None:
            await usage.add(told := allowances.untold(), now)
            allowances.learn(told, await usage.totals(now))

    async def _keep_figures(self) -> None:
        """Make durable what was seen of sources since the last time."""
        if (office := self._ports.office) is not None:
            await office.sources.keep()
            await office.quality.keep()

    async def _thin(self) -> None:
        """Forget checkpoints that others stand for."""
        await self._stores.trees.thin(self._ports.now())

    async def _retire(self) -> None:
        """Remove records whose time is over (rule F4)."""
        retention = Retention(self._ports.settings)
        await AuditRetention(self._stores.trees, self._stores.audit, retention).retire(self._ports.now())

    async def _purge(self) -> None:
        """Forget ids of pulled items after 24 hours."""
        await self._stores.issued.purge(self._ports.now())


async def _repeat(job: str, every: float, work: Callable[[], Awaitable[object]], *, at_once: bool = False) -> None:
    while True:
        await asyncio.sleep(0 if at_once else every)
        at_once = False
        try:
            await work()
        except Exception:  # a job that fails must not end the process; it is tried again
            log.exception("background job failed", extra={"job": job})
