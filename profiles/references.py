"""Does a reference point to a kind of resource that may stand there?"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from profiles.definitions import definitions
from profiles.exact import Json
from profiles.walk import Path, Walk

ID: Final = r"[A-Za-z0-9\-.]{1,64}"
_LITERAL: Final = re.compile(rf"(?:.*/)?([A-Z][A-Za-z]+)/{ID}(?:/_history/{ID})?", re.DOTALL)
_CONDITIONAL: Final = re.compile(r"([A-Z][A-Za-z]+)\?.*", re.DOTALL)

_LITERAL_BASE: Final = re.compile(rf"(.*/)[A-Z][A-Za-z]+/{ID}(?:/_history/{ID})?", re.DOTALL)


@dataclass(slots=True)
class Scope:
    """The resource that is being read, the one that contains it, and what its references can reach in a Bundle."""

    resource: Json
    root: Json
    full_url: str = ""
    bundle: Mapping[str, Scope] = field(default_factory=dict)


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


def resolved(reference: Any, scope: Scope) -> Scope | None:  # noqa: ANN401 - JSON is any value
    """Give the resource a reference leads to, contained or in the same Bundle; nothing when it is elsewhere.

    Spec: FHIR R4 2.3.0.3 'Contained resources', 2.36.4.1 'Resolving references in Bundles'.
    """
    text = reference.get("reference") if type(reference) is dict else reference
    if type(text) is not str:
        return None
    if text.startswith("#"):
        return _contained(text[1:], scope)
    if not scope.bundle:
        return None
    found = scope.bundle.get(text)
    if found is None and "/" in scope.full_url and ":" not in text:
        base = _LITERAL_BASE.fullmatch(scope.full_url)
        found = scope.bundle.get(base[1] + text) if base else None
    return found if found is not None else scope.bundle.get("/" + text.partition("/_history/")[0])


def _contained(name: str, scope: Scope) -> Scope | None:
    if not name:
        return replace(scope, resource=scope.root)
    for inner in scope.root.get("contained", ()):
        if type(inner) is dict and inner.get("id") == name and type(inner.get("resourceType")) is str:
            return replace(scope, resource=inner)
    return None


def bundle_scopes(bundle: Json) -> dict[str, Scope]:
    """Give the resources of a Bundle by fullUrl, and those with an id no other has also by `/Type/id`."""
    found: dict[str, Scope] = {}
    twice: set[str] = set()
    entries = bundle.get("entry")
    for entry in entries if type(entries) is list else ():
        resource = entry.get("resource") if type(entry) is dict else None
        if type(resource) is not dict or type(resource.get("resourceType")) is not str:
            continue
        url = entry.get("fullUrl")
        scope = Scope(resource, resource, url if type(url) is str else "", found)
        if type(url) is str:
            found.setdefault(url, scope)
        if type(resource.get("id")) is str:
            key = f"/{resource['resourceType']}/{resource['id']}"
            if key in found:
                twice.add(key)
            found.setdefault(key, scope)
    for key in twice:
        del found[key]
    return found
