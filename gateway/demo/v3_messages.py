"""Writes what the simulated GP post answers: one HL7 v3 interaction for each part of a record, and the batch around them."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from typing import Final

from gateway.demo.elements import Record
from gateway.demo.facts import (
    Alert,
    Allergy,
    Encounter,
    Laboratory,
    Measurement,
    Pressure,
    Problem,
)
from gateway.demo.v3_elements import (
    HEAD,
    LOINC,
    NAMESPACES,
    SNOMED,
    URA,
    UZI,
    allergy,
    coded,
    concern,
    measured,
    number,
    period,
    problem,
    record_target,
)
from gateway.demo.v3_medication import medication

_KETENZORG: Final = "2.16.840.1.113883.2.4.3.11.60.66.10"
_INTERACTIONS: Final = "2.16.840.1.113883.1.6"


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a record: the interaction that answers, and how its content is written."""

    answer: str
    code: str
    system: str
    template: str
    write: Callable[[Record], Iterator[str]]


@dataclass(frozen=True, slots=True)
class Asked:
    """One interaction of a question."""

    interaction: str
    id: str
    bsn: str


def batch(answers: Sequence[str], holder_ura: str, to: str, asked: str, now: datetime) -> bytes:
    """The answers to a batch, in one batch."""
    opening = _opening("MCCI_IN200101", now)
    acknowledged = f'<acknowledgement typeCode="AA"><targetTransmission><id root="{escape(asked)}"/></targetTransmission></acknowledgement>'
    body = f'{opening}<transmissionQuantity value="{len(answers)}"/>{acknowledged}{_between(holder_ura, to)}{"".join(answers)}'
    return f"{HEAD}<MCCI_IN200101 {NAMESPACES}>{body}</MCCI_IN200101>".encode()


def alone(answered: str) -> bytes:
    """The answer to one question that came without a batch."""
    return f"{HEAD}{answered.replace('>', f' {NAMESPACES}>', 1)}".encode()


def answer(asked: Asked, record: Record | None, holder_ura: str, to: str, now: datetime, *, fails: bool) -> str:
    """The answer to one interaction: what is there, that nothing is, or that it could not be looked up."""
    part = PARTS.get(asked.interaction)
    name = part.answer if part else asked.interaction
    entries = [] if part is None or record is None or fails else list(part.write(record))
    state = "AE" if fails or part is None else "OK" if entries else "NF"
    subject = ""
    if part is not None and record is not None and entries:
        components = "".join(f'<component typeCode="COMP">{entry}</component>' for entry in entries)
        subject = (
            f'<subject><organizer classCode="CLUSTER" moodCode="EVN"><templateId root="{part.template}"/>'
            f'<code code="{part.code}" codeSystem="{part.system}"/><statusCode code="completed"/>'
            f"{record_target(record.person, record.chart.birthDate)}{_keeper(record)}{components}</organizer></subject>"
        )
    code = "AE" if state == "AE" else "AA"
    acknowledged = f'<acknowledgement typeCode="{code}"><targetMessage><id root="{escape(asked.id)}"/></targetMessage></acknowledgement>'
    processing = '<processingCode code="P"/><processingModeCode code="T"/><acceptAckCode code="NE"/>'
    act = f'<ControlActProcess moodCode="EVN">{subject}<queryAck><queryResponseCode code="{state}"/></queryAck></ControlActProcess>'
    return f"<{name}>{_opening(name, now)}{processing}{acknowledged}{_between(holder_ura, to)}{act}</{name}>"


def _opening(name: str, now: datetime) -> str:
    return (
        f'<id root="{str(uuid.uuid4()).upper()}"/><creationTime value="{now:%Y%m%d%H%M%S%z}"/><versionCode code="NICTIZEd2005-Okt"/>'
        f'<interactionId root="{_INTERACTIONS}" extension="{name}"/>'
    )


def _between(sender: str, to: str) -> str:
    return (
        f'<receiver><device><id root="{URA}" extension="{escape(to)}"/></device></receiver>'
        f'<sender><device><id root="{URA}" extension="{sender}"/></device></sender>'
    )


