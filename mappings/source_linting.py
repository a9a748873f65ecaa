"""Hold the paths a map reads against a definition of its source: an element that does not exist is never found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from mappings.definition import Definition, Line, MapError, Path, lines
from profiles.definitions import Type

_EVERYWHERE: Final = {
    "id": "string",
    "extension": "Extension",
    "modifierExtension": "Extension",
    "meta": "Meta",
    "text": "Narrative",
    "language": "code",
    "implicitRules": "uri",
    "contained": "Resource",
    "fhir_comments": "string",
}
_NEVER: Final = "never"  # the path of a line that is there to say that R4 has nothing for an element
_PROFILES: Final = {"SimpleQuantity": "Quantity", "MoneyQuantity": "Quantity"}


def source_problems(found: Definition, known: Mapping[str, Type]) -> Iterator[str]:
    """Say which paths of a map lead to what its source, as `known` defines it, does not have."""
    if found.source not in known:
        yield f"{found.source} is no type of the source"
        return
    for condition in (*found.when, *(one for claims, _ in found.refused for one in claims)):
        yield from _place(found.source, condition.path, known)
    yield from _lines(found.source, found.lines, known)
    for entry in found.ignored:
        yield from (f"ignored: {problem}" for problem in _names(found.source, entry.split("."), known))


def type_problems(name: str, declared: dict[str, Any], known: Mapping[str, Type]) -> Iterator[str]:
    """Say the same of the lines of a data type."""
    if name not in known:
        return
    try:
        yield from _lines(name, lines(declared), known)
    except (MapError, AttributeError):
        return  # said where the lines are read


def _lines(kind: str, found: tuple[Line, ...], known: Mapping[str, Type]) -> Iterator[str]:
    for line in found:
        for condition in line.when:
            yield from (f"{line.target}: {problem}" for problem in _place(kind, condition.path, known))
        for place in line.sources:
            yield from (f"{line.target}: {problem}" for problem in _place(kind, place, known))
        if line.elements:
            ends = {_end(kind, place, known) for place in line.sources} or {kind}
            if len(ends) == 1:
                inner = next(iter(ends))
                yield from (f"{line.target}.{problem}" for problem in _lines(inner, line.elements, known))


def _place(kind: str, place: Path, known: Mapping[str, Type]) -> Iterator[str]:
    names = [step.name for step in place.steps]
    if not place.rooted and names != [_NEVER]:
        yield from _names(kind, names, known)


def _names(kind: str, names: list[str], known: Mapping[str, Type]) -> Iterator[str]:
    for position, name in enumerate(names):
        below = _below(kind, name, known)
        if below is None:
            yield f"{'.'.join(names[: position + 1])}: {kind} of the source has no such element"
            return
        kind = below


def _end(kind: str, place: Path, known: Mapping[str, Type]) -> str:
    for step in place.steps:
        kind = _below(kind, step.name, known) or ""
    return kind


def _below(kind: str, name: str, known: Mapping[str, Type]) -> str | None:
    """Name the type of a child; empty when it is not known and anything may follow."""
    if kind in {"", "Resource"}:
        return ""
    if name.startswith("_"):
        return "Element"
    found = known.get(kind)
    for element in found.elements if found is not None else ():
        if element.name == name.removesuffix("[x]") and len(element.members) > 1:
            return ""
        for member in element.members:
            if member.name == name:
                return _PROFILES.get(member.type, member.type)
    return _EVERYWHERE.get(name)
