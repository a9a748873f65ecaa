"""What a feed pushed: kept as it came, translated, and acknowledged only when it is durable and on the record."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Literal

from gateway.audit.record import Asked, Record, Shown, encode
from gateway.errors import Unavailable
from gateway.intake.letters import Posting, dead_letter, letters_of
from gateway.intake.merges import joining
from gateway.model import instant
from gateway.ports import Ports
from gateway.pushed import Letter, Message, Snapshot
from gateway.settings import SourceTable
from mappings.formats.hl7v2 import acknowledge

# HL7 v2 MSA-1 in original mode. Spec: HL7 v2.5 2.9.2.
Code = Literal["AA", "AE", "AR"]
_ACCEPTED: Final = "AA"
_ERROR: Final = "AE"
_REJECTED: Final = "AR"


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of one message: its state as it is kept, and whether it was new."""

    message: Message
    state: str  # "accepted" | "quarantined" | "dead" | "erased"
    outcome: str  # "new" | "again" | "changed"


async def take(posting: Posting, peer: str, ports: Ports) -> list[Taken]:
    """Keep everything that was posted, whole or not at all, and put it on the record.

    INVARIANT: the custodian is the connection's (rule D1), never what the content says. What is returned is
    durable and recorded.

    Raises:
        Unavailable: nothing may be acknowledged; the sender must send again.
    """
    letters, snapshot = await letters_of(posting, ports)
    taken = await keep(letters, snapshot, peer, ports)
    for letter in letters:
        await join(letter, posting.source, peer, ports)
    return taken


async def join(letter: Letter, source: SourceTable, peer: str, ports: Ports) -> None:
    """Bring to its patient what came under the numbers that an accepted message says are gone.

    Raises:
        Unavailable: not all of it was; the same message sent again does the rest.
    """
    async for joined, receipt in joining(letter, source, ports):
        await keep([joined], None, peer, ports, instead=receipt)


async def keep(
    letters: Sequence[Letter], snapshot: Snapshot | None, peer: str, ports: Ports, *, instead: str = ""
) -> list[Taken]:
    """Keep letters in one step, each with its record; `instead` is the receipt of the message they read anew.

    Raises:
        Unavailable: nothing may be acknowledged.
    """
    outcomes = await _delivered(letters, snapshot, ports, instead)
    taken = [await _taken(one.message, outcome, ports) for one, outcome in zip(letters, outcomes, strict=True)]
    records = [_record(one, letter, peer, ports) for one, letter in zip(taken, letters, strict=True)]
    await asyncio.gather(*(ports.audit.append(encode(record)) for record in records))
    return taken


async def bury(source: SourceTable, body: bytes, digest: str, why: str, ports: Ports) -> None:
    """Keep a file that never became whole, or is too large, as a dead letter.

    Raises:
        Unavailable: it is not kept; the file must stay where it is.
    """
    posting = Posting(source, body, "", ports.now())
    letter = dead_letter(posting, body, why, ports)
    await keep([replace(letter, message=replace(letter.message, digest=digest, key=digest[:20]))], None, "inbox", ports)


async def push(source_id: str, body: bytes, peer: str, ports: Ports) -> bytes:
    """Take one HL7 v2 message from the feed of a source and give the acknowledgment.

    An acknowledgment AA means: kept durably, or kept before.
    """
    now = ports.now()
    code: Code = _ACCEPTED
    try:
        taken = await take(Posting(ports.policy.sources[source_id], body, "hl7v2", now), peer, ports)
    except Unavailable as error:
        code, text = _REJECTED, error.text()
    else:
        dead = [one for one in taken if one.message.state == "dead"]  # of a batch one is enough
        text = (dead or taken)[0].message.reason
        code = _ERROR if dead else _ACCEPTED
    return acknowledge(body, code, text, now=_written(now), control_id=secrets.token_hex(10))


async def _delivered(letters: Sequence[Letter], snapshot: Snapshot | None, ports: Ports, instead: str) -> list[str]:
    if ports.desk is not None:
        return await ports.desk.deliver(letters, snapshot, instead=instead)
    return [await ports.inbox.accept(one.message, one.items, one.entries) for one in letters]


async def _taken(message: Message, outcome: str, ports: Ports) -> Taken:
    """What was kept before keeps the state it has."""
    state = message.state
    if outcome == "again" and ports.desk is not None:
        state = await ports.desk.state(message.receipt) or message.state
    return Taken(message, state, outcome)


def _record(taken: Taken, letter: Letter, peer: str, ports: Ports) -> Record:
    message = taken.message
    shown = tuple(Shown(item.type, item.id, item.version) for item in letter.items)
    asked = Asked(message.custodian, message.source, shown=shown, consent=message.delivery.basis)
    return Record(
        kind="push", at=instant(message.received), request=message.digest[:32], interaction="push", action="C",
        organization=message.custodian, facility=ports.policy.facility_type(message.custodian),
        patient=message.delivery.patient, policy=ports.policy.revision, address=peer, status=200,
        reasons=tuple(word for word in (message.state, taken.outcome, message.reason) if word), custodians=(asked,),
    )  # fmt: skip


def _written(moment: datetime) -> str:
    return f"{moment:%Y%m%d%H%M%S%z}"
