"""Who is it: one person by number and birth date, certain or blocked, before anything else is shown (rule E1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final, Literal

from consent.categories import categories_of_type
from gateway.errors import GatewayError
from gateway.exchange import retrieve
from gateway.model import Answer, Incoming, Outgoing, Patient, Question
from gateway.oauth.login import Errand
from gateway.ports import Ports
from gateway.routes.pages.looks import Calls, waiting
from gateway.routes.pages.visit import Visit
from gateway.standing import Standing
from gateway.summary.identity import identify
from gateway.summary.texts import words_of
from gateway.summary.values import person_name
from gateway.summary.view import age_text
from profiles.dates import parse

Certainty = Literal["certain", "unknown", "unreachable", "ambiguous", "unverified"]
_NAMES: Final = "identifier=***&birthDate=***"


@dataclass(frozen=True, slots=True)
class Person:
    """Who a number and a birth date belong to, for a person to check."""

    certainty: Certainty
    name: str = ""
    sex: str = ""
    born: str = ""
    age: str = ""
    last: str = ""  # the last digits of the number
    banners: tuple[str, ...] = ()
    silent: tuple[str, ...] = ()  # sources that did not answer


async def look_up(visit: Visit, patient: Patient, errand: Errand) -> Person:
    """Ask who this is, as `$match` does: a certain match or nothing; on the record before this returns.

    Raises:
        GatewayError: everything `$match` refuses but two birth dates, which is an answer here.
    """
    calls = Calls(visit.ports.settings.gateway.deadline.total_seconds())
    try:
        first = await _asked(visit, patient, errand, calls, visit.ports.settings.login.first_look)
        # Who is certain need not wait for a slow source; who is not, waits for all of them.
        return await _asked(visit, patient, errand, calls, None) if first.certainty == "unreachable" else first
    finally:
        calls.end()


async def _asked(visit: Visit, patient: Patient, errand: Errand, calls: Calls, wait: timedelta | None) -> Person:
    found: list[Person] = []

    def read(_: Incoming, __: Ports) -> Question:
        return Question("match", "s", ("Patient",), categories_of_type("Patient"), patient, names=_NAMES)

    def assemble(standing: Standing, answers: Sequence[Answer], asked: Incoming, ports: Ports) -> Outgoing:
        del asked
        found.append(_person(standing.of, answers, ports.now().date(), visit.language))
        if found[0].certainty != "certain":  # nothing of it is shown, so nothing of it is in the manifest
            for answer in answers:
                answer.items.clear()
        return Outgoing(200)

    incoming = await visit.to_the_line("POST", "Patient/$match", errand)
    try:
        await retrieve(incoming, "match", "Patient", read, assemble, waiting(visit.ports, calls, wait))
    except GatewayError as error:
        if error.code != "patient-ambiguous":
            raise
        return Person("ambiguous", last=patient.value[-3:])
    return found[0]


def _person(patient: Patient, answers: Sequence[Answer], today: date, language: str) -> Person:
    silent = tuple(
        dict.fromkeys(
            answer.custodian_name
            for answer in answers
            if any(
                told.state == "failed" and told.decision and told.decision.permitted for told in answer.told.values()
            )
        )
    )
    born = parse(patient.birth_date)
    certain = any(date_ == patient.birth_date for answer in answers for date_ in answer.birth_dates)
    known = [answer for answer in answers if any(item.type == "Patient" for item in answer.items)]
    last = patient.value[-3:]
    if not patient.verified:
        return Person("unverified", last=last, silent=silent)
    if not (certain and known and born):
        return Person("unreachable" if silent else "unknown", last=last, silent=silent)
    words, identity = words_of(language), identify(patient, known)
    resource = identity.resource
    return Person(
        "certain",
        name=person_name(resource["name"]) or words["no_name"],
        sex=words.code("gender", str(resource.get("gender", "unknown"))),
        born=patient.birth_date,
        age=age_text(born, today, words),
        last=last,
        banners=tuple(banner.text(words) for banner in identity.banners),
        silent=silent,
    )
