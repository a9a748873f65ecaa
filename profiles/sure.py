"""The fast tier of profiles: one JSON Schema for a type and its profiles, that only ever says yes rightly; invariants are left."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import jsonschema_rs

from profiles.definitions import Member, Type, definitions
from profiles.exact import Json
from profiles.extensions import Place, known_extension, stands_anywhere
from profiles.fragments import NEVER, any_of, at_most_one, filled, has_member, listed, member_schema, pattern_schema
from profiles.identifiers import passes_elfproef
from profiles.instances import CODES, element_of
from profiles.merging import Unsaid, has_errors, merged, without_slices
from profiles.safety import rows
from profiles.schema import KEYWORDS, SchemaWriter, keyword

if TYPE_CHECKING:
    from profiles.library import Library

_RETURNS: Final = 2
_DEEPEST: Final = 12
_LONGEST_COUNTED: Final = 4


def sure_schema(library: Library, kind: str, profiles: tuple[str, ...]) -> jsonschema_rs.Draft4Validator | None:
    """Compile the schema of a type with these profiles; nothing when it cannot be said in one. It leaves only invariants."""
    writer = _Writer(library)
    try:
        facts: Json = {}
        for profile in profiles:
            found = library.facts(profile)
            if found is not None:
                facts = merged(facts, found["tree"])
        schema = writer.resource(kind, facts)
    except Unsaid:
        return None
    keywords = KEYWORDS | {
        "known": keyword(lambda extension, place: known_extension(extension, Place(*place), library)),
        "elfproef": keyword(lambda number, _: type(number) is str and passes_elfproef(number)),
    }
    return jsonschema_rs.Draft4Validator(schema, keywords=keywords, pattern_options=jsonschema_rs.RegexOptions())


class _Writer(SchemaWriter):
    """Writes the closed schema of a type and lays what profiles ask over it."""

    def __init__(self, library: Library) -> None:
        super().__init__(definitions())
        self._library = library
        self._depth = 0

    def resource(self, kind: str, facts: Json) -> Json:
        root = self._closed(self._facts.types[kind], facts, _RETURNS)
        root["properties"]["resourceType"] = {"enum": [kind]}
        root["required"] = ["resourceType", *root.get("required", ())]
        root["minProperties"] = 2
        return {"$schema": "http://json-schema.org/draft-04/schema#", **root, "definitions": self._written}

    def _object(self, kind: Type, budget: int) -> Json:
        return self._closed(kind, {}, budget)

    def _closed(self, kind: Type, facts: Json, budget: int) -> Json:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise Unsaid
        schema = super()._object(kind, budget)
        table = {"children": self._library.type_facts(kind.name)}
        self._lay(schema, kind, merged(table, facts), budget)
        self._own(schema, kind)
        self._depth -= 1
        return schema

    def _own(self, schema: Json, kind: Type) -> None:
        """The gateway's own rules about single elements."""
        if kind.name == "Identifier":
            bsn = {"properties": {"system": {"enum": [rows().bsn]}}, "required": ["system"]}
            sound = {"properties": {"value": {"elfproef": True}}}
            schema.setdefault("allOf", []).append({"anyOf": [{"not": bsn}, sound]})
        elif kind.name == "Attachment":  # the full check computes what is said of the data
            schema.setdefault("allOf", []).extend({"not": {"required": ["data", told]}} for told in ("hash", "size"))
        elif kind.name in ("Quantity", "SimpleQuantity"):
            texts = rows().texts
            apart = [
                {
                    "properties": {"unit": {"enum": [text]}, "code": {"enum": sorted(set(texts.values()) - {code})}},
                    "required": ["unit", "code"],
                }
                for text, code in texts.items()
            ]
            schema.setdefault("allOf", []).append(
                {"anyOf": [{"not": {"required": ["unit", "code"]}}, {"not": {"anyOf": apart}}]}
            )

    def _value(self, owner: Type, member: Member, budget: int) -> Json | None:
        if member.type == "Extension":
            return {"known": ["Extension" if owner.name == "Extension" else owner.name, "", ""]}
        return super()._value(owner, member, budget)

    def _member(self, owner: Type, member: Member, budget: int, properties: Json, needs: dict[str, list[Json]]) -> bool:
        if member.name == "modifierExtension":
            return False
        if not super()._member(owner, member, budget, properties, needs):
            return False
        if "_" + member.name in properties:
            beside = self._beside(owner, member, [])
            properties["_" + member.name] = listed(beside) if member.many else beside
        return True

    def _beside(self, owner: Type, member: Member, known: list[Json]) -> Json:
        place = [member.type, owner.name, member.name]
        return {
            "type": "object",
            "properties": {"extension": {"type": "array", "minItems": 1, "items": any_of([*known, {"known": place}])}},
            "required": ["extension"],
            "additionalProperties": False,
        }

    def _lay(self, schema: Json, kind: Type, facts: Json, budget: int) -> None:
        for name, child in facts.get("children", {}).items():
            element = element_of(kind.name, name)
            if element is None:
                raise Unsaid
            present = [member for member in element.members if member.name in schema["properties"]]
            for member in present:
                self._lay_member(schema, kind, member, child, budget)
            self._count(schema, [m for m in present if m.name in schema["properties"]], child)

    def _lay_member(self, schema: Json, kind: Type, member: Member, child: Json, budget: int) -> None:
        properties = schema["properties"]
        code = CODES.get(member.type, member.type)
        if child.get("max") == 0 or ("types" in child and code not in child["types"]):
            properties.pop(member.name)
            properties.pop("_" + member.name, None)
            return
        if member.name == "extension":
            properties["extension"] = self._extensions_of(Place(kind.name), child)
            return
        facts = without_slices(child)
        slices = child.get("slices", {})
        choice = element_of(kind.name, member.name) is None
        if slices and (choice or not member.many):
            facts, slices = self._of_type(facts, child, code), {}
        value = self._specialized(kind, member, facts, budget)
        if value is None:
            return
        if not member.many:
            properties[member.name] = value
        else:
            properties[member.name] = (
                self._sliced(kind, member, facts, child, value, budget) if slices else filled(value)
            )
        if "extension" in facts.get("children", {}) and member.type in self._facts.primitives:
            known = self._known(Place(member.type, kind.name, member.name), facts["children"]["extension"])
            beside = self._beside(kind, member, known)
            properties["_" + member.name] = listed(beside) if member.many else beside

    @staticmethod
    def _of_type(facts: Json, child: Json, code: str) -> Json:
        """Slices of a choice by type: those of this type are simply what is asked of it."""
        for row in child["slices"].values():
            if [condition.get("types") is None for condition in row["when"]] != [False]:
                raise Unsaid
            if code in row["when"][0]["types"]:
                if row.get("max") == 0:
                    raise Unsaid
                facts = merged(facts, {k: v for k, v in row.items() if k not in ("when", "min", "max")})
            elif row.get("min") or child["slicing"]["rules"] == "closed":
                raise Unsaid
            if row.get("min") and code not in row["when"][0]["types"]:
                raise Unsaid
        return facts

    def _count(self, schema: Json, members: list[Member], child: Json) -> None:
        least = child.get("min", 0)
        if any(row.get("min") for row in child.get("slices", {}).values()):
            least = max(least, 1)
        if least and len(members) == 1:
            schema["required"] = sorted({*schema.get("required", ()), members[0].name})
        elif least:
            schema.setdefault("allOf", []).append(any_of([{"required": [member.name]} for member in members]))
        for member in members:
            shown = schema["properties"][member.name]
            if member.many and least > 1:
                shown["minItems"] = least
            if member.many and "max" in child:
                shown["maxItems"] = child["max"]

    def _specialized(self, owner: Type, member: Member, facts: Json, budget: int) -> Json | None:
        if "aggregation" in facts or "least" in facts or "most" in facts:
            raise Unsaid
        if member.type == "Resource":
            return None if not facts.keys() - {"min", "max", "rules"} else _unsaid()
        code = CODES.get(member.type, member.type)
        parts = [
            self._base(owner, member, facts, code, budget) or _unsaid(),
            *self._values(facts),
            *self._bound(code, facts),
        ]
        return parts[0] if len(parts) == 1 else {"allOf": parts}

    def _base(self, owner: Type, member: Member, facts: Json, code: str, budget: int) -> Json | None:
        profiles = facts.get("profiles", {}).get(code, ())
        if len(profiles) > 1:
            raise Unsaid
        inner = {"children": facts.get("children", {})}
        for profile in profiles:
            found = self._library.facts(profile)
            if found is None or found["type"] != code:
                raise Unsaid
            inner = merged(found["tree"], inner)
        extra = self._values(inner) + self._bound(code, inner)
        if member.type in self._facts.primitives:
            if set(inner["children"]) - {"extension"}:
                raise Unsaid
            base = self._value(owner, member, budget)
        elif code == "Reference":
            targets = tuple(sorted({str(self._library.type_of(url) or _unsaid()) for url in facts.get("targets", ())}))
            pointed = () if "Resource" in targets else targets
            if inner["children"] or profiles:
                raise Unsaid
            base = self._pointing(pointed, 0) if targets else self._value(owner, member, budget)
        else:
            plain = self._value(owner, member, budget)
            if not inner["children"] or plain is None:
                return {"allOf": [plain, *extra]} if plain is not None and extra else plain
            base = self._closed(self._facts.types[member.type], inner, budget)
            if member.codes:
                coded = {"properties": {"coding": plain["properties"]["coding"]}, "required": ["coding"]}
                base = {"allOf": [base, coded]}
        return {"allOf": [base, *extra]} if base is not None and extra else base

    @staticmethod
    def _values(facts: Json) -> list[Json]:
        found = []
        if "fixed" in facts:
            if isinstance(facts["fixed"], dict | list):
                raise Unsaid
            found.append({"enum": [facts["fixed"]]})
        if "pattern" in facts:
            found.append(pattern_schema(facts["pattern"]))
        if "longest" in facts:
            found.append({"maxLength": facts["longest"]})
        return found

    def _bound(self, code: str, facts: Json) -> list[Json]:
        bound = [*([facts["bind"]] if "bind" in facts else ()), *facts.get("binds", ())]
        urls = [url for strength, url in bound if strength == "required"]
        urls += [facts["widest"]] if "widest" in facts else []
        return [part for url in urls if (part := member_schema(code, self._library.value_set(url))) is not None]

    def _extensions_of(self, place: Place, child: Json) -> Json:
        items = any_of([*self._known(place, child), {"known": [place.kind, place.owner, place.name]}])
        schema: Json = filled(items)
        for row in child.get("slices", {}).values():
            self._limit(schema, {"properties": {"url": {"enum": [_url(row)]}}, "required": ["url"]}, row)
        return schema

    def _known(self, place: Place, child: Json) -> list[Json]:
        """The extensions a profile names here, each with what its definition and the profile ask."""
        if child.get("slicing", {}).get("rules", "open") != "open" or set(child) - {"slicing", "slices", "min", "max"}:
            raise Unsaid
        found = []
        for row in child.get("slices", {}).values():
            url, facts = _url(row), {k: v for k, v in row.items() if k not in ("when", "min", "max", "profiles")}
            definition = self._library.extension(url) if ":" in url else None
            if definition is not None:
                if not stands_anywhere(definition, place) or definition.modifier or definition.invariants:
                    continue
                tree = (self._library.facts(url) or {})["tree"]
                if has_errors(tree):
                    continue  # nobody else runs the invariants of an extension
                facts = merged(tree, facts)
            elif place.kind != "Extension":
                continue
            found.append(self._one_extension(url, facts))
        return found

    def _one_extension(self, url: str, facts: Json) -> Json:
        kind = self._facts.types["Extension"]
        children = facts.get("children", {})
        properties: Json = {"url": {"enum": [url]}}
        if set(children) - {"url", "extension", "value[x]", "id"} or "rules" in facts:
            raise Unsaid
        inside = children.get("extension", {})
        if inside.get("max") != 0 and "slices" in inside:
            properties["extension"] = self._extensions_of(Place("Extension", inside=url), inside)
            if inside.get("min", 0) > 1:
                properties["extension"]["minItems"] = inside["min"]
        value = children.get("value[x]", {})
        for member in next(e for e in kind.elements if e.name == "value").members if value.get("max") != 0 else ():
            if ("types" in value and member.type not in value["types"]) or self._library.has_rules(member.type):
                continue
            schema: Json = {"properties": {member.name: self._value(kind, member, 0)}}
            if schema["properties"][member.name] is None:
                continue
            if value:
                self._lay_member(schema, kind, member, value, 1)
            properties |= schema["properties"]
        return {"type": "object", "properties": properties, "required": ["url"], "minProperties": 2, "maxProperties": 2,
                "additionalProperties": False}  # fmt: skip

    def _sliced(self, owner: Type, member: Member, facts: Json, child: Json, plain: Json, budget: int) -> Json:
        rules = child["slicing"]["rules"]
        if rules not in ("open", "closed") or child["slicing"].get("ordered"):
            raise Unsaid
        choices: list[Json] = []
        limits: list[tuple[Json, Json]] = []
        for row in child["slices"].values():
            if any(["resolve"] in condition["path"] for condition in row["when"]):
                if row.get("min"):
                    raise Unsaid
                continue  # a reference that leads nowhere here belongs to no slice
            one = self._slice(owner, member, facts, row, budget)
            if any("profiles" in condition for condition in row["when"]):
                choices.append(one)
                continue
            when = self._when(member.type, row["when"])
            limits.append((when, row))
            choices.append({"allOf": [when, one]})
        if rules == "open":
            whens = [when for when, _ in limits]
            choices.append({"allOf": [{"not": any_of(whens)}, plain]} if whens else plain)
        schema = filled(any_of(choices))
        for when, row in limits:
            self._limit(schema, when, row)
        return schema

    def _slice(self, owner: Type, member: Member, facts: Json, row: Json, budget: int) -> Json:
        """Write what is asked of the members of one slice."""
        by_profile = any("profiles" in condition for condition in row["when"])
        counted = row.get("min") or row.get("max") not in (None, 0)
        if "slices" in row or (by_profile and (len(row["when"]) > 1 or counted)):
            raise Unsaid
        asked = {k: v for k, v in row.items() if k not in ("when", "min", "max")}
        one = self._specialized(owner, member, merged(facts, asked), budget)
        if one is None:
            raise Unsaid
        return one

    def _limit(self, schema: Json, when: Json, row: Json) -> None:
        parts: list[Json] = []
        if row.get("min"):
            if row["min"] > 1:
                raise Unsaid
            parts.append({"not": {"items": {"not": when}}})
        most = row.get("max")
        if most is not None:
            if most > 1:
                parts.append({"anyOf": [{"maxItems": most}, {"items": {"not": when}}]})
            else:
                lengths = range(1, _LONGEST_COUNTED + 1) if most else ()
                parts.append(any_of([{"items": {"not": when}}, *(at_most_one(when, n) for n in lengths)]))
        if parts:
            schema["allOf"] = [*schema.get("allOf", ()), *parts]

    def _when(self, kind: str, conditions: list[Json]) -> Json:
        return {"allOf": [self._condition(kind, condition["path"], condition) for condition in conditions]}

    def _condition(self, kind: str, path: list[list[str]], condition: Json) -> Json:
        if condition.get("never"):
            return NEVER
        return self._below(kind, path, condition) if path else self._here(kind, condition)

    def _below(self, kind: str, path: list[list[str]], condition: Json) -> Json:
        element = element_of(kind, path[0][0])
        if len(path[0]) > 1 or element is None or len(element.members) != 1:
            raise Unsaid
        member = element.members[0]
        if "exists" in condition and len(path) == 1:
            there = {"anyOf": [{"required": [member.name]}, {"required": ["_" + member.name]}]}
            return there if condition["exists"] else {"not": there}
        return has_member(member, self._condition(member.type, path[1:], condition))

    def _here(self, kind: str, condition: Json) -> Json:
        if "inner" in condition:
            parts = condition["inner"].items()
            return {"allOf": [self._condition(kind, [[name]], {**part, "path": []}) for name, part in parts]}
        if "codes" in condition:
            value_set = self._library.value_set(condition["codes"])
            part = member_schema(kind, value_set)
            if part is None or value_set.open:
                raise Unsaid
            return part
        said = condition.get("fixed", condition.get("pattern"))
        if said is None or isinstance(condition.get("fixed"), dict):
            raise Unsaid
        return pattern_schema(said)


def _unsaid() -> Any:  # noqa: ANN401 - never returns
    raise Unsaid


def _url(row: Json) -> str:
    for condition in row["when"]:
        if condition["path"] == [["url"]] and isinstance(condition.get("fixed"), str):
            return str(condition["fixed"])
    raise Unsaid
