"""What people do at the inbox: look, release what waited for them, and let what was kept be read anew."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime

from gateway.audit.record import Asked, Record, encode
from gateway.errors import Invalid
from gateway.intake.files import format_of
from gateway.intake.letters import NO_PATIENT, Posting, entries_of, letters_of
from gateway.intake.messages import Taken, join, keep
from gateway.model import instant
from gateway.ports import Ports
from gateway.pushed import Desk, Letter, Message, Slip

READABLE = ("accepted", "quarantined", "dead")


async def note(action: str, letter: str, ports: Ports, *messages: Message, reasons: tuple[str, ...] = ()) -> None:
    """Put on the record what was done at the inbox; `letter` is C, R, U or D.

    Raises:
        Unavailable: `audit-unavailable`.
    """
    asked = tuple(Asked(one.custodian, one.source, consent=one.delivery.basis) for one in messages)
    names = tuple(one.receipt for one in messages)
    record = Record(
        kind="push", at=instant(ports.now()), request=f"inbox-{action}", interaction=f"inbox-{action}", action=letter,
        organization=ports.settings.gateway.ura, patient=messages[0].delivery.patient if len(messages) == 1 else "",
        policy=ports.policy.revision, status=200, reasons=(*reasons, *names), custodians=asked,
    )  # fmt: skip
    await ports.audit.append(encode(record))


async def slips(
    ports: Ports, *, source: str = "", state: str = "", since: datetime | None = None
) -> AsyncIterator[Slip]:
    """Every message on the desk, oldest first, without content."""
    after = 0
    while page := await _desk(ports).slips(source=source, state=state, since=since, after=after):
        for slip in page:
            yield slip
        after = page[-1].number


async def release(receipt: str, ports: Ports) -> Message:
    """Show a quarantined message, because a human looked at it.

    Raises:
        Invalid: `not-found`, or `conflict` when it is not in quarantine or nobody knows whose it is.
    """
    kept = await _kept(receipt, ports)
    if kept.message.state != "quarantined":
        raise Invalid("conflict", why=f"the message is {kept.message.state}, not quarantined")
    if kept.message.reason == NO_PATIENT or not kept.items:
        raise Invalid(
            "conflict", why="the message names no patient this region knows; erase it, or let its sender mend it"
        )
    await note("release", "U", ports, kept.message, reasons=(kept.message.reason,))
    if not await _desk(ports).release(receipt, entries_of(kept.items, kept.message)):
        raise Invalid("conflict", why="the message was released or erased in the meantime")
    source = ports.policy.sources.get(kept.message.source)
    if source is not None:
        await join(replace(kept, message=replace(kept.message, state="accepted")), source, "inbox", ports)
    return kept.message


async def read_anew(receipt: str, ports: Ports) -> list[Taken]:
    """Translate a kept message again, with the maps of today; what it becomes takes its place.

    What a human released stays released, and what waits for one keeps waiting, unless nobody knew whose it was.

    Raises:
        Invalid: `not-found`, or `conflict` when nothing of it is kept.
    """
    kept = await _kept(receipt, ports)
    message, source = kept.message, ports.policy.sources.get(kept.message.source)
    if source is None or source.custodian != message.custodian:
        raise Invalid("conflict", why="its source is not configured any more")
    if not message.raw:
        raise Invalid("conflict", why="its bytes were not kept")
    format_ = (
        message.delivery.format if message.delivery.format not in {"", "unknown"} else format_of(source, message.raw)
    )
    delivery = message.delivery
    posting = Posting(
        source, message.raw, format_, message.received, delivery.dated, "full" if delivery.coverage == "full" else ""
    )
    letters, snapshot = await letters_of(posting, ports)
    if len(letters) == 1:
        letters = [_in_place_of(message, letters[0])]
        snapshot = snapshot if message.state == "dead" else None  # a part of a file speaks for its own patient only
    return await keep(letters, snapshot, "inbox", ports, instead=receipt)


def _in_place_of(message: Message, letter: Letter) -> Letter:
    """The new reading of a message under its own key, with the term it had."""
    read = letter.message
    judged = message.state == "accepted" or (message.state == "quarantined" and message.reason != NO_PATIENT)
    delivery = replace(read.delivery, batch=message.delivery.batch or read.delivery.batch)
    if message.state != "dead":
        delivery = replace(delivery, expires=message.delivery.expires)
    key = message.key if message.state != "dead" else read.key
    state, reason = (message.state, message.reason) if judged and read.state != "dead" else (read.state, read.reason)
    return replace(letter, message=replace(read, key=key, state=state, reason=reason, delivery=delivery))


async def _kept(receipt: str, ports: Ports) -> Letter:
    found = await _desk(ports).kept(receipt)
    if found is None:
        raise Invalid("not-found", what="this receipt")
    return found


def _desk(ports: Ports) -> Desk:
    assert ports.desk is not None
    return ports.desk
