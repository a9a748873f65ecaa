"""Tables of searches: resources written short, questions, and what must be found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl

import yaml

from gateway.errors import Invalid
from gateway.fhir.search import Records, brought, ordered, understand
from gateway.model import Item
from profiles import exact

Json = dict[str, Any]
TABLES: Final = Path(__file__).parent / "tables"
NOW: Final = datetime(2026, 11, 22, 12, tzinfo=UTC)
BASE: Final = "http://gateway.test"


@dataclass(frozen=True)
class Row:
    """One line of a table: where the specification says it, what is asked, what must come of it."""

    section: str
    query: str
    expected: str
    type: str
    table: str
    records: Json

    def __str__(self) -> str:
        return f"{self.table}: {self.section}: {self.type}?{self.query}"


def item(type_: str, id_: str, resource: Json) -> Item:
    """A resource as an item of a patient."""
    whole = {"resourceType": type_, "id": id_, **resource}
    date = next((whole[name] for name in ("effectiveDateTime", "onsetDateTime") if name in whole), "")
    date = date or whole.get("effectivePeriod", {}).get("start", "")
    return Item(exact.encode(whole), id_, type_, "p", "90000001", "gp", "x", f"{type_}/{id_}", date=date)


@cache
def rows() -> tuple[Row, ...]:
    """Every row of every table."""
    return tuple(_rows())


def _rows() -> Iterator[Row]:
    for path in sorted(TABLES.glob("*.yaml")):
        for table in yaml.load_all(path.read_text("utf-8"), Loader=yaml.CSafeLoader):
            for section, query, expected in table["rows"]:
                yield Row(str(section), query, expected, table["type"], path.stem, table["records"])


def records_of(row: Row) -> Records:
    """The items a row is asked of."""
    return Records(_items(exact.encode(_exact(row.records)).decode()), NOW, BASE)


@cache
def _items(records: str) -> tuple[Item, ...]:
    held = exact.decode(records.encode())
    return tuple(item(type_, id_, one) for type_, group in held.items() for id_, one in group.items())


def _exact(node: Any) -> Any:
    if isinstance(node, float):
        return Decimal(str(node))
    if isinstance(node, dict):
        return {name: _exact(child) for name, child in node.items()}
    return [_exact(child) for child in node] if isinstance(node, list) else node


def asked(row: Row) -> str:
    """What comes of a row, as the table writes it: ids in order, `|` and what comes along, or `!` and a code."""
    try:
        search = understand(row.type, parse_qsl(row.query, keep_blank_values=True))
    except Invalid as error:
        return f"!{error.code}"
    records = records_of(row)
    matching = [one for one in records.items if one.type == row.type and search.matches(one, records)]
    matching = ordered(matching, search, row.type)
    along = brought(matching, search, records)
    found = " ".join(one.id for one in matching)
    return f"{found} | {' '.join(f'{one.type}/{one.id}' for one in along)}" if along else found


def holds(row: Row) -> bool:
    """Claim that a row comes out as written; only a row with `=` asks for an order."""
    found = asked(row)
    if row.expected.startswith("= "):
        return found == row.expected.removeprefix("= ")
    return [set(part.split()) for part in found.split("|")] == [set(part.split()) for part in row.expected.split("|")]
