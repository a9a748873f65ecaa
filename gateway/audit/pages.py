"""What happens on the pages leaves a record as the API does: login, logout, a page, a print, data taken away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal

from gateway.audit.journal import Recorded, recorded, refused
from gateway.audit.record import encode
from gateway.model import Answer, Caller, Incoming, Patient
from gateway.ports import Ports

PageEvent = Literal["login", "logout", "reauthenticate", "page", "print", "export"]

_ACTIONS: Final[Mapping[PageEvent, str]] = {
    "login": "E",
    "logout": "E",
    "reauthenticate": "E",
    "page": "R",
    "print": "R",
    "export": "R",
}


def opened(incoming: Incoming, ports: Ports, event: PageEvent, page: str, type_: str = "") -> Recorded:
    """Start the record of a page; used with `async with`, and what fails inside is recorded as refused.

    `page`: the name of the page, no id of anybody. `type_`: the type of what it shows, "AuditEvent" for the log.
    """
    record = recorded(incoming, ports, event, _ACTIONS[event], type_)
    record.query = f"page={page}" if page else ""
    return record


async def noted(
    incoming: Incoming,
    ports: Ports,
    event: PageEvent,
    *,
    caller: Caller | None = None,
    page: str = "",
    type_: str = "",
    patient: Patient | None = None,
    case: str = "",
    answers: Sequence[Answer] = (),
    reasons: tuple[str, ...] = (),
    status: int = 200,
    error: str = "",
) -> None:
    """Put one thing that happened on the record; what it is about may be shown when this returns.

    `answers`: what is shown again, such as a page that is printed: its items become the manifest. A status of 400 or
    more is a refusal, and those of callers who are not known are bounded and summed.

    Raises:
        Unavailable: `audit-unavailable`; nothing may be shown.
    """
    record = opened(incoming, ports, event, page, type_)
    record.caller, record.patient, record.case, record.answers = caller, patient, case, answers
    record.reasons, record.status, record.error = reasons, status, error
    if status >= 400:
        await refused(record)
    else:
        await ports.audit.append(encode(record.record("outcome", record.custodians())))
