"""Cases of coordinators (rule B1): a FHIR Task opens one, for one patient, on behalf of one organization, for a day."""

from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from consent.model import Case
from gateway.errors import Invalid, Refused
from gateway.fhir.reading import resource_body
from gateway.intake.write import Write, identifier_of, kept, known_patient, subject
from gateway.model import CANONICAL, HELD_KINDS, Json, Outgoing, instant
from gateway.ports import Ports
from gateway.pushed import CaseEnd
from profiles import exact
from profiles.identifiers import URA_SYSTEM

ORIGIN_SYSTEM: Final = f"{CANONICAL}/CodeSystem/case-origin"
ORIGINS: Final = ("caller", "professional", "dispatch")
_ENDED: Final = {"completed", "cancelled", "failed", "rejected", "entered-in-error"}


async def open_case(write: Write) -> Outgoing:
    """Open a case.

    Raises:
        Invalid: `invalid-resource` naming the element: origin, patient, reason, responsible professional.
        Refused: `person-required`, or `write-refused` on behalf of another organization.
    """
    ports, caller = write.ports, write.caller
    if caller.requester.person is None:
        raise Refused("person-required")
    task = resource_body(write.incoming, "Task")
    origin = _origin(task)
    patient = subject(task, "for", ports)
    write.record.patient = patient
    organization = identifier_of(task.get("owner"), URA_SYSTEM) or caller.requester.organization
    if organization != caller.requester.organization:
        raise Refused("write-refused", why="a case is opened on behalf of the organization in the token")
    _needed(task, "reasonCode", "say why in reasonCode.text")
    _needed(task, "requester", "name the responsible professional or the person who asks in requester")
    now = ports.now()
    id_ = f"case-{secrets.token_hex(12)}"
    expires = now + timedelta(hours=ports.settings.consent.case_hours)
    case = Case(id_, origin, organization, patient.id, now, expires, caller.requester.client, caller.requester.person)
    task |= {
        "id": id_,
        "status": "in-progress",
        "intent": task.get("intent") or "order",
        "for": {"reference": f"Patient/{patient.id}"},
        "owner": {"identifier": {"system": URA_SYSTEM, "value": organization}},
        "authoredOn": task.get("authoredOn") or instant(now),
        "restriction": {"period": {"start": instant(now), "end": instant(expires)}},
        "meta": {"versionId": "1", "lastUpdated": instant(now)},
    }
    write.record.case = id_
    await write.record.intent([])
    await ports.cases.put(case, exact.encode(task))
    await _retain(case, expires, ports)
    return kept(task, 201, ports.settings.gateway.base)


async def read(write: Write) -> Outgoing:
    """Read one's own case."""
    case, raw = await _own(write)
    write.record.case = case.id
    return Outgoing(200, raw)


async def close(write: Write) -> Outgoing:
    """Close a case by giving its Task an end status; access under it ends at once.

    Raises:
        Invalid: `invalid-resource` for any other change; a case is not rewritten.
    """
    case, raw = await _own(write)
    wanted = resource_body(write.incoming, "Task").get("status")
    if wanted not in _ENDED:
        raise Invalid(
            "invalid-resource", expression="Task.status", why=f"a case can only be closed: {', '.join(sorted(_ENDED))}"
        )
    now = write.ports.now()
    task = exact.decode(raw) | {
        "status": wanted,
        "lastModified": instant(now),
        "meta": {"versionId": "2", "lastUpdated": instant(now)},
    }
    write.record.case = case.id
    await write.record.intent([])
    await _retain(case, now, write.ports)  # first: a close that is not told is tried again
    await write.ports.cases.put(replace(case, closed=now), exact.encode(task))
    return kept(task, 200, write.ports.settings.gateway.base, 2)


async def _retain(case: Case, end: datetime, ports: Ports) -> None:
    """What was sent for the case stays until its end and the term of its source after that (rule C4)."""
    if ports.desk is None or not case.patient:
        return
    until = {one.id: end + one.retention for one in ports.policy.sources.values() if one.kind in HELD_KINDS}
    await ports.desk.case_ended(CaseEnd(case.id, case.patient, case.organization, end, until))


async def _own(write: Write) -> tuple[Case, bytes]:
    found = await write.ports.cases.get(write.id)
    requester = write.caller.requester
    if found is None or (found[0].client, found[0].person) != (requester.client, requester.person):
        raise Invalid("not-found", what="this case")
    if found[0].patient:
        write.record.patient = known_patient(found[0].patient, write.ports)
    return found


def _origin(task: Json) -> str:
    code = task.get("code")
    codings = code.get("coding", []) if isinstance(code, dict) else []
    for coding in codings:
        if coding.get("system") == ORIGIN_SYSTEM and coding.get("code") in ORIGINS:
            return str(coding["code"])
    raise Invalid(
        "invalid-resource",
        expression="Task.code",
        why=f"say how the case began: system {ORIGIN_SYSTEM}, code {', '.join(ORIGINS)}",
    )


def _needed(task: Json, element: str, why: str) -> None:
    if not task.get(element):
        raise Invalid("invalid-resource", expression=f"Task.{element}", why=why)
