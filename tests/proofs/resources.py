"""STU3 resources made at random from the definition of STU3: every element may be there, with a value of its type."""

from __future__ import annotations

import random
from decimal import Decimal
from typing import Any, Final

from mappings.stu3_definitions import stu3_definitions
from profiles.definitions import Member

# What a summary of the Netherlands (BgZ) is made of.
SUMMARY: Final = (
    *("AllergyIntolerance", "CareTeam", "Condition", "Consent", "Coverage", "Device", "DeviceUseStatement"),
    *("DocumentReference", "Encounter", "Flag", "Immunization", "Medication", "MedicationDispense"),
    *("MedicationRequest", "MedicationStatement", "NutritionOrder", "Observation", "Organization", "Patient"),
    *("Practitioner", "PractitionerRole", "Procedure", "ProcedureRequest", "RelatedPerson", "Specimen"),
)
_CODES: Final = {
    "Observation.status": ("registered", "preliminary", "final", "amended", "entered-in-error"),
    "Encounter.status": ("planned", "arrived", "in-progress", "finished", "cancelled"),
    "MedicationStatement.status": ("active", "completed", "intended", "stopped", "on-hold"),
    "MedicationRequest.status": ("active", "on-hold", "completed", "stopped", "draft"),
    "MedicationDispense.status": ("preparation", "in-progress", "completed", "stopped"),
    "Procedure.status": ("preparation", "in-progress", "completed"),
    "DeviceUseStatement.status": ("active", "completed", "intended", "stopped"),
    "Device.status": ("active", "inactive"),
    "ProcedureRequest.status": ("draft", "active", "suspended", "completed"),
    "ProcedureRequest.intent": ("proposal", "plan", "order"),
    "NutritionOrder.status": ("draft", "active", "on-hold", "completed"),
    "CareTeam.status": ("active", "inactive"),
    "Medication.status": ("active", "inactive"),
    "MedicationStatement.taken": ("y", "n", "unk", "na"),
    "Coverage.status": ("active", "cancelled"),
    "DocumentReference.status": ("current", "superseded"),
    "DocumentReference.docStatus": ("preliminary", "final"),
    "Specimen.status": ("available", "unavailable"),
    "Encounter.statusHistory.status": ("planned", "finished"),
    "Immunization.status": ("completed",),
    "Consent.status": ("active", "draft"),
    "Consent.data.meaning": ("instance", "related"),
    "Consent.except.type": ("deny", "permit"),
    "Consent.except.data.meaning": ("instance", "related"),
    "MedicationRequest.intent": ("proposal", "plan", "order"),
    "MedicationRequest.priority": ("routine", "stat"),
    "ProcedureRequest.priority": ("routine", "stat"),
    "Identifier.use": ("usual", "official"),
    "HumanName.use": ("usual", "official"),
    "Address.use": ("home", "work"),
    "Address.type": ("postal", "physical"),
    "ContactPoint.system": ("phone", "email"),
    "ContactPoint.use": ("home", "work"),
    "Narrative.status": ("generated",),
    "Quantity.comparator": ("<", ">"),
    "Timing.repeat.durationUnit": ("h",),
    "Timing.repeat.periodUnit": ("d",),
    "Timing.repeat.dayOfWeek": ("mon",),
    "Timing.repeat.when": ("MORN",),
    "Attachment.contentType": ("text/plain",),
}
_SHORT: Final = frozenset({"Reference", "CodeableConcept", "Coding", "Identifier", "Period", "Quantity", "Annotation"})


class Maker:
    """Resources of one seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._known = stu3_definitions()

    def resource(self, kind: str) -> dict[str, Any]:
        """One resource with about half of what it may hold."""
        made = self._filled(kind, 0)
        return {"resourceType": kind, "id": f"x{self._random.randrange(10_000)}", **made}

    def _filled(self, kind: str, depth: int) -> dict[str, Any]:
        made: dict[str, Any] = {}
        chance = (0.6, 0.5, 0.35, 0.15)[min(depth, 3)]
        for element in self._known.types[kind].elements:
            if not element.required and self._random.random() > chance:
                continue
            member = self._random.choice(element.members)
            value = self._value(f"{kind}.{element.name}", member, depth)
            if value is not None:
                made[member.name] = [value] if member.many else value
        return made

    def _value(self, place: str, member: Member, depth: int) -> Any:
        simple = self._simple(place, member.type)
        if simple is not None:
            return simple
        if member.type in self._known.types and (depth < 4 or member.type in _SHORT):
            return self._filled(member.type, depth + 1) or None
        return None

    def _simple(self, place: str, kind: str) -> Any:
        number = self._random.randrange(1, 999)
        match kind:
            case "code":
                codes = _CODES.get(place) or self._known.codes.get(place)
                return self._random.choice(codes) if codes else f"c{number}"
            case "string" | "markdown" | "id":
                return f"woord {number}" if kind != "id" else f"i{number}"
            case "uri" | "oid":
                return f"urn:oid:1.2.{number}"
            case "boolean":
                return self._random.random() < 0.5
            case "integer" | "positiveInt" | "unsignedInt":
                return number
            case "decimal":
                return Decimal(number) / 10
            case "date":
                return f"2019-0{number % 9 + 1}-11"
            case "dateTime" | "instant":
                return f"2019-0{number % 9 + 1}-11T10:00:00+02:00"
            case "time":
                return f"1{number % 10}:00:00"
            case "base64Binary":
                return "aGFsbG8="
            case "Reference":
                return {"reference": f"Patient/p{number}", "display": f"wie {number}"}
            case "CodeableConcept":
                return {"coding": [self._simple(place, "Coding")], "text": f"begrip {number}"}
            case "Coding":
                return {"system": "http://snomed.info/sct", "code": str(number), "display": f"woord {number}"}
            case "Period":
                return {"start": f"2018-0{number % 9 + 1}-11", "end": "2019"}
            case "Attachment":
                return {"contentType": "text/plain", "title": f"woord {number}", "data": "aGFsbG8="}
            case "Narrative":
                return None
        return None
