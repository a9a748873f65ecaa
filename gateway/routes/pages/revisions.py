"""Two revisions of the policy and what differs between them, in words: agreements by who could see what, the rest by name. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import msgspec

from consent.differences import Difference, differences
from consent.model import Agreement
from gateway.errors import StartError
from gateway.model import Json
from gateway.policy import Policy, agreement_of
from gateway.settings import AgreementTable
from profiles import exact

How = Literal["added", "removed", "changed"]

# table -> the key that names a row; the others are one table each
_ROWS: Final[Mapping[str, str]] = {
    "organizations": "ura", "sources": "id", "clients": "id", "identifier_systems": "system",
}  # fmt: skip
_SECRET: Final = frozenset({"jwks"})  # long, and told by its name


@dataclass(frozen=True, slots=True)
class Change:
    """One thing of the configuration that was added, removed or changed."""

    table: str
    name: str
    how: How
    fields: tuple[tuple[str, str, str], ...] = ()  # field, before, after


@dataclass(frozen=True, slots=True)
class Compared:
    """What differs between two revisions."""

    agreements: tuple[Difference, ...]
    changes: tuple[Change, ...]


def compared(before: bytes, after: bytes, policy: Policy) -> Compared:
    """Say what changed from one revision to the next; `policy` gives organizations their names."""
    old, new = exact.decode(before), exact.decode(after)
    said = differences(_agreements(old), _agreements(new), policy.name)
    return Compared(said, tuple(_changes(old, new)))


def _agreements(body: Json) -> list[Agreement]:
    found = []
    for row in body.get("agreements") or ():
        try:
            found.append(agreement_of(msgspec.convert(row, AgreementTable)))
        except (msgspec.ValidationError, StartError):  # words another version knew; its row says itself what changed
            continue
    return found


def _changes(old: Json, new: Json) -> Iterator[Change]:
    for table in sorted((old.keys() | new.keys()) - {"agreements"}):
        if table in _ROWS:
            key = _ROWS[table]
            was = {str(row.get(key)): row for row in old.get(table) or ()}
            now = {str(row.get(key)): row for row in new.get(table) or ()}
            for name in sorted(was.keys() | now.keys()):
                yield from _row(table, name, was.get(name), now.get(name))
        else:
            yield from _row(table, "", old.get(table) or {}, new.get(table) or {})


def _row(table: str, name: str, was: Any, now: Any) -> Iterator[Change]:  # noqa: ANN401 - a row of any table
    if was is None or now is None:
        yield Change(table, name, "added" if was is None else "removed")
    elif was != now and isinstance(was, dict) and isinstance(now, dict):
        fields = [(field, _text(field, was), _text(field, now)) for field in sorted(was.keys() | now.keys())
                  if was.get(field) != now.get(field)]  # fmt: skip
        yield Change(table, name, "changed", tuple(fields))
    elif was != now:
        yield Change(table, name, "changed", (("", _short(was), _short(now)),))


def _text(field: str, row: Json) -> str:
    if field not in row:
        return "–"
    return "…" if field in _SECRET else _short(row[field])


def _short(value: Any) -> str:  # noqa: ANN401 - a value of any table
    text = ", ".join(str(one) for one in value) if isinstance(value, list) else str(value)
    return text if len(text) <= 120 else f"{text[:119]}…"
