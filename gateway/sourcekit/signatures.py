"""Which format a file has, seen from its first bytes: a table of signatures, and a header line for delimited files."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

LOOKED_AT_BYTES: Final = 65_536
_DELIMITERS: Final = ";\t|,"
_COLUMNS: Final = 500


@dataclass(frozen=True, slots=True)
class Signature:
    """What a file was recognized as; `columns` of a delimited file with a header line."""

    name: str
    format: str
    kind: str
    delimiter: str = ""
    columns: tuple[str, ...] = ()


def recognize(body: bytes) -> Signature | None:
    """Name the format of a file, None when nothing in it is known."""
    start = _text(body[:LOOKED_AT_BYTES])
    for pattern, signature in _table():
        if pattern.search(start):
            return signature
    return _delimited(start)


def _text(start: bytes) -> str:
    """The first bytes as text, good enough to look for structure in."""
    if start[:2] in {b"\xff\xfe", b"\xfe\xff"}:
        return start.decode("utf-16", "replace")
    try:
        # A character cut off at the end of what is looked at is no other encoding.
        return start[:-3].decode("utf-8-sig") if len(start) == LOOKED_AT_BYTES else start.decode("utf-8-sig")
    except UnicodeDecodeError:
        return start.decode("cp1252", "replace")


@cache
def _table() -> tuple[tuple[re.Pattern[str], Signature], ...]:
    rows = tomllib.loads(files(__package__).joinpath("signatures.toml").read_text(encoding="utf-8"))["signatures"]
    return tuple((re.compile(row["pattern"]), Signature(row["name"], row["format"], row["kind"])) for row in rows)


def _delimited(start: str) -> Signature | None:
    """A delimited file: a header line, and lines below it with as many cells.

    INVARIANT: cells of a line that may hold data are never given: a header has no digits and no cell twice.
    """
    lines = [line for line in start.splitlines() if line.strip()]
    if not lines or "\x00" in start:
        return None
    delimiter = max(_DELIMITERS, key=lines[0].count)
    cells = [cell.strip().strip('"') for cell in lines[0].split(delimiter)]
    if not 2 <= len(cells) <= _COLUMNS:
        return None
    whole = lines[1:-1] if len(start) >= LOOKED_AT_BYTES - 3 else lines[1:]
    if any(line.count(delimiter) != len(cells) - 1 for line in whole if '"' not in line):
        return None
    is_header = len(set(cells)) == len(cells) and all(cell and not any(map(str.isdigit, cell)) for cell in cells)
    return Signature("delimited file", "csv", "inbox", delimiter, tuple(cells) if is_header else ())
