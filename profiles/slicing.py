"""Slices: to which slice an instance belongs, how many each may hold, and what each asks of what is in it.

Spec: FHIR R4 5.1.0.7 'Slicing'.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from profiles.discriminators import condition
from profiles.exact import Json
from profiles.instances import Instance
from profiles.review import Check, Review
from profiles.walk import Path

if TYPE_CHECKING:
    from profiles.library import Library

# Yes, no, or not known, because a code could not be judged.
Condition = Callable[[Instance, Review], "bool | None"]


class _Slice:
    __slots__ = ("check", "conditions", "inner", "least", "most", "name", "where")

    def __init__(self, name: str, facts: Json, conditions: tuple[Condition, ...], where: str) -> None:
        self.name = name
        self.least: int = facts.get("min", 0)
        self.most: int | None = facts.get("max")
        self.conditions = conditions
        self.where = where
        self.check: Check | None = None
        self.inner: Slices | None = None

    def holds(self, instance: Instance, review: Review) -> bool | None:
        known: bool | None = bool(self.conditions)
        for one in self.conditions:
            found = one(instance, review)
            if found is False:
                return False
            if found is None:
                known = None
        return known

    def check_members(self, members: list[Instance], at: Path, review: Review) -> None:
        """Check how many there are, and what this slice asks of each."""
        if len(members) < self.least:
            review.add("slice-min", at, f"{self.name}: {self.least}", self.where)
        if self.most is not None and len(members) > self.most:
            review.add("slice-max", members[self.most][2], f"{self.name}: {self.most}", self.where)
        if self.check is not None:
            for instance in members:
                self.check(instance, review)
        if self.inner is not None:
            self.inner.check(members, at, review)


class Slices:
    """The slices of one element."""

    def __init__(self, library: Library, facts: Json, where: str) -> None:
        self._library = library
        self._rules: str = facts["rules"]
        self._ordered = bool(facts.get("ordered"))
        self._where = where
        self._slices: list[_Slice] = []
        # Extensions and much else are told apart by one fixed text: then a look-up replaces the trying.
        self._by_text: dict[str, _Slice] | None = {}
        self._text_name = ""

    @property
    def needed(self) -> bool:
        """Claim that some slice must be there, also when the element has no instance at all."""
        return any(one.least for one in self._slices)

    def add(self, name: str, facts: Json, check: Check | None, inner: Slices | None, where: str) -> None:
        """Add one slice in the order of the profile."""
        made = _Slice(name, facts, tuple(condition(self._library, row) for row in facts["when"]), where)
        made.check, made.inner = check, inner
        self._slices.append(made)
        self._index(made, facts["when"])

    def _index(self, made: _Slice, when: list[Json]) -> None:
        text = None
        if len(when) == 1 and len(when[0]["path"]) == 1 and len(when[0]["path"][0]) == 1:
            name = when[0]["path"][0][0]
            text = when[0].get("fixed", when[0].get("pattern"))
            if type(text) is not str or self._text_name not in ("", name) or name in ("resolve", "value"):
                text = None
            else:
                self._text_name = name
        if text is None or self._by_text is None or text in self._by_text:
            self._by_text = None
        else:
            self._by_text[text] = made

    def check(self, found: list[Instance], at: Path, review: Review) -> None:
        """Put every instance in its slice, and check the slices and the order."""
        members: dict[_Slice, list[Instance]] = {}
        unknown: set[_Slice] = set()
        order: list[tuple[_Slice | None, Instance]] = []
        for instance in found:
            one = self._slice_of(instance, review, unknown)
            order.append((one, instance))
            if one is not None:
                members.setdefault(one, []).append(instance)
        for one in self._slices:
            if one in members or (one.least and one not in unknown):
                one.check_members(members.get(one, []), at, review)
        if self._rules != "open" or self._ordered:
            self._check_order(order, review, unknown)

    def _check_order(self, order: list[tuple[_Slice | None, Instance]], review: Review, unknown: set[_Slice]) -> None:
        last, ended = 0, False
        for one, instance in order:
            if one is None:
                ended = True
                if self._rules == "closed" and not unknown:
                    names = ", ".join(other.name for other in self._slices)
                    review.add("slice-closed", instance[2], names, self._where)
                continue
            if ended and self._rules == "openAtEnd":
                review.add("slice-end", instance[2], one.name, self._where)
            if self._ordered:
                place = self._slices.index(one)
                if place < last:
                    review.add("slice-order", instance[2], one.name, self._where)
                last = max(place, last)

    def _slice_of(self, instance: Instance, review: Review, unknown: set[_Slice]) -> _Slice | None:
        if self._by_text is not None:
            value = instance[0]
            text = value.get(self._text_name) if type(value) is dict else None
            return self._by_text.get(text) if type(text) is str else None
        for one in self._slices:
            held = one.holds(instance, review)
            if held:
                return one
            if held is None:
                unknown.add(one)
        return None
