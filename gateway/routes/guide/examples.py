"""Requests to try, made from the table of interactions, in the .http format that editors run."""

from __future__ import annotations

from typing import Final

from gateway.fhir.capability import rows_of, types
from gateway.fhir.interactions import Interaction

_BODIES: Final = {
    "Parameters": '{"resourceType": "Parameters", "parameter": [{"name": "identifier", "valueIdentifier": '
    '{"system": "http://fhir.nl/fhir/NamingSystem/bsn", "value": "{{bsn}}"}}]}',
    "match": '{"resourceType": "Parameters", "parameter": [{"name": "resource", "resource": {"resourceType": "Patient", '
    '"identifier": [{"system": "http://fhir.nl/fhir/NamingSystem/bsn", "value": "{{bsn}}"}], '
    '"birthDate": "{{birthDate}}"}}]}',
    "Bundle": '{"resourceType": "Bundle", "type": "batch", "entry": [{"request": {"method": "GET", '
    '"url": "AllergyIntolerance?patient={{patient}}"}}]}',
    "everything": '{"resourceType": "Parameters", "parameter": [{"name": "_count", "valueInteger": 20}]}',
    "lastn": '{"resourceType": "Parameters", "parameter": [{"name": "patient", "valueString": "{{patient}}"}, '
    '{"name": "category", "valueString": "vital-signs"}]}',
    "docref": '{"resourceType": "Parameters", "parameter": [{"name": "patient", "valueId": "{{patient}}"}]}',
    "by id": '{"resourceType": "Parameters"}',
}
_HEAD: Final = """\
# Requests to try, made from the table of interactions: docs/examples.http is written by `python -m tests.documentation`.
# `gateway demo --json` prints a token, and persons with BSN and birth date; {{{{patient}}}} is the id Patient/_search gives.
@base = {base}/fhir
@token = paste-a-token
@bsn = 999990019
@birthDate = 1954-03-12
@patient = paste-an-id
@id = paste-an-id
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
    if row.operation in _BODIES:
        return _BODIES[row.operation]
    if row.body == "Parameters" and "{id}" in row.path:
        return _BODIES["by id"]
    name = type_ if row.body == "{type}" else row.body
    return _BODIES.get(name, f'{{"resourceType": "{name}"}}')
