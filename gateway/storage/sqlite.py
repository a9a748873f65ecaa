"""The SQLite engine: where the file is, who may serve it, and how it is read and written."""

from __future__ import annotations

import fcntl
import os
import re
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Self, TypeVar

from gateway.errors import StartError, Unavailable
from gateway.storage import migrate
from gateway.storage.database import GROUP_COMMIT, WAITING_LIMIT, Database, Row
from gateway.storage.engines import PAGE_ROWS, Read
from gateway.storage.visits import Visits
from gateway.storage.writer import STATEMENT_ROWS, Connection, Cursor, Log, Writer

T = TypeVar("T")
Connect = Callable[[Path], sqlite3.Connection]

HAS_SCHEMA: Final = "SELECT COUNT(*) FROM sqlite_master WHERE name = 'schema_version'"
SERVING: Final = "SELECT 0"  # the lock on the file keeps them out

_FULL: Final = 2
_REMOTE: Final = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "fuse.sshfs", "fuse.glusterfs", "vboxsf"}
)
_URL: Final = re.compile(r"sqlite:///(?P<path>[^?#]+)")
_MMAP_BYTES: Final = 268_435_456
_LOG_PAGES: Final = 4_000  # 16 MB: a page that changes often is copied back less often
_BUSY_MILLISECONDS: Final = 5_000
_VALUES: Final = re.compile(r"(?<=VALUES )\(\?(?:, \?)*\)")
_ROWS: Final = STATEMENT_ROWS
_LOG: Final = "SELECT slot, epoch FROM log_slot WHERE slot = 1"


class ManyRows(sqlite3.Cursor):
    """A cursor that writes many rows with one statement.

    Each step of a statement lets another thread run and then waits for its turn again; one step for a whole batch
    instead of one a row leaves the event loop alone.
    """

    def executemany(self, sql: str, rows: Sequence[Sequence[Any]], /) -> Self:  # type: ignore[override]
        """Write the rows, in as few statements as the number of parameters allows."""
        values = _VALUES.search(sql)
        if values is None:
            return super().executemany(sql, rows)
        for start in range(0, len(rows), _ROWS):
            some = rows[start : start + _ROWS]
            self.execute(_repeated(sql, values[0], len(some)), [value for row in some for value in row])
        return self


@lru_cache(maxsize=4 * 64)
def _repeated(sql: str, values: str, count: int) -> str:
    """The statement for a number of rows; as many texts as the connection keeps prepared."""
    return sql.replace(f"VALUES {values}", "VALUES " + ", ".join([values] * count), 1)


class SqliteConnection:
    """A connection as the writer and the migrations use it."""

    faults: tuple[type[Exception], ...] = (sqlite3.Error,)

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    @property
    def in_transaction(self) -> bool:
        """Claim that a transaction is open; a full disk makes the engine roll back everything."""
        return self._connection.in_transaction

    def single(self) -> Cursor:
        """A cursor outside of any transaction."""
        return self._connection.cursor(ManyRows)

    def begin(self) -> Cursor:
        """Open a transaction; nobody else writes until it ends."""
        cursor = self._connection.cursor(ManyRows)
        cursor.execute("BEGIN IMMEDIATE")
        return cursor

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()


class SqliteDatabase(Database):
    """One file: point reads in the loop on a connection that cannot write, one writer thread for all else."""

    def __init__(
        self, path: Path, reader: sqlite3.Connection, writer: Writer, lock: ServingLock | None, visits: Visits
    ) -> None:
        log: Log = reader.execute(_LOG).fetchone() or (1, 1)
        super().__init__(log, writer, writer)
        self._reader = reader
        self._directory = path.parent
        self._lock = lock
        self._visits = visits
        if lock:
            visits.settle()
        else:
            visits.begin()

    def era(self) -> int | None:
        """The visits of commands so far; None while one is at work."""
        return self._visits.era()

    async def row(self, sql: str, parameters: Sequence[Any] = ()) -> Row | None:
        """Read the first row of a query, None when there is none."""
        try:
            found: Row | None = self._reader.execute(sql, parameters).fetchone()
        except sqlite3.Error:
            raise Unavailable("store-unavailable") from None
        return found

    async def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """Read every row of a query."""
        try:
            return self._reader.execute(sql, parameters).fetchall()
        except sqlite3.Error:
            raise Unavailable("store-unavailable") from None

    def bytes_of(self, column: str) -> str:
        """A column as bytes: this engine keeps a text where it was put."""
        return f"CAST({column} AS BLOB)"

    def free_bytes(self) -> int | None:
        """The space that is left on the disk of the file."""
        try:
            found = os.statvfs(self._directory)
        except OSError:
            return None
        return found.f_bavail * found.f_frsize

    async def _release(self) -> None:
        self._reader.close()
        if self._lock:
            self._lock.release()
        self._visits.close()


