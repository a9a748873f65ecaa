"""Check every map, type and code map of the package without running them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from mappings.concepts import concept_map
from mappings.definition import Definition, Line, MapError, conditions, definition, lines
from mappings.er7_functions import ER7_FUNCTIONS
from mappings.er7_linting import er7_problems
from mappings.er7_primitives import ER7_PRIMITIVES
from mappings.functions import FUNCTIONS, PRIMITIVES
from mappings.library import RESERVED, inline
from mappings.same_elements import declare_all
from mappings.settlements import SETTLEMENTS
from mappings.source_linting import source_problems, type_problems
from mappings.stu3_definitions import stu3_definitions
from mappings.tables import names, table
from mappings.target_linting import target_problems
from mappings.v3_settlements import V3_SETTLEMENTS
from profiles.definitions import Type, definitions

_FORMATS = {
    "fhir-stu3": "fhir-stu3",
    "to-stu3": "to-stu3",
    "hl7v2": "hl7v2",
    "hl7v3": "hl7v3",
    "cda": "hl7v3",
}  # format: whose types
_SOURCES: dict[str, Callable[[], dict[str, Type]]] = {  # formats whose source is defined
    "fhir-stu3": lambda: stu3_definitions().types,
    "to-stu3": lambda: definitions().types,
}


def check_maps() -> list[str]:
    """Say what is wrong with the maps, one sentence each; an empty list when nothing is."""
    found = [problem for name, types in _FORMATS.items() for problem in _format(name, types)]
    found += [f"concept_maps/{name}: {problem}" for name in names("concept_maps") for problem in _concepts(name)]
    return [*found, *_messages(), *_rows(), *(problem for name in ("csv", "json") for problem in _records(name))]


def _format(name: str, shared: str) -> Iterator[str]:
    folder = f"maps/{name}"
    own: dict[str, Any] = table(f"maps/{shared}/types.yaml")
    types = dict(own)
    if name == "to-stu3":
        declare_all(types, table(f"{folder}/renames.yaml")["types"])
    for kind, declared in own.items():
        elements = declared["elements"] if "resource" in declared else declared
        yield from _read(f"{folder}/types {kind}", elements, types)
        if name in _SOURCES:
            yield from (
                f"{folder}/types {kind}.{problem}" for problem in type_problems(kind, elements, _SOURCES[name]())
            )
    for one in names(folder):
        if one in RESERVED:
            continue
        try:
            found = definition(one, table(f"{folder}/{one}.yaml"))
        except (MapError, KeyError, TypeError, AttributeError) as error:
            yield f"{folder}/{one}: {error}"
            continue
        yield from (f"{folder}/{one}: {problem}" for problem in _definition(found, types))
        yield from (f"{folder}/{one}: {problem}" for problem in _held(name, found, types))


def _held(name: str, found: Definition, types: dict[str, Any]) -> Iterator[str]:
    """Hold a map against what is known of its source and its target."""
    if name in {"fhir-stu3", "hl7v2"}:
        yield from target_problems(found, types)
    if name == "to-stu3":
        yield from target_problems(found, types, stu3_definitions().types)
    if name in _SOURCES:
        yield from source_problems(found, _SOURCES[name]())
    if name == "hl7v2":
        yield from er7_problems(found, types)


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
        if name not in SETTLEMENTS and name not in V3_SETTLEMENTS:
            yield f"unknown settlement {name!r}"
    targets = {one.target for one in found.lines}
    for name in found.requires:
        if not targets.intersection(name.split("|")) and "*" not in targets:
            yield f"requires {name!r}, which no line makes"
    for name, reason in found.ignored.items():
        if not reason:
            yield f"ignored {name!r} without a reason"
    for one in found.lines:
        yield from _line(one, types)
    yield from _unreachable(found)


def _line(line: Line, types: dict[str, Any]) -> Iterator[str]:
    if line.transform and line.transform not in FUNCTIONS and line.transform not in ER7_FUNCTIONS:
        yield f"{line.target}: unknown transform {line.transform!r}"
    if line.concept:
        try:
            concept_map(line.concept)
        except KeyError:
            yield f"{line.target}: missing code map {line.concept!r}"
    if not line.elements and not line.transform and not line.link and line.value is None:
        for name in line.types:
            known = (
                name in PRIMITIVES
                or name in ER7_PRIMITIVES
                or name in types
                or (line.concept and name == "CodeableConcept")
            )
            if not known:
                yield f"{line.target}: unknown type {name!r}"
    for one in line.elements:
        yield from (f"{line.target}.{problem}" for problem in _line(one, types))


def _unreachable(found: Definition) -> Iterator[str]:
    """A line after one that always gives a value for the same single target never runs."""
    settled: set[str] = set()
    for one in found.lines:
        if any(replace(claim, negated=not claim.negated) in one.when for claim in one.when):
            yield f"{one.target}: conditions that never hold together"
        if one.target in settled and not one.many:
            yield f"{one.target}: a line that is never reached"
        if not one.when and (one.default is not None or one.value is not None):
            settled.add(one.target)


def _concepts(name: str) -> Iterator[str]:
    content = table(f"concept_maps/{name}.yaml")
    if not isinstance(content, dict) or not isinstance(content.get("codes"), dict):
        yield "codes must be a mapping"
        return
    unknown = set(content) - {"from", "to", "codes", "strict", "otherwise", "inverse", "only", "moved"}
    if unknown:
        yield f"unknown words {sorted(unknown)}"


def _messages() -> Iterator[str]:
    known = set(names("maps/hl7v2")) - RESERVED
    content = table("maps/hl7v2/messages.yaml")
    used = {kind: entry["resources"] for kind, entry in content["messages"].items()} | {"envelope": content["envelope"]}
    for kind, listed in used.items():
        yield from (f"maps/hl7v2/messages {kind}: unknown map {name!r}" for name in listed if name not in known)
    for name in sorted(known - {name for listed in used.values() for name in listed}):
        yield f"maps/hl7v2/messages: no message uses map {name!r}"


def _rows() -> Iterator[str]:
    """Every map of HL7 v3 and CDA has a row that leads to it, and every row a map."""
    where, content = "maps/hl7v3/documents", table("maps/hl7v3/documents.yaml")
    known = (set(names("maps/hl7v3")) | set(names("maps/cda"))) - RESERVED
    used = {row["map"] for row in content["rows"] if "map" in row}
    yield from (f"{where}: unknown map {name!r}" for name in sorted(used - known))
    yield from (f"{where}: no row leads to map {name!r}" for name in sorted(known - used))
    for row in content["rows"]:
        try:
            conditions(row.get("when"))
        except MapError as error:
            yield f"{where}: {error}"
    yield from (f"{where}: skipped {name!r} without a reason" for name, why in content["skipped"].items() if not why)


def _records(format_: str) -> Iterator[str]:
    """A map of files describes the file as well as its resources."""
    for name in names(f"maps/{format_}"):
        where, header = f"maps/{format_}/{name}", table(f"maps/{format_}/{name}.yaml")
        wanted = {"version", "spec", "encoding", "client", "mode", "resources"} | ({"dialect", "columns"} if format_ == "csv" else {"clients", "fields"})  # fmt: skip
        missing = wanted - header.keys()
        if missing:
            yield f"{where}: {', '.join(sorted(missing))} is missing"
            continue
        try:
            found = inline(header)
        except (MapError, KeyError, TypeError, AttributeError) as error:
            yield f"{where}: {error}"
            continue
        for one in found:
            yield from (f"{where} {one.name}: {problem}" for problem in _definition(one, {}))
