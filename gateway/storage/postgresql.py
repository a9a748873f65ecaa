"""The PostgreSQL engine: several serving processes, each with a leased log of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, suppress
from datetime import timedelta
from itertools import count
from typing import Any, Final, TypeVar

import asyncpg

from gateway.errors import StartError
from gateway.storage import lease, migrate
from gateway.storage.database import GROUP_COMMIT, WAITING_LIMIT, Database, Row
from gateway.storage.engines import PAGE_ROWS, Read
from gateway.storage.lease import Lease
from gateway.storage.postgresql_connection import FAULTS, PostgresqlConnection, apart, arguments_of, name_of, numbered
from gateway.storage.readers import Readers
from gateway.storage.writer import Connection, Pace, Writer

__all__ = [
    "HAS_SCHEMA",
    "SERVING",
    "administer",
    "columns_of",
    "durability",
    "exists",
    "name_of",
    "open_database",
    "portable",
    "snapshot",
]

T = TypeVar("T")

HAS_SCHEMA: Final = (
    "SELECT COUNT(*) FROM pg_tables WHERE tablename = 'schema_version' AND schemaname = current_schema()"
)
SERVING: Final = lease.LIVE

# Advisory locks: number and moment of a write are taken under the first, as on an engine with one writer.
_WRITE: Final = "BEGIN; SELECT pg_advisory_xact_lock(7510, 1)"
_SNAPSHOT: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_UPGRADE: Final = "BEGIN; SELECT pg_advisory_xact_lock(7510, 2)"
_UNSAFE: Final = (
    "SELECT name, setting FROM pg_settings WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit') "
    "AND setting = 'off' UNION ALL SELECT name, setting FROM pg_settings "
    "WHERE name = 'server_encoding' AND setting <> 'UTF8' ORDER BY name"
)
_HEAL_SECONDS: Final = 1.0


class PostgresqlDatabase(Database):
    """One server, many processes: reads over a few connections of the loop, one writer for operations, one for records."""

    def __init__(self, url: str, writes: Writer, appends: Writer, held: Lease | None) -> None:
        super().__init__((held.slot, held.epoch) if held else (0, 0), writes, appends)
        self._url = url
        self._held = held
        self._readers = Readers(lambda: asyncpg.connect(**arguments_of(url, read_only=True)), WAITING_LIMIT)

    async def row(self, sql: str, parameters: Sequence[Any] = ()) -> Row | None:
        """Read the first row of a query, None when there is none."""
        found = await self._readers.read(numbered(sql), parameters, first=True)
        return tuple(found[0]) if found else None

    async def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """Read every row of a query."""
        return [tuple(row) for row in await self._readers.read(numbered(sql), parameters)]

    async def _release(self) -> None:
        await self._readers.close()
        if self._held:
            with suppress(StartError):  # the lease ends by itself
                await asyncio.to_thread(administer, self._url, self._held.end, exclusive=False)


def open_database(
    url: str, *, exclusive: bool = True, group_commit: timedelta = GROUP_COMMIT, limit: int = WAITING_LIMIT
) -> Database:
    """Open an upgraded database; `exclusive` leases a log to this process."""
    migrate.check_version(url)
    held = administer(url, lease.take, exclusive=True) if exclusive else None

    def audit() -> Connection:
        return PostgresqlConnection(url, "BEGIN", held.renew if held else lease.refuse)

    with ExitStack() as undo:
        window = group_commit.total_seconds()
        try:
            writes = Writer(lambda: PostgresqlConnection(url, _WRITE), window, limit, Pace(retry=_HEAL_SECONDS))
            undo.callback(writes.close)
            pace = Pace(lease.RENEW_SECONDS if held else None, _HEAL_SECONDS)
            appends = Writer(audit, window, limit, pace)
            undo.callback(appends.close)
        except FAULTS as error:
            raise _refusal(url, error) from None
        undo.pop_all()
        return PostgresqlDatabase(url, writes, appends, held)


def administer(url: str, work: Callable[[Connection], T], *, exclusive: bool) -> T:
    """Do work on a connection of its own; `exclusive` work is done by one process at a time."""

    def connected() -> T:
        with ExitStack() as undo:
            connection = PostgresqlConnection(url, _UPGRADE if exclusive else "BEGIN")
            undo.callback(connection.close)
            _refuse_unsafe(url, connection)
            return work(connection)

    try:
        return apart(connected)
    except FAULTS as error:
        raise _refusal(url, error) from None


def snapshot(url: str, work: Callable[[Read], T]) -> T:
    """Read the database as it is at one moment: one transaction that sees none of what comes after."""

    def connected() -> T:
        with closing(PostgresqlConnection(url, _SNAPSHOT)) as connection:
            _refuse_unsafe(url, connection)
            cursor = connection.begin()
            numbers = count(1)

            def read(sql: str) -> Iterator[list[Row]]:
                name = f"page_{next(numbers)}"  # its own, because FETCH is prepared for the columns of one query
                cursor.execute(f"DECLARE {name} NO SCROLL CURSOR FOR {sql}")
                while page := cursor.execute(f"FETCH {PAGE_ROWS} FROM {name}").fetchall():
                    yield page

            return work(read)

    try:
        return apart(connected)
    except FAULTS as error:
        raise _refusal(url, error) from None


def durability(url: str) -> str:
    """How a commit survives a loss of power: what the server says of itself."""
    administer(url, lambda _: None, exclusive=False)  # refuses what is unsafe
    return "fsync, full_page_writes and synchronous_commit are on"


def columns_of(table: str) -> str:
    """A query: the names of the columns of a table."""
    return f"SELECT attname::text FROM pg_attribute WHERE attrelid = '{table}'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum"  # noqa: S608 - a table of the schema


def exists(url: str) -> bool:
    """Claim that there may be one: only connecting tells."""
    del url
    return True


def portable(statement: str) -> str:
    """A statement of a migration: texts compare by code point, on every server and after every upgrade of its C library."""
    return statement.replace(" TEXT", ' TEXT COLLATE "C"')


def _refuse_unsafe(url: str, connection: Connection) -> None:
    with migrate.transaction(connection) as cursor:
        unsafe = cursor.execute(_UNSAFE).fetchall()
    if unsafe:
        found = ", ".join(f"{name} = {setting}" for name, setting in unsafe)
        message = f"{name_of(url)}: {found}: what the gateway keeps must survive a loss of power (on), in UTF8"
        raise StartError(message)


def _refusal(url: str, error: Exception) -> StartError:
    return StartError(f"{name_of(url)}: the database cannot be used: {type(error).__name__}: {error}".strip(": "))
