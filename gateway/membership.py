"""Which elements make a resource belong to a patient, and which types only support others."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from gateway.model import Item, Json

# Types that say nothing about a patient by themselves; they travel only with an item that refers to them.
SUPPORTING: Final = frozenset(
    {
        "Practitioner",
        "PractitionerRole",
        "Organization",
        "Location",
        "Medication",
        "Substance",
        "HealthcareService",
        "Endpoint",
    }
)

_REFERENCE: Final = re.compile(rb'"reference":"([A-Z][A-Za-z]{2,40}/[A-Za-z0-9\-.]{1,64})"')

# Spec: FHIR R4 CompartmentDefinition/patient. Only these parameters confer membership; Observation.focus does not.
_ELEMENTS: Final = {
    "AllergyIntolerance": ("patient",),
    "CarePlan": ("subject",),
    "CareTeam": ("subject",),
    "Condition": ("subject",),
    "Consent": ("patient",),
    "Coverage": ("beneficiary",),
    "Device": ("patient",),
    "DeviceUseStatement": ("subject",),
    "DiagnosticReport": ("subject",),
    "DocumentReference": ("subject",),
    "Encounter": ("subject",),
    "EpisodeOfCare": ("patient",),
    "Flag": ("subject",),
    "Goal": ("subject",),
    "Immunization": ("patient",),
    "MedicationAdministration": ("subject",),
    "MedicationDispense": ("subject",),
    "MedicationRequest": ("subject",),
    "MedicationStatement": ("subject",),
    "NutritionOrder": ("patient",),
    "Observation": ("subject",),
    "Procedure": ("subject",),
    "RelatedPerson": ("patient",),
    "ServiceRequest": ("subject",),
    "Specimen": ("subject",),
    "Composition": ("subject",),
    "DeviceRequest": ("subject",),
    "ImmunizationRecommendation": ("patient",),
    "QuestionnaireResponse": ("subject",),
    "ImagingStudy": ("subject",),
    "ClinicalImpression": ("subject",),
    "FamilyMemberHistory": ("patient",),
    "RiskAssessment": ("subject",),
}

# Here the patient is one of several who take part: what is of several patients belongs to none of them alone.
_PARTICIPANTS: Final = {"Appointment": ("participant", "actor")}


def supports(resource: Json) -> bool:
    """Claim that a resource only supports others; a Device is a product until it names its patient."""
    type_ = resource.get("resourceType")
    return type_ in SUPPORTING or (type_ == "Device" and "patient" not in resource)


def owners(resource: Json) -> list[Json]:
    """The references that say whose resource this is; none for a type that cannot belong to a patient."""
    type_ = resource.get("resourceType", "")
    if type_ in _PARTICIPANTS:
        return _participants(resource, *_PARTICIPANTS[type_])
    elements = _ELEMENTS.get(type_, ())
    return [value for element in elements if isinstance(value := resource.get(element), dict)]


def _participants(resource: Json, element: str, actor: str) -> list[Json]:
    listed = resource.get(element)
    actors = [one.get(actor) for one in (listed if isinstance(listed, list) else ()) if isinstance(one, dict)]
    return [one for one in actors if isinstance(one, dict) and _is_patient(one)]


def _is_patient(reference: Json) -> bool:
    """Claim that a reference is to a patient; without an address its type says so."""
    text = reference.get("reference")
    if isinstance(text, str):
        return text.startswith("Patient/") or "/Patient/" in text
    return reference.get("type") == "Patient"


def supported(kept: Sequence[Item], supporting: Mapping[str, Item]) -> list[Item]:
    """The supporting items that items refer to, and those they refer to in turn (bounded by their number)."""
    found: dict[str, Item] = {}
    waiting = list(kept)
    while waiting and supporting:
        for match in _REFERENCE.finditer(waiting.pop().raw):
            name = match[1].decode()
            item = supporting.get(name)
            if item is not None and name not in found:
                found[name] = item
                waiting.append(item)
    return list(found.values())
