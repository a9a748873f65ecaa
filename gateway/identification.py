"""One patient: from an identifier, a patient id, or the item that is read."""

from __future__ import annotations

from datetime import timedelta
from itertools import combinations
from math import ceil

from gateway.errors import Invalid, Refused
from gateway.model import Answer, Identified, Patient, Question
from gateway.ports import Ports
from profiles.dates import parse, same_day


async def identify(question: Question, ports: Ports) -> Identified:
    """Find the one patient a question is about.

    Raises:
        Invalid: `item-expired` for an id that is not known (any more).
        Refused: `too-many-requests` when birth dates for this identifier are being guessed (attack 163).
    """
    if question.patient is not None:
        if question.patient.birth_date:
            _refuse(await ports.misses.locked(_number(question.patient, ports), ports.now()))
        return Identified(question.patient)
    held = await ports.inbox.item(question.item)
    if held is not None and held.type == question.types[0]:
        return Identified(_patient(held.patient, ports), held=held)
    issued = await ports.issued.issued(question.item, ports.now())
    if issued is None or issued.type != question.types[0]:
        raise Invalid("item-expired")
    return Identified(_patient(issued.patient, ports), issued=(issued.custodian, issued.source, issued.category))


def _patient(patient_id: str, ports: Ports) -> Patient:
    known = ports.keys.patient_identifier(patient_id)
    if known is None:
        raise Invalid("item-expired")
    return Patient(patient_id, known[0], known[1])


def _number(patient: Patient, ports: Ports) -> str:
    """What stands for a number where guesses are counted: ids made with another key are the same number."""
    return ports.keys.patient_id(patient.system, patient.value)


def _refuse(locked: timedelta | None) -> None:
    if locked is not None:
        raise Refused("too-many-requests", retry_after=max(1, ceil(locked.total_seconds())))


async def confirm(patient: Patient, answers: list[Answer], ports: Ports) -> list[Answer]:
    """Is everything that came back about one person? Birth dates decide, and a partial date decides nothing (rule E1).

    Nothing is left of the answers when the birth date the caller gave is not this patient's: to the
    caller that is an unknown patient, and it counts as a miss. Whoever guesses many at once learns no more than
    one by one: after the fifth miss a hit is not told either.

    Raises:
        Invalid: `patient-ambiguous` when sources disagree on the birth date.
        Refused: `too-many-requests` when others guessed too often while this one was looked for.
        Unavailable: `store-unavailable`: misses cannot be counted.
    """
    texts = dict.fromkeys(text for answer in answers for text in answer.birth_dates)
    if len(texts) < 2 and not patient.birth_date:
        return answers
    dates = [date for text in texts if (date := parse(text)) is not None]
    if any(same_day(one, other) is False for one, other in combinations(dates, 2)):
        raise Invalid("patient-ambiguous")
    given = parse(patient.birth_date) if patient.birth_date else None
    if given is None:
        return answers
    missed = any(same_day(given, date) is False for date in dates)
    _refuse(await ports.misses.judged(_number(patient, ports), ports.now(), missed=missed))
    if missed:
        for answer in answers:
            answer.items.clear()
        return []
    return answers
