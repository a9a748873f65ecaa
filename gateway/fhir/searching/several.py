"""A search over several types at once: what each of them is asked, as one search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Final

from gateway.errors import Invalid
from gateway.fhir.searching import including
from gateway.fhir.searching.criteria import Test
from gateway.fhir.searching.records import Records
from gateway.fhir.searching.table import parameters
from gateway.fhir.searching.understanding import Search, understand
from gateway.fhir.types import CLINICAL, RENAMED, SEARCHED
from gateway.model import Item

Pairs = Sequence[tuple[str, str]]

# Without `_type`: everything of one patient, the person first.
_EVERY: Final = ("Patient", *(type_ for type_ in CLINICAL if type_ != "Patient"))


def types_of(given: Pairs) -> tuple[str, ...]:
    """The types a search of the whole system is about.

    Raises:
        Invalid: `invalid-parameter` for a type that is not searched here.

    Spec: FHIR R4 3.1.1.1: [base]?_type=..., the parameters must be common to all of them.
    """
    named = [part for name, value in given if name == "_type" for part in value.split(",")]
    if not named and not any(name == "_type" for name, _ in given):
        return _EVERY
    types = tuple(dict.fromkeys(RENAMED.get(one, one) for one in named))
    if not set(types) <= set(SEARCHED):
        raise Invalid("invalid-parameter", name="_type", why="give types that are searched here, joined by commas")
    return types


@lru_cache(maxsize=64)
def understand_all(given: tuple[tuple[str, str], ...], *, lenient: bool = False) -> Search:
    """Read the parameters for every type it is about: each must know them; what comes along is known to one at least.

    Raises:
        Invalid: `unknown-parameter` or `invalid-parameter`.
    """
    types, rest = types_of(given), [pair for pair in given if pair[0] != "_type"]
    ignored: list[str] = []
    if lenient:  # what one of them does not know is left out for all, or the answer would not be what its link says
        ignored = [name for type_ in types for name in understand(type_, _plain(rest), lenient=True).ignored]
        rest = [pair for pair in rest if pair[0] not in ignored]
    searches = {
        type_: understand(type_, [*_plain(rest), *_along(type_, types, rest)], lenient=lenient) for type_ in types
    }
    first = searches[types[0]]
    _same_kinds(first.sort, types)
    brought = tuple(dict.fromkeys(one for search in searches.values() for one in search.includes))
    reached = frozenset[str]().union(types, *(search.types for search in searches.values()))
    return replace(
        first,
        type="",
        tests=(_any_of(searches),),
        used=_as_given(given, first, rest),
        ignored=tuple(dict.fromkeys((*ignored, *first.ignored))),
        includes=brought,
        provenance=any(search.provenance for search in searches.values()),
        types=reached,
        named=frozenset[str]().union(*(search.named for search in searches.values())),
    )


def _plain(given: Pairs) -> list[tuple[str, str]]:
    return [pair for pair in given if not _brings(pair[0])]


def _brings(name: str) -> bool:
    return name.partition(":")[0] in including.NAMES


def _along(type_: str, types: Sequence[str], given: Pairs) -> list[tuple[str, str]]:
    """Those of the includes that this type knows; one that no type knows is left for it to refuse."""
    found = []
    for pair in given:
        if _brings(pair[0]):
            knowing = [one for one in types if _knows(one, pair)]
            if type_ in knowing or not knowing:
                found.append(pair)
    return found


def _knows(type_: str, pair: tuple[str, str]) -> bool:
    try:
        understand(type_, [pair])
    except Invalid:
        return False
    return True


def _any_of(searches: dict[str, Search]) -> Test:
    def test(item: Item, records: Records) -> bool:
        search = searches.get(item.type)
        return search is not None and search.matches(item, records)

    return test


def _same_kinds(sort: Sequence[tuple[str, bool]], types: Sequence[str]) -> None:
    for name, _ in sort:
        if len({parameters(type_)[name].kind for type_ in types}) > 1:
            raise Invalid("invalid-parameter", name="_sort", why="sort by what is of one kind in each of the types")


def _as_given(given: Pairs, first: Search, rest: Pairs) -> tuple[tuple[str, str], ...]:
    """What was applied, for the truthful link: the types, and what the first of them and each include applied."""
    asked = [pair for pair in given if pair[0] == "_type"]
    include = [pair for pair in rest if _brings(pair[0])]
    return (*asked, *(pair for pair in first.used if not _brings(pair[0])), *include)
