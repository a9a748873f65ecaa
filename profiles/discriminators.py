"""Discriminators: whether what a path finds in an instance is what a slice asks.

Spec: FHIR R4 5.1.0.7.1 'Discriminators': value, pattern, exists, type and profile.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from profiles.definitions import definitions
from profiles.exact import Json
from profiles.instances import CODES, Instance
from profiles.matching import equals, holds_pattern
from profiles.references import Scope, resolved
from profiles.review import Review
from profiles.snapshot import CORE
from profiles.terminology import membership

if TYPE_CHECKING:
    from profiles.library import Library

Condition = Callable[[Instance, Review], "bool | None"]
# What a path finds: a value, its type where that shows, and the scope of a resource it was resolved to.
Found = tuple[Any, str, "Scope | None"]
_Test = Callable[[Found, Review], "bool | None"]


def condition(library: Library, row: Json) -> Condition:
    """Compile one condition of a slice."""
    steps: list[list[str]] = row["path"]
    if row.get("never"):
        return lambda _instance, _review: False
    if "exists" in row:
        wanted: bool = row["exists"]
        return lambda instance, review: bool(_found(steps, instance, review)) is wanted
    test = _test(library, row)

    def holds(instance: Instance, review: Review) -> bool | None:
        known: bool | None = False
        for found in _found(steps, instance, review):
            answer = test(found, review)
            if answer:
                return True
            if answer is None:
                known = None
        return known

    return holds


def _test(library: Library, row: Json) -> _Test:
    if "fixed" in row:
        return lambda found, _: equals(found[0], row["fixed"])
    if "pattern" in row:
        return lambda found, _: holds_pattern(found[0], row["pattern"])
    if "codes" in row:
        return _coded(library, row["codes"])
    if "types" in row:
        types = frozenset(name.removeprefix(CORE) for name in row["types"])
        return lambda found, _: found[1] in types or CODES.get(found[1]) in types
    if "profiles" in row:
        return _profiled(row["profiles"])
    inner = [(name, _test(library, part)) for name, part in row["inner"].items()]

    def all_inside(found: Found, review: Review) -> bool | None:
        known: bool | None = True
        for name, test in inner:
            answers = [test(part, review) for part in _step(found, [name], review)]
            if not any(answers):
                if None not in answers:
                    return False
                known = None
        return known

    return all_inside


def _coded(library: Library, url: str) -> _Test:
    def test(found: Found, review: Review) -> bool | None:
        value, kind, _ = found
        if not kind and type(value) is dict:
            kind = "CodeableConcept" if "coding" in value or "text" in value else "Coding"
        member = membership(kind or "code")
        return review.ask(member(value, library.value_set(url), review.whole.known)) if member else False

    return test


def _profiled(profiles: list[str]) -> _Test:
    def test(found: Found, review: Review) -> bool | None:
        value, kind, scope = found
        kind = kind or (value.get("resourceType", "") if type(value) is dict else "")
        answers = [review.conforms(value, kind, profile, scope) for profile in profiles]
        return True if any(answers) else (None if None in answers else False)

    return test


def _found(steps: list[list[str]], instance: Instance, review: Review) -> list[Found]:
    value, beside, _, kind = instance
    found: list[Found] = [(value, kind, None)]
    if value is None and beside is not None:
        found = [(beside, "Element", None)] if steps else found
    for step in steps:
        found = [after for one in found for after in _step(one, step, review)]
    return found


def _step(found: Found, step: list[str], review: Review) -> list[Found]:
    value, kind, scope = found
    name = step[0]
    if name == "resolve":
        target = resolved(value, scope or review.scope)
        return [(target.resource, target.resource["resourceType"], target)] if target is not None else []
    if name == "as":
        return [found] if kind == step[1] else []
    if type(value) is not dict:
        return []
    if name == "extension":
        return [
            (e, "Extension", scope) for e in value.get("extension", ()) if len(step) == 1 or e.get("url") == step[1]
        ]
    if name in value:
        inner = value[name]
        return [(one, _kind(one), scope) for one in (inner if type(inner) is list else [inner])]
    return [
        (inner, _code(label[len(name) :]), scope)
        for label, inner in value.items()
        if label.startswith(name) and label[len(name) : len(name) + 1].isupper()
    ]


def _kind(value: Any) -> str:  # noqa: ANN401 - JSON is any value
    return str(value.get("resourceType", "")) if type(value) is dict else ""


def _code(suffix: str) -> str:
    lower = suffix[:1].lower() + suffix[1:]
    return lower if lower in definitions().primitives else suffix
