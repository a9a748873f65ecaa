"""Hold the paths of HL7 v2 maps against the structure of HL7 v2.3 to 2.8: a field or component that none has is never found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final

import msgspec

from mappings.definition import Condition, Definition, Line, MapError, Path, lines, path
from mappings.tables import table

_DATES: Final = frozenset({"date", "dateTime", "instant"})
_NUMBERS: Final = frozenset({"decimal", "integer", "positiveInt", "unsignedInt"})
# Which types of HL7 v2 can hold a value of these FHIR types, read as one text; FHIR texts hold anything.
_TEXTS: Final = frozenset({"ST", "TX", "FT"})
_HOLDS: Final = {
    **dict.fromkeys(_DATES, _TEXTS | {"DT", "DTM", "TM", "TS"}),
    **dict.fromkeys(_NUMBERS, _TEXTS | {"NM", "SI", "SNM", "CQ", "MO"}),
    "time": _TEXTS | {"TM", "DTM", "TS"},
    "boolean": _TEXTS | {"ID", "IS", "CWE", "CNE"},
}
_ANY: Final = frozenset({"varies", "wd", "WD", ""})
_DEEPEST: Final = 8
_WHOLE: Final = "whole"  # a condition on the kind of translation, not on the message


@dataclass(frozen=True, slots=True)
class _Kind:
    """What a line stands at: segments of these names, or a field or component of these types; neither = anything."""

    segments: frozenset[str] = frozenset()
    types: frozenset[str] = frozenset()

    @property
    def is_known(self) -> bool:
        return bool(self.segments or self.types)


_UNKNOWN: Final = _Kind()


def er7_problems(found: Definition, types: Mapping[str, Any]) -> Iterator[str]:
    """Say which paths of a map lead to a field, component or subcomponent that no version of HL7 v2 has, or of another type."""
    here = _segment(found.source)
    for condition in found.when:
        yield from _condition(here, condition)
    for place in found.key:
        yield from _ended(here, place)[1]
    yield from _lines(here, found.lines, types, 0)
    for entry in found.ignored:
        yield from (f"ignored: {problem}" for problem in _ended(_UNKNOWN, _rooted(entry))[1])


def _lines(here: _Kind, found: tuple[Line, ...], types: Mapping[str, Any], depth: int) -> Iterator[str]:
    for line in found:
        for condition in line.when:
            yield from (f"{line.target}: {problem}" for problem in _condition(here, condition))
        ends = []
        for place in line.sources:
            end, problems = _ended(here, place)
            ends.append(end)
            yield from (f"{line.target}: {problem}" for problem in problems)
        # A transform or code map reads as it likes; a type and the lines inside read what the path leads to.
        if not line.transform and not line.concept and all(end.is_known for end in ends):
            end = _Kind(
                frozenset().union(*(one.segments for one in ends)), frozenset().union(*(one.types for one in ends))
            )
            yield from (f"{line.target}{problem}" for problem in _read(end if ends else here, line, types, depth))


def _read(end: _Kind, line: Line, types: Mapping[str, Any], depth: int) -> Iterator[str]:
    if depth > _DEEPEST or not end.is_known:
        return
    inner, name = line.elements, line.types[0] if line.types else ""
    declared = types.get(name)
    if not inner and isinstance(declared, dict):
        try:
            inner = lines(declared["elements"] if "resource" in declared else declared)
        except (MapError, AttributeError):
            return  # said where the types are read
    if inner:
        yield from (f".{problem}" for problem in _lines(end, inner, types, depth + 1))
    elif end.types and name in _HOLDS and not end.types & (_HOLDS[name] | _ANY):
        yield f": a {name} of {'|'.join(sorted(end.types))}"


def _condition(here: _Kind, condition: Condition) -> Iterator[str]:
    if [step.name for step in condition.path.steps] != [_WHOLE]:
        yield from _ended(here, condition.path)[1]


def _ended(here: _Kind, place: Path) -> tuple[_Kind, list[str]]:
    """Follow a path; give what it ends at, and what is wrong with it."""
    kind = _UNKNOWN if place.rooted else here
    rooted, walked = place.rooted, ""
    for step in place.steps:
        before, walked = kind, f"{walked}.{step.name}".lstrip(".")
        if step.name == "^":
            kind = _Kind(frozenset().union(*(_parents(one) for one in kind.segments)))
        elif not step.name.isdigit():
            kind = _segment(step.name) if rooted or kind.segments else _UNKNOWN
            if not kind.is_known and step.name[0] != "Z":
                return _UNKNOWN, [f"{walked}: HL7 v2 has no such segment"]
        elif kind.is_known:
            kind = _child(kind, int(step.name))
            if not kind.is_known:
                whole = "|".join(sorted(before.segments or before.types))
                return _UNKNOWN, [
                    f"{walked}: {whole} of HL7 v2 has no such {'field' if before.segments else 'component'}"
                ]
        rooted = False
    return _UNKNOWN if kind.types and kind.types <= _ANY else kind, []


def _child(kind: _Kind, number: int) -> _Kind:
    facts = _facts()
    found: set[str] = set()
    for name in kind.segments:
        found |= _at(facts["segments"].get(name, ()), number)
    if kind.types and kind.types <= _ANY:
        return kind
    for name in kind.types - _ANY:
        parts = facts["types"].get(name)
        found |= _at(parts, number) if parts else {name} if number == 1 else set()
    return _Kind(types=frozenset(found))


def _at(parts: Any, number: int) -> set[str]:  # noqa: ANN401 - a list of names
    return set(parts[number - 1].split("|")) if number <= len(parts) else set()


def _segment(name: str) -> _Kind:
    return _Kind(frozenset({name})) if name in _facts()["segments"] else _UNKNOWN


def _parents(name: str) -> frozenset[str]:
    known = _facts()["segments"]
    return frozenset(one for one in table("maps/hl7v2/messages.yaml")["attach"].get(name, ()) if one in known)


def _rooted(entry: str) -> Path:
    return path(f"/{entry}")


@cache
def _facts() -> dict[str, dict[str, list[str]]]:
    """Read the shipped structure, once: the types of each field and component, of all versions together."""
    found: dict[str, dict[str, list[str]]] = msgspec.json.decode(
        files("mappings.sources").joinpath("hl7v2.json").read_bytes()
    )
    return found
