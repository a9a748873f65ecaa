"""Requests to try, made from the table of interactions, in the .http format that editors run."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import resources
from typing import Any, Final

from gateway.fhir.capability import rows_of, types
from gateway.fhir.interactions import Interaction

_HEAD: Final = """\
# Requests to try, made from the table of interactions: docs/examples.http is written by `python -m tests.documentation`.
# `gateway demo --json` prints a token per role, and persons with BSN and birth date; {{{{patient}}}} is the id Patient/_search
# gives, {{{{id}}}} that of an item an answer holds. Cases are opened by a coordinator, the log is read by an auditor, agreements are
# kept by an administrator; consents, registrations and who treats whom are told by the custodian, whose URA is {{{{ura}}}}.
@base = {base}/fhir
@token = paste-a-token
@bsn = 999990019
@birthDate = 1954-03-12
@patient = paste-an-id
@id = paste-an-id
@ura = paste-a-ura
@other = paste-the-ura-of-another
"""


def examples(base: str) -> str:
    """Every interaction of the table as a request."""
    parts = [_HEAD.format(base=base)]
    for type_ in ("", *types()):
        parts += [_request(row, type_) for row in rows_of(type_)]
    return "\n".join(parts)


def _request(row: Interaction, type_: str) -> str:
    path = row.path.replace("{type}", type_)
    path = path.replace("{id}", "{{patient}}" if type_ in ("Patient", "Composition") else "{{id}}")
    path = path.replace("{version}", "1") + _query(row, type_)
    lines = [f"### {row.summary}", f"{row.method} {{{{base}}}}{'/' + path if path else ''}"]
    if not row.public:
        lines.append("Authorization: Bearer {{token}}")
    lines.append("Accept: application/fhir+json")
    body = _body(row, type_)
    if row.method == "PUT" and type_ != "Task":
        lines.append('If-Match: W/"1"')
    if body:
        kind = "application/x-www-form-urlencoded" if row.body == "form" else "application/fhir+json"
        lines += [f"Content-Type: {kind}", "", body]
    return "\n".join(lines) + "\n"


def _query(row: Interaction, type_: str) -> str:
    if row.method != "GET":
        return ""
    if type_ == "AuditEvent" and row.name == "search-type":
        return "?date=ge2026-01-01&date=le2026-12-31"
    if row.name == "search-type":
        return "?_id={{patient}}" if type_ == "Patient" else "?patient={{patient}}"
    more = "&category=vital-signs" if row.name == "lastn" else ""
    return "?patient={{patient}}" + more if "patient" in row.parameters else ""


def _body(row: Interaction, type_: str) -> str:
    if row.body == "form":
        if type_ == "AuditEvent":
            return "date=ge2026-01-01&date=le2026-12-31"
        named = "identifier" if type_ == "Patient" else "patient.identifier"
        more = "&birthdate={{birthDate}}" if type_ == "Patient" else ""
        return f"{named}=http://fhir.nl/fhir/NamingSystem/bsn|{{{{bsn}}}}{more}"
    if not row.body:
        return ""
    bodies = _bodies()
    if row.operation in bodies:
        return str(bodies[row.operation])
    if row.body == "Parameters" and "{id}" in row.path:
        return str(bodies["by id"])
    name = type_ if row.body == "{type}" else row.body
    changed = bodies["update"].get(name) if row.name == "update" else None
    return str(changed or bodies.get(name, f'{{"resourceType": "{name}"}}'))


@cache
def _bodies() -> dict[str, Any]:
    return tomllib.loads((resources.files("gateway.routes.guide") / "bodies.toml").read_text("utf-8"))
