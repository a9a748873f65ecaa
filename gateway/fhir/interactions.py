"""THE table of interactions: it drives routing, scopes, the CapabilityStatement, OpenAPI and the documentation."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from gateway.errors import Invalid
from gateway.fhir.types import CLINICAL, RENAMED, SEARCHED, VALIDATED, VERSIONED

__all__ = [
    "CLINICAL",
    "OPERATIONS",
    "RELATION_TYPES",
    "SEARCHED",
    "TABLE",
    "VALIDATED",
    "VERSIONED",
    "Interaction",
    "Route",
    "route",
]

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
    parameters: tuple[str, ...] = ()  # of the URL; those of a search are in the table of search parameters
    body: str = ""  # what a body is: a resource type, "{type}" for that of the path, or "form"


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation beyond REST: where it is defined, and what of it is offered here."""

    definition: str
    offered: str


_OWN: Final = "https://roaz-gateway.example/fhir/OperationDefinition"
OPERATIONS: Final[Mapping[str, Operation]] = {
    "summary": Operation(
        "http://hl7.org/fhir/uv/ips/OperationDefinition/summary",
        "by id, or by identifier in the body; `profile` chooses IPS, EPS, NL-PS, BgZ or GP, by canonical or name",
    ),
    "everything": Operation(
        "http://hl7.org/fhir/OperationDefinition/Patient-everything",
        "of one patient; start, end, _since, _type; pages when _count is given",
    ),
    "match": Operation("http://hl7.org/fhir/OperationDefinition/Patient-match", "a certain match or nothing"),
    "lastn": Operation(
        "http://hl7.org/fhir/OperationDefinition/Observation-lastn",
        "max of each code, newest first; give category or code; every other search parameter of Observation",
    ),
    "docref": Operation(
        "http://hl7.org/fhir/uv/ipa/OperationDefinition/docref",
        "documents of the sources, and the summary as a document made on demand",
    ),
    "document": Operation(
        "http://hl7.org/fhir/OperationDefinition/Composition-document",
        "the summary of a patient as a document, by the id of the patient; it is made anew and not kept",
    ),
    "validate": Operation(
        "http://hl7.org/fhir/OperationDefinition/Resource-validate",
        "on the type, with the resource in the body; nothing is kept",
    ),
    "can-access": Operation(f"{_OWN}/can-access", "what could I see of this patient now, and why not"),
}

_EVERYTHING: Final = ("start", "end", "_since", "_type", "_count")
_DOCREF: Final = ("patient", "start", "end", "type", "on-demand", "profile")
_LASTN: Final = ("patient", "max", "code", "category")
_PREFLIGHT: Final = ("type", "category")
_PREFLIGHT_TEXT: Final = "What could I see of this patient, and why not"
_SUMMARY: Final = "Patient summary as IPS document"
_MANY: Final = "Everything of one patient"
_LAST: Final = "The newest observations of each code"
_DOCUMENT: Final = "The summary of a patient as a document"
_SEVERAL: Final = "Search several types at once within one patient, by parameters they all have"
_FIND: Final = "Find documents of a patient, made on demand as well"


def _operation(
    name: str, method: str, path: str, action: str, summary: str, parameters: tuple[str, ...] = (), body: str = ""
) -> Interaction:
    return Interaction(
        name,
        method,
        path,
        action,
        (path.split("/", maxsplit=1)[0],),
        summary,
        operation=name,
        parameters=parameters,
        body=body,
    )


