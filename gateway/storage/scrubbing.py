"""After content was erased: no copy of it is left in what the engine keeps beside its tables."""

from __future__ import annotations

from typing import Final

from gateway.storage.engines import engine_of
from gateway.storage.writer import Connection

# SQLite keeps older pages in the write-ahead log until it is cut; PostgreSQL older rows until they are vacuumed.
_STATEMENTS: Final = {
    "sqlite": ("PRAGMA wal_checkpoint(TRUNCATE)",),
    "postgresql": ("VACUUM held_item", "VACUUM message"),
}


def scrub(url: str) -> None:
    """Let the engine give up what was overwritten; repeated by the next erasure when a reader is in the way.

    Raises:
        StartError: the database cannot be used.
    """
    engine = engine_of(url)
    name = "sqlite" if url.startswith("sqlite:") else "postgresql"

    def work(connection: Connection) -> None:
        cursor = connection.begin()
        cursor.execute("COMMIT")  # neither statement runs inside a transaction
        for statement in _STATEMENTS[name]:
            cursor.execute(statement)

    engine.administer(url, work, exclusive=False)
