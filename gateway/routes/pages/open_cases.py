"""The cases of one person on the pages: opened and closed through the line, found again, and nobody else's."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from consent.model import Case
from gateway.audit.pages import noted
from gateway.errors import Invalid
from gateway.intake import submit
from gateway.intake.cases import ORIGIN_SYSTEM
from gateway.model import Patient
from gateway.oauth.login import Errand
from gateway.routes.pages.visit import ZONE, Visit
from profiles import exact
from profiles.identifiers import BSN_SYSTEM, URA_SYSTEM

Json = dict[str, Any]

ORIGINS: Final = ("caller", "professional", "dispatch")
MAXIMUM_TEXT: Final = 400


@dataclass(frozen=True, slots=True)
class Mine:
    """A case of the person who visits, with what was written down when it was opened."""

    case: Case
    task: Json

    @property
    def id(self) -> str:
        """The id of the case."""
        return self.case.id

    @property
    def patient(self) -> str:
        """The patient id. INVARIANT: cases of pages name their patient when they are opened."""
        return self.case.patient or ""

    @property
    def errand(self) -> Errand:
        """What a token for this case says."""
        return Errand(case=self.case.id)

    def told(self) -> dict[str, str]:
        """Who called, in what relation, why, and who is responsible."""
        inputs = {str((one.get("type") or {}).get("text", "")): str(one.get("valueString", ""))
                  for one in self.task.get("input") or () if isinstance(one, dict)}  # fmt: skip
        return {
            "origin": self.case.origin,
            "who": str((self.task.get("requester") or {}).get("display", "")),
            "why": str((self.task.get("reasonCode") or {}).get("text", "")),
            "responsible": inputs.get("responsible", ""),
            "opened": self.case.opened.astimezone(ZONE).strftime("%d-%m-%Y %H:%M"),
            "ends": self.case.expires.astimezone(ZONE).strftime("%d-%m-%Y %H:%M"),
        }


async def mine(visit: Visit, case_id: str) -> Mine:
    """The open case with this id, if it is of the person who visits.

    Raises:
        Invalid: `not-found` for every other id; on the record.
    """
    _, caller = await visit.enter()
    found = await visit.ports.cases.get(case_id)
    requester = caller.requester
    if found is not None:
        case, raw = found
        own = (case.client, case.person) == (requester.client, requester.person)
        if own and case.closed is None and case.opened <= visit.now < case.expires and case.patient:
            return Mine(case, exact.decode(raw))
    error = Invalid("not-found", what="this case")
    await noted(visit.incoming, visit.ports, "page", caller=caller, page="case", status=404, error=error.code)
    raise error


async def all_mine(visit: Visit) -> list[Mine]:
    """The open cases of the person who visits, the newest first."""
    _, caller = await visit.enter()
    person = caller.requester.person or ""
    rows = await visit.ports.cases.own(caller.requester.client, person, visit.now)
    return [Mine(case, exact.decode(raw)) for case, raw in rows]


async def open_case(visit: Visit, said: dict[str, str]) -> str:
    """Open a case through the line; gives its id.

    Raises:
        GatewayError: as `POST Task`.
    """
    _, caller = await visit.enter()
    task: Json = {
        "resourceType": "Task",
        "status": "requested",
        "intent": "order",
        "code": {"coding": [{"system": ORIGIN_SYSTEM, "code": said["origin"]}]},
        "for": {"identifier": {"system": BSN_SYSTEM, "value": said["bsn"]}},
        "owner": {"identifier": {"system": URA_SYSTEM, "value": caller.requester.organization}},
        "requester": {"display": said["who"]},
        "reasonCode": {"text": said["why"]},
    }
    if said["responsible"]:
        task["input"] = [{"type": {"text": "responsible"}, "valueString": said["responsible"]}]
    incoming = await visit.to_the_line("POST", "fhir/Task", body=exact.encode(task))
    kept = exact.decode((await submit(incoming, "create", "Task", "", visit.ports)).body)
    return str(kept["id"])


async def close_case(visit: Visit, found: Mine) -> None:
    """Close a case through the line; access under it ends at once.

    Raises:
        GatewayError: as `PUT Task`.
    """
    body = exact.encode({"resourceType": "Task", "status": "completed"})
    incoming = await visit.to_the_line("PUT", f"fhir/Task/{found.id}", body=body)
    await submit(incoming, "update", "Task", found.id, visit.ports)
    for kind, name in list(visit.logged.kept):
        if name == found.id:
            del visit.logged.kept[kind, name]


def patient_of(visit: Visit, found: Mine) -> Patient:
    """The patient of a case, with the birth date the caller gave while the session lasts."""
    system, value = visit.ports.keys.patient_identifier(found.patient) or ("", "")
    return Patient(found.patient, system, value, visit.logged.recall("born", found.id, str) or "")


def read_date(text: str) -> str:
    """A date as people write it (12-03-1954, 12/3/1954, 1954-03-12) as a FHIR date; empty when it is none."""
    parts = [part for part in text.strip().replace("/", "-").replace(".", "-").replace(" ", "-").split("-") if part]
    if len(parts) != 3 or not all(part.isascii() and part.isdigit() and len(part) <= 4 for part in parts):
        return ""
    year, month, day = parts if len(parts[0]) == 4 else reversed(parts)
    try:
        return date(int(year), int(month), int(day)).isoformat() if len(year) == 4 else ""
    except ValueError:
        return ""
