"""Which engine a database URL asks for, and what an engine can do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar, cast

from gateway.errors import StartError
from gateway.storage.writer import Connection

if TYPE_CHECKING:
    from gateway.storage.database import Database

T = TypeVar("T")
Read = Callable[[str], Iterator[list[tuple[Any, ...]]]]  # the rows of a query, page by page

PAGE_ROWS: Final = 64  # a row may hold a whole message


class Engine(Protocol):
    """The module of an engine. INVARIANT: one schema and one set of stores on all of them."""

    HAS_SCHEMA: str  # a query: not zero once the first migration was applied
    SERVING: str  # a query: how many processes serve it, as far as exclusive work does not keep them out

    def open_database(self, url: str, *, exclusive: bool, group_commit: timedelta, limit: int) -> Database:
        """Open an upgraded database."""
        ...

    def administer(self, url: str, work: Callable[[Connection], T], *, exclusive: bool) -> T:
        """Do work on a connection of its own; `exclusive` work is done by one process at a time.

        Raises:
            StartError: another process serves or upgrades it, or it cannot be used.
        """
        ...

    def snapshot(self, url: str, work: Callable[[Read], T]) -> T:
        """Read the database as it is at one moment, while others write.

        Raises:
            StartError: it cannot be read.
        """
        ...

    def durability(self, url: str) -> str:
        """How a commit survives a loss of power, in a few words.

        Raises:
            StartError: it does not.
        """
        ...

    def columns_of(self, table: str) -> str:
        """A query: the names of the columns of a table, in order."""
        ...

    def exists(self, url: str) -> bool:
        """Claim that there is a database to look into."""
        ...

    def name_of(self, url: str) -> str:
        """What messages call the database: never its password."""
        ...

    def portable(self, statement: str) -> str:
        """A statement of a migration in the words of this engine."""
        ...


def engine_of(url: str) -> Engine:
    """The engine a URL names. A driver is imported only when it is asked for.

    Raises:
        StartError: its driver is not installed; exit code 1.
    """
    name = "postgresql" if url.startswith(("postgresql:", "postgres:")) else "sqlite"
    try:
        return cast("Engine", import_module(f"gateway.storage.{name}"))
    except ModuleNotFoundError as error:
        message = f"database.url: the driver '{error.name}' is not installed; pip install 'roaz-gateway[{name}]'"
        raise StartError(message, 1) from None
