"""What facts about elements say, as pieces of JSON Schema (draft 4)."""

from __future__ import annotations

from typing import Any, Final

from profiles.definitions import Member
from profiles.exact import Json
from profiles.expansion import ANY
from profiles.merging import Unsaid
from profiles.terminology import GRAMMARS, ValueSet

NEVER: Final[Json] = {"not": {}}


def has_member(member: Member, inner: Json) -> Json:
    """Say of an object that a property is there and is so; of a list, that some item is."""
    some = {"not": {"items": {"not": inner}}} if member.many else inner
    return {"properties": {member.name: some}, "required": [member.name]}


def any_of(choices: list[Json]) -> Json:
    """Say that one of several is so."""
    return choices[0] if len(choices) == 1 else {"anyOf": choices}


def filled(items: Json) -> Json:
    """Say that a list has items, each like this."""
    return {"type": "array", "minItems": 1, "items": items}


def listed(beside: Json) -> Json:
    """Say that a list of underscore objects may have gaps."""
    return {"type": "array", "items": {"anyOf": [{"type": "null"}, beside]}}


def at_most_one(when: Json, length: int) -> Json:
    """Say of a list of one length that at most one item is so."""
    places = [[{} if n == free else {"not": when} for n in range(length)] for free in range(length)]
    return {"maxItems": length, "minItems": length, "anyOf": [{"items": items} for items in places]}


def pattern_schema(pattern: Any) -> Json:  # noqa: ANN401 - JSON is any value
    """Say that a value holds a pattern."""
    if isinstance(pattern, dict):
        return {
            "properties": {name: pattern_schema(part) for name, part in pattern.items()},
            "required": sorted(pattern),
        }
    if isinstance(pattern, list):
        return {"allOf": [{"not": {"items": {"not": pattern_schema(part)}}} for part in pattern]}
    return {"enum": [pattern]}


def member_schema(code: str, value_set: ValueSet) -> Json | None:
    """Say that a coded value is in a value set, or of a system of which nobody here knows; nothing when all is open."""
    if ANY in value_set.open:
        return None
    known: list[Json] = [
        {"properties": {"system": {"enum": [system]}, "code": {"enum": sorted(codes)}}, "required": ["system", "code"]}
        for system, codes in sorted(value_set.codes.items())
    ]
    for system in sorted(value_set.open):
        open_: Json = {"system": {"enum": [system]}}
        if system in GRAMMARS:
            open_["code"] = {"type": "string", "pattern": f"^(?:{GRAMMARS[system].pattern})$"}
        known.append({"properties": open_, "required": ["system", "code"]})
    if code in ("code", "string", "uri"):
        return None if value_set.open or value_set.units else {"enum": sorted(value_set.every)}
    if code == "Coding":
        return any_of(known) if known else NEVER
    if code == "CodeableConcept":
        if value_set.units:
            return None
        return {
            "properties": {"coding": {"not": {"items": {"not": any_of(known) if known else NEVER}}}},
            "required": ["coding"],
        }
    if code == "Quantity":
        return any_of([{"not": {"required": ["code"]}}, *known])
    raise Unsaid
