"""A merge inside the namespace of one sender: what came under the number that is gone is of the patient who stays (rules D1, E3)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

from gateway.intake.letters import NO_PATIENT, Merge, Posting, letter_of, number_of, numbers_of
from gateway.model import Json, Patient
from gateway.ports import Ports
from gateway.pushed import Desk, Letter
from gateway.settings import SourceTable
from profiles.identifiers import BSN_SYSTEM

MERGED = "its sender merged its number into that of this patient"


async def joining(letter: Letter, source: SourceTable, ports: Ports) -> AsyncIterator[tuple[Letter, str]]:
    """Read anew what the same source sent under a number that a message says is gone, each with the receipt it had.

    INVARIANT: nothing is taken from one national number to another, and nothing of another source is touched.
    """
    merge = _merge(letter, ports)
    if merge is None or ports.desk is None:
        return
    for receipt in await _receipts(merge, source, letter, ports.desk, ports):
        kept = await ports.desk.kept(receipt)
        if kept is None or kept.message.source != source.id or not kept.message.raw:
            continue
        old = kept.message
        posting = Posting(source, old.raw, old.delivery.format, old.received, old.delivery.dated, merge=merge)
        read = await letter_of(posting, old.raw, ports)
        if read.message.delivery.patient == merge.patient.id != old.delivery.patient:
            delivery = replace(read.message.delivery, batch=old.delivery.batch, expires=old.delivery.expires)
            reason = read.message.reason or MERGED
            yield replace(read, message=replace(read.message, key=old.key, reason=reason, delivery=delivery)), receipt


def _merge(letter: Letter, ports: Ports) -> Merge | None:
    patient = next((item.resource for item in letter.items if item.type == "Patient" and b'"link"' in item.raw), None)
    if patient is None or letter.message.state != "accepted":
        return None
    gone = [_identifier(one) for one in patient["link"] if one.get("type") == "replaces"]
    known = ports.keys.patient_identifier(letter.message.delivery.patient)
    numbers = frozenset(number_of(one) for one in gone if one.get("system") != BSN_SYSTEM) - numbers_of(patient)
    if known is None or not numbers:
        return None
    here = frozenset(authority for _, authority in numbers_of(patient))
    return Merge(Patient(letter.message.delivery.patient, *known), numbers, here)


async def _receipts(merge: Merge, source: SourceTable, letter: Letter, desk: Desk, ports: Ports) -> list[str]:
    """What waits because nobody knew whose it was, and what stood under a number this region knows by its system."""
    found: dict[str, None] = {}
    after = 0
    while page := await desk.slips(source=source.id, state="quarantined", after=after):
        found.update(dict.fromkeys(slip.receipt for slip in page if slip.reason == NO_PATIENT))
        after = page[-1].number
    known = ports.policy.identifier_systems
    ids = [ports.keys.patient_id(system, value) for value, system in merge.numbers if system in known]
    found.update(dict.fromkeys(await desk.about(ids, letter.message.received)))
    return list(found)


def _identifier(link: Json) -> Json:
    found: Json = link.get("other", {}).get("identifier", {})
    return found
