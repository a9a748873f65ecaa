"""The checks of profiles: what a profile asks of each element, compiled once to closures."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from profiles import exact
from profiles.definitions import Element, definitions
from profiles.exact import Json
from profiles.instances import CODES, Instance, element_of, reader
from profiles.limits import limit_check
from profiles.matching import equals, holds_pattern
from profiles.review import Check, Review
from profiles.rules import rule_check
from profiles.slicing import Slices
from profiles.targets import target_check
from profiles.terminology import membership
from profiles.walk import Path

if TYPE_CHECKING:
    from profiles.library import Library

PropertyCheck = Callable[[Json, Path, Review], None]
_MOST_SHOWN: Final = 200


class _Property:
    """What a profile asks of one element of an object: how many, and what of each."""

    __slots__ = ("_each", "_least", "_most", "_needed", "_read", "_slices", "_step", "_where")

    def __init__(self, element: Element, facts: Json, each: Check | None, slices: Slices | None, where: str) -> None:
        self._read = reader(element)
        self._step = "." + element.name
        self._least: int = facts.get("min", 0)
        self._most: int | None = facts.get("max")
        self._each = each
        self._slices = slices
        self._needed = bool(self._least) or (slices is not None and slices.needed)
        self._where = where

    def check(self, owned: Json, at: Path, review: Review) -> None:
        """Check all instances in the object that owns them."""
        found = self._read(owned, at)
        if not found and not self._needed:
            return
        if len(found) < self._least:
            review.add("profile-min", (at, self._step), str(self._least), self._where)
        if self._most is not None and len(found) > self._most:
            review.add("profile-max", found[self._most][2], str(self._most), self._where)
        if self._each is not None:
            for instance in found:
                self._each(instance, review)
        if self._slices is not None:
            self._slices.check(found, (at, self._step), review)


class Compiler:
    """Compiles the facts of one profile."""

    def __init__(self, library: Library, profile: str) -> None:
        self._library = library
        self._profile = profile

    def check(self, facts: Json, label: str) -> Check | None:
        """Give the check of one element; nothing when nothing is asked."""
        where = f"{self._profile}#{label}"
        checks: list[Check] = []
        if "types" in facts:
            checks.append(_type_check(frozenset(facts["types"]), where))
        for name, holds in (("fixed", equals), ("pattern", holds_pattern)):
            if name in facts:
                checks.append(_value_check(name, holds, facts[name], where))
        for strength, value_set in _bindings(facts):
            checks.append(self._binding(strength, value_set, where))
        if "profiles" in facts:
            checks += self._profiles(facts["profiles"], where)
        if "targets" in facts or "aggregation" in facts:
            checks.append(target_check(facts.get("targets", []), facts.get("aggregation", []), where))
        checks += limit_check(facts, where)
        checks += [rule_check(key, severity, text, where) for key, severity, text in facts.get("rules", ())]
        if inner := self._children(facts, label):
            checks.append(inner)
        return _joined(checks)

    def _children(self, facts: Json, label: str) -> Check | None:
        if "children" not in facts:
            return None
        # The children of a choice depend on which type is there; most elements have one type.
        made: dict[str, tuple[PropertyCheck, ...]] = {}

        def check(instance: Instance, review: Review) -> None:
            value, beside, at, kind = instance
            properties = made.get(kind)
            if properties is None:
                properties = made[kind] = self.properties(facts, kind, label)
            owned = value if type(value) is dict else beside
            if owned is None:
                owned = {}
            for one in properties:
                one(owned, at, review)

        return check

    def properties(self, facts: Json, kind: str, label: str) -> tuple[PropertyCheck, ...]:
        """Give the checks of the children of an element of one type."""
        owner = "Element" if kind in definitions().primitives else kind
        found = (self._property(owner, name, child, f"{label}.{name}") for name, child in facts["children"].items())
        return tuple(check for check in found if check is not None)

    def _property(self, owner: str, name: str, facts: Json, label: str) -> PropertyCheck | None:
        element = element_of(owner, name)
        if element is None:
            return None
        return _Property(
            element,
            facts,
            self.check(facts, label),
            self.slices(facts, label),
            f"{self._profile}#{label}",
        ).check

    def slices(self, facts: Json, label: str) -> Slices | None:
        """Give the slices of an element; re-slices are slices of a slice."""
        if "slices" not in facts:
            return None
        made = Slices(self._library, facts["slicing"], f"{self._profile}#{label}")
        for name, row in facts["slices"].items():
            inner = f"{label}:{name}"
            made.add(name, row, self.check(row, inner), self.slices(row, inner), f"{self._profile}#{inner}")
        return made

    def _binding(self, strength: str, url: str, where: str) -> Check:
        library = self._library

        def check(instance: Instance, review: Review) -> None:
            value, beside, at, kind = instance
            if strength != "required" and review.whole.errors_only:
                return
            member = membership(kind)
            if member is None or (value is None and beside is not None):
                return
            answer = member(value, library.value_set(url), review.whole.known)
            if answer is True:
                return
            said = review.ask(answer) if strength == "required" else answer
            if said is False and strength == "required":
                review.add("profile-binding", at, url, where)
            elif said is False:
                review.remark("profile-binding-extensible", at, url, where)
            elif said is None:
                review.remark("not-judged", at, url, where, "information")

        return check

    def _profiles(self, wanted: dict[str, list[str]], where: str) -> list[Check]:
        # The visit of extensions holds each one to its own definition; here only others are left.
        left = {code: urls for code, urls in wanted.items() if code != "Extension"}
        if not left:
            return []
        library = self._library

        def check(instance: Instance, review: Review) -> None:
            value, _beside, at, kind = instance
            urls = left.get(CODES.get(kind, kind)) or left.get("Resource")
            if not urls:
                return
            if len(urls) == 1:
                if (one := library.profile_check(urls[0])) is not None:
                    one(instance, review)
                else:
                    review.remark("profile-unknown", at, urls[0], where)
            elif not any(review.conforms(value, kind, url) is not False for url in urls):
                review.add("profile-none", at, ", ".join(urls), where)

        return [check]


def _bindings(facts: Json) -> list[tuple[str, str]]:
    found = [(facts["bind"][0], facts["bind"][1])] if "bind" in facts else []
    return [*found, ("required", facts["widest"])] if "widest" in facts else found


def _joined(checks: list[Check]) -> Check | None:
    if len(checks) < 2:
        return checks[0] if checks else None
    every = tuple(checks)

    def check(instance: Instance, review: Review) -> None:
        _value, _beside, _at, _kind = instance
        for one in every:
            one(instance, review)

    return check


def _type_check(allowed: frozenset[str], where: str) -> Check:
    shown = ", ".join(sorted(allowed))

    def check(instance: Instance, review: Review) -> None:
        _, _, at, kind = instance
        if kind not in allowed and CODES.get(kind) not in allowed and "Resource" not in allowed:
            review.add("profile-type", at, shown, where)

    return check


def _value_check(rule: str, holds: Callable[[Any, Any], bool], wanted: Any, where: str) -> Check:  # noqa: ANN401 - JSON is any value
    shown = exact.encode(wanted).decode()[:_MOST_SHOWN]

    def check(instance: Instance, review: Review) -> None:
        value, _, at, _ = instance
        if not holds(value, wanted):
            review.add("profile-" + rule, at, shown, where)

    return check
