"""Codes of HL7 v2: names of systems, the codings of a CE or CWE, and code maps over them."""

from __future__ import annotations

import re
from typing import Any, Final

from mappings.concepts import ConceptMap, concept_map, renames
from mappings.er7_primitives import Convert
from mappings.er7_reading import Er7Reading
from mappings.formats.er7_tree import Node
from mappings.model import Json

_OID: Final = re.compile(r"[0-2](\.(0|[1-9]\d*))+\Z")
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\Z")
_TABLE: Final = re.compile(r"HL7?(\d{4})\Z")


def whole(node: Any, at: int) -> Node | None:  # noqa: ANN401 - segment or node
    """Give a part as a node of its own, or the node itself."""
    found: Node | None = node.child(at) if at else node
    return found


def uri_of(universal: str, kind: str, systems: dict[str, str]) -> str:
    """Give the uri of a universal id, by the type of table 0301 it is said to have; empty if it has none."""
    if _OID.match(universal):
        uri = f"urn:oid:{universal}"
        return systems.get(uri, uri)
    if _UUID.match(universal) and kind in {"UUID", "GUID", ""}:
        return f"urn:uuid:{universal.lower()}"
    return universal if universal.startswith(("http://", "https://", "urn:")) and " " not in universal else ""


def concept(arguments: Any) -> Convert:  # noqa: ANN401 - a YAML value
    """Read a CE or CWE: its codings with their systems, and the text; `arguments` names the table of a bare code.

    Spec: HL7 v2.5 2.A.13 CWE; HL7 table 0396 for the names of systems.
    """
    systems = renames("er7-systems")
    table = f"http://terminology.hl7.org/CodeSystem/{arguments}" if arguments else ""

    def convert(reading: Er7Reading, node: Any, at: int) -> Json | None:  # noqa: ANN401 - segment or node
        part = whole(node, at)
        if part is None:
            return None
        codings = [
            one for step, version in ((1, 7), (4, 8), (10, 13)) if step <= len(part.parts)
            and (one := _coding(reading, part, step, version, systems))
        ]  # fmt: skip
        if table and codings and "system" not in codings[0] and not part.peek(3):
            codings[0] = {"system": table, **codings[0]}
        original = part.text(9)
        made: Json = {"coding": codings} if codings else {}
        text = original or ("" if codings else part.text(2))
        if text:
            made["text"] = text
        return made or None

    return convert


def _coding(reading: Er7Reading, node: Node, at: int, version: int, systems: dict[str, str]) -> Json:
    code = node.text(at)
    if not code:
        return {}
    name = node.text(at + 2)
    system = systems.get(name) or (_system(name) if name else "")
    made: Json = {"system": system} if system else {}
    if name and not system:
        reading.note(node, at + 2, "unknown-code", "the code system is not known; code and text are kept")
    if edition := node.text(version):
        made["version"] = edition
    made["code"] = " ".join(code.split()) if " " in code else code
    if display := node.text(at + 1):
        made["display"] = display
    return made


def _system(name: str) -> str:
    """Give the uri of a code system by another spelling of its name, an OID, or the number of a table of HL7."""
    table = _TABLE.match(name)
    if table is not None:
        return f"http://terminology.hl7.org/CodeSystem/v2-{table[1]}"
    systems = renames("er7-systems")
    return systems.get(name.upper()) or uri_of(name, "", systems)


_concept: Final = concept(None)


def concept_of(codes: ConceptMap) -> Convert:
    """Map the code of a CE or CWE by a code map; the original stays beside it, and what the map does not know is reported."""

    def convert(reading: Er7Reading, node: Any, at: int) -> Json | None:  # noqa: ANN401 - segment or node
        made: Json | None = _concept(reading, node, at)
        if made is None or "coding" not in made:
            return made
        mapped: list[Json] = []
        for one in made["coding"]:
            found = codes.find(one["code"], one.get("system", ""))
            if found is not None and found not in mapped:
                mapped.append(dict(found))
        first = made["coding"][0]
        if codes.source_system:
            first.setdefault("system", codes.source_system)
        if not mapped and codes.strict:
            reading.note(node, at, "unknown-code", f"not in code map {codes.name}")
            mapped = [dict(codes.otherwise)] if codes.otherwise else []
        known = {(one.get("system"), one["code"]) for one in mapped}
        made["coding"] = [*mapped, *(one for one in made["coding"] if (one.get("system"), one["code"]) not in known)]
        return made

    return convert


def code_of(codes: ConceptMap, *, whole: bool = False) -> Convert:
    """Map a code, to a whole number where the target is one; what the map does not know is reported."""

    def convert(reading: Er7Reading, node: Any, at: int) -> Any:  # noqa: ANN401 - any JSON value
        code = node.text(at or 1)
        if not code:
            return None
        found = codes.find(code)
        if found is None and codes.strict:
            reading.note(node, at, "unknown-code", f"not in code map {codes.name}")
        found = found or codes.otherwise
        if found is None:
            return None
        return int(found["code"]) if whole else found["code"]

    return convert


def coded(arguments: Any) -> Convert:  # noqa: ANN401 - a YAML value
    """Read a code as one Coding by a code map; the original is kept where the map does not know it."""
    whole = concept_of(concept_map(arguments)) if arguments else _concept

    def convert(reading: Er7Reading, node: Any, at: int) -> Json | None:  # noqa: ANN401 - segment or node
        made = whole(reading, node, at)
        return made["coding"][0] if made and "coding" in made else None

    return convert
