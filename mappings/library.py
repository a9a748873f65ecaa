"""The maps of each format, compiled once when first used."""

from __future__ import annotations

from functools import cache

from mappings.definition import Definition, definition
from mappings.engine import CompiledMap, Compiler
from mappings.tables import names, table

RESERVED = frozenset({"types", "messages", "profiles", "vital-signs"})  # files of a folder that are no maps


@cache
def definitions(format: str) -> tuple[Definition, ...]:  # noqa: A002 - the word of the line
    """Read the maps of a format; maps with conditions come before the one without.

    Raises:
        MapError: a map is not well formed.
    """
    folder = f"maps/{format}"
    found = [definition(name, table(f"{folder}/{name}.yaml")) for name in names(folder) if name not in RESERVED]
    return tuple(sorted(found, key=lambda one: not one.when))


@cache
def stu3() -> Compiler:
    """Give the compiled STU3 maps."""
    compiler = Compiler(table("maps/fhir-stu3/types.yaml"), shadows=True)
    for one in definitions("fhir-stu3"):
        compiler.compile(one)
    return compiler


@cache
def hl7v2() -> dict[str, CompiledMap]:
    """Give the compiled HL7 v2 maps by name."""
    compiler = Compiler(table("maps/hl7v2/types.yaml"), shadows=False)
    return {one.name: compiler.compile(one) for one in definitions("hl7v2")}
