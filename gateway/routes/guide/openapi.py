"""OpenAPI from the table of interactions: one light document per resource type, and one for what is of no type."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from gateway.errors import TABLE as ERRORS
from gateway.fhir.capability import parameters, rows_of, types
from gateway.fhir.interactions import Interaction
from gateway.fhir.types import SEARCHED
from gateway.version import __version__

Json = dict[str, Any]

_FHIR: Final = ("application/fhir+json", "application/fhir+xml")
_FORM: Final = "application/x-www-form-urlencoded"
_MADE: Final = {"create": "201", "delete": "204"}
_ALWAYS: Final = (400, 401, 403, 404, 406, 413, 414, 429, 431, 500, 503)
_WITH_BODY: Final = (409, 415, 422)
_ASKING: Final = (409, 504)
_OWN: Final = ("create", "update", "batch")
_RESULTS: Final = {
    "_count": "Items on a page, 1 to 500; without it nothing is paged",
    "_sort": "Names of parameters, - before one for descending",
    "_include": "Bring along what a reference leads to: Type:parameter",
    "_revinclude": "Bring along what refers to it: Type:parameter",
    "_elements": "Only these elements",
    "_summary": "true, text, data, count or false",
    "_total": "none, estimate or accurate",
}
_TEXTS: Final = {
    "start": "Care since this date",
    "end": "Care until this date",
    "_since": "Changed since this instant",
    "_type": "Resource types, with commas",
    "_count": "Items on a page, 1 to 500; without it nothing is paged",
    "profile": "Canonical URL of a profile",
    "mode": "full, normative or terminology; of $validate: create, update, delete or profile",
    "patient": "Id of the patient at this gateway",
    "max": "How many of each code; 1 without it",
    "on-demand": "true: only documents that are made on demand",
    "type": "A code, or system|code",
    "code": "A code, or system|code",
    "category": "A code, or system|code",
}


@cache
def document(type_: str, base: str) -> Json:
    """The OpenAPI document of a resource type; of what is of no type when it is empty."""
    rows = rows_of(type_)
    paths: Json = {}
    for row in rows:
        path = "/" + row.path.replace("{type}", type_)
        paths.setdefault(path, {}).setdefault(row.method.lower(), _operation(row, type_))
    made: Json = {
        "openapi": "3.1.0",
        "info": {
            "title": f"ROAZ FHIR gateway: {type_ or 'server'}",
            "version": __version__,
            "summary": "FHIR R4; the CapabilityStatement at /metadata says the same for FHIR clients",
        },
        "servers": [{"url": f"{base}/fhir"}],
        "security": [{"backend": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"backend": _security(base)},
            "schemas": {"Resource": _resource("")},
            "responses": {str(status): _error(status) for status in sorted({row.status for row in ERRORS.values()})},
        },
    }
    if not type_:
        made["tags"] = [
            {"name": name, "externalDocs": {"url": f"{base}/openapi/{name}.json", "description": "its own document"}}
            for name in types()
        ]
    return made


def _operation(row: Interaction, type_: str) -> Json:
    made: Json = {
        "operationId": f"{row.method.lower()}-{row.path.replace('{type}', type_) or row.name}".replace("/", "-"),
        "summary": row.summary,
        "tags": [type_ or "server"],
        "parameters": [*_of_path(row), *_of_url(row, type_)],
        "responses": _responses(row),
    }
    if row.action:
        made["description"] = f"Scope: system/{type_ or '*'}.{row.action} (or user/)"
    if row.public:
        made["security"] = []
    if row.body:
        made["requestBody"] = _body(row, type_)
    return made


def _of_path(row: Interaction) -> list[Json]:
    names = [name for name in ("id", "version") if f"{{{name}}}" in row.path]
    schema = {"type": "string", "pattern": r"^[A-Za-z0-9\-.]{1,64}$"}
    return [{"name": name, "in": "path", "required": True, "schema": schema} for name in names]


def _of_url(row: Interaction, type_: str) -> list[Json]:
    found = [_parameter(name, _TEXTS.get(name, "")) for name in row.parameters]
    if row.name == "search-type" and row.method == "GET":
        found += [_parameter(one["name"], one.get("documentation", ""), one["type"]) for one in parameters(type_)]
        found += [_parameter(name, text) for name, text in _RESULTS.items() if type_ in SEARCHED]
    if row.name != "smart-configuration":
        found += [_parameter("_format", "json or xml, as Accept would say it"), _parameter("_pretty", "true: indented")]
    if row.name == "update":
        found.append({"name": "If-Match", "in": "header", "schema": {"type": "string"}, "description": "ETag you read"})
    return found


def _parameter(name: str, text: str, kind: str = "") -> Json:
    made: Json = {"name": name, "in": "query", "schema": {"type": "string"}}
    told = " ".join(part for part in (f"({kind})" if kind else "", text) if part)
    return made | ({"description": told} if told else {})


def _body(row: Interaction, type_: str) -> Json:
    if row.body == "form":
        properties = {one["name"]: {"type": "string"} for one in parameters(type_)}
        return {"content": {_FORM: {"schema": {"type": "object", "properties": properties}}}}
    name = type_ if row.body == "{type}" else row.body
    return {"content": {kind: {"schema": _resource(name)} for kind in _FHIR}}


def _resource(name: str) -> Json:
    """A resource by its name only: what is in it is told by FHIR, and a tool that shows all of it crawls."""
    kind: Json = {"const": name} if name else {"type": "string"}
    made: Json = {"type": "object", "required": ["resourceType"], "properties": {"resourceType": kind}}
    if name:
        made["externalDocs"] = {"url": f"http://hl7.org/fhir/R4/{name.lower()}.html"}
    return made


def _responses(row: Interaction) -> Json:
    good = _MADE.get(row.name, "200")
    made: Json = {good: {"description": "Done"}}
    if good != "204":
        kinds = ("application/json",) if row.name == "smart-configuration" else _FHIR
        made[good]["content"] = {kind: {"schema": {"$ref": "#/components/schemas/Resource"}} for kind in kinds}
    if row.method == "GET" and row.name in ("read", "read-owned", "vread", "capabilities", "smart-configuration"):
        made["304"] = {"description": "Not changed since the ETag or date given"}
    statuses = {*_ALWAYS, *(_WITH_BODY if row.body else ()), *(() if row.public else _ASKING)}
    statuses |= {501} if row.name in _OWN else set()
    return made | {str(status): {"$ref": f"#/components/responses/{status}"} for status in sorted(statuses)}


def _error(status: int) -> Json:
    codes = sorted(code for code, row in ERRORS.items() if row.status == status and not code.startswith("oauth-"))
    content = {kind: {"schema": _resource("OperationOutcome")} for kind in _FHIR}
    return {"description": "OperationOutcome with code " + (", ".join(codes) or "of RFC 6749"), "content": content}


def _security(base: str) -> Json:
    return {
        "type": "oauth2",
        "description": "SMART Backend Services: client_credentials with private_key_jwt",
        "flows": {
            "clientCredentials": {
                "tokenUrl": f"{base}/oauth/token",
                "scopes": {"system/*.rs": "read and search, as agreements and consent allow"},
            }
        },
    }
