"""Documents posted over HTTP: into the inbox of the caller's own organization, answered with what became of them."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from typing import Final

from consent.scopes import covers
from gateway.audit.journal import recorded
from gateway.authentication import authenticate
from gateway.errors import Invalid, Refused
from gateway.fhir.outcome import issue, outcome
from gateway.intake.files import format_of
from gateway.intake.letters import Posting
from gateway.intake.messages import Taken, keep, take
from gateway.intake.retention import contact_key
from gateway.model import HELD_KINDS, Caller, Incoming, Json, Outgoing
from gateway.ports import Ports
from gateway.pushed import Delivery, Letter, Message
from gateway.settings import SourceTable
from profiles import exact
from profiles.identifiers import passes_elfproef

TYPE: Final = "DocumentReference"  # the scope a client needs: system/DocumentReference.c, .d to cancel

# Media type -> format; "" = seen from the bytes.
FORMATS: Final = {
    "x-application/hl7-v2+er7": "hl7v2", "application/hl7-v2": "hl7v2", "application/cda+xml": "cda",
    "application/hl7-v3+xml": "", "application/xml": "", "text/xml": "", "text/csv": "csv", "application/json": "",
    "application/fhir+json": "", "application/fhir+xml": "",
}  # fmt: skip
LISTED: Final = 100  # messages of one file that the answer names
_NUMBER: Final = re.compile(r"[A-Za-z0-9._~:\-]{1,64}")


async def receive_document(incoming: Incoming, source_id: str, ports: Ports) -> Outgoing:
    """Take in a document for a source of the caller's organization: 201 when it is new, 200 when it was here, 422 when dead.

    INVARIANT: the answer is given after everything is durable and on the record; what cannot be read is kept as
    well, and the answer names its receipt.

    Raises:
        GatewayError: token, scope, another organization's inbox, a media type nobody reads.
    """
    async with recorded(incoming, ports, "inbox-push", "C", TYPE) as record:
        record.caller = caller = await authenticate(incoming, ports)
        source = _inbox(source_id, caller, "c", ports)
        posting = Posting(source, incoming.body, _format(incoming, source), ports.now())
        if not incoming.body:
            raise Invalid("bad-request", why="the body is empty")
        taken = await take(posting, incoming.peer, ports)
        answer = _answer(taken, incoming.language)
        record.status = answer.status
        record.reasons = tuple(f"{one.state} {one.outcome} {one.message.receipt}" for one in taken)
        return answer


async def cancel_contact(incoming: Incoming, source_id: str, number: str, ports: Ports) -> Outgoing:
    """Cancel a trip or visit by the number its custodian gave it: nothing of it is shown any more.

    Raises:
        GatewayError: token, scope, another organization's inbox; `not-found` when nothing of it counts.
    """
    async with recorded(incoming, ports, "inbox-cancel", "D", TYPE) as record:
        record.caller = caller = await authenticate(incoming, ports)
        source = _inbox(source_id, caller, "d", ports)
        if len(number) == 9 and passes_elfproef(number):
            raise Invalid("bsn-in-url")
        contact = contact_key(source.custodian, number, ports.keys) if _NUMBER.fullmatch(number) else ""
        if ports.desk is None or not contact or not await ports.desk.knows(source.id, contact):
            raise Invalid("not-found", what="this contact")
        now = ports.now()
        digest = hashlib.sha256(f"{contact} {now.isoformat()}".encode()).hexdigest()
        delivery = Delivery(contact=contact, expires=now + source.retention, ended=True, cancels=True, dated=now)
        message = Message(source.id, source.custodian, digest[:20], digest, b"", now, "accepted", "", delivery)
        taken = await keep([Letter(message)], None, incoming.peer, ports)
        record.status, record.reasons = 200, (f"cancelled {message.receipt}",)
        return _outgoing(200, [_issue(replace(taken[0], state="cancelled"), incoming.language)])


def _inbox(source_id: str, caller: Caller, letter: str, ports: Ports) -> SourceTable:
    """The source, when the caller may write to it (rules C4, D1)."""
    if not covers(caller.scopes, TYPE, letter, person=bool(caller.requester.person)):
        raise Refused("scope-insufficient", needed=f"system/{TYPE}.{letter}")
    source = ports.policy.sources.get(source_id)
    if source is None or source.kind not in HELD_KINDS:
        raise Invalid("not-found", what="this inbox")
    if source.custodian != caller.requester.organization:
        raise Refused("write-refused", why="an organization writes to its own inbox only")
    return source


def _format(incoming: Incoming, source: SourceTable) -> str:
    media = incoming.header(b"content-type").partition(";")[0].strip().lower()
    if media not in FORMATS:
        raise Invalid(
            "unsupported-media-type",
            type=media if re.fullmatch(r"[\w.+/-]{1,60}", media) else "?",
            possible=", ".join(FORMATS),
        )
    return FORMATS[media] or format_of(source, incoming.body)


def _answer(taken: list[Taken], language: str) -> Outgoing:
    """One issue a message that is not simply there, else one for all; the receipt is in `diagnostics`."""
    dead = [one for one in taken if one.state == "dead"]
    status = 422 if len(dead) == len(taken) else 201 if any(one.outcome != "again" for one in taken) else 200
    told = [one for one in taken if one.state != "accepted" or one.outcome == "changed"]
    return _outgoing(status, [_issue(one, language) for one in (told or taken)[: LISTED if told else 1]])


def _outgoing(status: int, issues: list[Json]) -> Outgoing:
    return Outgoing(status, exact.encode(outcome(*issues)))


TEXTS: Final[dict[str, tuple[str, str, str, str]]] = {
    # state or outcome -> severity, FHIR issue type, English, Dutch
    "accepted": ("information", "informational", "kept", "bewaard"),
    "again": ("information", "duplicate", "this was kept before; nothing changed", "dit was al bewaard; er is niets veranderd"),
    "changed": ("warning", "duplicate", "kept as a new message: another one with this id was kept before",
                "bewaard als nieuw bericht: er was al een ander bericht met dit nummer"),
    "cancelled": ("information", "informational", "nothing of this contact is shown any more",
                  "van dit contact wordt niets meer getoond"),
    "erased": ("warning", "informational", "this was kept before, and erased when its time was over",
               "dit was eerder bewaard, en is gewist toen de termijn voorbij was"),
    "quarantined": ("warning", "business-rule", "kept, and not shown until a human has looked at it: {why}",
                    "bewaard, en niet getoond tot iemand ernaar heeft gekeken: {why}"),
    "dead": ("error", "structure", "kept as it came, and not readable: {why}", "bewaard zoals het kwam, en onleesbaar: {why}"),
}  # fmt: skip


def _issue(taken: Taken, language: str) -> Json:
    word = taken.state if taken.state != "accepted" else "accepted" if taken.outcome == "new" else taken.outcome
    severity, code, english, dutch = TEXTS[word]
    why = taken.message.reason or "-"
    element = why.partition(" ")[0] if taken.state == "dead" and re.match(r"[A-Z][\w.\[\]-]*[.\-]?\w* ", why) else ""
    text = (dutch if language == "nl" else english).format(why=why)
    return issue(severity, code, word, text, f"receipt {taken.message.receipt}", element)