def _keeper(record: Record) -> str:
    """Whose record it is."""
    of = record.holder
    return (
        f'<participant typeCode="CST"><participantRole><id root="{UZI}" extension="{of.uzi}"/>'
        f"<playingEntity><name>{escape(of.practitioner)}</name></playingEntity>"
        f'<scopingEntity><id root="{URA}" extension="{of.ura}"/><desc>{escape(of.organization)}</desc></scopingEntity>'
        "</participantRole></participant>"
    )


def _key(record: Record, fact: str) -> str:
    return f"{record.patient_id}-{fact}"


def _episodes(record: Record) -> Iterator[str]:
    for fact in record.chart.facts:
        if isinstance(fact, Problem):
            key, of = _key(record, fact.id), record.holder
            inner = problem(of, key, fact, f"{_KETENZORG}.213")
            yield concern(of, key, f"{_KETENZORG}.212", fact.status, fact.recorded, inner, fact.note)


def _contacts(record: Record) -> Iterator[str]:
    for fact in record.chart.facts:
        if isinstance(fact, Encounter):
            reason = (
                '<entryRelationship typeCode="RSON"><observation classCode="OBS" moodCode="EVN">'
                f'<value xsi:type="CD" nullFlavor="OTH"><originalText>{escape(fact.reason)}</originalText></value></observation></entryRelationship>'
            )
            yield (
                f'<encounter classCode="ENC" moodCode="EVN"><templateId root="{_KETENZORG}.201"/>{number(record.holder, _key(record, fact.id))}'
                '<code code="03" codeSystem="2.16.840.1.113883.2.4.4.30.14" displayName="Consult"/>'
                f'<statusCode code="completed"/><effectiveTime>{period(fact.start, fact.end)}</effectiveTime>{reason}</encounter>'
            )


def _determinations(record: Record) -> Iterator[str]:
    for fact in record.chart.facts:
        if isinstance(fact, Measurement | Pressure):
            yield from measured(record.holder, _key(record, fact.id), fact, f"{_KETENZORG}.202")


def _laboratory(record: Record) -> Iterator[str]:
    for fact in record.chart.facts:
        if isinstance(fact, Laboratory):
            yield from measured(record.holder, _key(record, fact.id), fact)


def _alerts(record: Record) -> Iterator[str]:
    for fact in record.chart.facts:
        if isinstance(fact, Alert):
            yield (
                f'<observation classCode="OBS" moodCode="EVN"><templateId root="{_KETENZORG}.214"/>{number(record.holder, _key(record, fact.id))}'
                f'<code code="74018-3" codeSystem="{LOINC}"/><statusCode code="completed"/>'
                f"<effectiveTime>{period(fact.start)}</effectiveTime>{coded(fact.code, 'value', 'CD')}</observation>"
            )


def _allergies(record: Record) -> Iterator[str]:
    for fact in record.chart.facts:
        if isinstance(fact, Allergy):
            key, of = _key(record, fact.id), record.holder
            inner = allergy(of, key, fact, f"{_KETENZORG}.216")
            yield concern(of, key, f"{_KETENZORG}.215", fact.status, fact.recorded, inner, fact.note)


def _nothing(record: Record) -> Iterator[str]:  # noqa: ARG001 - one signature a part
    yield from ()


# The interaction that asks -> what answers it.
PARTS: Final = {
    "REPC_IN990110NL": Part("REPC_IN990111NL", "75310-3", LOINC, f"{_KETENZORG}.16", _episodes),
    "PRPA_IN900300NL": Part("PRPA_IN900350NL", "46240-8", LOINC, f"{_KETENZORG}.10", _contacts),
    "REPC_IN990100NL": Part("REPC_IN990101NL", "34900-1", LOINC, f"{_KETENZORG}.14", _nothing),
    "POOB_IN990001NL": Part("POOB_IN990003NL", "27899-4", LOINC, f"{_KETENZORG}.8", _determinations),
    "POLB_IN354001NL": Part("POLB_IN364001NL03", "26436-6", LOINC, f"{_KETENZORG}.77", _laboratory),
    "QUMA_IN991201NL": Part(
        "QUMA_IN991203NL02", "419891008", SNOMED, "2.16.840.1.113883.2.4.3.11.60.20.77.10.9265", medication
    ),
    "REPC_IN990120NL": Part("REPC_IN990121NL", "74018-3", LOINC, f"{_KETENZORG}.18", _alerts),
    "REPC_IN990130NL": Part("REPC_IN990131NL", "48765-2", LOINC, f"{_KETENZORG}.20", _allergies),
}
