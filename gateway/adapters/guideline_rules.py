"""What a guideline says otherwise than the tables that are shipped: new rows, and changed rules that somebody must allow by name."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Final

from gateway.model import Json
from profiles.layers import name_of

_TABLES: Final = "guidelines.toml"
_PROFILES: Final = "profiles/"


@dataclass(frozen=True, slots=True)
class Change:
    """One difference; `rule` names the row it is about."""

    rule: str
    says: str
    allowed: bool  # nobody has to allow it: it adds a row and touches none


@dataclass(frozen=True, slots=True)
class _Kind:
    """How one kind of table may be laid over, a row of `guidelines.toml`."""

    package: str
    new: frozenset[str]
    opens: Mapping[str, Any]
    exclusive: tuple[str, ...]


def tables() -> tuple[str, ...]:
    """Name the tables a guideline may lay over; a folder ends with a slash."""
    return tuple(_kinds())


def changes(files: Mapping[str, str]) -> list[Change]:
    """Say how the tables and profiles of a guideline differ from those that are shipped."""
    found = [
        one for path in sorted(files) if path.endswith(".toml") for one in _table(path, tomllib.loads(files[path]))
    ]
    return [*found, *_profiles(files)]


def _table(path: str, theirs: Json) -> Iterator[Change]:
    kind = _kinds().get(path) or _kinds()[f"{path.partition('/')[0]}/"]
    own = resources.files(kind.package).joinpath(path)
    stem = path.removesuffix(".toml")
    if not own.is_file():
        yield Change(stem, "a new file", allowed=True)
        return
    yield from _walk(tomllib.loads(own.read_text(encoding="utf-8")), theirs, (stem,), kind)


def _walk(ours: Any, theirs: Any, where: tuple[str, ...], kind: _Kind) -> Iterator[Change]:  # noqa: ANN401 - TOML values
    if isinstance(ours, dict) and isinstance(theirs, dict):
        pairs = [(key, ours.get(key), value, key in ours) for key, value in theirs.items()]
    elif isinstance(ours, list) and isinstance(theirs, list):
        named = {name_of(row): row for row in ours if name_of(row)}
        pairs = [(name_of(row), named.get(name_of(row)), row, name_of(row) in named or row in ours) for row in theirs]
    else:
        if ours != theirs:
            yield Change(".".join(where), f"{ours!r} becomes {theirs!r}", allowed=False)
        return
    for name, before, value, known in pairs:
        inner = (*where, name) if name else where
        if known and before is not None:
            yield from _walk(before, value, inner, kind)
        elif not known:
            yield _new(ours, value, inner, where, kind)


def _new(ours: Any, value: Any, inner: tuple[str, ...], where: tuple[str, ...], kind: _Kind) -> Change:  # noqa: ANN401
    rule = ".".join(inner)
    if len(where) != 2 or where[1] not in kind.new:
        return Change(rule, f"adds {value!r}", allowed=False)
    row = value if isinstance(value, dict) else {}
    opened = [f"{word} = {said}" for word, said in kind.opens.items() if row.get(word) is said]
    taken = sorted({one for word in kind.exclusive for one in row.get(word, ()) if _holders(ours, word)[one] == 1})
    taken += sorted({rule["type"] for rule in row.get("rules", ())} & _watched(ours))
    if opened or taken:
        why = ", ".join([*opened, *(f"takes {one} from another row" for one in taken)])
        return Change(rule, f"a new row: {why}", allowed=False)
    return Change(rule, "a new row", allowed=True)


def _holders(rows: Any, word: str) -> Counter[str]:  # noqa: ANN401 - a table of rows
    listed = rows.values() if isinstance(rows, dict) else rows
    return Counter(one for row in listed for one in row.get(word, ()))


def _watched(rows: Any) -> set[str]:  # noqa: ANN401 - a table of rows
    """The types of sections that always stand: what leaves one of those is silence, which reads as "none" (rule A1)."""
    listed = [row for row in rows if row.get("band") or row.get("required")] if isinstance(rows, list) else []
    return {rule["type"] for row in listed for rule in row.get("rules", ())}


def _profiles(files: Mapping[str, str]) -> Iterator[Change]:
    """A definition that is shipped is a rule; one under a canonical of its own adds to them."""
    own = sorted(path for path in files if path.startswith(_PROFILES))
    if not own:
        return
    from profiles.additions import canonical_of, is_shipped  # noqa: PLC0415 - the shipped definitions are large

    for path in own:
        canonical = canonical_of(files[path])
        if is_shipped(canonical):
            yield Change(canonical, f"{path} stands in place of the one that is shipped", allowed=False)
        else:
            yield Change(canonical, "a new definition", allowed=True)


@cache
def _kinds() -> dict[str, _Kind]:
    text = resources.files(__package__).joinpath(_TABLES).read_text(encoding="utf-8")
    return {
        path: _Kind(row["package"], frozenset(row["new"]), row.get("opens", {}), tuple(row.get("exclusive", ())))
        for path, row in tomllib.loads(text).items()
    }
