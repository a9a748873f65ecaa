"""What is sent along with the matches: what they refer to, and what refers to them, once or as far as it goes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from gateway.fhir.searching.criteria import Unknown
from gateway.fhir.searching.records import Records
from gateway.fhir.searching.table import PARAMETERS, parameters
from gateway.fhir.types import SEARCHED
from gateway.model import Item

NAMES: Final = frozenset({"_include", "_revinclude"})
ITERATES: Final = frozenset({"iterate", "recurse"})  # the second is the word of STU3
BACK: Final = frozenset({"_revinclude", "_revinclude:iterate", "_revinclude:recurse"})
PROVENANCE: Final = "Provenance:target"


@dataclass(frozen=True, slots=True)
class Include:
    """One `_include` or `_revinclude`: by these parameters of a type; `target` keeps one type of what is found."""

    source: str
    names: tuple[str, ...]
    target: str = ""
    reverse: bool = False
    iterate: bool = False

    @property
    def types(self) -> frozenset[str]:
        """The types it can bring, as far as they are known here."""
        if self.reverse:
            return frozenset({self.source})
        if self.target:
            return frozenset({self.target})
        found = frozenset().union(*(parameters(self.source)[name].targets for name in self.names))
        return frozenset(SEARCHED) if "*" in found else found & frozenset(PARAMETERS)


def include(type_: str, name: str, value: str) -> Include:
    """Read one.

    Raises:
        Unknown: no such type or parameter, or one that can bring nothing to this search.

    Spec: FHIR R4 3.1.1.5.4 'Including other resources in result'.
    """
    bare, _, modifier = name.partition(":")
    reverse, iterate = bare == "_revinclude", modifier in ITERATES
    if modifier and not iterate:
        raise Unknown(name, type_)
    if value == "*" and not reverse:
        value = f"{type_}:*"
    source, _, rest = value.partition(":")
    by, _, target = rest.partition(":")
    known = parameters(source)
    names = (
        tuple(name for name, row in known.items() if row.kind == "reference" and name != "patient")
        if by == "*"
        else (by,)
    )
    if not names or any(name not in known or known[name].kind != "reference" for name in names):
        raise _unknown(type_, name, value)
    if reverse:
        names = tuple(one for one in names if iterate or known[one].leads_to(type_))
        if not names or (target and target != type_ and not iterate):
            raise _unknown(type_, name, value)
        return Include(source, names, target, reverse=True, iterate=iterate)
    if (source != type_ and not iterate) or (target and not all(known[one].leads_to(target) for one in names)):
        raise _unknown(type_, name, value)
    return Include(source, names, target, iterate=iterate)


def _unknown(type_: str, name: str, value: str) -> Unknown:
    return Unknown(f"{name}={value}", type_)


def brought(matches: Sequence[Item], includes: Iterable[Include], records: Records) -> list[Item]:
    """The items to send along, each once, none of them a match; never cut.

    INVARIANT: it ends: an item is followed once by each include, and there are only so many items.
    """
    known = {id(item) for item in matches}
    found: list[Item] = []
    waiting: Sequence[Item] = matches
    rows: Sequence[Include] = tuple(includes)
    while waiting:
        new: dict[int, Item] = {}
        for row in rows:
            new.update((id(item), item) for item in _along(waiting, row, records) if id(item) not in known)
        known.update(new)
        found.extend(new.values())
        waiting, rows = list(new.values()), [row for row in rows if row.iterate]
    return found


def _along(items: Iterable[Item], row: Include, records: Records) -> Iterable[Item]:
    for item in items:
        if row.reverse:
            known = parameters(row.source)
            if not row.target or row.target == item.type:
                for name in row.names:
                    yield from records.referring(row.source, known[name], item)
        elif item.type == row.source:
            for found in records.referred(item, row.names):
                if not row.target or found.type == row.target:
                    yield found
