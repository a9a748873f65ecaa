"""Does a reference point to a kind of resource that may stand there?"""

from __future__ import annotations

import re
from typing import Any, Final

from profiles.definitions import definitions
from profiles.exact import Json
from profiles.walk import Path, Walk

ID: Final = r"[A-Za-z0-9\-.]{1,64}"
_LITERAL: Final = re.compile(rf"(?:.*/)?([A-Z][A-Za-z]+)/{ID}(?:/_history/{ID})?", re.DOTALL)
_CONDITIONAL: Final = re.compile(r"([A-Z][A-Za-z]+)\?.*", re.DOTALL)


def literal_type(reference: str) -> str | None:
    """Give the resource type a literal reference shows; nothing for other URLs and URNs.

    Spec: FHIR R4 2.3.0.1 'Literal References'.
    """
    match = _LITERAL.fullmatch(reference) or _CONDITIONAL.fullmatch(reference)
    return match[1] if match and match[1] in definitions().resources else None


def check_reference(value: Json, targets: tuple[str, ...], at: Path, walk: Walk) -> None:
    """Compare what a reference shows of its target with what may stand there; no targets means any."""
    literal, declared = value.get("reference"), value.get("type")
    shown = None
    if type(literal) is str and literal.startswith("#"):
        shown = _contained_type(literal[1:], at, walk)
    elif type(literal) is str:
        shown = literal_type(literal)
    if shown and type(declared) is str and declared in definitions().resources and declared != shown:
        walk.add("reference-type", at)
    shown = shown or (declared if type(declared) is str and declared in definitions().resources else None)
    if targets and shown and shown not in targets:
        walk.add("reference-target", (at, ".reference" if literal else ".type"), ", ".join(targets))


def _contained_type(name: str, at: Path, walk: Walk) -> str | None:
    if not name:
        # Only a contained resource may point to the resource around it.
        if not walk.inside_contained:
            walk.add("ref-1", (at, ".reference"))
        return None
    if name not in walk.contained:
        walk.add("ref-1", (at, ".reference"))
        return None
    return walk.contained[name]


def contained_types(resource: Json) -> dict[str, str]:
    """Give the types of the contained resources by id, of those that have both."""
    contained: Any = resource.get("contained")
    if type(contained) is not list:
        return {}
    return {
        inner["id"]: inner["resourceType"]
        for inner in contained
        if type(inner) is dict and type(inner.get("id")) is str and type(inner.get("resourceType")) is str
    }
