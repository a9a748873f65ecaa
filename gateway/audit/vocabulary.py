"""The codes of AuditEvents: systems, what a record is as an event, and how a purpose is said outside; read when first needed."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final

from gateway.audit.record import Record
from gateway.model import CANONICAL, Json

BALP: Final = "https://profiles.ihe.net/ITI/BALP"
INTERACTION_SYSTEM: Final = f"{CANONICAL}/CodeSystem/interaction"
PURPOSE_SYSTEM: Final = f"{CANONICAL}/CodeSystem/purpose"
ROLE_SYSTEM: Final = f"{CANONICAL}/CodeSystem/role"
ASSURANCE_SYSTEM: Final = f"{CANONICAL}/CodeSystem/assurance"
ENTITY_SYSTEM: Final = f"{CANONICAL}/CodeSystem/audit-entity"
DCM: Final = "http://dicom.nema.org/resources/ontology/DCM"
ACT_REASON: Final = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
PARTICIPATION: Final = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"
ROLE_CLASS: Final = "http://terminology.hl7.org/CodeSystem/v3-RoleClass"
ENTITY_TYPE: Final = "http://terminology.hl7.org/CodeSystem/audit-entity-type"
OBJECT_ROLE: Final = "http://terminology.hl7.org/CodeSystem/object-role"
RESOURCE_TYPES: Final = "http://hl7.org/fhir/resource-types"
LIFECYCLE: Final = "http://terminology.hl7.org/CodeSystem/iso-21089-lifecycle"


@dataclass(frozen=True, slots=True)
class EventKind:
    """What a record is as an event: type, subtypes and the family of BALP profiles, empty when none fits."""

    type: Json
    subtypes: tuple[Json, ...]
    family: str


def profile(name: str) -> str:
    """The canonical of a profile of IHE BALP."""
    return f"{BALP}/StructureDefinition/IHE.BasicAudit.{name}"


def coding(short: str) -> Json:
    """A coding of the table, written `system|code`."""
    table = _table()
    system, _, code = short.partition("|")
    made: Json = {"system": table["systems"][system], "code": code}
    return made | {"display": table["display"][short]} if short in table["display"] else made


def coded(system: str, code: str, display: str = "") -> Json:
    """A coding."""
    made: Json = {"system": system, "code": code}
    return made | {"display": display} if display else made


def concept(*codings: Json) -> Json:
    """A CodeableConcept."""
    return {"coding": list(codings)}


def kind_of(record: Record) -> EventKind:
    """What a record is as an event; the last subtype is always the word of the gateway itself."""
    table = _table()
    about = table["interaction"].get(f"{record.interaction} {record.type}")
    row = about or table["interaction"].get(record.interaction)
    if record.kind == "command":
        row = table["command"].get(record.type.partition(" ")[0])
    row = row or table["kind"].get(record.kind, table["kind"]["other"])
    own = coded(INTERACTION_SYSTEM, _word(record))
    return EventKind(coding(row["type"]), (*(coding(code) for code in row["subtype"]), own), row.get("family", ""))


def purpose(situation: str) -> Json:
    """A purpose of use: the HL7 code where there is one, and the situation."""
    code = _table()["purpose"].get(situation)
    own = coded(PURPOSE_SYSTEM, situation)
    return concept(*([coded(ACT_REASON, code)] if code else []), own)


def purposes(codes: Iterable[str]) -> frozenset[str]:
    """The situations that are said with any of these codes."""
    wanted = set(codes)
    return frozenset(name for name, code in _table()["purpose"].items() if {name, code} & wanted) | wanted


def _word(record: Record) -> str:
    """The interaction as a code: no spaces, so a command is `keys-rotate`."""
    word = record.type if record.kind == "command" else record.interaction
    return (word or record.kind).replace(" ", "-")


@cache
def _table() -> dict[str, Any]:
    return tomllib.loads(files("gateway.audit").joinpath("events.toml").read_text("utf-8"))
