"""A database on a fresh file, and one whose commits can be held or broken."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, Self

import pytest

from gateway.storage import Database, Stores, open_stores, sqlite, upgrade
from tests.fakes import FixedClock, plain_seal, plain_unseal


class Fault:
    """What the next commits meet."""

    def __init__(self) -> None:
        self.broken = False
        self.seconds = 0.0  # how long a commit takes
        self.commits = 0
        self.opened = 0
        self._free = threading.Event()
        self._free.set()
        self.held = threading.Event()  # set while a commit hangs

    def hold(self) -> None:
        self._free.clear()

    def release(self) -> None:
        self._free.set()

    def commit(self) -> None:
        if not self._free.is_set():
            self.held.set()
            assert self._free.wait(20)
        if self.broken:
            raise sqlite3.OperationalError("disk I/O error")
        time.sleep(self.seconds)
        self.commits += 1

    def connect(self, path: Path) -> sqlite3.Connection:
        """Open a connection whose COMMIT meets this fault."""
        self.opened += 1
        sqlite.open_writer(path).close()
        return sqlite3.connect(path, isolation_level=None, check_same_thread=False, factory=_connection(self))


def _connection(fault: Fault) -> type[sqlite3.Connection]:
    class FaultyCursor(sqlite.ManyRows):
        def execute(self, sql: str, parameters: Any = (), /) -> Self:
            alone = sql.startswith("INSERT") and not self.connection.in_transaction
            if alone or sql == "COMMIT":
                fault.commit()
            return super().execute(sql, parameters)

    class FaultyConnection(sqlite3.Connection):
        def cursor(self, *_: Any) -> Any:
            return FaultyCursor(self)

    return FaultyConnection


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def url(tmp_path: Path) -> str:
    """An upgraded database that nobody serves yet."""
    url = f"sqlite:///{tmp_path}/gateway.db"
    upgrade(url)
    return url


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    database = Database.open(url)
    yield database
    await database.close()


@pytest.fixture
def fault() -> Fault:
    return Fault()


@pytest.fixture
async def faulty(url: str, fault: Fault) -> AsyncIterator[Database]:
    """A database that meets `fault`; at most eight may wait."""
    database = sqlite.open_database(url, connect=fault.connect, limit=8)
    yield database
    fault.release()
    await database.close()


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
def stores(database: Database, clock: FixedClock) -> Stores:
    return open_stores(database, plain_seal, plain_unseal, clock)


def policy_row(number: int) -> Sequence[Any]:
    """A row of the smallest table, for tests of writing as such."""
    return number, f"r{number}", 0, b"{}"


INSERT = "INSERT INTO policy_revision (number, revision, loaded, body) VALUES (?, ?, ?, ?)"
COUNT = "SELECT COUNT(*) FROM policy_revision"
