"""THE table of interactions: it drives routing, scopes, the CapabilityStatement and the documentation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gateway.errors import Invalid

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

# What can be sent to be judged: what is exchanged here, alone or in a Bundle.
VALIDATED: Final = (
    *CLINICAL,
    *("Bundle", "Composition", "List", "Task", "Provenance", "Parameters", "OperationOutcome", "Questionnaire"),
    *("Appointment", "Communication", "ClinicalImpression", "FamilyMemberHistory", "ImagingStudy", "Location"),
    *(
        "HealthcareService",
        "QuestionnaireResponse",
        "RiskAssessment",
        "Slot",
        "Schedule",
        "Substance",
        "VisionPrescription",
    ),
    *(
        "Endpoint",
        "Group",
        "Media",
        "MessageHeader",
        "Person",
        "BodyStructure",
        "DetectedIssue",
        "Basic",
        "Binary",
        "Contract",
    ),
    *("AuditEvent", "CommunicationRequest", "DeviceRequest", "DocumentManifest", "ImmunizationRecommendation"),
)

# What a treatment relation is told by.
RELATION_TYPES: Final = ("CareTeam", "EpisodeOfCare", "Encounter")


@dataclass(frozen=True, slots=True)
class Interaction:
    """One thing that can be done. `path` holds {type} and {id}; `action` is the SMART v2 letter it needs."""

    name: str
    method: str
    path: str
    action: str
    types: tuple[str, ...]
    summary: str
    public: bool = False
    operation: str = ""


TABLE: Final = (
    Interaction("capabilities", "GET", "metadata", "", (), "What this server can do", public=True),
    Interaction(
        "smart-configuration", "GET", ".well-known/smart-configuration", "", (), "Where to get a token", public=True
    ),
    Interaction(
        "summary",
        "GET",
        "Patient/{id}/$summary",
        "r",
        ("Patient",),
        "Patient summary as IPS document",
        operation="summary",
    ),
    Interaction(
        "summary",
        "POST",
        "Patient/{id}/$summary",
        "r",
        ("Patient",),
        "Patient summary as IPS document",
        operation="summary",
    ),
    Interaction(
        "summary", "POST", "Patient/$summary", "r", ("Patient",), "Patient summary by identifier", operation="summary"
    ),
    Interaction("match", "POST", "Patient/$match", "s", ("Patient",), "A certain match or nothing", operation="match"),
    Interaction(
        "can-access",
        "POST",
        "Patient/$can-access",
        "s",
        ("Patient",),
        "What could I see of this patient, and why not",
        operation="can-access",
    ),
    Interaction(
        "can-access",
        "GET",
        "Patient/{id}/$can-access",
        "s",
        ("Patient",),
        "What could I see of this patient, and why not",
        operation="can-access",
    ),
    Interaction(
        "validate",
        "POST",
        "{type}/$validate",
        "",
        VALIDATED,
        "What profiles have against a resource; nothing is kept",
        operation="validate",
    ),
    Interaction("search-type", "GET", "{type}", "s", CLINICAL, "Search within one patient"),
    Interaction(
        "search-type", "POST", "{type}/_search", "s", CLINICAL, "Search within one patient, identifiers in the body"
    ),
    Interaction("read", "GET", "{type}/{id}", "r", CLINICAL, "Read one resource by id"),
    Interaction(
        "search-type", "GET", "AuditEvent", "s", ("AuditEvent",), "Search the log of one's own organization (ITI-81)"
    ),
    Interaction("search-type", "POST", "AuditEvent", "s", ("AuditEvent",), "Search the log, identifiers in the body"),
    Interaction(
        "search-type", "POST", "AuditEvent/_search", "s", ("AuditEvent",), "Search the log, identifiers in the body"
    ),
    Interaction("read", "GET", "AuditEvent/{id}", "r", ("AuditEvent",), "Read one event of the log"),
    Interaction("create", "POST", "Task", "c", ("Task",), "Open a case"),
    Interaction("read-owned", "GET", "Task/{id}", "r", ("Task",), "Read a case"),
    Interaction("update", "PUT", "Task/{id}", "u", ("Task",), "Close a case"),
    Interaction("create", "POST", "Consent", "c", ("Consent",), "Record a privacy consent"),
    Interaction("update", "PUT", "Consent/{id}", "u", ("Consent",), "Change or withdraw a privacy consent"),
    Interaction("create", "POST", "Contract", "c", ("Contract",), "Propose an agreement"),
    Interaction("read-owned", "GET", "Contract/{id}", "r", ("Contract",), "Read an agreement"),
    Interaction("update", "PUT", "Contract/{id}", "u", ("Contract",), "Decide on an agreement, or end it"),
    Interaction("create", "POST", "{type}", "c", RELATION_TYPES, "Tell who treats a patient"),
    Interaction("update", "PUT", "{type}/{id}", "u", RELATION_TYPES, "Change or end who treats a patient"),
    Interaction("create", "POST", "List", "c", ("List",), "Register that a custodian holds data (NVI shape)"),
    Interaction("delete", "DELETE", "List/{id}", "d", ("List",), "Withdraw a registration"),
)


_READ_RELATION: Final = Interaction("read-owned", "GET", "{type}/{id}", "r", RELATION_TYPES, "Read who treats a patient")
_READ_CONSENT: Final = Interaction("read-owned", "GET", "Consent/{id}", "r", ("Consent",), "Read a privacy consent")


@dataclass(frozen=True, slots=True)
class Route:
    """The matched row with what stood in its braces."""

    interaction: Interaction
    type: str
    id: str = ""


def _rows() -> dict[tuple[str, ...], dict[str, Interaction]]:
    rows: dict[tuple[str, ...], dict[str, Interaction]] = {}
    for row in TABLE:
        segments = row.path.split("/")
        for type_ in row.types or ("",):
            key = tuple(segment.replace("{type}", type_) for segment in segments)
            rows.setdefault(key, {}).setdefault(row.method, row)
    return rows


_ROWS: Final = _rows()
_TYPES: Final = frozenset(key[0] for key in _ROWS)


def route(method: str, path: str) -> Route:
    """Match a path below the FHIR base.

    INVARIANT: everything after this point decides on the route, never on the path again.

    Raises:
        Invalid: `not-found` for an unknown type or path, `method-not-allowed` for a known one.
    """
    segments = tuple(path.split("/"))
    found, identifier = _ROWS.get(segments), ""
    if found is None and len(segments) in (2, 3):
        identifier = segments[1]
        found = _ROWS.get((segments[0], "{id}", *segments[2:]))
    if found is None:
        raise Invalid("not-found", what="this path" if segments[0] in _TYPES else "this resource type or path")
    row = found.get(method) or (found.get("GET") if method == "HEAD" else None)
    if row is None:
        raise Invalid(
            "method-not-allowed", method=method if method.isalpha() else "this method", allowed=", ".join(sorted(found))
        )
    if row.name == "read" and identifier.startswith("consent-"):
        row = _READ_CONSENT  # a privacy consent is the gateway's own; a treatment directive is a clinical item
    if row.name == "read" and segments[0] in RELATION_TYPES and identifier.startswith("relation-"):
        row = _READ_RELATION  # who treats whom is the gateway's own; a contact that a source knows is a clinical item
    return Route(row, segments[0], identifier)
