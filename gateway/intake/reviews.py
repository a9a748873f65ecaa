"""The queue of emergency accesses: what waits for an organization, and what came of looking at it (rule B2)."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from consent.emergency import REVIEW_WITHIN
from gateway.audit.journal import recorded
from gateway.authentication import authenticate
from gateway.authorization import authorize
from gateway.errors import Invalid, Refused, Unavailable
from gateway.model import Incoming, Json, Outgoing, Question, instant
from gateway.ports import Ports
from gateway.watched import Notice, Review, Reviews
from profiles import exact

SUPERVISION: Final = Question("reviews", "r", ("AuditEvent",), frozenset({"Logging"}))
MAXIMUM_FINDING: Final = 500
_FINDINGS: Final = ("justified", "not-justified")


async def waiting(incoming: Incoming, ports: Ports) -> Outgoing:
    """List what waits for the caller's organization.

    Raises:
        GatewayError: token, role, purpose.
    """
    async with recorded(incoming, ports, "reviews", "R", "AuditEvent") as record:
        record.caller = caller = await authenticate(incoming, ports)
        await authorize(caller, SUPERVISION, ports)
        found = await _queue(ports).waiting(caller.requester.organization)
        record.status = 200
        told = await ports.notices.about([one.request for one in found]) if ports.notices is not None else ()
        body = exact.encode({"reviews": [_shown(one, ports.now()) | _told(one, told) for one in found]})
        return Outgoing(200, body, "application/json")


async def settle(incoming: Incoming, number: str, ports: Ports) -> Outgoing:
    """Note a finding about one; never by who broke the glass.

    Raises:
        GatewayError: token, role, purpose; `not-found` also for what is not the caller's.
    """
    async with recorded(incoming, ports, "review", "U", "AuditEvent") as record:
        record.caller = caller = await authenticate(incoming, ports)
        await authorize(caller, SUPERVISION, ports)
        finding = _finding(incoming)
        person = caller.requester.person
        if not person:
            raise Refused("person-required")
        await record.intent([])
        done = await _queue(ports).settle(number, person, caller.requester.organization, finding, ports.now())
        if not done:
            raise Invalid("not-found", what="this review, or it was settled, or it is your own access: it")
        record.status = 200
        return Outgoing(200, exact.encode({"id": number, "finding": finding}), "application/json")


def _finding(incoming: Incoming) -> str:
    try:
        said = exact.decode(incoming.body)
    except exact.NotExact as error:
        raise Invalid("malformed-json", why=str(error)) from None
    outcome, text = said.get("finding"), str(said.get("text") or "")
    if outcome not in _FINDINGS or len(text) > MAXIMUM_FINDING:
        raise Invalid("bad-request", why=f"finding is one of {', '.join(_FINDINGS)}; text at most {MAXIMUM_FINDING}")
    return f"{outcome}: {text}" if text else str(outcome)


def _shown(one: Review, now: datetime) -> Json:
    late = now - one.opened > REVIEW_WITHIN
    return {
        "id": one.id,
        "person": one.person,
        "organization": one.organization,
        "custodian": one.custodian,
        "patient": one.patient,
        "request": one.request,
        "grounds": one.grounds,
        "opened": instant(one.opened),
        "due": instant(one.opened + REVIEW_WITHIN),
        "overdue": late,
    }


def _told(one: Review, notices: tuple[Notice, ...]) -> Json:
    """Who was told of it, when, and who does not take the message."""
    mine = [notice for notice in notices if notice.id.startswith(f"{one.id}-")]
    rows = [
        {
            "organization": notice.organization,
            "desk": notice.desk,
            "state": "delivered" if notice.delivered else "waiting",
            "attempts": notice.attempts,
            **({"delivered": instant(notice.delivered)} if notice.delivered else {}),
            **({"failure": notice.failure} if notice.failure else {}),
        }
        for notice in mine
    ]
    return {"notices": rows}


def _queue(ports: Ports) -> Reviews:
    if ports.reviews is None:
        raise Unavailable("store-unavailable")
    return ports.reviews
