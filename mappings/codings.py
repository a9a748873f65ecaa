"""Codes and concepts of FHIR trees by code maps: the original always stays beside what it became."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from mappings.concepts import Coding, ConceptMap
from mappings.functions import PRIMITIVES
from mappings.model import Json
from mappings.reading import Reading, Slot

Convert = Callable[[Reading, Any, Any], Any]  # (reading, container, key) → target value, or None for nothing
_SPECIFICATION: Final = "http://nictiz.nl/fhir/StructureDefinition/code-specification"


def coded(codes: ConceptMap, target: str, concept: Convert) -> Convert:
    """Map a code; what the map does not know is reported, and the original always stays beside it."""

    def to_code(reading: Reading, container: Any, key: Any) -> Any:  # noqa: ANN401 - a node of any shape
        code = PRIMITIVES["string"](reading, container, key)
        if code is None:
            return None
        found = codes.find(code)
        if found is None:
            reading.note((container, key), "unknown-code", f"not in code map {codes.name}")
            found = codes.otherwise
        return None if found is None else found["code"]

    def to_concept(reading: Reading, container: Any, key: Any) -> Any:  # noqa: ANN401 - a node of any shape
        node = container[key]
        if isinstance(node, dict):
            made = concept(reading, container, key) if ("coding" in node or "text" in node) else None
            return made and _beside(reading, (container, key), made, codes)
        code = PRIMITIVES["string"](reading, container, key)
        if code is None:
            return None
        original = {"system": codes.source_system, "code": code} if codes.source_system else None
        found = codes.find(code)
        if found is None and codes.strict:
            reading.note((container, key), "unknown-code", f"not in code map {codes.name}")
            found = codes.otherwise
        codings = [one for one in (found, original, *_specified(reading, container, key, concept)) if one is not None]
        return {"coding": [dict(one) for one in codings]} if codings else {"text": code}

    return to_concept if target == "CodeableConcept" else to_code


def _specified(reading: Reading, container: Any, key: Any, concept: Convert) -> list[Coding]:  # noqa: ANN401
    """Read the codings an STU3 code carries in its code-specification extension: in R4 they stand beside it."""
    shadow = container.get(f"_{key}") if isinstance(container, dict) else None
    found: list[Coding] = []
    for one in reading.many(shadow.get("extension")) if isinstance(shadow, dict) else ():
        if isinstance(one, dict) and one.get("url") == _SPECIFICATION and "valueCodeableConcept" in one:
            made = concept(reading, one, "valueCodeableConcept")
            found.extend(made.get("coding", []) if made else [])
    return found


def _beside(reading: Reading, slot: Slot, concept: Json, codes: ConceptMap) -> Json:
    originals: list[Coding] = concept.get("coding", [])
    named = {(one.get("system"), one.get("code")): one for one in originals}
    mapped = [
        dict(named.get((found.get("system"), found.get("code")), found))
        for one in originals
        if (found := codes.find(str(one.get("code", "")), str(one.get("system", "")))) is not None
    ]
    mapped = distinct(mapped) if mapped else mapped
    if not mapped and codes.strict:
        reading.note(slot, "unknown-code", f"not in code map {codes.name}")
        mapped = [dict(codes.otherwise)] if codes.otherwise else []
    known = {(one.get("system"), one.get("code")) for one in mapped}
    kept = [one for one in originals if (one.get("system"), one.get("code")) not in known]
    return {**concept, "coding": [*mapped, *kept]} if mapped or kept else concept


def originals(sources: Any, made: list[Any]) -> list[Json]:  # noqa: ANN401 - a node of any shape
    """Give the codings of systems that FHIR itself renamed as they were sent: they stand beside what they became."""
    found: list[Json] = []
    for source, coding in zip(sources if isinstance(sources, list) else [sources], made, strict=False):
        system = source.get("system") if isinstance(source, dict) else None
        if isinstance(system, str) and coding.get("system") != system and system.startswith("http://hl7.org/fhir/"):
            found.append({**coding, "system": system})
    return found


def distinct(codings: list[Json]) -> list[Json]:
    """Leave out a coding that says what another said: systems that were renamed may stand under both names."""
    if len(codings) == 1:
        return codings
    return [one for position, one in enumerate(codings) if one not in codings[:position]]
