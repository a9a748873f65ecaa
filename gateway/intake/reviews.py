"""Emergency accesses: put in the queue and told before anything is shown, and settled by somebody else (rule B2)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime
from typing import Final

import msgspec

from consent.emergency import REVIEW_WITHIN
from gateway.audit.journal import Recorded, recorded
from gateway.audit.record import Asked, encode
from gateway.authentication import authenticate
from gateway.authorization import authorize
from gateway.errors import Invalid, Refused, Unavailable
from gateway.model import Caller, Incoming, Json, Outgoing, Question, instant
from gateway.ports import Ports, Review, Reviews
from profiles import exact

SUPERVISION: Final = Question("reviews", "r", ("AuditEvent",), frozenset({"Logging"}))
MAXIMUM_FINDING: Final = 500
_FINDINGS: Final = ("justified", "not-justified")


async def suspended(caller: Caller, ports: Ports) -> bool:
    """Claim that an earlier emergency access of this person was not looked at within the term."""
    if ports.reviews is None:
        return True  # nobody could ever look at it, so no glass is broken
    before = ports.now() - REVIEW_WITHIN
    return await ports.reviews.overdue(caller.requester.person or "", caller.requester.organization, before)


async def broken(custodians: Iterable[str], patient: str, record: Recorded, ports: Ports) -> None:
    """Put a broken glass in the queue of each custodian and on the record as an event of its own, before anybody is asked.

    The queue is what custodian and privacy officer are told by; one entry for each custodian, patient and hour of grounds.

    Raises:
        Unavailable: it could not be written, so nothing may be shown.
    """
    caller = record.caller
    assert caller is not None
    grounds = caller.emergency
    assert grounds is not None
    text = f"{grounds.cannot_consent}; {', '.join(sorted(grounds.threats))}; {grounds.text}"
    requester, now = caller.requester, ports.now()
    named = sorted(custodians)
    if not named:
        return
    found = tuple(
        Review(
            _number(caller, custodian, patient, grounds.since or now),
            requester.person or "",
            requester.organization,
            custodian,
            patient,
            record.incoming.request_id,
            text,
            now,
        )
        for custodian in named
    )
    await _queue(ports).open(found)
    asked = tuple(Asked(custodian, "", consent=grounds.cannot_consent) for custodian in named)
    event = msgspec.structs.replace(record.record("emergency", asked), interaction="emergency-access")
    await ports.audit.append(encode(event))


async def waiting(incoming: Incoming, ports: Ports) -> Outgoing:
    """List what waits for the caller's organization.

    Raises:
        GatewayError: token, role, purpose.
    """
    async with recorded(incoming, ports, "reviews", "R", "AuditEvent") as record:
        record.caller = caller = await authenticate(incoming.headers.get(b"authorization", b""), ports)
        await authorize(caller, SUPERVISION, ports)
        found = await _queue(ports).waiting(caller.requester.organization)
        record.status = 200
        body = exact.encode({"reviews": [_shown(one, ports.now()) for one in found]})
        return Outgoing(200, body, "application/json")


async def settle(incoming: Incoming, number: str, ports: Ports) -> Outgoing:
    """Note a finding about one; never by who broke the glass.

    Raises:
        GatewayError: token, role, purpose; `not-found` also for what is not the caller's.
    """
    async with recorded(incoming, ports, "review", "U", "AuditEvent") as record:
        record.caller = caller = await authenticate(incoming.headers.get(b"authorization", b""), ports)
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


def _number(caller: Caller, custodian: str, patient: str, since: datetime) -> str:
    """The same for the same hour of grounds: looking twice in it is one access to look at."""
    requester = caller.requester
    parts = (requester.organization, requester.person or "", custodian, patient, instant(since))
    return "r-" + hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:24]


def _queue(ports: Ports) -> Reviews:
    if ports.reviews is None:
        raise Unavailable("store-unavailable")
    return ports.reviews
