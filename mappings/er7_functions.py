"""The named transforms for HL7 v2 data types that no path and code map can say."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any, Final

from mappings.concepts import concept_map, renames
from mappings.er7_codes import code_of, coded, concept, concept_of, uri_of, whole
from mappings.er7_identifiers import add_period, assigned_identifiers, entity, identifier, named_organization
from mappings.er7_locations import location
from mappings.er7_primitives import ER7_PRIMITIVES, Convert
from mappings.er7_reading import Er7Reading
from mappings.er7_values import ER7_VALUES
from mappings.formats.er7_tree import ALL, Node
from mappings.model import Json

_DAY: Final = 8  # digits of a date
_MINUTES: Final = {
    **dict.fromkeys(("s", "sec"), Fraction(1, 60)),
    **dict.fromkeys(("min", "m", "minutes"), Fraction(1)),
    **dict.fromkeys(("h", "hr"), Fraction(60)),
    "d": Fraction(1440),
}


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
        add_period(reading, part, 13, 14, made)
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
