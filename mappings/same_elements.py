"""The lines of a map that says nothing itself: what FHIR STU3 and R4 have under the same name."""

from __future__ import annotations

from typing import Any, Final

from mappings.stu3_definitions import stu3_definitions
from profiles.definitions import Element, Member, definitions

# The lines every resource or element has are shared; these are no part of what a type says itself.
_OF_ELEMENTS: Final = frozenset({"id", "extension"})
_OF_RESOURCES: Final = frozenset({*_OF_ELEMENTS, "meta", "implicitRules", "language", "text", "contained"})
_PROFILES: Final = {"SimpleQuantity": "Quantity", "MoneyQuantity": "Quantity"}
# What stands in a type of R4 stands unchanged in these types of STU3.
_FITS: Final = {
    "canonical": {"uri"},
    "url": {"uri", "string"},
    "uuid": {"uri"},
    "markdown": {"string"},
    "string": {"markdown"},
    "positiveInt": {"integer", "unsignedInt"},
    "unsignedInt": {"integer"},
    "code": {"string"},
    "dateTime": {"instant"},
    "instant": {"dateTime"},
    "date": {"dateTime"},
}


def same_elements(kind: str, declared: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Give the lines of a type as a map file would say them.

    Types nobody declared are declared on the way, with what `changes` says of them.

    Spec: FHIR R4, the definition of the type.
    """
    found: dict[str, Any] = {}
    backbone = "." in kind
    shared = _OF_RESOURCES if definitions().types[kind].is_resource else _OF_ELEMENTS
    for element in definitions().types[kind].elements:
        if element.name in shared or (element.name == "modifierExtension" and not backbone):
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


def kept_elements(kind: str, older: str, declared: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Give the lines of a type of STU3 that R4 has under the same name, with a type that fits.

    What R4 calls otherwise, or makes otherwise, is for a map to say; nothing is guessed.

    Spec: the definitions of the type in FHIR STU3 and R4.
    """
    known = stu3_definitions()
    newer = {one.name: one for one in definitions().types[kind].elements}
    shared = _OF_RESOURCES if known.types[older].is_resource else _OF_ELEMENTS
    found: dict[str, Any] = {}
    for element in known.types[older].elements:
        twin = newer.get(element.name)
        if twin is None or element.name in shared or element.name == "modifierExtension":
            continue
        if len(element.members) > 1:
            names = [one.type for one in element.members if any(_fits(two, one) for two in twin.members)]
            if len(twin.members) > 1 and names:
                found[f"{element.name}[x]"] = " | ".join(_kept(name, name, declared, changes) for name in names)
            continue
        member, source = element.members[0], twin.members[0]
        if len(twin.members) == 1 and _fits(source, member):
            found[member.name] = _kept_line(source, member, f"{older}.{member.name}", declared, changes)
    return found | changes.get(older, {}) if "." in older else found


def declare_all(declared: dict[str, Any], changes: dict[str, Any]) -> None:
    """Declare every data type of STU3 that a map may name and that nobody declared."""
    known = stu3_definitions()
    for name in known.types:
        if "." not in name and name not in known.resources and name in definitions().types:
            _kept(name, name, declared, changes)


def _kept_line(source: Member, member: Member, place: str, declared: dict[str, Any], changes: dict[str, Any]) -> Any:  # noqa: ANN401 - a YAML value
    name = _kept(source.type, member.type, declared, changes)
    codes = stu3_definitions().codes.get(place)
    if codes is None:
        return [name] if member.many else name
    return {"type": [name] if member.many else name, "with": "known-code", "arguments": list(codes)}


def _fits(newer: Member, older: Member) -> bool:
    """Claim that what R4 has in one element can stand in the other of STU3 as it is."""
    name = _PROFILES.get(newer.type, newer.type)
    parts = "." in name and "." in older.type
    return parts or name == older.type or older.type in _FITS.get(name, ())


def _kept(kind: str, older: str, declared: dict[str, Any], changes: dict[str, Any]) -> str:
    """Name a type of STU3 as maps name it, declared if it was not."""
    if older == "Resource":
        return "Contained"
    if older not in declared and older in stu3_definitions().types:
        declared[older] = {}  # reserved first: types refer to themselves
        lines = kept_elements(_PROFILES.get(kind, kind), older, declared, changes)
        backbone = {"modifierExtension": ["Extension"]} if "." in older else {}
        declared[older].update({**backbone, **lines})
    return older
