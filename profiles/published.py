"""Value sets and code systems as they are published with the set of this release: members, and places in a hierarchy."""

from __future__ import annotations

import lzma
from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from importlib.resources import files
from typing import Final

import msgspec

from profiles.exact import Json
from profiles.expansion import Expansions, below, placed
from profiles.library import DEFINITIONS, SHIPPED
from profiles.terminology import ValueSet

_KEPT: Final = 256  # names come from callers


class _Row(msgspec.Struct):
    url: str


class _Definitions(msgspec.Struct):
    """The definitions of the set, of which only these are read; each stays bytes until it is asked for."""

    value_sets: list[msgspec.Raw]
    code_systems: list[msgspec.Raw]


class _Lazy(Mapping[str, Json]):
    """Resources by canonical, each read when it is asked for."""

    def __init__(self, rows: list[msgspec.Raw]) -> None:
        self._rows: Final = {msgspec.json.decode(raw, type=_Row).url: bytes(raw) for raw in rows}

    def __getitem__(self, url: str) -> Json:
        found: Json = msgspec.json.decode(self._rows[url])
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)


@lru_cache(maxsize=_KEPT)
def value_set(canonical: str) -> ValueSet:
    """Give a value set as far as its members are known; of one that is not published here nothing is."""
    return ValueSet.of(canonical, _expansions().expansion(canonical))


def descendants(system: str, code: str) -> frozenset[str] | None:
    """Give a code and all below it; nothing when the system is not known whole here, or does not have the code.

    Spec: FHIR R4 CodeSystem, a concept is below another by nesting, `subsumedBy` or `parent`.
    """
    parents = _parents(system)
    return frozenset({code, *below(parents, code)}) if code in parents else None


def ancestors(system: str, code: str) -> frozenset[str] | None:
    """Give a code and all above it; nothing when that is not known here."""
    parents = _parents(system)
    if code not in parents:
        return None
    found: set[str] = set()
    wider = {code}
    while wider:
        found |= wider
        wider = {above for one in wider for above in parents.get(one, ())} - found
    return frozenset(found)


@lru_cache(maxsize=_KEPT)
def _parents(system: str) -> Mapping[str, tuple[str, ...]]:
    """Every code of a system with those above it; none of one that is not published whole."""
    found = _lists()[1].get(system, {})
    return placed(found["concept"]) if found.get("content") == "complete" else {}


@cache
def _expansions() -> Expansions:
    return Expansions(*_lists())


@cache
def _lists() -> tuple[_Lazy, _Lazy]:
    packed = files("profiles.definitions").joinpath(SHIPPED + DEFINITIONS).read_bytes()
    found = msgspec.json.decode(lzma.decompress(packed), type=_Definitions)
    return _Lazy(found.value_sets), _Lazy(found.code_systems)
