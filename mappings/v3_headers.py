"""What the header of a CDA document says: who it is about, for whom it is, of which trip, and what it replaces."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from mappings.model import Json, NotMappable
from mappings.reading import Reading
from mappings.v3_functions import identifier
from profiles.identifiers import passes_elfproef

BSN: Final = "2.16.840.1.113883.2.4.6.3"
_TRIP: Final = "2.16.840.1.113883.2.4.3.32.5"
_PERSON: Final = frozenset({"patientPerson", "Person"})
_GONE: Final = frozenset({"cancelled", "aborted", "nullified"})

Nodes = list[tuple[str, Json]]  # elements with their names, in the order of the document


def nodes_of(node: Json) -> Iterator[tuple[str, Json]]:
    """Walk a tree in the order of the document."""
    stack = [("", node)]
    while stack:
        name, one = stack.pop()
        if name:
            yield name, one
        before = len(stack)
        for key, value in one.items():
            if value.__class__ is list:
                stack.extend([(key, child) for child in value])
        stack[before:] = stack[before:][::-1]


def roles_of(nodes: Nodes) -> list[Json]:
    """Find who the content is about: the record target, in messages of before CDA the patient with his person."""
    targets = [role for name, node in nodes if name == "recordTarget" for role in node.get("patientRole", [])]
    return targets or [
        one for name, one in nodes if name in {"patient", "Patient"} and "id" in one and one.keys() & _PERSON
    ]


def numbers_of(role: Json, *, national: bool) -> set[str]:
    """Give the BSN of a patient, or every other number with its root."""
    ids = [one for one in role.get("id", []) if one.get("extension") and (one.get("root") == BSN) == national]
    return {f"{one.get('root', '')}|{one['extension']}" for one in ids}


def one_patient(roles: list[Json]) -> None:
    """Refuse content of two persons: two BSNs, or without a BSN no number that all of it shares.

    Spec: rules D1, E1; the interactions of a batch each repeat their recordTarget, and so may a document.
    """
    national = set[str]().union(*(numbers_of(role, national=True) for role in roles))
    if not roles or len(national) > 1:
        text = f"one patient a document: {len(national)} found"
        raise NotMappable(text, "recordTarget")
    if not national and len(roles) > 1 and not set.intersection(*(numbers_of(role, national=False) for role in roles)):
        raise NotMappable("one patient a document: several without a common number", "recordTarget")


def one_target(roles: list[Json]) -> None:
    """Refuse a document with several record targets that do not all carry the same number.

    A batch may leave out an interaction that names somebody else; of one document no part can be told from another.

    Raises:
        NotMappable: they are not all the same person.
    """
    same = [
        set[str].intersection(*(numbers_of(role, national=national) for role in roles)) for national in (True, False)
    ]
    if len(roles) > 1 and not any(same):
        text = f"one patient a document: {len(roles)} found"
        raise NotMappable(text, "recordTarget")


def _is_trip(node: Json) -> bool:
    """Claim that an element carries the number of a trip: what its status says is said of the trip."""
    return any(one.get("root") == _TRIP for one in node.get("id", []))


def header(document: Json, nodes: Nodes, role: Json, reading: Reading) -> None:
    """Put into facts what the intake decides by: the trip, what is replaced, a cancelled trip, a patient nobody knows."""
    facts = reading.facts
    trip = next((one["extension"] for name, one in nodes if name == "id" and one.get("root") == _TRIP and one.get("extension")), "")  # fmt: skip
    if trip:
        facts["trip"] = trip
    for related in document.get("relatedDocument", []):
        for parent in related.get("parentDocument", []):
            facts["replaces"] = next((one.get("extension") or one.get("root", "") for one in parent.get("id", [])), "")
            reading.take(document, "relatedDocument")
    addressed = [one for part in document.get("informationRecipient", []) for kind, node in nodes_of(part) if kind == "receivedOrganization" for one in node.get("id", [])]  # fmt: skip
    known = (identifier(reading, one) for one in addressed if one.get("root") and not one.get("nullFlavor"))
    named = next((one for one in known if one), None)
    if named:
        facts["recipient"] = f"{named.get('system', '')}|{named['value']}"
    stated = [*document.get("sdtc_statusCode", [])]
    stated += [code for name, one in nodes if "statusCode" in one and (name == "encompassingEncounter" or _is_trip(one)) for code in one["statusCode"]]  # fmt: skip
    if _GONE & {one.get("code") for one in stated}:
        facts["status"] = "cancelled"
    elif trip:
        facts["contact"] = "true"
    for name in ("custodian", "author"):
        found = [node for part in document.get(name, []) for kind, node in nodes_of(part) if kind == "name"]
        if found:
            facts[name] = found[-1].get("_text", "")
    national = [one.rpartition("|")[2].zfill(9) for one in numbers_of(role, national=True)]
    if not numbers_of(role, national=False) and not any(passes_elfproef(one) for one in national):
        facts["quarantine"] = "patient-unknown"
