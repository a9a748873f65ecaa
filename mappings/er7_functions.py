"""The named transforms for HL7 v2 data types that no path and code map can say."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any, Final

from mappings.concepts import concept_map, renames
from mappings.er7_agreement import TIDY
from mappings.er7_codes import code_of, coded, concept, concept_of, uri_of, whole
from mappings.er7_locations import location
from mappings.er7_primitives import ER7_PRIMITIVES, Convert
from mappings.er7_reading import Er7Reading
from mappings.er7_values import ER7_VALUES
from mappings.formats.er7_tree import ALL, Node
from mappings.model import Json
from profiles.identifiers import BSN_SYSTEM, passes_elfproef

_TYPES: Final = "http://terminology.hl7.org/CodeSystem/v2-0203"
_NAMES: Final = "http://terminology.hl7.org/CodeSystem/v2-0301"
_URI: Final = "urn:ietf:rfc:3986"
_DAY: Final = 8  # digits of a date
_MINUTES: Final = {
    **dict.fromkeys(("s", "sec"), Fraction(1, 60)),
    **dict.fromkeys(("min", "m", "minutes"), Fraction(1)),
    **dict.fromkeys(("h", "hr"), Fraction(60)),
    "d": Fraction(1440),
}
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
        _period(reading, part, given["start"], given["end"], made)
        _checked(part, given["check"], made)
        return made

    return convert


def _plain(number: str, system: str, kind: str) -> Json:
    made: Json = {"type": {"coding": [{"system": _TYPES, "code": kind}]}} if kind and " " not in kind.strip() else {}
    if system:
        made["system"] = system
    made["value"] = number
    return made


def _period(reading: Er7Reading, part: Node, start: int, end: int, made: Json) -> None:
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


def telecom(arguments: Any) -> Convert:  # noqa: ANN401 - a YAML value
    """Read an XTN; `arguments` is the use where the sender does not say it.

    Spec: HL7 v2.5 2.A.89 XTN; v2-to-FHIR data type map XTN[ContactPoint].
    """
    systems, uses = concept_map("telecom-system"), concept_map("telecom-use")
    to_system, to_use = code_of(systems), code_of(uses)

    def convert(reading: Er7Reading, node: Any, at: int) -> Json | None:  # noqa: ANN401 - segment or node
        part = whole(node, at)
        if part is None:
            return None
        kind, address = part.peek(3), part.peek(4)
        mail = kind in {"Internet", "X.400"} or (not kind and bool(address))
        value = (part.text(4) if mail and address else "") or part.text(12) or _number(part) or part.text(1)
        made: Json = {}
        if kind:
            made["system"] = to_system(reading, part, 3)
        elif value:
            made["system"] = "email" if mail else "phone"
        if value:
            made["value"] = value
        use = to_use(reading, part, 2) if part.peek(2) else arguments
        if use:
            made["use"] = use
        _period(reading, part, 13, 14, made)
        if part.peek(18) and (rank := ER7_PRIMITIVES["positiveInt"](reading, part, 18)):
            made["rank"] = rank
        return made if value else None

    return convert


def _number(part: Node) -> str:
    """Join the parts of a number: country, area, local, extension."""
    if not part.peek(7):
        return ""
    country, area, local, extension = (part.text(step) for step in (5, 6, 7, 8))
    number = " ".join(one for one in (f"+{country}" if country else "", area, local) if one)
    return f"{number} X{extension}" if extension else number


def as_text(arguments: Any) -> Convert:  # noqa: ANN401 - a YAML value
    """Read a description as an object that has only text; `arguments` names the element."""
    name = arguments or "text"

    def convert(reading: Er7Reading, node: Any, at: int) -> Json | None:  # noqa: ANN401, ARG001 - one signature
        text = node.text(at or 1)
        return {name: text} if text else None

    return convert


def joined(arguments: Any) -> Convert:  # noqa: ANN401 - a YAML value
    """Read all parts of a node as one text."""
    mark = arguments or " "

    def convert(reading: Er7Reading, node: Any, at: int) -> str | None:  # noqa: ANN401, ARG001 - one signature
        part = whole(node, at)
        if part is None:
            return None
        part.mask = ALL
        return mark.join(part.leaves()) or None

    return convert


def authority(arguments: Any) -> Convert:  # noqa: ANN401, ARG001 - one signature a transform
    """Read an HD as a uri."""
    systems = renames("identifier-systems")

    def convert(reading: Er7Reading, node: Any, at: int) -> str | None:  # noqa: ANN401, ARG001 - one signature
        part = whole(node, at)
        if part is None:
            return None
        name, universal, kind = part.text(1), part.text(2), part.text(3)
        return systems.get(name) or uri_of(universal, kind, systems) or None

    return convert


def beside(arguments: Any) -> Convert:  # noqa: ANN401 - a YAML value
    """Give a fixed value because a node is there; another line reads the node itself."""
    return lambda reading, node, at: arguments if node.peek(at or 1) else None  # noqa: ARG005 - one signature


def birth_time(arguments: Any) -> Convert:  # noqa: ANN401, ARG001 - one signature a transform
    """Keep the time of a birth beside its date.

    Spec: v2-to-FHIR PID-7, patient-birthTime.
    """

    def convert(reading: Er7Reading, node: Any, at: int) -> Json | None:  # noqa: ANN401 - segment or node
        text = node.peek(at or 1)
        made = ER7_PRIMITIVES["dateTime"](reading, node, at) if len(text) > _DAY else None
        if made is None or "T" not in made:
            return None
        return {
            "extension": [{"url": "http://hl7.org/fhir/StructureDefinition/patient-birthTime", "valueDateTime": made}]
        }

    return convert


def omb(arguments: Any) -> Convert:  # noqa: ANN401 - a YAML value
    """Read a race or ethnicity from one field of a segment as the parts of its extension: the codes and the text."""
    codes = concept_of(concept_map("race-ethnicity"))

    def convert(reading: Er7Reading, node: Any, at: int) -> list[Json] | None:  # noqa: ANN401, ARG001 - one signature
        found = [made for one in node.field(arguments) if (made := codes(reading, one, 0))]
        codings = [one["coding"][0] for one in found if "coding" in one]
        names = [name for one in found if (name := one.get("text") or one.get("coding", [{}])[-1].get("display", ""))]
        texts = ["+".join(names or [one["code"] for one in codings])]
        parts = [{"url": "ombCategory", "valueCoding": one} for one in codings]
        return [*parts, *({"url": "text", "valueString": text} for text in texts if text)] or None

    return convert


def comments(arguments: Any) -> Convert:  # noqa: ANN401, ARG001 - one signature a transform
    """Join the notes under a segment and under what belongs to it."""

    def convert(reading: Er7Reading, node: Any, at: int) -> str | None:  # noqa: ANN401, ARG001 - one signature
        around = [node, *(one for name, found in node.children.items() if name != "NTE" for one in found)]
        notes = [note for one in around for note in one.children.get("NTE", ())]
        texts = [text for note in notes for part in note.field(3) if (text := part.text(1))]
        return "\n".join(texts) or None

    return convert


def minutes(arguments: Any) -> Convert:  # noqa: ANN401 - a YAML value
    """Read a duration and its unit from two fields of a segment as whole minutes."""
    amount_at, unit_at = arguments

    def convert(reading: Er7Reading, node: Any, at: int) -> int | None:  # noqa: ANN401, ARG001 - one signature
        amount, unit = node.field(amount_at), node.peek(unit_at).lower()
        factor = _MINUTES.get(unit)
        if not amount or factor is None or not amount[0].peek(1).isdigit():
            return None
        count = Fraction(int(amount[0].text(1))) * factor
        node.field(unit_at)[0].mask = ALL
        return int(count) if count >= 1 else None

    return convert


def offset(arguments: Any) -> Convert:  # noqa: ANN401, ARG001 - one signature a transform
    """Read RPT.9 and RPT.10 as minutes before or after an event."""

    def convert(reading: Er7Reading, node: Any, at: int) -> int | None:  # noqa: ANN401, ARG001 - one signature
        part = whole(node, at)
        factor = _MINUTES.get(part.peek(10).lower()) if part is not None else None
        if part is None or factor is None or not part.peek(9).isdigit():
            return None
        part.text(10)
        return int(Fraction(int(part.text(9))) * factor)

    return convert


def unknown_endpoint(arguments: Any) -> Convert:  # noqa: ANN401 - a YAML value
    """Say that an endpoint is not known where none of the fields holds an address."""
    absent = {
        "extension": [{"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}]
    }
    read = authority(None)

    def convert(reading: Er7Reading, node: Any, at: int) -> Json | None:  # noqa: ANN401, ARG001 - one signature
        known = any(read(reading, one, 0) for number in arguments for one in node.field(number)[:1])
        return None if known else absent

    return convert


def _person(resource: Json) -> str:
    name = (resource.get("name") or [{}])[0]
    parts = [*name.get("prefix", ()), *name.get("given", ()), name.get("family", ""), *name.get("suffix", ())[:1]]
    return " ".join(part for part in parts if part)


def _named(resource: Json) -> str:
    return str(resource.get("name", ""))


DISPLAYS: Final[dict[str, Callable[[Json], str]]] = {
    "Practitioner": _person,
    "Organization": _named,
    "Location": _named,
    "PractitionerRole": lambda resource: str(resource.get("practitioner", {}).get("display", "")),
    "RelatedPerson": _person,
}

ER7_FUNCTIONS: Final[dict[str, Callable[[Any], Convert]]] = {
    "er7-identifier": identifier,
    "er7-entity": entity,
    "er7-concept": concept,
    "er7-coded": coded,
    "er7-telecom": telecom,
    "er7-location": location,
    "er7-organization": named_organization,
    "er7-assigned": assigned_identifiers,
    "er7-birth-time": birth_time,
    "er7-omb": omb,
    "er7-minutes": minutes,
    "er7-comments": comments,
    "er7-offset": offset,
    "er7-unknown-endpoint": unknown_endpoint,
    "er7-authority": authority,
    "er7-text": as_text,
    "er7-joined": joined,
    "constant-beside": beside,
    "er7-string": lambda _: ER7_PRIMITIVES["string"],
    **ER7_VALUES,
}