def open_database(
    url: str,
    *,
    exclusive: bool = True,
    group_commit: timedelta = GROUP_COMMIT,
    limit: int = WAITING_LIMIT,
    connect: Connect | None = None,
) -> Database:
    """Open an upgraded file; `exclusive` claims it for this process, the one that serves."""
    path = path_of(url)
    with ExitStack() as undo:
        lock = ServingLock(path) if exclusive else None
        if lock:
            lock.take()
            undo.callback(lock.release)
        migrate.check_version(url)
        try:
            opened = connect or open_writer
            writer = Writer(lambda: SqliteConnection(opened(path)), group_commit.total_seconds(), limit)
            undo.callback(writer.close)
            visits = Visits(path)
            undo.callback(visits.close)
            database = SqliteDatabase(path, open_reader(path), writer, lock, visits)
        except (sqlite3.Error, OSError) as error:
            message = f"{path}: the database cannot be opened: {error}"
            raise StartError(message) from None
        undo.pop_all()
        return database


def administer(url: str, work: Callable[[Connection], T], *, exclusive: bool) -> T:
    """Do work on a connection of its own; `exclusive` while no process serves the file."""
    path = path_of(url)
    with ExitStack() as undo:
        if exclusive:
            lock = ServingLock(path)
            lock.take()
            undo.callback(lock.release)
        try:
            connection = SqliteConnection(open_writer(path))
            undo.callback(connection.close)
            return work(connection)
        except (sqlite3.Error, OSError) as error:
            message = f"{path}: the database cannot be used: {error}"
            raise StartError(message) from None


def snapshot(url: str, work: Callable[[Read], T]) -> T:
    """Read the file as it is at one moment: a read transaction on a write-ahead log does not see what comes after."""
    path = path_of(url)
    try:
        with closing(open_reader(path)) as connection:
            connection.execute("BEGIN")

            def read(sql: str) -> Iterator[list[Row]]:
                cursor = connection.execute(sql)
                while page := cursor.fetchmany(PAGE_ROWS):
                    yield page

            return work(read)
    except sqlite3.Error as error:
        message = f"{path}: the database cannot be read: {error}"
        raise StartError(message) from None


def durability(url: str) -> str:
    """How a commit survives a loss of power: what the engine says, and where the file is."""
    path = path_of(url)
    try:
        with closing(open_writer(path)) as connection:
            journal, synchronous = (
                connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")
            )
    except (sqlite3.Error, OSError) as error:
        message = f"{path}: the database cannot be used: {error}"
        raise StartError(message) from None
    return judged(path, str(journal), int(synchronous), filesystem_of(path))


def judged(path: Path, journal: str, synchronous: int, filesystem: str) -> str:
    """Refuse what loses records when the power goes.

    Raises:
        StartError: a journal or a file system that does.
    """
    if journal != "wal" or synchronous < _FULL:
        message = (
            f"{path}: journal_mode = {journal}, synchronous = {synchronous}: what the gateway keeps must survive a loss "
            "of power (wal, 2); another program changed the file, or this SQLite was built without them"
        )
        raise StartError(message)
    if filesystem in _REMOTE:
        message = f"{path}: on {filesystem}, where locks and fsync cannot be relied on; use a local disk or PostgreSQL"
        raise StartError(message)
    return f"write-ahead log, full sync, {filesystem or 'file system not known'}"


def filesystem_of(path: Path) -> str:
    """The kind of file system a file is on, empty where the system does not tell."""
    try:
        mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    place, best, kind = path.absolute().resolve(), -1, ""
    for line in mounts:
        before, _, after = line.partition(" - ")
        point = Path(before.split(" ")[4].replace("\\040", " "))
        if place.is_relative_to(point) and len(point.parts) >= best:
            best, kind = len(point.parts), after.split(" ")[0]
    return kind


def columns_of(table: str) -> str:
    """A query: the names of the columns of a table."""
    return f"SELECT name FROM pragma_table_info('{table}') ORDER BY cid"  # noqa: S608 - a table of the schema


def exists(url: str) -> bool:
    """Claim that the file is there."""
    return path_of(url).exists()


def name_of(url: str) -> str:
    """The file."""
    return str(path_of(url))


def portable(statement: str) -> str:
    """A statement of a migration: SQLite takes every type name as it is."""
    return statement


def path_of(url: str) -> Path:
    """The file a database URL names; `sqlite:///gateway.db` is relative, `sqlite:////var/gateway.db` absolute.

    Raises:
        StartError: no file named. Exit code 1.
    """
    found = _URL.fullmatch(url)
    if found is None:
        message = (
            "database.url: expected 'sqlite:///relative.db', 'sqlite:////absolute/path.db' or "
            "'postgresql://user@host/database'"
        )
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
    return _configured(connection, "journal_mode=WAL", "synchronous=FULL", f"wal_autocheckpoint={_LOG_PAGES}")


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
