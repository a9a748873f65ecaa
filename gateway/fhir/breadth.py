"""Which types a search asks of sources, and which of them must be open to the caller."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from consent.categories import categories_of_type
from gateway.fhir.search import REVINCLUDES, Search, understand
from gateway.fhir.searching.several import types_of, understand_all
from gateway.fhir.types import CLINICAL
from gateway.membership import SUPPORTING

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Breadth:
    """A search with what it asks."""

    search: Search
    types: tuple[str, ...]  # sources are asked for
    named: tuple[str, ...]  # each must be open to the caller; none: the one it is about, or of several any


def breadth(type_: str, given: Pairs, *, lenient: bool) -> Breadth:
    """Understand the parameters of a search of one type, or without a type of several.

    Raises:
        Invalid: a parameter that is not understood.
    """
    if type_:
        asked = understand(type_, given, lenient=lenient)
        return Breadth(asked, _types(type_, asked), (type_, *sorted(asked.named)) if asked.named else ())
    asked, about = understand_all(given, lenient=lenient), types_of(given)
    types = tuple(dict.fromkeys(one for each in about for one in _types(each, asked)))
    named = about if any(name == "_type" for name, _ in given) else ()
    return Breadth(asked, types, (*named, *sorted(asked.named - set(named))))


@cache
def categories_of(types: tuple[str, ...]) -> frozenset[str]:
    """Every category items of these types can fall in."""
    return frozenset[str]().union(*(categories_of_type(type_) for type_ in types))


def _types(type_: str, asked: Search) -> tuple[str, ...]:
    """What the search is about, goes over, and brings; what only supports comes by itself.

    What only supports others is found with those that refer to it.
    """
    first, *referring = with_referring(type_)
    others = (asked.types - SUPPORTING).union(referring)
    return (first, *sorted(one for one in others if one != type_ and categories_of_type(one)))


@cache
def with_referring(type_: str) -> tuple[str, ...]:
    """The type itself, and when it only supports others those it is found with."""
    if type_ not in SUPPORTING:
        return (type_,)
    found = {one.partition(":")[0] for one in REVINCLUDES[type_]}
    return (type_, *sorted((found & frozenset(CLINICAL)) - SUPPORTING))
