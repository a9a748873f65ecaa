"""The lines of a map that says nothing itself: what FHIR R4 has under the name it had in STU3."""

from __future__ import annotations

from typing import Any, Final

from profiles.definitions import Element, definitions

# The lines every resource or element has are shared; these are no part of what a type says itself.
_SHARED: Final = frozenset({"id", "meta", "implicitRules", "language", "text", "contained", "extension"})
_PROFILES: Final = {"SimpleQuantity": "Quantity", "MoneyQuantity": "Quantity"}


def same_elements(kind: str, declared: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Give the lines of a type as a map file would say them.

    Types nobody declared are declared on the way, with what `changes` says of them.

    Spec: FHIR R4, the definition of the type.
    """
    found: dict[str, Any] = {}
    backbone = "." in kind
    for element in definitions().types[kind].elements:
        if element.name in _SHARED or (element.name == "modifierExtension" and not backbone):
            continue
        target, line = _line(element, declared, changes)
        found[target] = line
    return found | changes.get(kind, {}) if backbone else found


def _line(element: Element, declared: dict[str, Any], changes: dict[str, Any]) -> tuple[str, Any]:
    if len(element.members) > 1:
        names = [_declared(member.type, declared, changes) for member in element.members]
        return f"{element.name.removesuffix('[x]')}[x]", " | ".join(dict.fromkeys(names))
    member = element.members[0]
    name = _declared(member.type, declared, changes)
    return member.name, [name] if member.many else name


def _declared(kind: str, declared: dict[str, Any], changes: dict[str, Any]) -> str:
    """Name a type as maps name it, declared if it was not."""
    name = _PROFILES.get(kind, kind)
    if name == "Resource":
        return "Contained"
    if name not in declared and name in definitions().types:
        declared[name] = {}  # reserved first: types refer to themselves
        declared[name].update(same_elements(name, declared, changes))
    return name
