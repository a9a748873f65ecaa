"""Hold the lines of a map against the definitions of its target: elements that do not exist, repeat or have another type."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from mappings.definition import Definition, Line, MapError, lines
from profiles.definitions import Member, Type, definitions

_DATES: Final = frozenset({"date", "dateTime", "instant"})
_TEXTS: Final = frozenset(
    {"string", "markdown", "code", "id", "uri", "url", "canonical", "oid", "uuid", "xhtml", "base64Binary"}
)
_NUMBERS: Final = frozenset({"decimal", "integer", "positiveInt", "unsignedInt"})
_GROUPS: Final = (_DATES, _TEXTS, _NUMBERS, frozenset({"boolean"}), frozenset({"time"}))
_DEEPEST: Final = 12
_FREE: Final = frozenset({"*", "resourceType"})
_EVERYWHERE: Final = frozenset({"extension", "modifierExtension", "id", "meta", "contained", "text", "language"})
_WORKING: Final = frozenset({"restrictions"})  # a settlement takes it away again


def target_problems(found: Definition, types: dict[str, Any], known: Mapping[str, Type] | None = None) -> Iterator[str]:
    """Say which lines of a map make what the target resource, of FHIR R4 where nothing else is known, cannot hold."""
    known = definitions().types if known is None else known
    if found.target not in known or not known[found.target].is_resource:
        yield f"{found.target} is no resource of the target"
        return
    yield from _elements(found.target, found.lines, types, 0, known)
    for requirement in found.requires:
        for name in requirement.split("|"):
            if _member(found.target, name, known) is None:
                yield f"requires {name!r}, which {found.target} does not have"


def _elements(
    kind: str, found: tuple[Line, ...], types: dict[str, Any], depth: int, known: Mapping[str, Type]
) -> Iterator[str]:
    if depth > _DEEPEST or kind not in known:
        return
    for line in found:
        name = line.target.removeprefix("_")
        # A comparator where FHIR forbids one makes the resource invalid, and so it should: without it the value is another.
        plain = kind == "SimpleQuantity" and line.target == "comparator"
        nothing = line.transform == "implied"
        if line.target in _FREE or line.target in _WORKING or name in _EVERYWHERE or plain or nothing:
            continue
        if line.is_choice:
            yield from _choice(kind, line, known)
            continue
        member = _member(kind, name, known)
        if member is None:
            yield f"{line.target}: {kind} has no such element"
        else:
            yield from (f"{line.target}{problem}" for problem in _line(member, line, types, depth, known))


def _choice(kind: str, line: Line, known: Mapping[str, Type]) -> Iterator[str]:
    base = line.target.removesuffix("[x]")
    if not any(element.name.removesuffix("[x]") == base for element in known[kind].elements):
        yield f"{line.target}: {kind} has no such element"


def _line(member: Member, line: Line, types: dict[str, Any], depth: int, known: Mapping[str, Type]) -> Iterator[str]:
    if line.target.startswith("_"):
        return
    fixed = line.value if not line.sources else None
    several = line.many or isinstance(fixed, list)
    if member.many and not several:
        yield ": the element repeats, so the line must say so ([Type])"
    if not member.many and several and line.value is not None and not line.link:
        yield ": the element does not repeat"
    inner = line.elements
    if not inner and len(line.types) == 1 and isinstance(types.get(line.types[0]), dict):
        declared = types[line.types[0]]
        if "resource" in declared:
            if member.type != "Reference":
                yield f": {line.types[0]} gives a Reference, the element is a {member.type}"
            return
        try:
            inner = lines(declared)
        except MapError:
            return
    if inner:
        yield from (f".{problem}" for problem in _elements(member.type, inner, types, depth + 1, known))
    elif len(line.types) == 1 and not line.concept and not line.transform and not line.link:
        yield from _primitive(member, line.types[0])


def _primitive(member: Member, name: str) -> Iterator[str]:
    group = next((one for one in _GROUPS if name in one), None)
    wanted = next((one for one in _GROUPS if member.type in one), None)
    other = group is not None and wanted is not None and group is not wanted
    if other or ((group is None) != (wanted is None) and (group is not None or name in definitions().types)):
        yield f": a {name} where the element is a {member.type}"


def _member(kind: str, name: str, known: Mapping[str, Type]) -> Member | None:
    for element in known[kind].elements:
        for member in element.members:
            if member.name == name:
                return member
    return None
