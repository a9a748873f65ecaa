"""What a sender says is protected stays so: the confidentiality of an order, visit or person on everything made of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from mappings.concepts import Coding, concept_map
from mappings.er7_reading import Er7Reading
from mappings.formats.er7_tree import Segment
from mappings.model import Json

_ORDERS: Final = {"ORC": 28, "TXA": 18}  # of an order, of a document
_PROTECTED: Final = {"PV2": 22, "PD1": 12}  # yes: the visit, or whatever is known of the person
_OPEN: Final = frozenset({"Patient", "Practitioner", "PractitionerRole", "Organization", "Location", "Device"})
_RESTRICTED: Final[Coding] = {"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "R"}


def protect(
    reading: Er7Reading, segments: Sequence[Segment], resources: Sequence[Json], places: Mapping[str, Segment]
) -> None:
    """Label what was made of a protected order or document, and everything of a protected visit or person.

    INVARIANT: an unknown code protects; who the patient and the professionals are is not hidden with it.

    Spec: v2-to-FHIR ORC-28, TXA-18 and PV2-22, meta.security; HL7 v2.5 PD1-12, tables 0177 and 0272.
    """
    orders = {id(one): _labels(reading, one) for one in segments if one.name in _ORDERS and one.has(_ORDERS[one.name])}
    every = any(one.name in _PROTECTED and _is_protected(one) for one in segments)
    if not orders and not every:
        return
    said = [*([dict(_RESTRICTED)] if every else []), *(one for labels in orders.values() for one in labels)]
    for reference, one in list(reading.supporting.items()):  # of which order it is, is not known: each protects it
        if one["resourceType"] not in _OPEN:
            reading.supporting[reference] = {**one, "meta": {**one.get("meta", {}), "security": said}}
    for resource in resources:
        if resource["resourceType"] in _OPEN:
            continue
        segment = places.get(f"{resource['resourceType']}/{resource.get('id')}")
        found = [dict(_RESTRICTED)] if every else []
        while segment is not None:
            found += orders.get(id(segment), ())
            segment = segment.parent
        if found:
            meta = resource.get("meta", {})
            resource["meta"] = {**meta, "security": [*meta.get("security", ()), *found]}


def _labels(reading: Er7Reading, order: Segment) -> list[Coding]:
    codes = concept_map("confidentiality")
    made = []
    for node in order.field(_ORDERS[order.name]):
        said = node.text(1) or node.text(2)
        known = codes.find(said)
        if known is None:
            reading.note(node, 1, "unknown-code", "not in code map confidentiality; it is held as restricted")
        made.append(dict(known or _RESTRICTED))
        node.text(2)
        node.text(3)
    return made


def _is_protected(segment: Segment) -> bool:
    found = segment.field(_PROTECTED[segment.name])
    return bool(found) and found[0].text(1) == "Y"
