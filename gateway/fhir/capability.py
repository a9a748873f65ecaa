"""The CapabilityStatement, made from the same tables that route and refuse."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from html import escape
from importlib.resources import files
from typing import Final

import msgspec

from gateway.errors import Invalid
from gateway.fhir.interactions import OPERATIONS, SEARCHED, TABLE, VERSIONED, Interaction
from gateway.fhir.reading import accepts, url_parameters
from gateway.fhir.search import INCLUDES, PARAMETERS, REVINCLUDES, Parameter
from gateway.model import CANONICAL, Incoming, Json, Outgoing
from gateway.ports import Ports
from gateway.version import __version__
from profiles import exact

_LOG_PARAMETERS: Final = {"agent": "reference", "entity": "reference", "source": "reference", "organization": "token",
                          "patient": "reference", "patient.identifier": "token"}  # fmt: skip
_RELEASED: Final = "2026-11-22"
_NO_DOCUMENTS: Final[Mapping[str, str]] = {}
_MODES: Final = ("full", "normative", "terminology")
_CODES: Final = {"read-owned": "read"}
_ONE_PATIENT: Final = "One patient a request: give patient, or patient.identifier in the body of POST _search."
_RESULTS: Final = "_count, _sort, _total, _summary, _elements, _include, _revinclude, _has and chains"
_HEADERS: Final = (
    ("access-control-allow-origin", "*"),
    ("cache-control", "public, max-age=300"),
    ("vary", "Accept"),
)


def statement(incoming: Incoming, ports: Ports, issuer: str, documents: Mapping[str, str] = _NO_DOCUMENTS) -> Outgoing:
    """What this server can do. Public; leaves no record. Tokens come from the issuer, by whatever base it was asked.

    `documents` are the profiles a summary can be asked in: canonicals by name.

    Spec: FHIR R4 3.1.0.10 'capabilities'.
    """
    url = url_parameters(incoming)
    accepts(incoming, url)
    mode = next((value for name, value in url if name == "mode"), "full")
    if mode not in _MODES:
        raise Invalid("invalid-parameter", name="mode", why=f"one of {', '.join(_MODES)}")
    unknown = next((name for name, _ in url if name not in ("mode", "_format", "_pretty")), "")
    if unknown:
        raise Invalid("unknown-parameter", name=unknown[:40], type="metadata", known="mode, _format, _pretty")
    gateway = ports.settings.gateway
    said: Json = {
        "text": _narrative(gateway.name),
        "version": __version__,
        "name": "RoazGateway",
        "title": gateway.name,
        "status": "active",
        "date": _RELEASED,
        "publisher": gateway.operator or gateway.name,
        "kind": "instance",
        "software": {"name": "roaz-gateway", "version": __version__},
        "implementation": {"description": gateway.name, "url": f"{gateway.base}/fhir"},
    }
    if mode == "terminology":
        return Outgoing(200, exact.encode(_terminology(said)), headers=_HEADERS)
    rest = {
        "mode": "server",
        "documentation": f"{_ONE_PATIENT} A search takes {_RESULTS}; what it does not know is an error, unless "
        f"Prefer: handling=lenient. Guides: {gateway.base}/docs",
        "security": _security(issuer),
        "resource": msgspec.Raw(_resources()),
        "interaction": [{"code": row.name, "documentation": row.summary} for row in _of_system()],
    }
    body: Json = {
        "resourceType": "CapabilityStatement",
        "url": f"{CANONICAL}/CapabilityStatement/gateway",
        **said,
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json", "application/fhir+xml"],
        "rest": [rest],
    }
    if documents:
        body["document"] = [
            {"mode": "producer", "documentation": f"{name}, by Patient/$summary", "profile": canonical}
            for name, canonical in documents.items()
        ]
    return Outgoing(200, exact.encode(body), headers=_HEADERS)


def _of_system() -> list[Interaction]:
    return list({row.name: row for row in TABLE if row.name in ("batch", "search-system")}.values())


@cache
def _resources() -> bytes:
    """Everything about the types; it is the same as long as the process lives."""
    return exact.encode([_resource(type_) for type_ in types()])


def types() -> list[str]:
    """Every resource type the table names."""
    return sorted({type_ for row in TABLE for type_ in row.types})


def _resource(type_: str) -> Json:
    rows = [row for row in TABLE if type_ in row.types]
    codes = {_CODES.get(row.name, row.name) for row in rows if not row.operation}
    made: Json = {"type": type_}
    if profiles := _profiles().get(type_):
        made["supportedProfile"] = profiles
    if codes:  # a type that is only judged has operations and no interactions
        made["interaction"] = [{"code": code} for code in sorted(codes)]
    made["versioning"] = "versioned" if type_ in VERSIONED else "no-version"
    if "read" in codes:
        made["conditionalRead"] = "full-support"
    if "search-type" in codes:
        made |= {
            name: list(found)
            for name, table in (("searchInclude", INCLUDES), ("searchRevInclude", REVINCLUDES))
            if type_ in SEARCHED and (found := table.get(type_))
        }
        made["searchParam"] = parameters(type_)
    operations = sorted({row.operation for row in rows if row.operation})
    if operations:
        made["operation"] = [
            {"name": name, "definition": OPERATIONS[name].definition, "documentation": OPERATIONS[name].offered}
            for name in operations
        ]
    return made


def parameters(type_: str) -> list[Json]:
    """The search parameters of a type, each with the modifiers it takes."""
    found = {name: _parameter(name, row) for name, row in PARAMETERS.get(type_, {}).items()}
    if type_ == "AuditEvent":
        found |= {name: {"name": name, "type": kind} for name, kind in _LOG_PARAMETERS.items()}
    return [found[name] for name in sorted(found)]


def _parameter(name: str, row: Parameter) -> Json:
    made: Json = {"name": name, "type": row.kind}
    modifiers = ", ".join(f":{modifier}" for modifier in sorted(row.modifiers))
    if row.kind == "reference" and row.targets:
        modifiers += ", :[type]" if modifiers else ":[type]"
    if modifiers:
        made["documentation"] = f"Modifiers: {modifiers}"
    return made


@cache
def _profiles() -> dict[str, list[str]]:
    return tomllib.loads(files(__package__).joinpath("profiles.toml").read_text("utf-8"))


def _terminology(said: Json) -> Json:
    """This server expands and translates nothing; a code is judged within $validate only."""
    return {
        "resourceType": "TerminologyCapabilities",
        "url": f"{CANONICAL}/TerminologyCapabilities/gateway",
        **said,
        "lockedDate": False,
        "codeSearch": "explicit",
    }


def _narrative(name: str) -> Json:
    text = escape(f"{name}: FHIR R4 (4.0.1), SMART Backend Services, one patient a request for clinical types.")
    return {"status": "generated", "div": f'<div xmlns="http://www.w3.org/1999/xhtml"><p>{text}</p></div>'}


def _security(base: str) -> Json:
    # The extension demands an authorization endpoint, and nobody logs in at one here.
    unsupported = {"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unsupported"}
    uris = {
        "url": "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris",
        "extension": [
            {"url": "authorize", "_valueUri": {"extension": [unsupported]}},
            {"url": "token", "valueUri": f"{base}/oauth/token"},
            {"url": "introspect", "valueUri": f"{base}/oauth/introspect"},
            {"url": "revoke", "valueUri": f"{base}/oauth/revoke"},
        ],
    }
    service = {"system": "http://terminology.hl7.org/CodeSystem/restful-security-service", "code": "SMART-on-FHIR"}
    return {
        "extension": [uris],
        "cors": False,
        "service": [{"coding": [service], "text": "SMART Backend Services"}],
        "description": "SMART Backend Services; see .well-known/smart-configuration",
    }


def rows_of(type_: str) -> list[Interaction]:
    """The rows of the table for a type; those of no type for an empty one."""
    return [row for row in TABLE if (type_ in row.types if type_ else not row.types)]
