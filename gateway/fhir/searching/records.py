"""The items a search runs over: found by what refers to them, and by what they refer to."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from gateway.fhir.searching.table import Parameter, parameters
from gateway.model import Item

_VERSIONED: Final = re.compile(r"([A-Z][A-Za-z]{2,40}/[A-Za-z0-9\-.]{1,64})(?:/_history/[A-Za-z0-9\-.]{1,64})?")
_ITEMS: Final[tuple[Item, ...]] = ()
_LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Records:
    """One patient's permitted items, and the moment of the question.

    INVARIANT: what is not among the items does not exist for a search: not for a chain, not for an include.
    """

    def __init__(self, items: Iterable[Item] = _ITEMS, now: datetime = _LONG_AGO, base: str = "") -> None:
        self.items: Sequence[Item] = tuple(items)
        self.now = now
        self.unresolved = 0  # references of a chain that lead to nothing here
        self._prefix = f"{base}/fhir/" if base else ""
        self._named: dict[str, Item] | None = None
        self._back: dict[tuple[str, str], dict[str, list[Item]]] = {}

    def find(self, reference: str) -> Item | None:
        """The item a reference leads to."""
        if self._named is None:
            self._named = {f"{item.type}/{item.id}": item for item in reversed(self.items)}
        return self._named.get(self.relative(reference))

    def relative(self, reference: str) -> str:
        """A reference of this gateway without its base and version; any other as it is."""
        found = _VERSIONED.fullmatch(reference.removeprefix(self._prefix) if self._prefix else reference)
        return found[1] if found else reference

    def referring(self, type_: str, parameter: Parameter, item: Item) -> Sequence[Item]:
        """The items of a type of which a reference leads to this one."""
        key = (type_, parameter.name)
        index = self._back.get(key)
        if index is None:
            index = self._back[key] = {}
            for other in self.items:
                if other.type == type_:
                    for reference in dict.fromkeys(references(parameter.values(other.resource))):
                        index.setdefault(self.relative(reference), []).append(other)
        return index.get(f"{item.type}/{item.id}", ())

    def referred(self, item: Item, names: Iterable[str]) -> Iterable[Item]:
        """What an item refers to by these parameters."""
        known = parameters(item.type)
        for name in names:
            for reference in references(known[name].values(item.resource)):
                found = self.find(reference)
                if found is not None and known[name].leads_to(found.type):
                    yield found


def references(values: Iterable[Any]) -> Iterable[str]:
    """The literal references among values."""
    for value in values:
        text = value.get("reference") if value.__class__ is dict else value
        if text.__class__ is str:
            yield text
