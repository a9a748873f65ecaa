"""The resource types of the API: which are clinical, and which can be sent to be judged."""

from __future__ import annotations

from typing import Final

# Clinical types: one patient a request, answered over the line.
CLINICAL: Final = (
    "AllergyIntolerance",
    "CarePlan",
    "CareTeam",
    "Condition",
    "Consent",
    "Coverage",
    "Device",
    "DeviceUseStatement",
    "DiagnosticReport",
    "DocumentReference",
    "Encounter",
    "EpisodeOfCare",
    "Flag",
    "Goal",
    "Immunization",
    "Medication",
    "MedicationAdministration",
    "MedicationDispense",
    "MedicationRequest",
    "MedicationStatement",
    "NutritionOrder",
    "Observation",
    "Organization",
    "Patient",
    "Practitioner",
    "PractitionerRole",
    "Procedure",
    "RelatedPerson",
    "ServiceRequest",
    "Specimen",
)

# What can be searched within one patient; a summary asks only what is clinical.
SEARCHED: Final = (
    *CLINICAL,
    "Appointment",
    "DeviceRequest",
    "ImmunizationRecommendation",
    "Location",
    "QuestionnaireResponse",
)

# Names of FHIR STU3 for what has another name in R4: a question for one is a question for the other.
RENAMED: Final = {"ProcedureRequest": "ServiceRequest"}

# What can be sent to be judged: what is exchanged here, alone or in a Bundle.
VALIDATED: Final = (
    *CLINICAL,
    *("Bundle", "Composition", "List", "Task", "Provenance", "Parameters", "OperationOutcome", "Questionnaire"),
    *("Appointment", "Communication", "ClinicalImpression", "FamilyMemberHistory", "ImagingStudy", "Location"),
    *("HealthcareService", "QuestionnaireResponse", "RiskAssessment", "Slot", "Schedule", "Substance"),
    *("VisionPrescription", "Endpoint", "Group", "Media", "MessageHeader", "Person", "BodyStructure"),
    *("DetectedIssue", "Basic", "Binary", "Contract", "AuditEvent", "CommunicationRequest", "DeviceRequest"),
    *("DocumentManifest", "ImmunizationRecommendation"),
)

# What the gateway keeps itself and counts the versions of.
VERSIONED: Final = ("Task", "Consent", "Contract", "CareTeam", "EpisodeOfCare", "Encounter")