_GIVEN: Final = "Parameters"
TABLE: Final = (
    Interaction(
        "capabilities", "GET", "metadata", "", (), "What this server can do", public=True, parameters=("mode",)
    ),
    Interaction(
        "smart-configuration", "GET", ".well-known/smart-configuration", "", (), "Where to get a token", public=True
    ),
    Interaction("batch", "POST", "", "", (), "Several interactions at once, each by itself", body="Bundle"),
    _operation("summary", "GET", "Patient/{id}/$summary", "r", _SUMMARY, ("profile",)),
    _operation("summary", "POST", "Patient/{id}/$summary", "r", _SUMMARY, ("profile",), _GIVEN),
    _operation("summary", "POST", "Patient/$summary", "r", "Patient summary by identifier", ("profile",), _GIVEN),
    _operation("everything", "GET", "Patient/{id}/$everything", "r", _MANY, _EVERYTHING),
    _operation("everything", "POST", "Patient/{id}/$everything", "r", _MANY, _EVERYTHING, _GIVEN),
    _operation("match", "POST", "Patient/$match", "s", "A certain match or nothing", (), _GIVEN),
    _operation("can-access", "POST", "Patient/$can-access", "s", _PREFLIGHT_TEXT, _PREFLIGHT, _GIVEN),
    _operation("can-access", "GET", "Patient/$can-access", "s", _PREFLIGHT_TEXT, ("patient", *_PREFLIGHT)),
    _operation("can-access", "GET", "Patient/{id}/$can-access", "s", _PREFLIGHT_TEXT, _PREFLIGHT),
    _operation("can-access", "POST", "Patient/{id}/$can-access", "s", _PREFLIGHT_TEXT, _PREFLIGHT, _GIVEN),
    _operation("lastn", "GET", "Observation/$lastn", "s", _LAST, _LASTN),
    _operation("lastn", "POST", "Observation/$lastn", "s", _LAST, _LASTN, _GIVEN),
    _operation("docref", "GET", "DocumentReference/$docref", "s", _FIND, _DOCREF),
    _operation("docref", "POST", "DocumentReference/$docref", "s", _FIND, _DOCREF, _GIVEN),
    _operation("document", "GET", "Composition/{id}/$document", "r", _DOCUMENT, ("profile",)),
    _operation("document", "POST", "Composition/{id}/$document", "r", _DOCUMENT, ("profile",), _GIVEN),
    Interaction(
        "validate",
        "POST",
        "{type}/$validate",
        "",
        VALIDATED,
        "What profiles have against a resource; nothing is kept",
        operation="validate",
        parameters=("profile", "mode"),
        body="{type}",
    ),
    Interaction("search-type", "GET", "{type}", "s", SEARCHED, "Search within one patient"),
    Interaction(
        "search-type",
        "POST",
        "{type}/_search",
        "s",
        SEARCHED,
        "Search within one patient, identifiers in the body",
        body="form",
    ),
    Interaction("search-system", "GET", "", "s", (), _SEVERAL, parameters=("patient", "_type")),
    Interaction("search-system", "POST", "_search", "s", (), _SEVERAL, parameters=("_type",), body="form"),
    Interaction("read", "GET", "{type}/{id}", "r", SEARCHED, "Read one resource by id"),
    Interaction(
        "search-type", "GET", "AuditEvent", "s", ("AuditEvent",), "Search the log of one's own organization (ITI-81)"
    ),
    Interaction(
        "search-type",
        "POST",
        "AuditEvent",
        "s",
        ("AuditEvent",),
        "Search the log, identifiers in the body",
        body="form",
    ),
    Interaction(
        "search-type",
        "POST",
        "AuditEvent/_search",
        "s",
        ("AuditEvent",),
        "Search the log, identifiers in the body",
        body="form",
    ),
    Interaction("read", "GET", "AuditEvent/{id}", "r", ("AuditEvent",), "Read one event of the log"),
    Interaction(
        "vread", "GET", "{type}/{id}/_history/{version}", "r", VERSIONED, "Read the newest version by its number"
    ),
    Interaction("create", "POST", "Task", "c", ("Task",), "Open a case", body="Task"),
    Interaction("read-owned", "GET", "Task/{id}", "r", ("Task",), "Read a case"),
    Interaction("update", "PUT", "Task/{id}", "u", ("Task",), "Close a case", body="Task"),
    Interaction("create", "POST", "Consent", "c", ("Consent",), "Record a privacy consent", body="Consent"),
    Interaction(
        "update", "PUT", "Consent/{id}", "u", ("Consent",), "Change or withdraw a privacy consent", body="Consent"
    ),
    Interaction("create", "POST", "Contract", "c", ("Contract",), "Propose an agreement", body="Contract"),
    Interaction("read-owned", "GET", "Contract/{id}", "r", ("Contract",), "Read an agreement"),
    Interaction(
        "update", "PUT", "Contract/{id}", "u", ("Contract",), "Decide on an agreement, or end it", body="Contract"
    ),
    Interaction("create", "POST", "{type}", "c", RELATION_TYPES, "Tell who treats a patient", body="{type}"),
    Interaction(
        "update", "PUT", "{type}/{id}", "u", RELATION_TYPES, "Change or end who treats a patient", body="{type}"
    ),
    Interaction(
        "create", "POST", "List", "c", ("List",), "Register that a custodian holds data (NVI shape)", body="List"
    ),
    Interaction("delete", "DELETE", "List/{id}", "d", ("List",), "Withdraw a registration"),
)


_READ_RELATION: Final = Interaction(
    "read-owned", "GET", "{type}/{id}", "r", RELATION_TYPES, "Read who treats a patient"
)
_READ_CONSENT: Final = Interaction("read-owned", "GET", "Consent/{id}", "r", ("Consent",), "Read a privacy consent")
_VERSION: Final = "_history"
_ID: Final = re.compile(r"[A-Za-z0-9\-.]{1,64}")  # FHIR R4 2.24.0.1 'id'


@dataclass(frozen=True, slots=True)
class Route:
    """The matched row with what stood in its braces."""

    interaction: Interaction
    type: str
    id: str = ""
    version: str = ""


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
    if segments[0] in RENAMED:
        segments = (RENAMED[segments[0]], *segments[1:])
    found, identifier = _ROWS.get(segments), ""
    if found is None and len(segments) in (2, 3) and _ID.fullmatch(segments[1]):
        identifier = segments[1]
        found = _ROWS.get((segments[0], "{id}", *segments[2:]))
    version = ""
    if found is None and len(segments) == 4 and segments[2] == _VERSION and _ID.fullmatch(segments[1]):
        identifier, version = segments[1], segments[3]
        found = _ROWS.get((segments[0], "{id}", _VERSION, "{version}"))
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
    return Route(row, segments[0] if row.types else "", identifier, version)
