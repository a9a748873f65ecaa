"""Which elements make a resource belong to a patient, and which types only support others."""

from __future__ import annotations

from typing import Final

from gateway.model import Json

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
    "Appointment": (),
    "QuestionnaireResponse": ("subject",),
    "ImagingStudy": ("subject",),
    "ClinicalImpression": ("subject",),
    "FamilyMemberHistory": ("patient",),
    "RiskAssessment": ("subject",),
}


def supports(resource: Json) -> bool:
    """Claim that a resource only supports others; a Device is a product until it names its patient."""
    type_ = resource.get("resourceType")
    return type_ in SUPPORTING or (type_ == "Device" and "patient" not in resource)


def owners(resource: Json) -> list[Json]:
    """The references that say whose resource this is; none for a type that cannot belong to a patient."""
    elements = _ELEMENTS.get(resource.get("resourceType", ""), ())
    return [value for element in elements if isinstance(value := resource.get(element), dict)]
