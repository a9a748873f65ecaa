"""The schema and its versions: numbered SQL files, each applied once and whole."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import resources
from typing import Any, Final

from gateway.errors import StartError
from gateway.storage.engines import Engine, Read, engine_of
from gateway.storage.writer import Connection, Cursor

_FILE: Final = re.compile(r"(\d{4})_[a-z_]+\.sql")
_TABLE: Final = re.compile(r"CREATE TABLE (\w+)")
_DROPPED: Final = re.compile(r"DROP TABLE (\w+)")
_LEASES: Final = 2  # the version from which on it is known who serves
_COMMENT: Final = re.compile(r"--[^\n]*")


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the schema; portable statements only."""

    version: int
    name: str
    statements: tuple[str, ...]


def upgrade(database_url: str, to: int | None = None) -> list[str]:
    """Bring a database to this program's schema, creating it when absent; give the names of the steps taken.

    An interrupted step leaves nothing behind, so that running again finishes the work. `to` stops at a version.

    Raises:
        StartError: another process serves the file, it is newer than this program, or a step failed.
    """
    engine = engine_of(database_url)
    steps = tuple(step for step in migrations() if to is None or step.version <= to)
    return engine.administer(database_url, partial(_apply, engine, steps), exclusive=True)


def check_version(database_url: str) -> None:
    """Refuse a database whose schema is not this program's.

    Raises:
        StartError: it is absent, older or newer; the text names both versions and the way out. Exit code 3.
    """
    engine = engine_of(database_url)
    found = engine.snapshot(database_url, partial(_seen, engine)) if engine.exists(database_url) else 0
    _refuse_newer(found)
    needed = migrations()[-1].version
    if found < needed:
        message = f"{engine.name_of(database_url)}: schema version {found}, this program needs {needed}; run gateway db upgrade"
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


def tables() -> list[str]:
    """Every table but the one of versions, in an order in which what is referred to comes first."""
    statements = "\n".join(statement for step in migrations() for statement in step.statements)
    gone = {"schema_version", *_DROPPED.findall(statements)}
    return [table for table in _TABLE.findall(statements) if table not in gone]


def _seen(engine: Engine, read: Read) -> int:
    return _version(engine, lambda sql: next(read(sql))[0][0])


def _apply(engine: Engine, steps: tuple[Migration, ...], connection: Connection) -> list[str]:
    taken = []
    for step in steps:
        with transaction(connection) as cursor:
            first = partial(_first, cursor)
            found = _version(engine, first)
            _refuse_newer(found)
            if found < step.version:
                if found >= _LEASES:
                    _refuse_served(engine, first)
                for statement in step.statements:
                    cursor.execute(engine.portable(statement))
                cursor.execute("INSERT INTO schema_version (version, name) VALUES (?, ?)", (step.version, step.name))
                taken.append(step.name)
    return taken


def _first(cursor: Cursor, sql: str) -> Any:  # noqa: ANN401 - a value of any column
    return cursor.execute(sql).fetchone()[0]


@contextmanager
def transaction(connection: Connection) -> Iterator[Cursor]:
    """All or nothing."""
    cursor = connection.begin()
    try:
        yield cursor
        cursor.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            cursor.execute("ROLLBACK")
        raise


def _version(engine: Engine, first: Callable[[str], Any]) -> int:
    """The version, by what gives the first value of a query."""
    return int(first("SELECT COALESCE(MAX(version), 0) FROM schema_version")) if first(engine.HAS_SCHEMA) else 0


def _refuse_served(engine: Engine, first: Callable[[str], Any]) -> None:
    """A process of the version before would go on writing what the new schema has another place for."""
    if serving := first(engine.SERVING):
        message = f"{serving} process(es) serve this database; stop them first, or wait 30 s for one that died"
        raise StartError(message)


def _refuse_newer(found: int) -> None:
    known = migrations()[-1].version
    if found > known:
        message = (
            f"the database has schema version {found}, newer than {known} of this program; "
            "install the gateway version that wrote it, or restore a backup made before the upgrade"
        )
        raise StartError(message)
