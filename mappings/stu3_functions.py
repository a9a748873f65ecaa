"""The named transforms that say R4 in STU3: codes where R4 has concepts, and roles where STU3 has persons."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from mappings.concepts import concept_map, renames
from mappings.definition import Path, path
from mappings.model import Json
from mappings.reading import Reading

Convert = Callable[[Reading, Any, Any], Any]
_SPECIFICATION: Final = "http://nictiz.nl/fhir/StructureDefinition/code-specification"
_SYSTEMS: Final = "stu3-code-systems"


def _known_code(arguments: Any) -> Convert:  # noqa: ANN401 - a YAML value
    """Give a code STU3 has in its list; another is a loss, never a code no receiver knows."""
    known = frozenset(arguments)

    def convert(reading: Reading, container: Any, key: Any) -> str | None:  # noqa: ANN401 - a node of any shape
        value = container[key]
        if value in known:
            reading.take(container, key)
            return str(value)
        if value not in ("", None):
            reading.note((container, key), "unknown-code", "STU3 does not have this code")
        return None

    return convert


def _code_of_concept(arguments: Any) -> Convert:  # noqa: ANN401 - a YAML value
    """Give the one code STU3 has where R4 has a concept; what else the concept says is for `rest-of-concept`."""
    codes = concept_map(arguments)

    def convert(reading: Reading, container: Any, key: Any) -> str | None:  # noqa: ANN401 - a node of any shape
        for index, coding in _codings(container[key]):
            found = codes.find(f"{coding.get('system', '')}|{coding.get('code', '')}")
            if found is not None:
                reading.take(container[key]["coding"], index)
                return str(found["code"])
        reading.note((container, key), "unknown-code", f"not in code map {codes.name}")
        return None if codes.otherwise is None else str(codes.otherwise["code"])

    return convert


def _rest_of_concept(arguments: Any) -> Convert:  # noqa: ANN401 - a YAML value
    """Give what a concept says beside the code STU3 has for it, as the extension zib2017 keeps it in.

    Spec: Nictiz STU3 code-specification.
    """
    codes = concept_map(arguments)
    first: dict[str, str] = {}
    for name, target in codes.codes.items():  # the first that becomes a code is what the code becomes again
        first.setdefault(target["code"], name)
    said = frozenset(first.values())

    def convert(reading: Reading, container: Any, key: Any) -> Json | None:  # noqa: ANN401 - a node of any shape
        rest: list[Json] = []
        for index, coding in _codings(container[key]):
            if f"{coding.get('system', '')}|{coding.get('code', '')}" in said:
                continue
            reading.take(container[key]["coding"], index)
            one = _renamed(coding)
            if one not in rest:
                rest.append(one)
        if not rest:
            return None
        return {"extension": [{"url": _SPECIFICATION, "valueCodeableConcept": {"coding": rest}}]}

    return convert


def _coding_of_concept(arguments: Any) -> Convert:  # noqa: ANN401, ARG001 - one signature a function
    """Give the first coding of a concept where STU3 asks for one."""

    def convert(reading: Reading, container: Any, key: Any) -> Json | None:  # noqa: ANN401 - a node of any shape
        found: Json | None = None
        for index, coding in _codings(container[key]):
            one = _renamed(coding)
            if found is None or one == found:
                reading.take(container[key]["coding"], index)
                found = one
        return found

    return convert


def _words(arguments: Any) -> Convert:  # noqa: ANN401 - a YAML value
    """Give the word a short table of the map has for a value; another is a loss."""

    def convert(reading: Reading, container: Any, key: Any) -> str | None:  # noqa: ANN401 - a node of any shape
        value = container[key]
        found = arguments.get(str(value).lower() if isinstance(value, bool) else value)
        if found is None:
            reading.note((container, key), "unknown-code", "the map has no word for this")
            return None
        reading.take(container, key)
        return str(found)

    return convert


def _implied(arguments: Any) -> Convert:  # noqa: ANN401, ARG001 - one signature a function
    """Count as read what the result says in another way, and make nothing of it."""

    def convert(reading: Reading, container: Any, key: Any) -> None:  # noqa: ANN401 - a node of any shape
        reading.take(container, key)

    return convert


def _linked(arguments: Any) -> Convert:  # noqa: ANN401, ARG001 - one signature a function
    """Name the resource that is known to stand behind a reference, as the person behind a role."""

    def convert(reading: Reading, container: Any, key: Any) -> str | None:  # noqa: ANN401 - a node of any shape
        return reading.links.get(str(container[key]))

    return convert


def _joined(arguments: Any) -> Convert:  # noqa: ANN401 - a YAML value
    """Join the texts at a path into one, each on its own line."""
    place: Path = path(arguments)

    def convert(reading: Reading, container: Any, key: Any) -> str | None:  # noqa: ANN401 - a node of any shape
        found = []
        for owner, name in reading.slots(container[key], place):
            if isinstance(owner[name], str):
                reading.take(owner, name)
                found.append(owner[name])
        return "\n".join(found) or None

    return convert


def _codings(concept: Any) -> list[tuple[int, Json]]:  # noqa: ANN401 - unchecked JSON
    codings = concept.get("coding") if isinstance(concept, dict) else None
    several = codings if isinstance(codings, list) else []
    return [(index, one) for index, one in enumerate(several) if isinstance(one, dict)]


def _renamed(coding: Json) -> Json:
    system = coding.get("system")
    return {**coding, "system": renames(_SYSTEMS).get(system, system)} if isinstance(system, str) else dict(coding)


STU3_FUNCTIONS: Final[dict[str, Callable[[Any], Convert]]] = {
    "known-code": _known_code,
    "code-of-concept": _code_of_concept,
    "rest-of-concept": _rest_of_concept,
    "coding-of-concept": _coding_of_concept,
    "linked": _linked,
    "joined": _joined,
    "implied": _implied,
    "words": _words,
}
