"""Compile the official FHIR R4 definitions to the facts validation needs, without their texts."""

from __future__ import annotations

import json
import lzma
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

Json = dict[str, Any]

VERSION: Final = "4.0.1"
_DEFINITION: Final = "http://hl7.org/fhir/StructureDefinition/"
_FHIR_TYPE: Final = _DEFINITION + "structuredefinition-fhir-type"
_REGEX: Final = _DEFINITION + "regex"
# Profiles of a data type that the base specification itself applies; facts name them as types.
_PROFILED: Final = ("SimpleQuantity", "MoneyQuantity")
_SCALARS: Final = {"boolean": "boolean", "decimal": "decimal"} | dict.fromkeys(
    ("integer", "positiveInt", "unsignedInt"), "integer"
)
# Spec: FHIR R4 2.24.0.1 'Primitive Types' gives these limits in words, not in the definitions.
_RANGES: Final = {
    "integer": (-(2**31), 2**31 - 1),
    "positiveInt": (1, 2**31 - 1),
    "unsignedInt": (0, 2**31 - 1),
}
# The published base64 expression backtracks without bound; the published text ones let control characters through.
_TEXT: Final = r"[^\x00-\x08\x0b\x0c\x0e-\x1f]+"
_STRICTER: Final = {
    "base64Binary": r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{4})",
    "string": _TEXT,
    "markdown": _TEXT,
    "uri": r"[^\s\x00-\x1f]+",
    "url": r"[^\s\x00-\x1f]+",
    "canonical": r"[^\s\x00-\x1f]+",
    "code": r"[^\s\x00-\x1f]+(?:\s[^\s\x00-\x1f]+)*",
    "xhtml": _TEXT,
}


@dataclass(slots=True)
class Sources:
    """The published resources, by canonical URL or id."""

    structures: dict[str, Json] = field(default_factory=dict)
    value_sets: dict[str, Json] = field(default_factory=dict)
    code_systems: dict[str, Json] = field(default_factory=dict)

    @classmethod
    def read(cls, *directories: Path) -> Sources:
        """Read every definition below the directories."""
        sources = cls()
        for path in sorted(path for directory in directories for path in directory.glob("*.json")):
            kind = path.name.partition("-")[0]
            if kind not in ("StructureDefinition", "ValueSet", "CodeSystem"):
                continue
            resource = json.loads(path.read_bytes())
            if kind == "StructureDefinition":
                sources.structures[resource["id"]] = resource
            elif kind == "ValueSet":
                sources.value_sets[resource["url"]] = resource
            else:
                sources.code_systems[resource["url"]] = resource
        return sources

    def expansion(self, canonical: str) -> dict[str, list[str]] | None:
        """Give the codes of a value set by system; nothing when it cannot be known offline."""
        value_set = self.value_sets.get(canonical.partition("|")[0])
        if value_set is None or "exclude" in value_set["compose"]:
            return None
        found: dict[str, set[str]] = {}
        for include in value_set["compose"]["include"]:
            codes = self._included(include)
            if codes is None:
                return None
            for system, members in codes.items():
                found.setdefault(system, set()).update(members)
        return {system: sorted(members) for system, members in sorted(found.items())}

    def _included(self, include: Json) -> dict[str, list[str]] | None:
        if "filter" in include or ("valueSet" in include and len(include) > 1):
            return None
        if "valueSet" in include:
            return self.expansion(include["valueSet"][0]) if len(include["valueSet"]) == 1 else None
        if "concept" in include:
            return {include["system"]: [concept["code"] for concept in include["concept"]]}
        system = self.code_systems.get(include["system"])
        if system is None or system["content"] != "complete":
            return None
        return {include["system"]: list(_codes(system.get("concept", ())))}


def _codes(concepts: Any) -> Iterator[str]:  # noqa: ANN401 - JSON
    for concept in concepts:
        yield concept["code"]
        yield from _codes(concept.get("concept", ()))


def compiled(sources: Sources) -> Json:
    """Give the facts of all R4 types, resources and primitives as one JSON value."""
    published = {
        name: structure
        for name, structure in sources.structures.items()
        if name in _PROFILED or (structure.get("derivation") != "constraint" and structure["kind"] != "logical")
    }
    resources = {
        name for name, structure in published.items() if structure["kind"] == "resource" and not structure["abstract"]
    }
    used: set[str] = set()
    types: Json = {}
    primitives: Json = {}
    for name, structure in sorted(published.items()):
        if structure["fhirVersion"] != VERSION:
            message = f"{name} is not of FHIR {VERSION}"
            raise ValueError(message)
        if structure["kind"] == "primitive-type":
            primitives[name] = _primitive(name, structure)
        elif not structure["abstract"] or name == "Element":
            types.update(_types(name, structure, used))
    codes = {_short(url): expansion for url in sorted(used) if (expansion := sources.expansion(url))}
    # The terminology at hand may name resources of later versions: a code set of types stays within this one.
    codes["resource-types"] = {"http://hl7.org/fhir/resource-types": sorted(resources | {"Resource", "DomainResource"})}
    for definition in types.values():
        for element in definition["elements"].values():
            if element.get("codes") not in codes:
                element.pop("codes", None)
    return {
        "source": {
            "package": "hl7.fhir.r4.core",
            "version": VERSION,
            "license": "CC0-1.0",
            "publisher": "HL7 International",
        },
        "primitives": primitives,
        "codes": codes,
        "types": types,
    }


