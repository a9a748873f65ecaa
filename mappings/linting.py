"""Check every map, type and code map of the package without running them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mappings.concepts import concept_map
from mappings.definition import Definition, Line, MapError, definition, lines
from mappings.functions import FUNCTIONS, PRIMITIVES
from mappings.library import RESERVED
from mappings.settlements import SETTLEMENTS
from mappings.tables import names, table

_FORMATS = ("fhir-stu3", "hl7v2")


def check_maps() -> list[str]:
    """Say what is wrong with the maps, one sentence each; an empty list when nothing is."""
    found = [problem for name in _FORMATS for problem in _format(name)]
    found += [f"concept_maps/{name}: {problem}" for name in names("concept_maps") for problem in _concepts(name)]
    return found + list(_messages())


def _format(name: str) -> Iterator[str]:
    folder = f"maps/{name}"
    types: dict[str, Any] = table(f"{folder}/types.yaml")
    for kind, elements in types.items():
        yield from _read(f"{folder}/types {kind}", elements, types)
    for one in names(folder):
        if one in RESERVED:
            continue
        try:
            found = definition(one, table(f"{folder}/{one}.yaml"))
        except (MapError, KeyError, TypeError, AttributeError) as error:
            yield f"{folder}/{one}: {error}"
            continue
        yield from (f"{folder}/{one}: {problem}" for problem in _definition(found, types))


def _read(where: str, elements: Any, types: dict[str, Any]) -> Iterator[str]:  # noqa: ANN401 - a YAML value
    try:
        found = lines(elements)
    except (MapError, AttributeError) as error:
        yield f"{where}: {error}"
        return
    for one in found:
        yield from (f"{where}: {problem}" for problem in _line(one, types))


def _definition(found: Definition, types: dict[str, Any]) -> Iterator[str]:
    if not found.spec:
        yield "no specification sentence (spec)"
    for name in found.after:
        if name not in SETTLEMENTS:
            yield f"unknown settlement {name!r}"
    targets = {one.target for one in found.lines}
    for name in found.requires:
        if name not in targets:
            yield f"requires {name!r}, which no line makes"
    for name, reason in found.ignored.items():
        if not reason:
            yield f"ignored {name!r} without a reason"
    for one in found.lines:
        yield from _line(one, types)
    yield from _unreachable(found)


def _line(line: Line, types: dict[str, Any]) -> Iterator[str]:
    if line.transform and line.transform not in FUNCTIONS:
        yield f"{line.target}: unknown transform {line.transform!r}"
    if line.concept:
        try:
            concept_map(line.concept)
        except KeyError:
            yield f"{line.target}: missing code map {line.concept!r}"
    if not line.elements and not line.transform and not line.link and line.value is None:
        for name in line.types:
            known = name in PRIMITIVES or name in types or (line.concept and name == "CodeableConcept")
            if not known:
                yield f"{line.target}: unknown type {name!r}"
    for one in line.elements:
        yield from (f"{line.target}.{problem}" for problem in _line(one, types))


def _unreachable(found: Definition) -> Iterator[str]:
    """A line after one that always gives a value for the same single target never runs."""
    settled: set[str] = set()
    for one in found.lines:
        if one.target in settled and not one.many:
            yield f"{one.target}: a line that is never reached"
        if not one.when and (one.default is not None or one.value is not None):
            settled.add(one.target)


def _concepts(name: str) -> Iterator[str]:
    content = table(f"concept_maps/{name}.yaml")
    if not isinstance(content, dict) or not isinstance(content.get("codes"), dict):
        yield "codes must be a mapping"
        return
    unknown = set(content) - {"from", "to", "codes", "strict", "otherwise"}
    if unknown:
        yield f"unknown words {sorted(unknown)}"


def _messages() -> Iterator[str]:
    known = set(names("maps/hl7v2")) - RESERVED
    for kind, entry in table("maps/hl7v2/messages.yaml")["messages"].items():
        for name in entry["resources"]:
            if name not in known:
                yield f"maps/hl7v2/messages {kind}: unknown map {name!r}"
