"""The SQLite engine: where the file is, who may serve it, and how a connection to it is set up."""

from __future__ import annotations

import fcntl
import os
import re
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Final

from gateway.errors import StartError

Connect = Callable[[Path], sqlite3.Connection]

_URL: Final = re.compile(r"sqlite:///(?P<path>[^?#]+)")
_MMAP_BYTES: Final = 268_435_456
_BUSY_MILLISECONDS: Final = 5_000


def path_of(url: str) -> Path:
    """The file a database URL names; `sqlite:///gateway.db` is relative, `sqlite:////var/gateway.db` absolute.

    Raises:
        StartError: another engine, or no file named. Exit code 1.
    """
    if url.startswith(("postgresql:", "postgres:")):
        message = "database.url: postgresql is not available in this version; use 'sqlite:///gateway.db'"
        raise StartError(message, 1)
    found = _URL.fullmatch(url)
    if found is None:
        message = "database.url: expected 'sqlite:///relative.db' or 'sqlite:////absolute/path.db'"
        raise StartError(message, 1)
    return Path(found["path"])


def open_writer(path: Path) -> sqlite3.Connection:
    """Open the file for writing: what is committed survives a loss of power.

    Raises:
        sqlite3.Error: the file cannot be opened, or is not a database.
    """
    # SQLite would create the file under the umask; patient references are for the gateway's user only.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=256)
    return _configured(connection, "journal_mode=WAL", "synchronous=FULL")


def open_reader(path: Path) -> sqlite3.Connection:
    """Open the file for point reads; it refuses every write.

    Raises:
        sqlite3.Error: the file is missing or is not a database.
    """
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=256,
    )
    return _configured(connection, "query_only=ON", f"mmap_size={_MMAP_BYTES}")


def _configured(connection: sqlite3.Connection, *pragmas: str) -> sqlite3.Connection:
    try:
        for pragma in (f"busy_timeout={_BUSY_MILLISECONDS}", "foreign_keys=ON", *pragmas):
            connection.execute(f"PRAGMA {pragma}").fetchall()
    except sqlite3.Error:  # the first statement reads the file: here it shows that it is no database
        connection.close()
        raise
    return connection


class ServingLock:
    """The claim that this process alone serves a file; the kernel ends it when the process dies."""

    def __init__(self, path: Path) -> None:
        self._path = path.with_name(path.name + ".lock")
        self._descriptor: int | None = None

    def take(self) -> None:
        """Become the one serving process.

        Raises:
            StartError: another process is; the text names its pid. Exit code 3.
        """
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            message = f"{self._path}: cannot be opened: {error.strerror}"
            raise StartError(message) from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(descriptor)
            message = (
                f"{self._path}: the database is in use by process {holder}; a SQLite file has exactly one "
                "serving process: stop that one first, or use another database.url"
            )
            raise StartError(message) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._descriptor = descriptor

    def release(self) -> None:
        """Let another process serve. The file stays: removing it would let two processes lock two files."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
