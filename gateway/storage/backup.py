"""Backup of one moment, and restore into an empty database of any engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from gateway.errors import StartError
from gateway.storage import archive, migrate, replay
from gateway.storage.archive import Head, Page, Tail
from gateway.storage.engines import Engine, Read, engine_of
from gateway.storage.instants import from_micros, to_micros
from gateway.storage.writer import Connection, Cursor

_EPOCHS: Final = "SELECT log, MAX(epoch) FROM audit_log WHERE log > 0 GROUP BY log"
_OPEN_EPOCH: Final = (
    "INSERT INTO log_slot (slot, epoch, holder, until) VALUES (?, ?, '', 0) ON CONFLICT (slot) DO UPDATE "
    "SET epoch = CASE WHEN log_slot.epoch > excluded.epoch THEN log_slot.epoch ELSE excluded.epoch END, "
    "holder = '', until = 0"
)
_NEXT_EPOCH: Final = "UPDATE log_slot SET epoch = epoch + 1, holder = '', until = 0"
_FIRST_EPOCH: Final = "SELECT epoch FROM log_slot WHERE slot = 1"
_RESTORED: Final = (
    "INSERT INTO restoration (number, restored, made, digest) "
    "SELECT COALESCE(MAX(number), 0) + 1, CAST(? AS BIGINT), CAST(? AS BIGINT), CAST(? AS TEXT) FROM restoration"
)
_RECORD: Final = "INSERT INTO audit_log (log, epoch, seq, at, body) VALUES (1, ?, 1, ?, ?)"


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup as it was made or found: the moment it shows, its digest, and how many rows each table has."""

    made: datetime
    digest: str
    rows: dict[str, int]


def back_up(database_url: str, path: Path, now: datetime) -> Backup:
    """Write what a database holds at one moment, while others may go on writing. The key ring is not in it.

    Raises:
        StartError: the file exists already, or the database is not of this version or cannot be read.
    """
    migrate.check_version(database_url)
    engine = engine_of(database_url)

    def copy(read: Read) -> Backup:
        tables = migrate.tables()
        columns = {table: _columns(engine, read, table) for table in tables}
        head = Head("roaz-gateway-backup/1", migrate.migrations()[-1].version, to_micros(now), columns)
        return _shown(head, archive.write(path, head, _read_all(read, columns)))

    return engine.snapshot(database_url, copy)


def restore(
    database_url: str, path: Path, now: datetime, record: Callable[[Backup], bytes], newer: str | None = None
) -> Backup:
    """Fill an empty database from a backup and open a new epoch of the log with `record`, all in one transaction.

    `newer` names the database the backup was made of, when it can still be read: what it learned since, and must
    not be forgotten, is taken from there. Single-use identifiers of before are refused either way.

    Raises:
        StartError: the archive is not whole or of a newer version, the database is not empty, or a read failed.
    """
    head, tail = archive.read(path)
    found = _shown(head, tail)
    known = migrate.migrations()[-1].version
    if head.schema > known:
        message = f"{path}: of schema version {head.schema}, newer than {known} of this program; install the version that made it"
        raise StartError(message)
    engine = engine_of(database_url)
    migrate.upgrade(database_url, head.schema)

    def fill(connection: Connection) -> None:
        with migrate.transaction(connection) as cursor:
            _refuse_used(engine, cursor, head, engine.name_of(database_url))
            for table, rows in archive.pages(path):
                cursor.executemany(_insert(table, head.columns[table]), rows)
            if newer is not None:
                engine_of(newer).snapshot(newer, lambda read: replay.replay(read, cursor))
            _open_epoch(cursor, to_micros(now), head, tail, record(found))

    engine.administer(database_url, fill, exclusive=True)
    migrate.upgrade(database_url)
    return found


def _shown(head: Head, tail: Tail) -> Backup:
    return Backup(from_micros(head.made), tail.digest, {table: tail.rows.get(table, 0) for table in head.columns})


def _columns(engine: Engine, read: Read, table: str) -> tuple[str, ...]:
    return tuple(row[0] for page in read(engine.columns_of(table)) for row in page)


def _read_all(read: Read, columns: dict[str, tuple[str, ...]]) -> Iterator[Page]:
    for table, names in columns.items():
        for page in read(f"SELECT {', '.join(names)} FROM {table}"):  # noqa: S608 - names of the schema
            yield table, page


def _insert(table: str, columns: tuple[str, ...]) -> str:
    marks = ", ".join("?" for _ in columns)
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})"  # noqa: S608 - names were checked against the schema


def _refuse_used(engine: Engine, cursor: Cursor, head: Head, name: str) -> None:
    found = cursor.execute("SELECT MAX(version) FROM schema_version").fetchone()[0]
    if found != head.schema:
        message = f"{name}: schema version {found}, the backup has {head.schema}; restore into a new database"
        raise StartError(message)
    tables = migrate.tables()
    for table, columns in head.columns.items():
        known = {row[0] for row in cursor.execute(engine.columns_of(table)).fetchall()} if table in tables else set()
        if not known or set(columns) - known:
            message = f"the backup holds table '{table}' in another shape than this program knows"
            raise StartError(message, 1)
    for table in tables:
        if table in head.columns and cursor.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0]:  # noqa: S608 - a table of the schema
            message = f"{name}: not empty (table '{table}'); restore only into a new database"
            raise StartError(message, 1)


def _open_epoch(cursor: Cursor, now: int, head: Head, tail: Tail, record: bytes) -> None:
    """End every epoch there was: no process that wrote before the restore can go on with its log."""
    for log, epoch in [(1, 0), *cursor.execute(_EPOCHS).fetchall()]:
        cursor.execute(_OPEN_EPOCH, (log, epoch))
    cursor.execute(_NEXT_EPOCH)
    cursor.execute(_RESTORED, (now, head.made, tail.digest))
    epoch = cursor.execute(_FIRST_EPOCH).fetchone()[0]
    cursor.execute(_RECORD, (epoch, now, record))
