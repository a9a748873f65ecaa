"""One PostgreSQL connection for a thread that waits: the writer's, or that of a command."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import count
from typing import Any, Final, Self, TypeVar
from urllib.parse import urlsplit

import asyncpg
from asyncpg.prepared_stmt import PreparedStatement

from gateway.errors import Invalid
from gateway.storage.writer import Cursor

try:
    import uvloop

    new_event_loop: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop  # half the cost of a statement
except ImportError:  # pragma: no cover - platforms without it
    new_event_loop = asyncio.new_event_loop

T = TypeVar("T")

# TimeoutError is an OSError.
FAULTS: Final[tuple[type[Exception], ...]] = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError)
_CONNECT_SECONDS: Final = 5.0
_STATEMENT_SECONDS: Final = 30.0
_READ_SECONDS: Final = 5.0
_ALONG: Final = ("BEGIN", "SAVEPOINT", "RELEASE")
_MARK: Final = re.compile(r"\?")


@lru_cache(maxsize=256)
def numbered(sql: str) -> str:
    """The one place where `?` becomes `$1`, `$2`, …; no statement of the stores holds a `?` of its own."""
    numbers = count(1)
    return _MARK.sub(lambda _: f"${next(numbers)}", sql)


def name_of(url: str) -> str:
    """Host and database, without user and password."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "postgresql"
    return f"postgresql://{parts.hostname or ''}{parts.path}"


def arguments_of(url: str, *, read_only: bool = False) -> dict[str, Any]:
    """How to connect: bounded in time, and a transaction whose process vanished does not keep its locks.

    INVARIANT: statements are prepared once a connection, so a pooler in between must keep sessions.
    """
    return {
        "dsn": url,
        "timeout": _CONNECT_SECONDS,
        "command_timeout": _READ_SECONDS if read_only else _STATEMENT_SECONDS,
        "server_settings": {
            "application_name": "roaz-gateway",
            "idle_in_transaction_session_timeout": "30s",
            "default_transaction_read_only": "on" if read_only else "off",
            "tcp_keepalives_idle": "10",
            "tcp_keepalives_interval": "5",
            "tcp_keepalives_count": "3",
        },
    }


def apart(work: Callable[[], T]) -> T:
    """Do work in a thread of its own, because the caller's may run an event loop already."""
    with ThreadPoolExecutor(1, thread_name_prefix="gateway-database") as thread:
        return thread.submit(work).result()


class PostgresqlConnection:
    """A connection with an event loop of its own, so that a plain thread can wait for it.

    `opening` opens a transaction; `claim` is asked in each one whether this process may still write.
    """

    faults = FAULTS

    def __init__(self, url: str, opening: str, claim: Callable[[Cursor], None] | None = None) -> None:
        self._opening = opening
        self._claim = claim
        self._loop = new_event_loop()
        try:
            self._connection: asyncpg.Connection = self.wait(asyncpg.connect(**arguments_of(url)))
        except BaseException as error:
            self._loop.close()
            if isinstance(error, ValueError):  # a port that is no number, a half address
                raise asyncpg.InterfaceError("the URL cannot be read") from None
            raise
        self._statements: dict[str, PreparedStatement] = {}
        self._unsent: list[str] = []

    @property
    def in_transaction(self) -> bool:
        """Claim that a transaction is open on a connection that is."""
        return not self._connection.is_closed() and (bool(self._unsent) or self._connection.is_in_transaction())

    def single(self) -> None:
        """Every record is written under the lease of its log, so a transaction is needed."""

    def begin(self) -> Cursor:
        """Open a transaction; READ COMMITTED, so that what it waited for is seen."""
        self._unsent = []
        cursor = PostgresqlCursor(self)
        cursor.execute(self._opening)
        if self._claim:
            self._claim(cursor)
        return cursor

    def close(self) -> None:
        """Let go of the server, politely when it still answers."""
        try:
            self.wait(self._connection.close(timeout=1.0))
        except FAULTS:
            self._connection.terminate()
        finally:
            self._loop.run_until_complete(asyncio.sleep(0))  # transports close in the turn after
            self._loop.close()

    def wait(self, answer: Coroutine[Any, Any, T]) -> T:
        """Wait for the server."""
        return self._loop.run_until_complete(answer)

    def keep_back(self, sql: str) -> None:
        """Send a statement along with the next: one way less to the server for what cannot fail."""
        self._unsent.append(sql)

    async def run(self, sql: str = "") -> str:
        """Run what was kept back and then a statement, none of them with parameters; what the last one did."""
        unsent, self._unsent = [*self._unsent, *([sql] if sql else [])], []
        return str(await self._connection.execute("; ".join(unsent))) if unsent else ""

    async def fetch(self, sql: str, parameters: Sequence[Any]) -> tuple[list[Any], str]:
        """Run one statement, prepared once; its rows and what it did."""
        if self._unsent:
            await self.run()
        statement = self._statements.get(sql)
        if statement is None:
            statement = self._statements[sql] = await self._connection.prepare(numbered(sql))
        rows = await statement.fetch(*parameters)
        return rows, statement.get_statusmsg()

    async def many(self, sql: str, parameters: Sequence[Sequence[Any]]) -> None:
        """Run one statement for many parameters, without waiting in between."""
        if self._unsent:
            await self.run()
        await self._connection.executemany(numbered(sql), parameters)


class PostgresqlCursor:
    """What an operation uses inside its transaction."""

    def __init__(self, connection: PostgresqlConnection) -> None:
        self._connection = connection
        self._rows: list[Any] = []
        self._status = ""

    @property
    def rowcount(self) -> int:
        """How many rows the last statement changed."""
        last = self._status.rpartition(" ")[2]
        return int(last) if last.isdigit() else -1

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> Self:
        """Run one statement.

        Raises:
            Invalid: `bad-request` when a text holds NUL, which PostgreSQL cannot keep.
        """
        if parameters or sql.startswith(("SELECT", "FETCH")):
            try:
                self._rows, self._status = self._connection.wait(self._connection.fetch(sql, parameters))
            except asyncpg.CharacterNotInRepertoireError:
                raise Invalid("bad-request", why="a text holds a character that cannot be kept") from None
        elif sql.startswith(_ALONG):
            self._connection.keep_back(sql)
        else:
            self._rows, self._status = [], self._connection.wait(self._connection.run(sql))
        return self

    def executemany(self, sql: str, parameters: Sequence[Sequence[Any]], /) -> Self:
        """Run one statement for many parameters."""
        self._connection.wait(self._connection.many(sql, parameters))
        return self

    def fetchone(self) -> Any:  # noqa: ANN401 - a row of any columns
        """The next row, or None."""
        return tuple(self._rows.pop(0)) if self._rows else None

    def fetchall(self) -> list[Any]:
        """The rows that are left."""
        rows, self._rows = self._rows, []
        return [tuple(row) for row in rows]
