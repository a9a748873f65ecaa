"""One database: point reads in the event loop, every write through the one writer."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import timedelta
from typing import Any, Final, TypeVar

from gateway.errors import StartError, Unavailable
from gateway.storage import migrate, sqlite
from gateway.storage.writer import Append, Extra, Log, Operation, Write, Writer

T = TypeVar("T")
Row = tuple[Any, ...]

GROUP_COMMIT: Final = timedelta(milliseconds=2)
WAITING_LIMIT: Final = 4_096


class Database:
    """The gateway's own store. INVARIANT: a write that returned is durable; a read never waits for one."""

    def __init__(self, reader: sqlite3.Connection, writer: Writer, lock: sqlite.ServingLock | None) -> None:
        self._reader = reader
        self._writer = writer
        self._lock = lock

    @classmethod
    def open(
        cls,
        url: str,
        *,
        exclusive: bool = True,
        group_commit: timedelta = GROUP_COMMIT,
        limit: int = WAITING_LIMIT,
        connect: sqlite.Connect = sqlite.open_writer,
    ) -> Database:
        """Open an upgraded database; `exclusive` claims it for this process, the one that serves.

        Raises:
            StartError: another process serves the file, the schema is older or newer than this program,
                or the file cannot be opened.
        """
        path = sqlite.path_of(url)
        with ExitStack() as undo:
            lock = sqlite.ServingLock(path) if exclusive else None
            if lock:
                lock.take()
                undo.callback(lock.release)
            migrate.check_version(url)
            try:
                writer = Writer(lambda: connect(path), group_commit.total_seconds(), limit)
                undo.callback(writer.close)
                reader = sqlite.open_reader(path)
            except (sqlite3.Error, OSError) as error:
                message = f"{path}: the database cannot be opened: {error}"
                raise StartError(message) from None
            undo.pop_all()
            return cls(reader, writer, lock)

    async def row(self, sql: str, parameters: Sequence[Any] = ()) -> Row | None:
        """Read the first row of a query, None when there is none.

        Raises:
            Unavailable: `store-unavailable`.
        """
        try:
            found: Row | None = self._reader.execute(sql, parameters).fetchone()
        except sqlite3.Error:
            raise Unavailable("store-unavailable") from None
        return found

    async def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """Read every row of a query; ask only what is small.

        Raises:
            Unavailable: `store-unavailable`.
        """
        try:
            return self._reader.execute(sql, parameters).fetchall()
        except sqlite3.Error:
            raise Unavailable("store-unavailable") from None

    async def write(self, operation: Operation[T], after: Callable[[], None] | None = None) -> T:
        """Run `operation(cursor)` in the next commit and give its result once that is durable.

        It runs in the writer's thread, undone alone when it raises. `after` runs in the loop when the commit
        has ended, well or not, also when this caller was cancelled: the place to forget what was cached.

        Raises:
            Unavailable: `store-unavailable`: not known to be written.
        """
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._writer.submit(Write(future, operation, after))
        return await future

    async def append(self, log: Log, at: int, body: bytes, extras: Sequence[Extra] = ()) -> int:
        """Append a record to a log with what belongs to it, and give its number once it is durable.

        Units: `at` in microseconds since 1970.

        Raises:
            Unavailable: `audit-unavailable`: not known to be written.
        """
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._writer.submit(Append(future, log, at, body, extras))
        return await future

    def healthy(self) -> bool:
        """Claim that writes are being committed."""
        return self._writer.healthy()

    async def close(self) -> None:
        """Commit what waits, then let go of the file."""
        await asyncio.get_running_loop().run_in_executor(None, self._writer.close)
        self._reader.close()
        if self._lock:
            self._lock.release()
