"""Breakages of a valid resource that its profile forbids, derived from the published profile and not from what is compiled."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Final

from profiles.exact import Json
from profiles.expansion import Expansions
from profiles.snapshot import Node, Snapshots

Place = tuple[str | int, ...]
_DATES: Final = ("date", "dateTime", "instant")
_NEVER: Final = "no-such-code-anywhere"
_DEEPEST: Final = 6


@dataclass(frozen=True)
class Mutant:
    """One broken copy: what was done, and where."""

    kind: str
    place: Place
    resource: Json


def mutants(resource: Json, profile: str, snapshots: Snapshots, expansions: Expansions) -> Iterator[Mutant]:
    """Give every breakage of this resource that is known here."""
    root = snapshots.tree(profile)
    yield from _Breaker(resource, root, snapshots, expansions).of(root, resource, (), 0)


class _Breaker:
    def __init__(self, resource: Json, root: Node, snapshots: Snapshots, expansions: Expansions) -> None:
        self.resource, self.root = resource, root
        self.snapshots, self.expansions = snapshots, expansions

    def changed(self, kind: str, place: Place, value: Any) -> Mutant:
        """Put another value somewhere; an ellipsis takes it away."""
        broken = deepcopy(self.resource)
        owner: Any = broken
        for step in place[:-1]:
            owner = owner[step]
        if value is ...:
            del owner[place[-1]]
        else:
            owner[place[-1]] = value
        return Mutant(kind, place, broken)

    def of(self, node: Node, value: Json, at: Place, depth: int) -> Iterator[Mutant]:
        yield self.changed("unknown element", (*at, "noSuchElement"), "x")
        children = node.children or (self.snapshots.expanded(self.root, node.copied()) if depth < _DEEPEST else {})
        for name, child in children.items():
            present = _property(name, child, value)
            if present is None:
                continue
            yield from self.element(child, value, (*at, present), depth)

    def element(self, node: Node, owner: Any, place: Place, depth: int) -> Iterator[Mutant]:
        value, definition = owner[place[-1]], node.definition
        beside = "_" + str(place[-1])
        if definition.get("min", 0) and beside not in owner:
            yield self.changed("required element taken away", place, ...)
        if isinstance(value, list):
            if definition["max"] not in ("*", "0") and beside not in owner:
                too_many = [*value] + [deepcopy(value[0]) for _ in range(int(definition["max"]) + 1 - len(value))]
                yield self.changed("more than allowed", place, too_many)
            yield self.changed("no list", place, value[0])
            yield self.changed("empty list", place, [])
            for n, one in enumerate(value):
                if one is not None:
                    yield from self.value(node, one, (*place, n), depth)
            yield from self.slices(node, value, place)
            return
        yield self.changed("a list", place, [value])
        yield from self.value(node, value, place, depth)

    def value(self, node: Node, value: Any, place: Place, depth: int) -> Iterator[Mutant]:
        definition = node.definition
        code = _type(node, place)
        if isinstance(value, dict):
            yield self.changed("text for an object", place, "x")
            yield self.changed("empty object", place, {})
        else:
            yield self.changed("an object for a value", place, {"x": 1})
        for key in definition:
            if key.startswith(("fixed", "pattern")):
                yield self.changed("not the " + ("fixed" if key[0] == "f" else "pattern"), place, _other(value))
        yield from self.typed(node, value, place, code)
        if isinstance(value, dict) and "resourceType" not in value and code != "Extension":
            yield from self.of(node, value, place, depth + 1)

    def typed(self, node: Node, value: Any, place: Place, code: str) -> Iterator[Mutant]:
        if code in _DATES:
            yield self.changed("no such day", place, "2026-02-30")
            yield self.changed("no date", place, "30-03-2026")
        if code == "boolean":
            yield self.changed("a word for true", place, "true")
        if code in ("integer", "positiveInt", "unsignedInt", "decimal"):
            yield self.changed("a text for a number", place, "seven")
        if code == "id":
            yield self.changed("bad id", place, "a b_c" * 20)
        if code == "xhtml":
            yield self.changed("script", place, str(value).replace("</div>", "<script>alert(1)</script></div>"))
        if code == "Reference" and isinstance(value.get("reference"), str) and not value["reference"].startswith("#"):
            targets = [p for t in node.definition["type"] for p in t.get("targetProfile", ())]
            kinds = {str(self.snapshots.tree(p).definition["path"]) for p in targets}
            if kinds and "Resource" not in kinds:
                other = next(kind for kind in ("Slot", "Substance", "Account") if kind not in kinds)
                broken = {**{k: v for k, v in value.items() if k != "type"}, "reference": f"{other}/1"}
                yield self.changed("another target", place, broken)
        yield from self.coded(node, value, place, code)

    def coded(self, node: Node, value: Any, place: Place, code: str) -> Iterator[Mutant]:
        binding = node.definition.get("binding", {})
        if binding.get("strength") != "required" or "valueSet" not in binding:
            return
        found = self.expansions.expansion(binding["valueSet"])
        if found["open"] or not found["codes"] or (set(found["codes"]) == {"http://unitsofmeasure.org"}):
            return
        if code == "code":
            yield self.changed("code outside the value set", place, _NEVER)
        elif code == "Coding" and "code" in value:
            yield self.changed("coding outside the value set", place, value | {"code": _NEVER})
        elif code == "CodeableConcept" and value.get("coding"):
            codings = [coding | {"code": _NEVER} for coding in value["coding"]]
            yield self.changed("concept outside the value set", place, value | {"coding": codings})

    def slices(self, node: Node, values: list[Any], place: Place) -> Iterator[Mutant]:
        """Take away all that belongs to a slice that must be there, where a pattern of its own tells it apart."""
        for made in (node.slices or {}).values():
            said = next((v for k, v in made.definition.items() if k.startswith(("fixed", "pattern"))), None)
            if said is None or not made.definition.get("min"):
                continue
            left = [one for one in values if not _holds(one, said)]
            if len(left) < len(values):
                yield self.changed("a required slice taken away", place, left or ...)


def _holds(value: Any, pattern: Any) -> bool:
    if isinstance(pattern, dict):
        return isinstance(value, dict) and all(k in value and _holds(value[k], v) for k, v in pattern.items())
    if isinstance(pattern, list):
        return isinstance(value, list) and all(any(_holds(one, part) for one in value) for part in pattern)
    return bool(value == pattern)


def _property(name: str, child: Node, value: Json) -> str | None:
    stem = name.removesuffix("[x]")
    if stem == name:
        return name if name in value else None
    for kind in child.definition.get("type", ()):
        label: str = stem + kind["code"][0].upper() + kind["code"][1:]
        if label in value:
            return label
    return None


def _type(node: Node, place: Place) -> str:
    types = [str(kind["code"]) for kind in node.definition.get("type", ())]
    if len(types) == 1:
        return "id" if types[0].startswith("http://hl7.org/fhirpath/") and len(place) == 1 else types[0]
    last = next((step for step in reversed(place) if isinstance(step, str)), "")
    return next((code for code in types if str(last).endswith(code[0].upper() + code[1:])), "")


def _other(value: Any) -> Any:
    """Give a value of the same shape that says something else in every leaf."""
    if isinstance(value, dict):
        return {name: _other(inner) if not name.startswith("_") else inner for name, inner in value.items()}
    if isinstance(value, list):
        return [_other(inner) for inner in value]
    if isinstance(value, bool):
        return not value
    if isinstance(value, str):
        return value + "-other"
    return value + 1
