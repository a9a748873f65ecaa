"""Read a PL as the places it names, each inside the next larger one."""

from __future__ import annotations

from typing import Any, Final

from mappings.er7_primitives import Convert
from mappings.er7_reading import Er7Reading
from mappings.formats.er7_tree import ALL, Node
from mappings.model import Json

_PHYSICAL: Final = "http://terminology.hl7.org/CodeSystem/location-physical-type"
# From large to small: the component, and what it is. Spec: v2-to-FHIR data type map PL[Location].
_LEVELS: Final = ((4, "si"), (7, "bu"), (8, "lvl"), (1, "wa"), (2, "ro"), (3, "bd"))
_ROLE: Final = "http://terminology.hl7.org/CodeSystem/v2-0305"


def location(arguments: Any) -> Convert:  # noqa: ANN401 - a YAML value
    """Read a PL as a reference to its smallest place: facility, building, floor, point of care, room, bed."""
    levels = tuple(arguments.items()) if arguments else _LEVELS

    def convert(reading: Er7Reading, node: Any, at: int) -> Json | None:  # noqa: ANN401 - segment or node
        part = node.child(at) if at else node
        if part is None:
            return None
        description = part.text(9) or "--".join(part.leaves()) if not arguments else ""
        found: Json | None = None
        names: list[str] = []
        for step, kind in levels:
            made = _place(part, step, kind)
            if made is None:
                continue
            names.append(made.get("name", ""))
            if description:
                made["description"] = description
            if found:
                made["partOf"] = found
            role = "" if arguments else part.text(6)
            if role and " " not in role:
                made["type"] = [{"coding": [{"system": _ROLE, "code": role}]}]
            found = {key: value for key, value in reading.support(made, "").items() if key == "reference"}
        if found is None:
            return {"display": description} if _all_read(part) and description else None
        if not reading.whole:
            return {"display": ", ".join(name for name in names if name) or description}
        return {**found, "display": ", ".join(name for name in names if name) or description}

    return convert


def _all_read(part: Node) -> bool:
    part.mask = ALL
    return True


def _place(part: Node, step: int, kind: str) -> Json | None:
    """One level: its name, and its universal id where it has one."""
    level = part.child(step)
    if level is None:
        return None
    name, universal = level.text(1), level.text(2)
    level.text(3)
    if not name and not universal:
        return None
    made: Json = {
        "resourceType": "Location",
        "mode": "instance",
        "physicalType": {"coding": [{"system": _PHYSICAL, "code": kind}]},
    }
    if name:
        made["name"] = name
    if universal:
        dotted = universal.replace(".", "").isdigit()
        value = f"urn:oid:{universal}" if dotted else universal
        made["identifier"] = [{"system": "urn:ietf:rfc:3986", "value": value} if dotted else {"value": value}]
    return made
