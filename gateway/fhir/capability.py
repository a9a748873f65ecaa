"""The CapabilityStatement, made from the same tables that route and refuse."""

from __future__ import annotations

from typing import Final

from gateway.errors import Invalid
from gateway.fhir.interactions import CLINICAL, TABLE
from gateway.fhir.reading import accepts, url_parameters
from gateway.fhir.search import PARAMETERS
from gateway.model import CANONICAL, Incoming, Json, Outgoing
from gateway.ports import Ports
from gateway.version import __version__
from profiles import exact

_PATIENT_PARAMETERS: Final = (("identifier", "token"), ("birthdate", "date"))
_LOG_PARAMETERS: Final = {"agent": "reference", "entity": "reference", "source": "reference", "organization": "token",
                          "patient.identifier": "token"}  # fmt: skip
_OPERATIONS: Final = {
    "summary": "http://hl7.org/fhir/uv/ips/OperationDefinition/summary",
    "match": "http://hl7.org/fhir/OperationDefinition/Patient-match",
    "validate": "http://hl7.org/fhir/OperationDefinition/Resource-validate",
    "can-access": f"{CANONICAL}/OperationDefinition/can-access",
}
_RELEASED: Final = "2026-11-22"


def statement(incoming: Incoming, ports: Ports) -> Outgoing:
    """What this server can do. Public; leaves no record.

    Spec: FHIR R4 3.1.0.10 'capabilities'.
    """
    url = url_parameters(incoming)
    accepts(incoming, url)
    if any(name == "mode" and value not in {"full", "normative"} for name, value in url):
        raise Invalid("invalid-parameter", name="mode", why="only mode=full is offered")
    gateway = ports.settings.gateway
    body: Json = {
        "resourceType": "CapabilityStatement",
        "url": f"{CANONICAL}/CapabilityStatement/gateway",
        "version": __version__,
        "name": "RoazGateway",
        "title": gateway.name,
        "status": "active",
        "date": _RELEASED,
        "publisher": gateway.operator or gateway.name,
        "kind": "instance",
        "software": {"name": "roaz-gateway", "version": __version__},
        "implementation": {"description": gateway.name, "url": f"{gateway.base}/fhir"},
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json", "application/fhir+xml"],
        "rest": [
            {
                "mode": "server",
                "documentation": "One patient a request for clinical types; identifiers in bodies only.",
                "security": _security(gateway.base),
                "resource": [_resource(type_) for type_ in _types()],
            }
        ],
    }
    headers = (("access-control-allow-origin", "*"), ("cache-control", "public, max-age=300"), ("vary", "Accept"))
    return Outgoing(200, exact.encode(body), headers=headers)


def _types() -> list[str]:
    return sorted({type_ for row in TABLE for type_ in row.types})


def _resource(type_: str) -> Json:
    rows = [row for row in TABLE if type_ in row.types]
    codes = {"read" if row.name == "read-owned" else row.name for row in rows if not row.operation}
    made: Json = {
        "type": type_,
        "versioning": "versioned" if type_ in ("Consent", "Contract") else "no-version",
    }
    if codes:  # a type that is only judged has operations and no interactions
        made["interaction"] = [{"code": code} for code in sorted(codes)]
    if type_ in CLINICAL or type_ in PARAMETERS:
        made["searchParam"] = _parameters(type_)
    operations = sorted({row.operation for row in rows if row.operation})
    if operations:
        made["operation"] = [{"name": name, "definition": _OPERATIONS[name]} for name in operations]
    return made


def _parameters(type_: str) -> list[Json]:
    kinds = {name: row.kind for name, row in PARAMETERS.get(type_, {}).items()}
    kinds |= dict(_PATIENT_PARAMETERS) if type_ == "Patient" else {"patient": "reference"}
    kinds |= _LOG_PARAMETERS if type_ == "AuditEvent" else {}
    return [{"name": name, "type": kind} for name, kind in sorted(kinds.items())]


def _security(base: str) -> Json:
    uris = {
        "url": "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris",
        "extension": [{"url": "token", "valueUri": f"{base}/oauth/token"}],
    }
    service = {"system": "http://terminology.hl7.org/CodeSystem/restful-security-service", "code": "SMART-on-FHIR"}
    return {
        "extension": [uris],
        "cors": False,
        "service": [{"coding": [service]}],
        "description": "SMART Backend Services; see .well-known/smart-configuration",
    }
