"""A broken glass: an event of its own and a place in the queue of each custodian, before anybody is asked (rule B2)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime

import msgspec

from consent.emergency import REVIEW_WITHIN
from gateway.audit.journal import Recorded
from gateway.audit.record import Asked, encode
from gateway.errors import Unavailable
from gateway.model import Caller, Place, instant
from gateway.ports import Ports, Review, Reviews


async def suspended(caller: Caller, ports: Ports) -> bool:
    """Claim that an earlier emergency access of this person was not looked at within the term."""
    if ports.reviews is None:
        return True  # nobody could ever look at it, so no glass is broken
    before = ports.now() - REVIEW_WITHIN
    return await ports.reviews.overdue(caller.requester.person or "", caller.requester.organization, before)


async def broken(places: Iterable[Place], patient: str, record: Recorded, ports: Ports) -> None:
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
    named = sorted({place.custodian.organization for place in places})
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


def _number(caller: Caller, custodian: str, patient: str, since: datetime) -> str:
    """The same for the same hour of grounds: looking twice in it is one access to look at."""
    requester = caller.requester
    parts = (requester.organization, requester.person or "", custodian, patient, instant(since))
    return "r-" + hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:24]


def _queue(ports: Ports) -> Reviews:
    if ports.reviews is None:
        raise Unavailable("store-unavailable")
    return ports.reviews
