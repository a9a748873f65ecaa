"""A few connections of the event loop for point reads; one that broke is replaced."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import asyncpg

from gateway.errors import Unavailable
from gateway.storage.postgresql_connection import FAULTS

CONNECTIONS: Final = 8
_WAIT_SECONDS: Final = 5.0


class Readers:
    """Lends each connection to one query at a time; for one event loop."""

    def __init__(self, connect: Callable[[], Awaitable[asyncpg.Connection]], limit: int) -> None:
        self._connect = connect
        self._limit = limit
        self._idle: list[asyncpg.Connection] = []
        self._places = asyncio.Semaphore(CONNECTIONS)
        self._waiting = 0
        self._closed = False

    async def read(self, sql: str, parameters: Sequence[Any], *, first: bool = False) -> list[Any]:
        """The rows of a query, or only the first. Reading twice changes nothing, so a broken connection is no failure yet.

        Raises:
            Unavailable: `store-unavailable`.
        """
        await self._enter()
        try:
            for attempt in (1, 2):
                try:
                    return await self._read(sql, parameters, first=first)
                except (asyncpg.PostgresConnectionError, asyncpg.InterfaceError, ConnectionError):
                    if attempt == 2 or self._closed:
                        raise
            raise AssertionError  # the loop returns or raises
        except FAULTS:
            raise Unavailable("store-unavailable") from None
        finally:
            self._places.release()

    async def close(self) -> None:
        """End every idle connection; one that is lent ends when it comes back."""
        self._closed = True
        while self._idle:
            try:
                await self._idle.pop().close(timeout=1.0)
            except FAULTS:
                continue

    async def _enter(self) -> None:
        if self._closed or self._waiting >= self._limit:
            raise Unavailable("store-unavailable")
        if not self._places.locked():
            await self._places.acquire()
            return
        self._waiting += 1
        try:
            async with asyncio.timeout(_WAIT_SECONDS):
                await self._places.acquire()
        except TimeoutError:
            raise Unavailable("store-unavailable") from None
        finally:
            self._waiting -= 1

    async def _read(self, sql: str, parameters: Sequence[Any], *, first: bool) -> list[Any]:
        connection = await self._borrow()
        try:
            if first:
                row = await connection.fetchrow(sql, *parameters)
                rows = [] if row is None else [row]
            else:
                rows = await connection.fetch(sql, *parameters)
        except asyncpg.PostgresError:
            self._return(connection)  # the server refused the query; the connection is sound
            raise
        except BaseException:  # also when the caller left: what the connection is doing is not known
            connection.terminate()
            raise
        self._return(connection)
        return rows

    async def _borrow(self) -> asyncpg.Connection:
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_closed():
                return connection
        return await self._connect()

    def _return(self, connection: asyncpg.Connection) -> None:
        if self._closed or connection.is_closed():
            connection.terminate()
        else:
            self._idle.append(connection)
