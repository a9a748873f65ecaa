"""Read a delimited file into rows, and refuse one that moved its columns, stopped halfway or lies about its charset."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from typing import Any, Final

from mappings.model import NotMappable

MAXIMUM_BYTES: Final = 20_000_000
MAXIMUM_ROWS: Final = 200_000
_CONTROLS: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_ENCODINGS: Final = frozenset({"utf-8", "iso8859-1", "iso8859-15", "cp1252"})


@dataclass(frozen=True, slots=True)
class Delimited:
    """The rows of a file, each with the number of its line, and the cells of its last row."""

    rows: tuple[tuple[int, dict[str, str]], ...]
    end: tuple[str, ...] = ()


def read(body: bytes, header: dict[str, Any]) -> Delimited:
    """Read a file as its map describes it: dialect, charset, columns in order, end marker with the number of rows.

    Raises:
        NotMappable: what was expected and what was found; never the content of a cell.
    """
    rows = _rows(decoded(body, header["encoding"]), header["dialect"])
    columns: list[str] = header["columns"]
    _check_columns(rows[0][1] if rows else [], columns)
    rows = rows[1:]
    end: list[str] = []
    marker = header.get("end", "")
    if marker:
        end = rows[-1][1] if rows else []
        if not end or end[0] != marker:
            raise NotMappable("the end marker is missing: the file is not complete", "end")
        rows = rows[:-1]
        if len(end) < 2 or end[1] != str(len(rows)):
            text = f"the end marker does not count the {len(rows)} rows there are: the file is not complete"
            raise NotMappable(text, "end")
    for number, cells in rows:
        if len(cells) != len(columns):
            text = f"row {number} has {len(cells)} cells, expected {len(columns)}"
            raise NotMappable(text, f"row[{number}]")
    named = ((number, dict(zip(columns, cells, strict=True))) for number, cells in rows)
    return Delimited(tuple((number, {name: cell for name, cell in row.items() if cell}) for number, row in named), tuple(end))  # fmt: skip


def write(rows: list[dict[str, str]], header: dict[str, Any], written: str = "") -> bytes:
    """Write rows as a complete file that the same map reads."""
    target = io.StringIO(newline="")
    dialect = header["dialect"]
    writer = csv.writer(target, delimiter=dialect["delimiter"], quotechar=dialect["quote"], lineterminator="\n")
    writer.writerow(header["columns"])
    writer.writerows([row.get(name, "") for name in header["columns"]] for row in rows)
    if header.get("end"):
        writer.writerow([header["end"], str(len(rows)), *([written] if written else [])])
    return target.getvalue().encode(header["encoding"])


def decoded(body: bytes, encoding: str) -> str:
    """Decode a file in the charset its map names.

    Raises:
        NotMappable: too large, or the bytes are not in that charset.
    """
    if len(body) > MAXIMUM_BYTES:
        message = f"larger than {MAXIMUM_BYTES} bytes"
        raise NotMappable(message)
    if encoding not in _ENCODINGS:
        message = f"the charset of a map must be one of {', '.join(sorted(_ENCODINGS))}"
        raise NotMappable(message, "encoding")
    try:
        text = body.removeprefix(b"\xef\xbb\xbf").decode(encoding)
    except UnicodeDecodeError:
        message = f"the bytes are not {encoding}, as the map says they are"
        raise NotMappable(message, "encoding") from None
    if _CONTROLS.search(text) or (encoding != "utf-8" and _is_utf8(body)):
        message = f"the bytes are not {encoding} text, as the map says they are"
        raise NotMappable(message, "encoding")
    return text


def _is_utf8(body: bytes) -> bool:
    try:
        return not body.isascii() and bool(body.decode("utf-8"))
    except UnicodeDecodeError:
        return False


def _rows(text: str, dialect: dict[str, str]) -> list[tuple[int, list[str]]]:
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=dialect["delimiter"], quotechar=dialect["quote"], strict=True
    )
    found: list[tuple[int, list[str]]] = []
    try:
        for cells in reader:
            if cells:
                found.append((len(found), [cell.strip() for cell in cells]))
            if len(found) > MAXIMUM_ROWS:
                raise NotMappable("too many rows")
    except csv.Error:
        message = f"row {len(found)} is not closed or not quoted as the map says: the file is not complete"
        raise NotMappable(message, f"row[{len(found)}]") from None
    return found


def _check_columns(found: list[str], expected: list[str]) -> None:
    # A first row that is mostly unknown names may be a patient: then it is not repeated.
    is_header = len(set(found) & set(expected)) * 2 > len(expected)
    for position in range(max(len(found), len(expected))):
        want = expected[position] if position < len(expected) else "nothing"
        have = found[position] if position < len(found) else "nothing"
        if want != have:
            shown = f"'{have[:40]}'" if is_header and have.isprintable() else "something else"
            text = f"column {position + 1}: expected '{want}', found {shown}"
            raise NotMappable(text, f"header[{position + 1}]")
