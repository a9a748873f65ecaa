"""One statement about many keys instead of one a key."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final

from gateway.storage.writer import STATEMENT_ROWS, Cursor

_LIST: Final = "VALUES (?)"


def about(cursor: Cursor, sql: str, keys: Iterable[str], *more: Any) -> list[tuple[Any, ...]]:  # noqa: ANN401 - what a column takes
    """All rows of a statement about the list `VALUES (?)`, whose parameters come before `more`.

    INVARIANT: a key may be listed more than once, so the query must not count.
    """
    rows: list[tuple[Any, ...]] = []
    wanted = list(dict.fromkeys(keys))
    for start in range(0, len(wanted), STATEMENT_ROWS):
        some = wanted[start : start + STATEMENT_ROWS]
        # A few lengths only: each is a statement of its own that stays prepared.
        length = 1 << (len(some) - 1).bit_length()
        listed = [*some, *some[-1:] * (length - len(some))]
        rows += cursor.execute(_of_length(sql, length), (*listed, *more)).fetchall()
    return rows


@lru_cache(maxsize=128)
def _of_length(sql: str, length: int) -> str:
    return sql.replace(_LIST, "VALUES " + ", ".join(["(?)"] * length), 1)
