"""The full check of one resource: closures compiled per type from the definitions, findings as data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from profiles.definitions import Element, Member, Together, definitions
from profiles.exact import Json
from profiles.invariants import RULES, Rule
from profiles.primitives import primitive_check
from profiles.references import check_reference, contained_types
from profiles.walk import Path, Walk, below

Check = Callable[[Any, Path, Walk], None]
# A property is checked with the object it stands in, because a list and its underscore list belong together.
PropertyCheck = Callable[[Any, Json, Path, Walk], None]

_MOST_SHOWN: Final = 12


@dataclass(frozen=True, slots=True)
class _Compiled:
    properties: dict[str, PropertyCheck]
    required: tuple[Element, ...]
    choices: tuple[Element, ...]
    together: tuple[Together, ...]
    rule: Rule | None
    is_resource: bool


def check_resource(value: Any, at: Path, walk: Walk) -> None:  # noqa: ANN401 - JSON is any value
    """Check one resource that stands on its own: the outermost one, or one in a Bundle or Parameters."""
    kind = _resource_type(value, at, walk)
    if kind is None:
        return
    inner = walk.entering(contained_types(value), inside_contained=False)
    _check_object(kind, value, at, inner)
    if "contained" in value:
        _unreferenced(value, at, inner)


def _resource_type(value: Any, at: Path, walk: Walk) -> str | None:  # noqa: ANN401 - JSON is any value
    kind = value.get("resourceType") if type(value) is dict else None
    if type(kind) is not str:
        walk.add("not-a-resource", at)
    elif kind not in definitions().resources:
        walk.add("unknown-resource-type", at)
    else:
        return kind
    return None


def _check_contained(value: Any, at: Path, walk: Walk) -> None:  # noqa: ANN401 - JSON is any value
    kind = _resource_type(value, at, walk)
    if kind is None:
        return
    meta = value.get("meta")
    if type(meta) is dict:
        if "versionId" in meta or "lastUpdated" in meta:
            walk.add("dom-4", (at, ".meta"))
        if "security" in meta:
            walk.add("dom-5", (at, ".meta.security"))
    if "contained" in value:
        walk.add("dom-2", (at, ".contained"))
        return
    _check_object(kind, value, at, walk.entering(walk.contained, inside_contained=True))


def _unreferenced(resource: Json, at: Path, walk: Walk) -> None:
    """dom-3: report contained resources nothing points to; ids that occur twice are an error."""
    contained = resource["contained"]
    ids = [inner.get("id") for inner in contained if type(inner) is dict] if type(contained) is list else []
    ids = [name for name in ids if type(name) is str]
    if len(set(ids)) != len(ids):
        walk.add("contained-id", (at, ".contained"))
    pointed: set[str] = set()
    stack: list[Any] = [resource]
    while stack:
        node = stack.pop()
        if type(node) is str and node.startswith("#"):
            pointed.add(node[1:])
        elif type(node) is dict:
            stack.extend(node.values())
        elif type(node) is list:
            stack.extend(node)
    for n, name in enumerate(ids):
        if name not in pointed and "" not in pointed:
            walk.add("dom-3", (at, f".contained[{n}]"))


def _check_object(kind: str, value: Any, at: Path, walk: Walk) -> None:  # noqa: ANN401 - JSON is any value
    """Check one object against its type."""
    if type(value) is not dict:
        walk.add("expected-object", at, kind)
        return
    compiled = _compiled(kind)
    if len(value) <= ("resourceType" in value and compiled.is_resource) + ("id" in value and not compiled.is_resource):
        walk.add("ele-1", at)
    properties = compiled.properties
    for name, child in value.items():
        check = properties.get(name)
        if check is not None:
            check(child, value, at, walk)
        elif name != "resourceType" or not compiled.is_resource:
            walk.add("unknown-element", below(at, name) if type(name) is str else at)
    _check_presence(compiled, value, at, walk)
    if compiled.rule is not None:
        compiled.rule(value, at, walk)


def _present(element: Element, value: Json) -> list[str]:
    return [member.name for member in element.members if member.name in value or "_" + member.name in value]


def _check_presence(compiled: _Compiled, value: Json, at: Path, walk: Walk) -> None:
    for element in compiled.required:
        if not _present(element, value):
            walk.add("required", (at, "." + element.name), element.name)
    for element in compiled.choices:
        if len(present := _present(element, value)) > 1:
            walk.add("one-choice", (at, "." + element.name), ", ".join(present))
    for rule in compiled.together:
        found = [name for name in rule.names if name in value or "_" + name in value]
        if rule.form == "with" and rule.names[0] in found and rule.names[1] not in found:
            walk.add("present-with", (at, "." + rule.names[1]), f"{rule.names[1]} ({rule.key})")
        elif rule.form == "some" and not found:
            walk.add("present-some", at, f"{', '.join(rule.names)} ({rule.key})")
        elif rule.form == "not_both" and len(found) == len(rule.names):
            walk.add("present-not-both", at, f"{', '.join(rule.names)} ({rule.key})")


@cache
def _compiled(kind: str) -> _Compiled:
    type_ = definitions().types[kind]
    properties: dict[str, PropertyCheck] = {}
    for element in type_.elements:
        for member in element.members:
            properties[member.name] = _property(member)
            if member.type in definitions().primitives and member.type != "xhtml":
                properties["_" + member.name] = _sibling(member)
    return _Compiled(
        properties,
        tuple(element for element in type_.elements if element.required),
        tuple(element for element in type_.elements if len(element.members) > 1),
        type_.together,
        RULES.get(kind),
        type_.is_resource,
    )


def _property(member: Member) -> PropertyCheck:
    check, name, step = _value(member), "_" + member.name, "." + member.expression

    def one(value: Any, _: Json, at: Path, walk: Walk) -> None:  # noqa: ANN401 - JSON is any value
        if type(value) is list:
            walk.add("expected-scalar", (at, step))
        elif value is None:
            walk.add("null-value", (at, step))
        else:
            check(value, (at, step), walk)

    def many(values: Any, owner: Json, at: Path, walk: Walk) -> None:  # noqa: ANN401 - JSON is any value
        if type(values) is not list:
            walk.add("expected-array", (at, step))
            return
        if not values:
            walk.add("empty-array", (at, step))
        beside = owner.get(name) if name in owner else ()
        for n, value in enumerate(values):
            here: Path = (at, f"{step}[{n}]")
            if value is not None:
                check(value, here, walk)
            elif type(beside) is not list or n >= len(beside) or beside[n] is None:
                walk.add("null-value", here)

    return many if member.many else one


def _sibling(member: Member) -> PropertyCheck:
    """Check `_name`: the id and extensions of the primitive `name`."""
    name, step = member.name, "." + member.expression

    def one(value: Any, owner: Json, at: Path, walk: Walk) -> None:  # noqa: ANN401 - JSON is any value
        _element(value, name in owner, (at, step), walk)

    def many(values: Any, owner: Json, at: Path, walk: Walk) -> None:  # noqa: ANN401 - JSON is any value
        beside = owner.get(name)
        if type(values) is not list:
            walk.add("expected-array", (at, step))
            return
        if not values:
            walk.add("empty-array", (at, step))
        if type(beside) is list and len(beside) != len(values):
            walk.add("array-lengths", (at, step))
        for n, value in enumerate(values):
            has_value = type(beside) is list and n < len(beside) and beside[n] is not None
            here: Path = (at, f"{step}[{n}]")
            if value is not None:
                _element(value, has_value, here, walk)
            elif not has_value:
                walk.add("null-value", here)

    return many if member.many else one


def _element(value: Any, has_value: bool, at: Path, walk: Walk) -> None:  # noqa: ANN401 - JSON is any value
    if type(value) is dict and has_value and value.keys() == {"id"}:
        _compiled("Element").properties["id"](value["id"], value, at, walk)
    elif type(value) is dict and not has_value and "extension" not in value:
        walk.add("ele-1", at)
    else:
        _check_object("Element", value, at, walk)


def _value(member: Member) -> Check:
    """Give the check of one value of a property."""
    if member.type == "Resource":
        return _check_contained if member.name == "contained" else check_resource
    if member.type in definitions().primitives:
        return _coded(member, primitive_check(member.type)) if member.codes else primitive_check(member.type)
    kind, targets = member.type, member.targets
    if kind == "Reference":

        def reference(value: Any, at: Path, walk: Walk) -> None:  # noqa: ANN401 - JSON is any value
            _check_object("Reference", value, at, walk)
            if type(value) is dict:
                check_reference(value, targets, at, walk)

        return reference
    if member.codes:
        return _concept(member)
    return lambda value, at, walk: _check_object(kind, value, at, walk)


def _coded(member: Member, form: Check) -> Check:
    codes = frozenset().union(*definitions().codes[member.codes or ""].values())
    shown = _listed(codes)

    def check(value: Any, at: Path, walk: Walk) -> None:  # noqa: ANN401 - JSON is any value
        if type(value) is not str or value not in codes:
            before = len(walk.issues)
            form(value, at, walk)
            if len(walk.issues) == before:
                walk.add("binding", at, shown)

    return check


def _concept(member: Member) -> Check:
    systems = definitions().codes[member.codes or ""]
    shown = _listed(frozenset().union(*systems.values()))

    def check(value: Any, at: Path, walk: Walk) -> None:  # noqa: ANN401 - JSON is any value
        _check_object("CodeableConcept", value, at, walk)
        codings = value.get("coding") if type(value) is dict else ()
        if codings is None and "extension" in value:
            return
        for coding in codings if type(codings) is list else ():
            system, code = (coding.get("system"), coding.get("code")) if type(coding) is dict else (None, None)
            if type(system) is str and type(code) is str and code in systems.get(system, ()):
                return
        walk.add("binding", (at, ".coding"), shown)

    return check


def _listed(codes: frozenset[str]) -> str:
    names = sorted(codes)
    return ", ".join(names[:_MOST_SHOWN]) + (f", … ({len(names)})" if len(names) > _MOST_SHOWN else "")
