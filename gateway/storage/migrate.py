"""The schema and its versions: numbered SQL files, each applied once and whole."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Final

from gateway.errors import StartError
from gateway.storage import sqlite

_FILE: Final = re.compile(r"(\d{4})_[a-z_]+\.sql")
_COMMENT: Final = re.compile(r"--[^\n]*")


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the schema; portable statements only."""

    version: int
    name: str
    statements: tuple[str, ...]


def upgrade(database_url: str) -> list[str]:
    """Bring a database to this program's schema, creating it when absent; give the names of the steps taken.

    An interrupted step leaves nothing behind, so that running again finishes the work.

    Raises:
        StartError: another process serves the file, it is newer than this program, or a step failed.
    """
    path = sqlite.path_of(database_url)
    lock = sqlite.ServingLock(path)
    lock.take()
    try:
        with _opened(path) as connection:
            return _apply(connection)
    finally:
        lock.release()


def check_version(database_url: str) -> None:
    """Refuse a database whose schema is not this program's.

    Raises:
        StartError: it is absent, older or newer; the text names both versions and the way out. Exit code 3.
    """
    path = sqlite.path_of(database_url)
    found = 0
    if path.exists():
        with _opened(path) as connection:
            found = _version(connection)
    _refuse_newer(found)
    needed = migrations()[-1].version
    if found < needed:
        message = f"{path}: schema version {found}, this program needs {needed}; run gateway db upgrade"
        raise StartError(message)


def migrations() -> tuple[Migration, ...]:
    """Every step this program knows, in order."""
    steps = []
    for file in (resources.files("gateway.storage") / "migrations").iterdir():
        if found := _FILE.fullmatch(file.name):
            text = _COMMENT.sub("", file.read_text(encoding="utf-8"))
            statements = tuple(part.strip() for part in text.split(";") if part.strip())
            steps.append(Migration(int(found[1]), file.name.removesuffix(".sql"), statements))
    return tuple(sorted(steps, key=lambda step: step.version))


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    try:
        with closing(sqlite.open_writer(path)) as connection:
            yield connection
    except (sqlite3.Error, OSError) as error:
        message = f"{path}: the database cannot be used: {error}"
        raise StartError(message) from None


def _apply(connection: sqlite3.Connection) -> list[str]:
    taken = []
    for step in migrations():
        connection.execute("BEGIN IMMEDIATE")
        try:
            found = _version(connection)
            _refuse_newer(found)
            if found < step.version:
                for statement in step.statements:
                    connection.execute(statement)
                connection.execute(
                    "INSERT INTO schema_version (version, name) VALUES (?, ?)", (step.version, step.name)
                )
                taken.append(step.name)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
    return taken


def _version(connection: sqlite3.Connection) -> int:
    known = connection.execute("SELECT COUNT(*) FROM sqlite_master WHERE name = 'schema_version'").fetchone()[0]
    return int(connection.execute("SELECT COALESCE(MAX(version), 0) FROM schema_version").fetchone()[0]) if known else 0


def _refuse_newer(found: int) -> None:
    known = migrations()[-1].version
    if found > known:
        message = (
            f"the database has schema version {found}, newer than {known} of this program; "
            "install the gateway version that wrote it, or restore a backup made before the upgrade"
        )
        raise StartError(message)
