"""Privacy consents kept by the gateway: opening is hard, closing is easy (rule C6); in force from the next decision."""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import Final

from consent.agreement import in_force
from consent.model import ANY, Case, Statement
from consent.provisions import check_consent, statements_from_consent
from consent.roles import role_of
from gateway.errors import Invalid, Refused
from gateway.fhir.reading import resource_body
from gateway.intake.write import Write, expected_version, kept, known_patient, subject
from gateway.model import Json, Outgoing, Patient, instant
from profiles import exact

_TALK: Final = timedelta(hours=1)  # between the talk and its record
_SKEW: Final = timedelta(seconds=60)


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
    return await _keep(write, write.id, expected_version(write.incoming), owner)


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
    write.record.patient = known_patient(found[2], write.ports)
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
    _may_write(write)
    for statement in statements:
        if statement.effect == "permit":
            await _may_open(write, statement, patient)
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
    write.record.object = f"Consent/{id_}/_history/{version}"
    await write.record.intent([])
    await ports.consents.put(id_, expected, exact.encode(consent), patient.id, statements)
    return kept(consent, 201 if expected is None else 200, ports.settings.gateway.base, version)


def _may_write(write: Write) -> None:
    """A professional records what a patient says, in a role that does so; a system only for its own organization."""
    requester = write.caller.requester
    role = role_of(requester.role) if requester.role else None
    if requester.person and (role is None or not role.may_write("Consent")):
        raise Refused("role-refused", role=requester.role or "?", why="it may not write this resource type")


async def _may_open(write: Write, statement: Statement, patient: Patient) -> None:
    """Refuse a permit that this organization may not record.

    The custodian for its own data, or a coordinator who just asked the patient, in the case at hand (rule B2).

    Raises:
        Refused: `write-refused`, and the way out.
    """
    own = write.caller.requester.organization
    if statement.source == "patient-asked":
        await _may_ask(write, statement, patient)
    elif statement.custodian != own:
        raise Refused("write-refused", why="only the custodian itself records a permit for its data")
    elif statement.source == "implied" and statement.requesters <= {own}:
        raise Refused("write-refused", why="an implied consent names the organization the patient is referred to")


async def _may_ask(write: Write, statement: Statement, patient: Patient) -> None:
    requester, now = write.caller.requester, write.ports.now()
    if statement.said is None or not now - _TALK <= statement.said <= now + _SKEW:
        raise Refused("write-refused", why="the patient is asked now: dateTime lies more than an hour back or ahead")
    if statement.requesters != {requester.organization}:
        raise Refused("write-refused", why="a spoken yes names the asking organization as its one recipient (IRCP)")
    found = [await write.ports.cases.get(one) for one in statement.cases]
    if not found or not all(one is not None and _is_mine(one[0], write, patient) for one in found):
        raise Refused("case-refused", why="a patient is asked within an open case of your own about this patient")
    accepting = any(
        one.patient_asked
        and in_force(one, now)
        and {requester.organization, ANY} & one.requesters
        and {statement.custodian, ANY} & one.custodians
        for one in write.ports.policy.agreements
    )
    if not accepting:
        raise Refused("write-refused", why="the agreement with this custodian does not accept a spoken yes")


def _is_mine(case: Case, write: Write, patient: Patient) -> bool:
    requester, now = write.caller.requester, write.ports.now()
    return (
        case.patient == patient.id
        and (case.client, case.person) == (requester.client, requester.person)
        and case.opened <= now < case.expires
        and (case.closed is None or case.closed > now)
    )


def _statements(consent: Json, patient: str, id_: str, version: int) -> tuple[Statement, ...]:
    return statements_from_consent(consent, patient=patient, consent_id=id_, version=version)


def _recorder(consent: Json) -> str:
    return str((consent.get("meta") or {}).get("source", "")).removeprefix("urn:roaz:ura:")
