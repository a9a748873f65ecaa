"""The maps of each format, compiled once when first used."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from mappings import tables
from mappings.concepts import concept_map, renames
from mappings.definition import Condition, Definition, conditions, definition
from mappings.engine import CompiledMap, Compiler
from mappings.er7_engine import Er7Compiler, Er7Map
from mappings.mixtures import traces
from mappings.same_elements import declare_all, kept_elements, same_elements
from mappings.stu3_definitions import stu3_definitions
from mappings.tables import names, table
from profiles.definitions import definitions as r4

RESERVED = frozenset(
    {"types", "messages", "profiles", "vital-signs", "documents", "categories", "renames", "mixtures"}
)  # files of a folder that are no maps


def forget() -> None:
    """Forget everything that was read or compiled from data files: a region laid others over them."""
    for one in (
        tables.table,
        tables.names,
        traces,
        concept_map,
        renames,
        definitions,
        stu3,
        to_stu3,
        hl7v2,
        v3,
        records,
    ):
        one.cache_clear()


@cache
def definitions(format: str) -> tuple[Definition, ...]:  # noqa: A002 - the word of the line
    """Read the maps of a format; maps with conditions come before the one without.

    Raises:
        MapError: a map is not well formed.
    """
    folder = f"maps/{format}"
    found = [definition(name, table(f"{folder}/{name}.yaml")) for name in names(folder) if name not in RESERVED]
    return tuple(sorted(found, key=lambda one: not one.when))


def targets(format: str) -> frozenset[str]:  # noqa: A002 - the word of the line
    """Name the resource types a format gives of a patient: not those that speak of the message itself."""
    envelope = set(table("maps/hl7v2/messages.yaml")["envelope"]) if format == "hl7v2" else set()
    return frozenset(one.target for one in definitions(format) if one.name not in envelope)


@cache
def stu3() -> Compiler:
    """Give the compiled STU3 maps; a type without a map of its own is read by what has the same name in R4."""
    types = dict(table("maps/fhir-stu3/types.yaml"))
    renames = table("maps/fhir-stu3/renames.yaml")["types"]

    def otherwise(kind: str) -> Definition | None:
        changes = dict(renames.get(kind, {}))
        target = changes.pop("target", kind)
        if target not in r4().resources:
            return None
        elements = {**same_elements(target, types, renames), **changes}
        return definition(
            kind, {"version": 1, "source": kind, "target": target, "spec": "FHIR R4", "elements": elements}
        )

    compiler = Compiler(types, shadows=True, otherwise=otherwise)
    for one in definitions("fhir-stu3"):
        compiler.compile(one)
    return compiler


@cache
def to_stu3() -> Compiler:
    """Give the compiled maps from R4 to STU3: a map says what differs, the rest is what both have under one name."""
    types = dict(table("maps/to-stu3/types.yaml"))
    renames = table("maps/to-stu3/renames.yaml")["types"]
    declare_all(types, renames)

    def whole(kind: str, content: dict[str, Any]) -> Definition:
        kept = kept_elements(content["source"], content["target"], types, renames)
        own = {one.removesuffix("[x]") for one in content["elements"]}
        rest = {name: line for name, line in kept.items() if name.removesuffix("[x]") not in own}
        return definition(kind, {**content, "elements": {**rest, **content["elements"]}})

    def otherwise(kind: str) -> Definition | None:
        changes = dict(renames.get(kind, {}))
        target = changes.pop("target", kind)
        if target not in stu3_definitions().resources or kind not in r4().resources:
            return None
        return whole(kind, {"version": 1, "source": kind, "target": target, "spec": "FHIR STU3", "elements": changes})

    compiler = Compiler(types, shadows=True, otherwise=otherwise)
    for one in definitions("to-stu3"):
        compiler.compile(whole(one.name, table(f"maps/to-stu3/{one.name}.yaml")))
    return compiler


@cache
def hl7v2() -> dict[str, Er7Map]:
    """Give the compiled HL7 v2 maps by name."""
    compiler = Er7Compiler(table("maps/hl7v2/types.yaml"))
    return {one.name: compiler.compile(one) for one in definitions("hl7v2")}


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table of HL7 v3: when it holds, which map makes the node, and what of it says nothing more."""

    when: tuple[Condition, ...]
    map: CompiledMap | None
    read: tuple[str, ...]


Rows = dict[str, list[Row]]


@cache
def v3() -> Rows:
    """Give, for each element of HL7 v3 and CDA, the conditions and compiled maps in the order they are tried."""
    compiler = Compiler(table("maps/hl7v3/types.yaml"), shadows=False)
    compiled = {one.name: compiler.compile(one) for name in ("hl7v3", "cda") for one in definitions(name)}
    found: Rows = {}
    for row in table("maps/hl7v3/documents.yaml")["rows"]:
        chosen = compiled[row["map"]] if "map" in row else None
        read = (*row.get("read", ()), *(chosen.definition.ignored if chosen else ()))
        found.setdefault(row["element"], []).append(Row(conditions(row.get("when")), chosen, read))
    return found


@cache
def records(format: str) -> dict[str, tuple[dict[str, Any], tuple[CompiledMap, ...]]]:  # noqa: A002 - the word of the line
    """Give the maps of a file format by name: the header that describes the file, and its compiled resources.

    Raises:
        MapError: a map is not well formed.
    """
    found = {}
    for name in names(f"maps/{format}"):
        header = table(f"maps/{format}/{name}.yaml")
        compiler = Compiler({}, shadows=False)
        made = [compiler.compile(one) for one in inline(header)]
        found[name] = (header, tuple(made))
    return found


def inline(header: dict[str, Any]) -> tuple[Definition, ...]:
    """Read the resources that stand inside the map of a file."""
    shared = {"version": header["version"], "spec": header["spec"]}
    return tuple(definition(name, {**shared, **content}) for name, content in header["resources"].items())
