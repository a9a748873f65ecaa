"""Which of several serving processes does a background job: a lease a job, taken over when its holder fell silent."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from gateway.ports import Clock
from gateway.storage.database import Database
from gateway.storage.instants import to_micros
from gateway.storage.writer import Cursor

_HELD: Final = "SELECT until FROM job_lease WHERE job = ? AND slot = ?"
_TAKE: Final = (
    "INSERT INTO job_lease (job, slot, until) VALUES (?, ?, ?) ON CONFLICT (job) "
    "DO UPDATE SET slot = excluded.slot, until = excluded.until WHERE job_lease.slot = excluded.slot OR job_lease.until <= ?"
)
_GIVE_BACK: Final = "UPDATE job_lease SET until = 0 WHERE slot = ?"


class JobStore:
    """Leases on jobs. A process is known by the slot of its log, which is its own for as long as it serves.

    A job must be harmless when it is done twice: clocks of hosts may differ, and a process may sleep.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._slot = database.log[0]

    async def take(self, job: str, lasting: timedelta) -> bool:
        """Lease a job, or keep it; false while another process holds it.

        Raises:
            Unavailable: `store-unavailable`.
        """
        now = self._clock.now()
        held = await self._database.row(_HELD, (job, self._slot))
        if held is not None and held[0] > to_micros(now + lasting / 2):
            return True  # nothing to write: a job that looks often is kept cheaply
        row = (job, self._slot, to_micros(now + lasting), to_micros(now))

        def take(cursor: Cursor) -> bool:
            return cursor.execute(_TAKE, row).rowcount == 1

        return await self._database.write(take)

    async def give_back(self) -> None:
        """Let others have the jobs of this process at once.

        Raises:
            Unavailable: `store-unavailable`; the leases end by themselves.
        """
        await self._database.write(lambda cursor: cursor.execute(_GIVE_BACK, (self._slot,)).rowcount)
