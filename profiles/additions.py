"""The profiles a region adds to the set of this release, compiled on the definitions they rest on."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.resources import files
from typing import Final

import msgspec

from profiles.exact import Json
from profiles.library import DEFINITIONS, SHIPPED
from profiles.packages import Package
from profiles.rules import refuse_unknown_expressions
from profiles.sets import Definitions, compiled, read_pruned

_KINDS: Final = ("StructureDefinition", "ValueSet", "CodeSystem")


class NotADefinition(ValueError):
    """The text is no definition of FHIR R4; says what is missing."""


def added(name: str, texts: Iterable[str]) -> Json:
    """Compile definitions a region gives, with the value sets they name.

    Raises:
        NotADefinition: one of them is none. NoSnapshot: a profile rests on one that is not there.
        InvalidExpression: an invariant cannot be read.
    """
    found = [_definition(text) for text in texts]
    all_of_them = _shipped()
    all_of_them.add(
        Package(name, "0", resources={kind: [one for one in found if one["resourceType"] == kind] for kind in _KINDS})
    )
    facts = compiled(name, all_of_them, frozenset(one["url"] for one in found))
    refuse_unknown_expressions(facts)
    return facts


def canonical_of(text: str) -> str:
    """Give the canonical of a definition.

    Raises:
        NotADefinition: it is none.
    """
    return str(_definition(text)["url"])


def is_shipped(canonical: str) -> bool:
    """Claim that the set of this release defines this canonical."""
    known = _shipped()
    return any(canonical in one for one in (known.structures, known.value_sets, known.code_systems))


def _definition(text: str) -> Json:
    try:
        found = msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        message = f"not JSON: {error}"
        raise NotADefinition(message) from None
    kind = found.get("resourceType") if isinstance(found, dict) else None
    if kind not in _KINDS or not isinstance(found.get("url"), str):
        message = f"a profile folder holds {', '.join(_KINDS)}, each with a url"
        raise NotADefinition(message)
    made: Json = found
    return made


def _shipped() -> Definitions:
    return read_pruned(files("profiles.definitions").joinpath(SHIPPED + DEFINITIONS).read_bytes())
