"""Privacy consents kept by the gateway: opening is hard, closing is easy (rule C6); in force from the next decision."""

from __future__ import annotations

import re
import secrets

from consent.model import Statement
from consent.provisions import check_consent, statements_from_consent
from gateway.errors import Invalid, Refused
from gateway.fhir.reading import resource_body
from gateway.intake.write import Write, kept, subject
from gateway.model import Json, Outgoing, instant
from profiles import exact


async def create(write: Write) -> Outgoing:
    """Record a Consent of scope patient-privacy.

    Raises:
        Invalid: `invalid-resource`, naming the element and the rule.
        Refused: `write-refused` when it would open another custodian's data.
    """
    return await _keep(write, f"consent-{secrets.token_hex(12)}", None)


async def update(write: Write) -> Outgoing:
    """Replace a Consent (withdraw it with status inactive); needs If-Match with the version that was read.

    Raises:
        Invalid: `not-found`, `conflict`, `invalid-resource`.
        Refused: `write-refused`.
    """
    _, _, owner = await _own(write)
    match = re.fullmatch(r'(?:W/)?"(\d{1,9})"', write.incoming.header(b"if-match"))
    if match is None:
        raise Invalid("conflict", why='give If-Match: W/"<version>" of the version you read')
    return await _keep(write, write.id, int(match[1]), owner)


async def read(write: Write) -> Outgoing:
    """Read a Consent: by the custodians it binds, and by whoever recorded it."""
    version, raw, _ = await _own(write)
    return Outgoing(200, raw, headers=(("etag", f'W/"{version}"'),))


async def _own(write: Write) -> tuple[int, bytes, str]:
    """The kept version, bytes and patient of a consent.

    INVARIANT: to anybody else it does not exist: an objection of the patient cannot be ended from elsewhere (rule C6).
    """
    found = await write.ports.consents.get(write.id)
    if found is None:
        raise Invalid("not-found", what="this consent")
    consent = exact.decode(found[1])
    # A withdrawn consent says nothing any more, and still is of those it was about.
    bound = {statement.custodian for statement in _statements(consent | {"status": "active"}, "", write.id, found[0])}
    if write.caller.requester.organization not in bound | {_recorder(consent)}:
        raise Invalid("not-found", what="this consent")
    return found


async def _keep(write: Write, id_: str, expected: int | None, owner: str = "") -> Outgoing:
    ports, requester = write.ports, write.caller.requester
    consent = resource_body(write.incoming, "Consent")
    for expression, why in check_consent(consent):
        raise Invalid("invalid-resource", expression=expression, why=why)
    patient = subject(consent, "patient", ports)
    write.record.patient = patient
    if owner and owner != patient.id:
        raise Invalid("invalid-resource", expression="Consent.patient", why="a consent stays with its patient")
    version = 1 if expected is None else expected + 1
    statements = _statements(consent, patient.id, id_, version)
    for statement in statements:
        if statement.effect == "permit" and statement.custodian != requester.organization:
            raise Refused("write-refused", why="only the custodian itself records a permit for its data")
    now = instant(ports.now())
    consent |= {
        "id": id_,
        "patient": {"reference": f"Patient/{patient.id}"},
        "meta": {
            **(consent.get("meta") or {}),
            "versionId": str(version),
            "lastUpdated": now,
            "source": f"urn:roaz:ura:{requester.organization}",
        },
    }
    await write.record.intent([])
    await ports.consents.put(id_, expected, exact.encode(consent), patient.id, statements)
    return kept(consent, 201 if expected is None else 200, ports.settings.gateway.base, version)


def _statements(consent: Json, patient: str, id_: str, version: int) -> tuple[Statement, ...]:
    return statements_from_consent(consent, patient=patient, consent_id=id_, version=version)


def _recorder(consent: Json) -> str:
    return str((consent.get("meta") or {}).get("source", "")).removeprefix("urn:roaz:ura:")
