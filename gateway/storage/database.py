"""What every engine gives the stores: reads in the event loop, every write through a writer."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Final

from gateway.storage import engines
from gateway.storage.waiting import A, Joint, Operation, Operations, T, Write
from gateway.storage.writer import Append, Extra, Follow, Log, Writer

Row = tuple[Any, ...]

GROUP_COMMIT: Final = timedelta(milliseconds=2)
WAITING_LIMIT: Final = 4_096


class Database(ABC):
    """The gateway's own store. INVARIANT: a write that returned is durable; a read never waits for one.

    `log` is the slot and epoch this process writes its audit records in. Operations go through `writes`,
    records through `appends`.
    """

    def __init__(self, log: Log, writes: Writer, appends: Writer) -> None:
        self.log = log
        self._writes = writes
        self._appends = appends

    @staticmethod
    def open(
        url: str, *, exclusive: bool = True, group_commit: timedelta = GROUP_COMMIT, limit: int = WAITING_LIMIT
    ) -> Database:
        """Open an upgraded database; `exclusive` is for the process that serves: it claims its log.

        Raises:
            StartError: the schema is older or newer than this program, no log is free (a SQLite file has one),
                or the database cannot be opened.
        """
        return engines.engine_of(url).open_database(url, exclusive=exclusive, group_commit=group_commit, limit=limit)

    def era(self) -> int | None:
        """A number that stays the same while no other process writes: what was read in it may be remembered.

        None: another process may be writing.
        """
        return None

    @abstractmethod
    async def row(self, sql: str, parameters: Sequence[Any] = ()) -> Row | None:
        """Read the first row of a query, None when there is none.

        Raises:
            Unavailable: `store-unavailable`.
        """

    @abstractmethod
    async def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """Read every row of a query; ask only what is small.

        Raises:
            Unavailable: `store-unavailable`.
        """

    async def write(self, operation: Operation[T], after: Callable[[], None] | None = None) -> T:
        """Run `operation(cursor)` in the next commit and give its result once that is durable.

        It runs in the writer's thread, undone alone when it raises. `after` runs in the loop when the commit
        has ended, well or not, also when this caller was cancelled: the place to forget what was cached.

        Raises:
            Unavailable: `store-unavailable`: not known to be written.
        """
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._writes.submit(Write(future, operation, after))
        return await future

    async def write_joint(self, operation: Operations[A, T], argument: A, after: Callable[[], None] | None = None) -> T:
        """As `write`, of an operation that gives the results of several arguments; those that wait together are one call.

        When it raises, everything is undone and each argument tried by itself.

        Raises:
            Unavailable: `store-unavailable`: not known to be written.
        """
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._writes.submit(Joint(future, operation, argument, after))
        return await future

    async def append(self, log: Log, at: int, body: bytes, extras: Sequence[Extra] = ()) -> int:
        """Append a record to a log with what belongs to it, and give its number once it is durable.

        Units: `at` in microseconds since 1970.

        Raises:
            Unavailable: `audit-unavailable`: not known to be written.
        """
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._appends.submit(Append(future, log, at, body, extras))
        return await future

    def follow(self, committed: Follow) -> None:
        """Hand every record on as it is committed: in the writer's thread, after its callers were told."""
        self._appends.follow = committed

    def bytes_of(self, column: str) -> str:
        """A column as bytes, in SQL, also where somebody put something else into it."""
        return column

    def free_bytes(self) -> int | None:
        """The space that is left for what is written; None where this process cannot know."""
        return None

    def healthy(self) -> bool:
        """Claim that writes are being committed."""
        return self._writes.healthy() and self._appends.healthy()

    async def close(self) -> None:
        """Commit what waits, then let go of the database."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, self._writes.close)
        await loop.run_in_executor(None, self._appends.close)
        await self._release()

    @abstractmethod
    async def _release(self) -> None:
        """Let go of what the engine holds beside the writers."""