def _short(canonical: str) -> str:
    return canonical.partition("|")[0].removeprefix("http://hl7.org/fhir/ValueSet/")


def _primitive(name: str, structure: Json) -> Json:
    facts: Json = {"json": _SCALARS.get(name, "string")}
    for element in structure["snapshot"]["element"]:
        if not element["path"].endswith(".value"):
            continue
        patterns = [e["valueString"] for e in element["type"][0].get("extension", ()) if e["url"] == _REGEX]
        pattern = _STRICTER.get(name) or (patterns[0] if patterns else None)
        if facts["json"] == "string" and pattern:
            facts["pattern"] = re.sub(r"(?<!\\)\((?!\?)", "(?:", pattern)
        if "maxLength" in element:
            facts["longest"] = element["maxLength"]
    if name in _RANGES:
        facts["least"], facts["most"] = _RANGES[name]
    return facts


def _types(name: str, structure: Json, used: set[str]) -> Json:
    elements = structure["snapshot"]["element"]
    root = structure["type"]
    parents = {element["path"].rpartition(".")[0] for element in elements}
    kind = "resource" if structure["kind"] == "resource" else "datatype"
    types: Json = {name: {"kind": kind, "elements": {}}}
    for element in elements[1:]:
        parent, _, last = element["path"].rpartition(".")
        if element["max"] == "0" or ":" in element["id"]:
            continue
        owner = name + parent.removeprefix(root)
        facts = _element(element, used, is_resource=kind == "resource" and parent == root)
        if element["path"] in parents:
            facts["types"] = [name + element["path"].removeprefix(root)]
            types[facts["types"][0]] = {"kind": "backbone", "elements": {}}
        types[owner]["elements"][last] = facts
    return types


def _element(element: Json, used: set[str], *, is_resource: bool) -> Json:
    facts: Json = {}
    if element["min"]:
        facts["min"] = element["min"]
    if element.get("base", element)["max"] != "1":
        facts["many"] = True
    if "xmlAttr" in element.get("representation", ()):
        facts["attribute"] = True
    if "contentReference" in element:
        facts["types"] = [element["contentReference"].partition("#")[2]]
        return facts
    facts["types"] = [_type_name(kind, is_resource=is_resource) for kind in element["type"]]
    targets = {target.removeprefix(_DEFINITION) for kind in element["type"] for target in kind.get("targetProfile", ())}
    if targets and "Resource" not in targets:
        facts["targets"] = sorted(targets)
    binding = element.get("binding", {})
    if binding.get("strength") == "required" and "valueSet" in binding:
        facts["codes"] = _short(binding["valueSet"])
        used.add(binding["valueSet"].partition("|")[0])
    return facts


def _type_name(kind: Json, *, is_resource: bool) -> str:
    if kind["code"].startswith("http://hl7.org/fhirpath/"):
        # The published definitions call a resource id a string; its type is id.
        named = [e["valueUrl"] for e in kind.get("extension", ()) if e["url"] == _FHIR_TYPE]
        return "id" if is_resource else named[0]
    for profile in kind.get("profile", ()):
        if profile.removeprefix(_DEFINITION) in _PROFILED:
            return str(profile.removeprefix(_DEFINITION))
    return str(kind["code"])


def write(facts: Json, path: Path) -> int:
    """Write the facts as reproducible compressed JSON; give its size in bytes."""
    # The keys stay as they are made: elements in the order of the specification, which is their order in XML.
    text = json.dumps(facts, separators=(",", ":"), ensure_ascii=True)
    packed = lzma.compress(
        text.encode(), format=lzma.FORMAT_XZ, check=lzma.CHECK_SHA256, preset=9 | lzma.PRESET_EXTREME
    )
    path.write_bytes(packed)
    return len(packed)


def main(arguments: list[str]) -> int:
    """Build the shipped definitions: `python -m profiles.build R4_CORE_DIR R4_TERMINOLOGY_DIR OUT`."""
    if len(arguments) != 3 or not all(Path(folder).is_dir() for folder in arguments[:2]):
        sys.stderr.write("usage: python -m profiles.build R4_CORE_DIR R4_TERMINOLOGY_DIR OUT\n")
        return 2
    facts = compiled(Sources.read(Path(arguments[0]), Path(arguments[1])))
    size = write(facts, Path(arguments[2]))
    sys.stderr.write(f"{len(facts['types'])} types, {len(facts['codes'])} code sets, {size} bytes\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
