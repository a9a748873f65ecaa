"""Identifiers of HL7 v2 (CX, EI, HD) and the organizations that assign them."""

from __future__ import annotations

from typing import Any, Final

from mappings.concepts import renames
from mappings.er7_agreement import TIDY
from mappings.er7_codes import uri_of, whole
from mappings.er7_primitives import ER7_PRIMITIVES, Convert
from mappings.er7_reading import Er7Reading
from mappings.formats.er7_tree import Node
from mappings.model import Json
from profiles.identifiers import BSN_SYSTEM, passes_elfproef

_TYPES: Final = "http://terminology.hl7.org/CodeSystem/v2-0203"
_NAMES: Final = "http://terminology.hl7.org/CodeSystem/v2-0301"
_URI: Final = "urn:ietf:rfc:3986"
_CHECK: Final = (
    (2, "http://hl7.org/fhir/StructureDefinition/identifier-checkDigit"),
    (3, "http://hl7.org/fhir/StructureDefinition/namingsystem-checkDigit"),
)


def _moment(reading: Er7Reading, node: Node, at: int) -> str | None:
    made: str | None = ER7_PRIMITIVES["dateTime"](reading, node, at) if node.peek(at) else None
    return made


def _authority(reading: Er7Reading, node: Node, at: int, systems: dict[str, str]) -> tuple[str, Json | None]:
    """Read an HD: the system it stands for, if it says, and the organization that assigns."""
    place = node.child(at) if at <= len(node.parts) else None
    if place is None:
        return "", None
    name, universal, kind = place.text(1), place.text(2), place.text(3)
    system = systems.get(name) or uri_of(universal, kind, systems)
    if name in systems or (not name and system and not system.startswith("urn:oid:")):
        return system, None
    return system, organization(reading, name, universal, kind)


def organization(reading: Er7Reading, name: str, universal: str, kind: str) -> Json | None:
    """Make the organization an HD names."""
    identifiers = assigned(name, universal, kind)
    if not identifiers:
        return None
    if not reading.whole:
        return {"display": name or universal}
    return reading.support({"resourceType": "Organization", "identifier": identifiers}, name or universal)


def assigned(name: str, universal: str, kind: str) -> list[Json]:
    """Give the identifiers an HD holds.

    Spec: v2-to-FHIR data type map HD[Organization].
    """
    identifiers: list[Json] = [{"value": name}] if name else []
    if universal:
        uri = uri_of(universal, kind, {}) if kind in {"ISO", "UUID", "GUID", ""} else ""
        one: Json = {"system": _URI, "value": uri} if uri else {"value": universal}
        if kind and " " not in kind:
            one["type"] = {"coding": [{"system": _NAMES, "code": kind}]}
        identifiers.append(one)
    return identifiers


def assigned_identifiers(arguments: Any) -> Convert:  # noqa: ANN401, ARG001 - one signature a transform
    """Read an HD as the identifiers of an organization."""

    def convert(reading: Er7Reading, node: Any, at: int) -> list[Json] | None:  # noqa: ANN401, ARG001 - one signature
        part = whole(node, at)
        return assigned(part.text(1), part.text(2), part.text(3)) or None if part is not None else None

    return convert


def named_organization(arguments: Any) -> Convert:  # noqa: ANN401, ARG001 - one signature a transform
    """Read an HD as a reference to an organization."""

    def convert(reading: Er7Reading, node: Any, at: int) -> Json | None:  # noqa: ANN401 - segment or node
        part = whole(node, at)
        return organization(reading, part.text(1), part.text(2), part.text(3)) if part is not None else None

    return convert


def identifier(arguments: Any) -> Convert:  # noqa: ANN401 - a YAML value
    """Read a CX, or the parts of another type the map names; a BSN that fails the eleven-test is left out and reported.

    Spec: HL7 v2.5 2.A.14 CX; HL7 Nederland, BSN in CX: assigning authority NLMINBIZA, identifier type NNNLD.
    """
    given = {"value": 1, "authority": 4, "type": 5, "facility": 6, "start": 7, "end": 8, "check": 2} | (arguments or {})
    systems, fixed, default, certain = (
        renames("identifier-systems"),
        *(given.get(name, "") for name in ("system", "code", "certainly")),
    )
    value_at, authority_at, type_at, facility_at = given["value"], given["authority"], given["type"], given["facility"]

    def convert(reading: Er7Reading, node: Any, at: int) -> Json | None:  # noqa: ANN401 - segment or node
        part = whole(node, at)
        number = part.text(value_at) if part is not None else ""
        if part is None or not number:
            return None
        if len(part.parts) == 1:
            return _plain(number, fixed, certain or default)
        kind = part.text(type_at) if type_at else ""
        system, assigner = _authority(reading, part, authority_at, systems) if authority_at else ("", None)
        if system == BSN_SYSTEM or kind == "NNNLD":
            if not passes_elfproef(number):
                reading.note(part, 0, "invalid", "the BSN fails the eleven-test and is left out")
                return None
            return {"system": BSN_SYSTEM, "value": number}
        made = _plain(number, system or fixed, certain or kind or default)
        if certain and kind and kind != certain and " " not in kind:
            made["type"]["coding"].append({"system": _TYPES, "code": kind})
        facility = part.text(facility_at) if facility_at else ""
        if assigner is not None or facility:
            made["assigner"] = {**(assigner or {}), "display": facility or (assigner or {}).get("display", "")}
        add_period(reading, part, given["start"], given["end"], made)
        _checked(part, given["check"], made)
        return made

    return convert


def _plain(number: str, system: str, kind: str) -> Json:
    made: Json = {"type": {"coding": [{"system": _TYPES, "code": kind}]}} if kind and " " not in kind.strip() else {}
    if system:
        made["system"] = system
    made["value"] = number
    return made


def add_period(reading: Er7Reading, part: Node, start: int, end: int, made: Json) -> None:
    """Add the period two parts of a value give, where they give one."""
    period = {
        "start": _moment(reading, part, start) if start else None,
        "end": _moment(reading, part, end) if end else None,
    }
    known = {name: moment for name, moment in period.items() if moment}
    if known:
        TIDY["Period"](reading, part, known)
        made["period"] = known


def _checked(part: Node, at: int, made: Json) -> None:
    """The check digit and its scheme, as the extensions of the data type maps."""
    found = [{"url": url, "valueString": text} for shift, url in _CHECK if at and (text := part.text(at + shift - 2))]
    if found:
        made["extension"] = found


def entity(arguments: Any) -> Convert:  # noqa: ANN401 - a YAML value
    """Read an EI as an identifier of a certain type.

    Spec: HL7 v2.5 2.A.28 EI; v2-to-FHIR data type maps EI[Identifier].
    """
    code, systems = arguments or "", renames("identifier-systems")

    def convert(reading: Er7Reading, node: Any, at: int) -> Json | None:  # noqa: ANN401, ARG001 - one signature
        part = whole(node, at)
        if part is None:
            return None
        number, name, universal, kind = (part.text(step) for step in (1, 2, 3, 4))
        if not number:
            uri = uri_of(universal, kind, {})
            return {"system": _URI, "value": uri} if uri else None
        made = _plain(number, systems.get(name) or uri_of(universal, kind, systems), code)
        if kind and not code and " " not in kind:
            made["type"] = {"coding": [{"system": _NAMES, "code": kind}]}
        if name and "system" not in made:
            made["assigner"] = {"display": name}
        return made

    return convert
