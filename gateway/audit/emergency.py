"""A broken glass: an event of its own and a place in the queue of each custodian, before anybody is asked (rule B2)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime

import msgspec

from consent.emergency import REVIEW_WITHIN
from gateway.audit.journal import Recorded
from gateway.audit.notices import notices_of
from gateway.audit.record import Asked, encode
from gateway.errors import Unavailable
from gateway.model import Caller, Place, instant
from gateway.ports import Ports
from gateway.watched import Review, Reviews


async def suspended(caller: Caller, ports: Ports) -> bool:
    """Claim that an earlier emergency access of this person was not looked at within the term."""
    if ports.reviews is None:
        return True  # nobody could ever look at it, so no glass is broken
    before = ports.now() - REVIEW_WITHIN
    return await ports.reviews.overdue(caller.requester.person or "", caller.requester.organization, before)


async def broken(places: Iterable[Place], patient: str, record: Recorded, ports: Ports) -> None:
    """Put a broken glass in the queue of each custodian and on the record as an event of its own, before anybody is asked.

    One entry for each custodian, patient and hour of grounds; what custodian and privacy officer are told goes with it.

    Raises:
        Unavailable: it could not be written, so nothing may be shown.
    """
    caller = record.caller
    assert caller is not None
    grounds = caller.emergency
    assert grounds is not None
    text = f"{grounds.cannot_consent}; {', '.join(sorted(grounds.threats))}; {grounds.text}"
    named = sorted({place.custodian.organization for place in places})
    if not named:
        return
    await _queued("r", named, patient, text, grounds.since or ports.now(), record, ports)
    asked = tuple(Asked(custodian, "", consent=grounds.cannot_consent) for custodian in named)
    event = msgspec.structs.replace(record.record("emergency", asked), interaction="emergency-access")
    await ports.audit.append(encode(event))


async def looked_at(custodians: Iterable[str], patient: str, record: Recorded, ports: Ports) -> None:
    """Put a look at what is specially protected in the queue: it is shown, and somebody else looks at who looked (rule E11).

    Raises:
        Unavailable: it could not be written, so nothing may be shown.
    """
    now = ports.now()
    hour = now.replace(minute=0, second=0, microsecond=0)
    await _queued("p", sorted(custodians), patient, "a specially protected record was shown", hour, record, ports)


async def _queued(
    kind: str, custodians: Iterable[str], patient: str, grounds: str, since: datetime, record: Recorded, ports: Ports
) -> None:
    caller = record.caller
    assert caller is not None
    requester, now = caller.requester, ports.now()
    found = tuple(
        Review(
            f"{kind}-" + _number(caller, custodian, patient, since),
            requester.person or requester.client,
            requester.organization,
            custodian,
            patient,
            record.incoming.request_id,
            grounds,
            now,
        )
        for custodian in custodians
    )
    until = instant(now + REVIEW_WITHIN)
    await _queue(ports).open(found, tuple(notices_of(found, record, ports, until)) if ports.notices is not None else ())


def _number(caller: Caller, custodian: str, patient: str, since: datetime) -> str:
    """The same for the same hour of grounds: looking twice in it is one access to look at."""
    requester = caller.requester
    parts = (requester.organization, requester.person or "", custodian, patient, instant(since))
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:24]


def _queue(ports: Ports) -> Reviews:
    if ports.reviews is None:
        raise Unavailable("store-unavailable")
    return ports.reviews
