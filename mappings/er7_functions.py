"""The named transforms for HL7 v2 data types that no path and code map can say."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

from mappings.concepts import concept_map, renames
from mappings.formats.er7_time import date_of, date_time_of
from mappings.model import Json
from mappings.reading import Reading, first
from profiles.identifiers import BSN_SYSTEM, passes_elfproef

Convert = Callable[[Reading, Any, Any], Any]

_NUMBER: Final = re.compile(r"([+-]?)(\d+)(?:\.(\d*))?\Z|([+-]?)\.(\d+)\Z")
_OID: Final = re.compile(r"[0-2](\.(0|[1-9]\d*))+\Z")
_UCUM: Final = "http://unitsofmeasure.org"
_NUMERIC: Final = re.compile(r"(<=|>=|<|>)?\s*([+-]?\d*\.?\d+)\Z")


def text_of(reading: Reading, container: Any, key: Any) -> str:  # noqa: ANN401 - a node of any shape
    """Read the first component as text; `""` is an explicit nothing and is noted."""
    container, key, value = first(container, key)
    if not isinstance(value, str) or value == "":
        return ""
    reading.take(container, key)
    if value == '""':
        reading.note((container, key), "note", "explicitly emptied by the sender")
        return ""
    return value.strip()


def er7_date(arguments: Any) -> Convert:  # noqa: ANN401, ARG001 - one signature a transform
    """Give the date of a DT or TS with the precision it was written with."""
    return lambda reading, container, key: _moment(reading, container, key, date_of)


def er7_date_time(arguments: Any) -> Convert:  # noqa: ANN401, ARG001 - one signature a transform
    """Give the dateTime of a TS with its precision, and its zone or that of the source."""

    def convert(reading: Reading, container: Any, key: Any) -> str | None:  # noqa: ANN401 - a node of any shape
        return _moment(reading, container, key, lambda text: date_time_of(text, reading.origin.zone))

    return convert


def _moment(reading: Reading, container: Any, key: Any, read: Callable[[str], str | None]) -> str | None:  # noqa: ANN401
    text = text_of(reading, container, key)
    if not text:
        return None
    made = read(text)
    if made is None:
        reading.note(first(container, key)[:2], "invalid", "not a date or time of HL7 v2")
    return made


def identifier(arguments: Any) -> Convert:  # noqa: ANN401 - a YAML value
    """Read a CX; a BSN that fails the eleven-test is left out and reported.

    Spec: HL7 Nederland, BSN in CX: assigning authority NLMINBIZA, identifier type NNNLD.
    """
    systems = renames(arguments)

    def convert(reading: Reading, container: Any, key: Any) -> Json | None:  # noqa: ANN401 - a node of any shape
        node = container[key]
        number = text_of(reading, node, "1") if isinstance(node, dict) else ""
        if not number:
            return None
        kind = text_of(reading, node, "5")
        system, name = _authority(reading, node, systems)
        if system == BSN_SYSTEM or kind == "NNNLD":
            if not passes_elfproef(number):
                reading.note((container, key), "invalid", "the BSN fails the eleven-test and is left out")
                return None
            return {"system": BSN_SYSTEM, "value": number}
        made: Json = {}
        if kind:
            made["type"] = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": kind}]}
        if system:
            made["system"] = system
        made["value"] = number
        if name and not system:
            made["assigner"] = {"display": name}
        return made

    return convert


def _authority(reading: Reading, node: Json, systems: dict[str, str]) -> tuple[str, str]:
    """Read an HD: the system it stands for, if it says, and its name."""
    place = node.get("4")
    if place is None:
        return "", ""
    reading.take(node, "4")
    parts = place if isinstance(place, dict) else {"1": place}
    name, universal, kind = (str(parts.get(step, "")) for step in ("1", "2", "3"))
    if name in systems:
        return systems[name], name
    if _OID.match(universal) and kind in {"ISO", ""}:
        uri = f"urn:oid:{universal}"
        return systems.get(uri, uri), name
    return (universal if kind in {"URI", "URL"} and universal.startswith(("http", "urn:")) else ""), name


def concept(arguments: Any) -> Convert:  # noqa: ANN401, ARG001 - one signature a transform
    """Read a CE or CWE: both codings with their systems, and the text.

    Spec: HL7 v2.5 2.A.13 CWE; HL7 table 0396 for the names of systems.
    """
    systems = renames("er7-systems")

    def convert(reading: Reading, container: Any, key: Any) -> Json | None:  # noqa: ANN401 - a node of any shape
        node = container[key]
        if not isinstance(node, dict):
            node = {"1": node}
            reading.take(container, key)
        codings = [one for at in (1, 4) if (one := _coding(reading, node, at, systems))]
        original = text_of(reading, node, "9")
        made: Json = {"coding": codings} if codings else {}
        text = original or ("" if codings else text_of(reading, node, "2"))
        if text:
            made["text"] = text
        return made or None

    return convert


def _coding(reading: Reading, node: Json, at: int, systems: dict[str, str]) -> Json:
    code = text_of(reading, node, str(at))
    if not code:
        return {}
    display, name, version = (text_of(reading, node, str(step)) for step in (at + 1, at + 2, 7 if at == 1 else 8))
    system = systems.get(name) or (f"urn:oid:{name}" if _OID.match(name) else "")
    if not system and re.fullmatch(r"HL7\d{4}", name):
        system = f"http://terminology.hl7.org/CodeSystem/v2-{name[3:]}"
    if name and not system:
        reading.note(
            first(node, str(at + 2))[:2], "unknown-code", "the code system is not known; code and text are kept"
        )
    made = {"system": system, "version": version, "code": code, "display": display}
    return {step: value for step, value in made.items() if value}


def result(arguments: Any) -> Convert:  # noqa: ANN401, ARG001 - one signature a transform
    """Read OBX-2, OBX-5 and OBX-6 together: the value in the type it was sent in.

    Spec: HL7 v2.5 7.4.2 OBX; v2-to-FHIR segment map OBX.
    """
    as_concept = concept(None)

    def convert(reading: Reading, container: Any, key: Any) -> Json | None:  # noqa: ANN401 - a node of any shape
        node = container[key]
        kind = text_of(reading, node, "2")
        values = [one for one in node.get("5", []) if one]
        if not values:
            return None
        if kind in {"NM", "SN"}:
            made = _number(reading, node, values[0]) if kind == "NM" else _structured(reading, node, values[0])
            if made is not None:
                return made
        if kind in {"CE", "CWE", "CNE", "CF"}:
            found = as_concept(reading, node["5"], 0)
            return {"valueCodeableConcept": found} if found else None
        if kind in {"DT", "TS", "DTM"}:
            moment = er7_date_time(None)(reading, node["5"], 0)
            return {"valueDateTime": moment} if moment else None
        if kind == "TM" and (clock := _clock(text_of(reading, node["5"], 0))):
            return {"valueTime": clock}
        texts = [text for index in range(len(node["5"])) if (text := text_of(reading, node["5"], index))]
        joined = "\n".join(texts)
        # A number sent as text needs its unit; words do not, and then the unit is reported as not read.
        unit = _unit(reading, node).get("unit", "") if any(char.isdigit() for char in joined) else ""
        return {"valueString": f"{joined} {unit}".strip()} if joined else None

    return convert


def _number(reading: Reading, node: Json, value: Json) -> Json | None:
    text = text_of(reading, node["5"], node["5"].index(value))
    match = _NUMERIC.match(text)
    if match is None:
        if text:
            reading.note((node, "5"), "approximate", "not a number; kept as text")
        return None
    amount: Json = {"value": exact(match[2])}
    if match[1]:
        amount["comparator"] = match[1]
    return {"valueQuantity": {**amount, **_unit(reading, node)}}


def _structured(reading: Reading, node: Json, value: Json) -> Json | None:
    """Read an SN: comparator, number, separator, number.

    Spec: HL7 v2.5 2.A.70 SN.
    """
    sign, low, between, high = (text_of(reading, value, step) for step in ("1", "2", "3", "4"))
    unit = _unit(reading, node)
    if not _NUMERIC.match(low) or (high and not _NUMERIC.match(high)):
        return None
    if not high:
        comparator = {"comparator": sign} if sign in {"<", "<=", ">", ">="} else {}
        return {"valueQuantity": {"value": exact(low), **comparator, **unit}}
    first_part, second_part = {"value": exact(low), **unit}, {"value": exact(high), **unit}
    if between == "-":
        return {"valueRange": {"low": first_part, "high": second_part}}
    if between in {":", "/"}:
        return {"valueRatio": {"numerator": first_part, "denominator": {"value": exact(high)}}}
    return {"valueString": f"{sign}{low}{between}{high}"}


def exact(text: str) -> Decimal:
    """Give a number with the digits it was written with."""
    return Decimal(text)


def _unit(reading: Reading, node: Json) -> Json:
    """Read OBX-6: UCUM where the sender or the table says so, else the text, reported."""
    units = node.get("6")
    if not units:
        return {}
    code, text, system = (text_of(reading, units[0], step) for step in ("1", "2", "3"))
    if not code:
        return {"unit": text} if text else {}
    if system in {"UCUM", "2.16.840.1.113883.6.8"}:
        return {"unit": text or code, "system": _UCUM, "code": code}
    known = concept_map("units").find(code)
    if known is None:
        reading.note((node, "6"), "unknown-code", "the unit is not in the table; its text is kept")
        return {"unit": code}
    return {"unit": text or code, "system": _UCUM, "code": known["code"]}


def _clock(text: str) -> str:
    match = re.match(r"([01]\d|2[0-3])([0-5]\d)([0-5]\d)?(\.\d+)?\Z", text)
    return f"{match[1]}:{match[2]}:{match[3] or '00'}{match[4] or ''}" if match else ""


def reference_range(arguments: Any) -> Convert:  # noqa: ANN401, ARG001 - one signature a transform
    """Read OBX-7: bounds where it is plainly two numbers, and always the text as sent."""

    def convert(reading: Reading, container: Any, key: Any) -> Json | None:  # noqa: ANN401 - a node of any shape
        text = text_of(reading, container, key)
        if not text:
            return None
        made: Json = {}
        match = re.match(r"([+-]?\d*\.?\d+)\s*-\s*([+-]?\d*\.?\d+)\Z", text)
        if match:
            made = {"low": {"value": exact(match[1])}, "high": {"value": exact(match[2])}}
        return {**made, "text": text}

    return convert


def person_display(arguments: Any) -> Convert:  # noqa: ANN401, ARG001 - one signature a transform
    """Read an XCN as the display of a reference: the person is named, not made into a resource."""

    def convert(reading: Reading, container: Any, key: Any) -> Json | None:  # noqa: ANN401 - a node of any shape
        node = container[key]
        parts = [text_of(reading, node, step) for step in ("6", "3", "4", "2", "5")] if isinstance(node, dict) else []
        name = " ".join(part for part in parts if part)
        return {"display": name} if name else None

    return convert


def authority(arguments: Any) -> Convert:  # noqa: ANN401 - a YAML value
    """Read an HD as the system of an identifier."""
    systems = renames(arguments)

    def convert(reading: Reading, container: Any, key: Any) -> str | None:  # noqa: ANN401 - a node of any shape
        reading.take(container, key)
        return _authority(reading, {"4": container[key]}, systems)[0] or None

    return convert


def oid(arguments: Any) -> Convert:  # noqa: ANN401, ARG001 - one signature a transform
    """Read the universal id of an EI as a system."""

    def convert(reading: Reading, container: Any, key: Any) -> str | None:  # noqa: ANN401 - a node of any shape
        text = text_of(reading, container, key)
        return f"urn:oid:{text}" if _OID.match(text) else text if text.startswith(("http://", "https://")) else None

    return convert


def boolean(arguments: Any) -> Convert:  # noqa: ANN401, ARG001 - one signature a transform
    """Read a yes/no of table 0136."""

    def convert(reading: Reading, container: Any, key: Any) -> bool | None:  # noqa: ANN401 - a node of any shape
        text = text_of(reading, container, key)
        return {"Y": True, "N": False}.get(text)

    return convert


def phone(arguments: Any) -> Convert:  # noqa: ANN401, ARG001 - one signature a transform
    """Read the parts of an XTN as one number: country, area, local, extension."""

    def convert(reading: Reading, container: Any, key: Any) -> str | None:  # noqa: ANN401 - a node of any shape
        country, area, local, extension = (text_of(reading, container[key], step) for step in ("5", "6", "7", "8"))
        number = " ".join(part for part in (f"+{country}" if country else "", area, local) if part)
        return f"{number} x{extension}" if extension else number or None

    return convert


def coded(arguments: Any) -> Convert:  # noqa: ANN401 - a YAML value
    """Read a code as one Coding by a code map; the original is reported where the map does not know it."""
    codes = concept_map(arguments)

    def convert(reading: Reading, container: Any, key: Any) -> Json | None:  # noqa: ANN401 - a node of any shape
        code = text_of(reading, container, key)
        if not code:
            return None
        found = codes.find(code)
        if found is None:
            reading.note(first(container, key)[:2], "unknown-code", f"not in code map {codes.name}")
            return {"system": codes.source_system, "code": code}
        return dict(found)

    return convert


def place(arguments: Any) -> Convert:  # noqa: ANN401, ARG001 - one signature a transform
    """Read a PL as the display of a reference: facility, building, floor, point of care, room, bed."""

    def convert(reading: Reading, container: Any, key: Any) -> Json | None:  # noqa: ANN401 - a node of any shape
        node = container[key] if isinstance(container[key], dict) else {"1": container[key]}
        steps = [step for step in ("4", "7", "8", "1", "2", "3") if step in node]
        for step in steps:
            reading.take(node, step)
        parts = [first(node, step)[2] for step in steps]
        text = ", ".join(part for part in parts if part and part != '""')
        return {"display": text} if text else None

    return convert


def organization(arguments: Any) -> Convert:  # noqa: ANN401, ARG001 - one signature a transform
    """Read an XON as the display of a reference."""

    def convert(reading: Reading, container: Any, key: Any) -> Json | None:  # noqa: ANN401 - a node of any shape
        text = text_of(reading, container, key)
        return {"display": text} if text else None

    return convert


def as_text(arguments: Any) -> Convert:  # noqa: ANN401, ARG001 - one signature a transform
    """Read a description as a concept that has only text."""

    def convert(reading: Reading, container: Any, key: Any) -> Json | None:  # noqa: ANN401 - a node of any shape
        text = text_of(reading, container, key)
        return {"text": text} if text else None

    return convert


def instant(arguments: Any) -> Convert:  # noqa: ANN401, ARG001 - one signature a transform
    """Read a TS that is precise enough to be an instant; a coarser one stays unread and is reported."""

    def convert(reading: Reading, container: Any, key: Any) -> str | None:  # noqa: ANN401 - a node of any shape
        made = date_time_of(str(first(container, key)[2] or ""), reading.origin.zone)
        if made is None or "T" not in made:
            return None
        reading.take(*first(container, key)[:2])
        return made

    return convert


def beside(arguments: Any) -> Convert:  # noqa: ANN401 - a YAML value
    """Give a fixed value because a node is there; another line reads the node itself."""
    return lambda reading, container, key: arguments if first(container, key)[2] not in ("", None, '""') else None  # noqa: ARG005


ER7_FUNCTIONS: Final[dict[str, Callable[[Any], Convert]]] = {
    "er7-date": er7_date,
    "er7-date-time": er7_date_time,
    "er7-identifier": identifier,
    "er7-concept": concept,
    "er7-result": result,
    "er7-range": reference_range,
    "er7-person": person_display,
    "er7-authority": authority,
    "er7-oid": oid,
    "er7-boolean": boolean,
    "er7-phone": phone,
    "er7-coded": coded,
    "er7-location": place,
    "er7-organization": organization,
    "er7-text": as_text,
    "er7-instant": instant,
    "constant-beside": beside,
}
