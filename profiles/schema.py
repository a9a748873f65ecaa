"""The fast tier: one JSON Schema per resource type, compiled from the same definitions, that only ever says yes rightly.

What is rare or hard to say in a schema (contained resources, null in lists, 29 February, deep extensions) is simply not
accepted here: the full check then decides. So a yes is final and a no means nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, Final

import jsonschema_rs

from profiles.definitions import Definitions, Element, Member, Primitive, Type, definitions
from profiles.exact import Json
from profiles.invariants import is_ordered
from profiles.narrative import problems
from profiles.references import ID, literal_type

# How often a type may return inside itself; it bounds the depth and so the stack of the compiled schema.
_RETURNS: Final = 3
_EXTENSION_LEVELS: Final = 2
_LONGEST_PAIRED_LIST: Final = 8
_MOST_TARGETS: Final = 12

_YEAR: Final = r"(?:[0-9](?:[0-9](?:[0-9][1-9]|[1-9]0)|[1-9]00)|[1-9]000)"
_DAY: Final = r"(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))"
_TIME: Final = (
    r"T(?:[01][0-9]|2[0-3]):[0-5][0-9]:(?:[0-5][0-9]|60)(?:\.[0-9]+)?(?:Z|[+-](?:(?:0[0-9]|1[0-3]):[0-5][0-9]|14:00))"
)
_CALENDAR: Final = {
    "date": rf"{_YEAR}(?:-(?:0[1-9]|1[0-2])|-{_DAY})?",
    "dateTime": rf"{_YEAR}(?:-(?:0[1-9]|1[0-2])|-{_DAY}(?:{_TIME})?)?",
    "instant": rf"{_YEAR}-{_DAY}{_TIME}",
}
_URI_CHARACTER: Final = r"[^\s\x00-\x1f#]"
_ABSOLUTE: Final = r"(?:https?://[^?#\s\x00-\x1f]*/)?"


def surely_valid(resource: Json) -> bool:
    """Claim that one resource, not counting the resources in it, is valid; False means not known.

    INVARIANT: True implies that the full check finds no error.
    """
    kind = resource.get("resourceType") if type(resource) is dict else None
    if type(kind) is not str or kind not in definitions().resources:
        return False
    schema = _compiled(kind)
    try:
        return bool(schema.is_valid(resource))
    except (ValueError, TypeError, OverflowError, RecursionError):
        # What cannot even be handed over (half a surrogate pair, a key that is no text) is for the full check.
        return False


@cache
def _compiled(kind: str) -> jsonschema_rs.Draft4Validator:
    # Draft 4, because there 1.0 is not an integer.
    return jsonschema_rs.Draft4Validator(
        SchemaWriter(definitions()).schema(kind), keywords=KEYWORDS, pattern_options=jsonschema_rs.RegexOptions()
    )


def keyword(claim: Callable[[Any, Any], bool]) -> type:
    """Make a claim about an instance, given the value of the keyword, into a keyword of the schema."""

    class Keyword:
        def __init__(self, _: Any, value: Any, __: Any) -> None:  # noqa: ANN401 - the protocol of the library
            self._value = value

        def is_valid(self, instance: Any) -> bool:  # noqa: ANN401 - JSON is any value
            return claim(instance, self._value)

        def validate(self, instance: Any) -> None:  # noqa: ANN401 - JSON is any value
            if not claim(instance, self._value):
                raise ValueError("not as it should be")

    return Keyword


def _agrees(reference: Any) -> bool:  # noqa: ANN401 - JSON is any value
    shown = literal_type(reference["reference"])
    return shown is None or shown == reference["type"] or reference["type"] not in definitions().resources


KEYWORDS: Final = {
    "narrative": keyword(lambda div, _: type(div) is str and not problems(div)),
    "ordered": keyword(lambda period, _: is_ordered(period)),
    "agreeing": keyword(lambda reference, _: _agrees(reference)),
    "within": keyword(lambda number, limits: type(number) is int and limits[0] <= number <= limits[1]),
}


class SchemaWriter:
    """Writes the schema of one resource type with the definitions it reaches."""

    def __init__(self, facts: Definitions) -> None:
        self._facts = facts
        self._written: dict[str, Any] = {}

    def schema(self, kind: str) -> Json:
        """Give the schema of one resource type."""
        root = self._object(self._facts.types[kind], _RETURNS)
        root["properties"]["resourceType"] = {"enum": [kind]}
        root["required"] = ["resourceType", *root.get("required", ())]
        root["minProperties"] = 2
        return {"$schema": "http://json-schema.org/draft-04/schema#", **root, "definitions": self._written}

    def _link(self, name: str, write: Any) -> Json:  # noqa: ANN401 - a function without arguments
        if name not in self._written:
            self._written[name] = {}  # reserved first: types refer to themselves
            self._written[name] = write()
        return {"$ref": "#/definitions/" + name}

    def _typed(self, kind: str, budget: int) -> Json:
        return self._link(f"{kind}@{budget}", lambda: self._object(self._facts.types[kind], budget))

    def _object(self, kind: Type, budget: int) -> Json:
        properties: Json = {}
        needs: dict[str, list[Json]] = {}
        required: list[str] = []
        alternatives: list[Json] = []
        for element in kind.elements:
            written = [m for m in element.members if self._member(kind, m, budget, properties, needs)]
            if element.required and len(element.members) == 1:
                required.append(element.name)
            elif element.required:
                alternatives.append({"anyOf": [{"required": [member.name]} for member in written]})
            self._only_one(element, written, needs)
        self._rules(kind, needs, alternatives)
        schema: Json = {"type": "object", "properties": properties, "additionalProperties": False}
        if not kind.is_resource and "id" in properties:
            needs.setdefault("id", []).append({"minProperties": 2})
        if not required:
            schema["minProperties"] = 1
        else:
            schema["required"] = required
        if needs:
            schema["dependencies"] = {
                name: rules[0] if len(rules) == 1 else {"allOf": rules} for name, rules in needs.items()
            }
        if alternatives:
            schema["allOf"] = alternatives
        return schema

    def _member(self, owner: Type, member: Member, budget: int, properties: Json, needs: dict[str, list[Json]]) -> bool:
        """Write one property; False when it is left to the full check."""
        value = self._value(owner, member, budget)
        if value is None:
            return False
        name = member.name
        properties[name] = {"type": "array", "minItems": 1, "items": value} if member.many else value
        if budget and member.type in self._facts.primitives and member.type != "xhtml":
            beside = self._link("Element@1", self._element)
            properties["_" + name] = (
                {"type": "array", "items": {"anyOf": [{"type": "null"}, beside]}} if member.many else beside
            )
            needs.setdefault("_" + name, []).append(_paired(name) if member.many else {"required": [name]})
        return True

    def _element(self) -> Json:
        return {
            "type": "object",
            "properties": {"id": self._primitive("string"), "extension": self._extensions(_EXTENSION_LEVELS)},
            "required": ["extension"],
            "additionalProperties": False,
        }

    def _extensions(self, level: int) -> Json:
        return {
            "type": "array",
            "minItems": 1,
            "items": self._link(f"Extension@{level}", lambda: self._extension(level)),
        }

    def _extension(self, level: int) -> Json:
        properties: Json = {"url": self._primitive("uri")}
        if level:
            properties["extension"] = self._extensions(level - 1)
        kind = self._facts.types["Extension"]
        for element in kind.elements:
            if element.name == "value":
                for member in element.members:
                    properties[member.name] = self._value(kind, member, 0)
        # ext-1 by counting: the url and one other, which is a value or the nested extensions.
        return {
            "type": "object",
            "properties": properties,
            "required": ["url"],
            "minProperties": 2,
            "maxProperties": 2,
            "additionalProperties": False,
        }

    def _value(self, owner: Type, member: Member, budget: int) -> Json | None:
        kind = member.type
        if kind == "Resource":
            return {"type": "object"} if owner.name == "Bundle.entry" else None
        if kind == "xhtml":
            return {"type": "string", "narrative": True}
        if kind in self._facts.primitives:
            return self._codes(member.codes) if member.codes else self._primitive(kind)
        if kind == "Extension":
            return self._extensions(_EXTENSION_LEVELS)["items"] if budget else None
        if kind == "Reference":
            return self._reference(owner, member, budget)
        if member.codes:
            return self._concept(member, budget)
        if owner.name == "Reference" and not budget:
            return None
        returns = "." in kind and kind != f"{owner.name}.{member.name}"
        if returns and not budget:
            return None
        return self._typed(kind, budget - returns)

    def _reference(self, owner: Type, member: Member, budget: int) -> Json | None:
        if owner.name == "Identifier":
            if not budget:
                return None
            budget = 0  # an identifier in a reference in an identifier ends here
        name = "Reference:" + "-".join(member.targets) + f"@{budget}"
        return self._link(name, lambda: self._pointing(member.targets, budget))

    def _pointing(self, targets: tuple[str, ...], budget: int) -> Json:
        schema = self._object(self._facts.types["Reference"], budget)
        properties, needs = schema["properties"], schema["dependencies"]
        properties["reference"] = _text(_target(targets))
        if not targets or len(targets) > _MOST_TARGETS:
            needs["type"] = {"dependencies": {"reference": {"agreeing": True}}}
            if targets:
                properties["type"] = {"enum": list(targets)}
            return schema
        properties["type"] = {"enum": list(targets)}
        agreeing = [
            {"properties": {"type": {"enum": [target]}, "reference": _text(_target((target,)))}} for target in targets
        ]
        if len(targets) > 1:
            needs["type"] = {"anyOf": agreeing}
        return schema

    def _concept(self, member: Member, budget: int) -> Json:
        schema = self._object(self._facts.types["CodeableConcept"], budget)
        known = [
            {
                "properties": {"system": {"enum": [system]}, "code": {"enum": sorted(codes)}},
                "required": ["system", "code"],
            }
            for system, codes in sorted(self._facts.codes[member.codes or ""].items())
        ]
        coding = {**schema["properties"]["coding"], "not": {"items": {"not": {"anyOf": known}}}}
        return {**schema, "properties": {**schema["properties"], "coding": coding}, "required": ["coding"]}

    def _codes(self, name: str | None) -> Json:
        systems = self._facts.codes[name or ""]
        # A value set outside the base URL is named by its whole URL; a slash would be read as a JSON pointer.
        return self._link(
            f"codes:{(name or '').replace('/', '_')}", lambda: {"enum": sorted(frozenset().union(*systems.values()))}
        )

    def _primitive(self, name: str) -> Json:
        return self._link(name, lambda: _scalar(self._facts.primitives[name]))

    @staticmethod
    def _only_one(element: Element, written: list[Member], needs: dict[str, list[Json]]) -> None:
        if len(element.members) == 1:
            return
        for member in written:
            others = [{"required": [other.name]} for other in written if other is not member]
            needs.setdefault(member.name, []).append({"not": {"anyOf": others}})

    @staticmethod
    def _rules(kind: Type, needs: dict[str, list[Json]], alternatives: list[Json]) -> None:
        for rule in kind.together:
            if rule.form == "with":
                needs.setdefault(rule.names[0], []).append({"required": [rule.names[1]]})
            elif rule.form == "some":
                alternatives.append({"anyOf": [{"required": [name]} for name in rule.names]})
            else:
                needs.setdefault(rule.names[0], []).append({"not": {"required": list(rule.names)}})
        if kind.name == "Period":
            needs.setdefault("start", []).append({"dependencies": {"end": {"ordered": True}}})


def _paired(name: str) -> Json:
    """Say that a list and its underscore list are equally long, for the lengths people's names have."""
    return {
        "anyOf": [
            {
                "required": [name],
                "properties": {
                    name: {"minItems": length, "maxItems": length},
                    "_" + name: {"minItems": length, "maxItems": length},
                },
            }
            for length in range(1, _LONGEST_PAIRED_LIST + 1)
        ]
    }


def _target(targets: tuple[str, ...]) -> str:
    if not targets:
        return rf"{_URI_CHARACTER}[^\s\x00-\x1f]*"
    return rf"(?:{_ABSOLUTE}(?:{'|'.join(targets)})/{ID}(?:/_history/{ID})?|urn:(?:uuid|oid):[0-9a-f.\-]+)"


def _text(pattern: str) -> Json:
    return {"type": "string", "pattern": f"^(?:{pattern})$"}


def _scalar(primitive: Primitive) -> Json:
    if primitive.json == "boolean":
        return {"type": "boolean"}
    if primitive.json == "decimal":
        return {"type": "number"}
    if primitive.json == "integer":
        # The library does not compare integers of thousands of digits, so Python does.
        return {"type": "integer", "within": [primitive.least, primitive.most]}
    schema = _text(_CALENDAR.get(primitive.name) or primitive.pattern or ".+")
    return schema | ({"maxLength": primitive.longest} if primitive.longest else {})
