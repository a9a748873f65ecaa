"""One write, with everything its keeper may use, and how a kept resource is answered."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from gateway.audit.journal import Recorded
from gateway.errors import Invalid
from gateway.fhir.reading import patient_by
from gateway.model import Caller, Incoming, Json, Outgoing, Patient
from gateway.ports import Ports
from profiles import exact

_ETAG: Final = re.compile(r'(?:W/)?"(\d{1,9})"')


@dataclass(frozen=True, slots=True)
class Write:
    """One write by a caller whose scope covers it."""

    incoming: Incoming
    id: str
    caller: Caller
    record: Recorded
    ports: Ports


Keeper = Callable[[Write], Awaitable[Outgoing]]


def kept(resource: Json, status: int, base: str, version: int = 1) -> Outgoing:
    """The answer to a write: the resource as it is kept, where it is, and its version."""
    headers = [("etag", f'W/"{version}"')]
    if status == 201:
        headers.append(("location", f"{base}/fhir/{resource['resourceType']}/{resource['id']}/_history/{version}"))
    return Outgoing(status, exact.encode(resource), headers=tuple(headers))


def expected_version(incoming: Incoming) -> int:
    """The version a change is made to, as If-Match names it.

    Raises:
        Invalid: `conflict` when it names none: what one did not read one does not replace.
    """
    match = _ETAG.fullmatch(incoming.header(b"if-match"))
    if match is None:
        raise Invalid("conflict", why='give If-Match: W/"<version>" of the version you read')
    return int(match[1])


def known_patient(id_: str, ports: Ports) -> Patient:
    """The patient something kept is about, for the record."""
    return Patient(id_, *(ports.keys.patient_identifier(id_) or ("", "")))


def subject(resource: Json, element: str, ports: Ports) -> Patient:
    """The patient an element names, by identifier or by a patient id of this gateway.

    Raises:
        Invalid: `identifier-invalid` or `invalid-resource`, naming the element.
    """
    type_ = resource["resourceType"]
    value = resource.get(element)
    value = value if isinstance(value, dict) else {}
    reference = value.get("reference")
    if isinstance(reference, str):
        id_ = reference.removeprefix(f"{ports.settings.gateway.base}/fhir/").removeprefix("Patient/")
        known = ports.keys.patient_identifier(id_)
        if known is None:
            raise Invalid(
                "invalid-resource", expression=f"{type_}.{element}.reference", why="not a patient id of this gateway"
            )
        return Patient(id_, known[0], known[1])
    identifier = value.get("identifier")
    if not isinstance(identifier, dict):
        raise Invalid(
            "invalid-resource", expression=f"{type_}.{element}", why="name the patient by identifier (system, value)"
        )
    system, number = str(identifier.get("system", "")), str(identifier.get("value", ""))
    # A registration names no birth date; systems other than the BSN are found by it on asking.
    return patient_by(system, number, "1900-01-01", ports, f"{type_}.{element}.identifier")


def identifier_of(value: object, system: str) -> str:
    """The value of a logical reference's identifier in this system, empty when it is not that."""
    identifier = value.get("identifier") if isinstance(value, dict) else None
    if isinstance(identifier, dict) and identifier.get("system") == system:
        return str(identifier.get("value", ""))
    return ""
