"""The order of the matches: as asked, over everything every source gave; what has no value comes last."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from gateway.fhir.searching import moments, numbers
from gateway.fhir.searching.folding import folded
from gateway.fhir.searching.records import references
from gateway.fhir.searching.table import parameters
from gateway.model import Item

SORTABLE: Final = frozenset({"date", "string", "token", "reference", "quantity", "number", "uri"})
Key = tuple[Any, ...]


def ordered(items: Sequence[Item], sort: Sequence[tuple[str, bool]], type_: str) -> list[Item]:
    """Sort as asked; else newest fact first; the id decides between equals, so that pages are stable. Without a type: several.

    Of several values the one that comes first in the order asked decides.

    Spec: FHIR R4 3.1.1.5.1 'Sorting'.
    """
    if not sort:
        newest = {text: -_moment(text) for text in {item.date for item in items}}
        return sorted(items, key=lambda item: (newest[item.date], item.id))
    found = sorted(items, key=lambda item: item.id)
    for name, descending in reversed(sort):
        key = _key(name, type_, descending=descending)
        with_value = [(key_, item) for item in found if (key_ := key(item)) is not None]
        without = [item for item in found if key(item) is None]
        with_value.sort(key=lambda pair: pair[0], reverse=descending)
        found = [item for _, item in with_value] + without
    return found


def place(item: Item, sort: Sequence[tuple[str, bool]], type_: str) -> list[Any]:
    """Where an item stands in the order, as short as a cursor needs it: a key for each part of the sort."""
    if not sort:
        return [_moment(item.date)]
    return [_key(name, type_, descending=descending)(item) for name, descending in sort]


def _key(name: str, type_: str, *, descending: bool) -> Callable[[Item], Any]:
    if not type_:  # of several types: each by its own parameter of that name
        return lambda item: _key(name, item.type, descending=descending)(item)
    parameter, choose = parameters(type_)[name], max if descending else min

    def key(item: Item) -> Any:  # noqa: ANN401 - a date, a text or a number, one kind for one parameter
        found = [
            one
            for value in parameter.values(item.resource)
            if (one := _sortable(parameter.kind, value, descending)) is not None
        ]
        return choose(found) if found else None

    return key


def _sortable(kind: str, value: Any, descending: bool) -> Any:  # noqa: ANN401 - as above
    match kind:
        case "date":
            span = moments.covered(value)
            if span is None:
                return None
            return span.high if descending and span.high < moments.FOREVER else max(span.low, -moments.FOREVER)
        case "quantity" | "number":
            return numbers.ordinal(value)
        case "reference":
            return next(iter(references((value,))), None)
        case _:
            text = next(iter(_text(value)), None)
            return None if text is None else (folded(text), text)


def _text(value: Any) -> Sequence[str]:  # noqa: ANN401 - an element of a resource
    if isinstance(value, bool):
        return ("true" if value else "false",)
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, dict):
        return ()
    coding = next((one for one in value.get("coding") or () if isinstance(one, dict)), {})
    names = ("family", "text", "code", "value", "city", "line")
    found = [value.get(name) for name in names] + [coding.get("code"), coding.get("display")]
    return [one for one in found if isinstance(one, str)]


def _moment(text: str) -> int:
    found = moments.span(text) if text else None
    return found.low if found else -moments.FOREVER
