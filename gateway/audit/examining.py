"""A verification of the log that runs beside the pages: one at a time, with how far it is, and the last one found."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from gateway.audit.checkpoints import Log, origin_of
from gateway.audit.examination import Examination, Examiner, Progress
from gateway.audit.witness import Witness, WitnessError

Examine = Callable[[Progress], Awaitable[Examination]]

log_: Final = logging.getLogger("gateway.audit")


@dataclass(slots=True)
class Examining:
    """The verifications of one process. What is told of progress comes from another thread, a number at a time."""

    examine: Examine
    began: datetime | None = None
    by: str = ""
    found: Examination | None = None
    failed: bool = False
    _progress: dict[Log, tuple[int, int]] = field(default_factory=dict)
    _task: asyncio.Task[None] | None = None

    @property
    def running(self) -> bool:
        """Claim that one is under way."""
        return self._task is not None and not self._task.done()

    @property
    def percent(self) -> int:
        """How much of the records of the logs it came to was read."""
        read, there = map(sum, zip(*self._progress.copy().values(), strict=True)) if self._progress else (0, 0)
        return min(99, read * 100 // there) if there else 0

    def start(self, by: str, now: datetime) -> bool:
        """Start one; false when one is under way."""
        if self.running:
            return False
        self.began, self.by, self.found, self.failed = now, by, None, False
        self._progress = {}
        self._task = asyncio.create_task(self._run())
        return True

    async def close(self) -> None:
        """Stop what is under way."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        try:
            self.found = await self.examine(self._told)
        except Exception:  # said on the page; the text is for operations
            log_.exception("the log could not be examined")
            self.failed = True

    def _told(self, log: Log, read: int, there: int) -> None:
        self._progress[log] = (min(read, there), there)


async def ask_witnesses(examiner: Examiner, witnesses: Iterable[Witness], logs: Iterable[Log], base: str) -> None:
    """Take what witnesses hold as evidence; the names of those that do not answer are in the report."""
    asked = sorted({*logs, (1, 1), (2, 1)})  # also logs that may be gone
    for witness in witnesses:
        try:
            for one in asked:
                for note in await witness.history(origin_of(base, one)):
                    examiner.add(note.raw(), f"witness '{witness.id}'")
        except WitnessError:
            examiner.report.silent.append(witness.id)
