"""Writes what the simulated nursing homes drop: a nightly file of everybody, and a feed with everything first and changes after."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from gateway.demo.facts import (
    Allergy,
    Chart,
    Coding,
    Contact,
    Directive,
    Fact,
    Measurement,
    Medication,
    Person,
    Problem,
)
from gateway.demo.persons import vocabulary
from gateway.policy import ZONE
from profiles import exact

Json = dict[str, Any]

NIGHTLY: Final = "nursing-home"  # delimited, full each night
FEED: Final = "nursing-feed"  # JSON, full once and changes after
_COLUMNS: Final = (
    "clientnummer", "bsn", "geboortedatum", "geslacht", "achternaam", "voornamen", "soort", "id", "code", "codestelsel",
    "omschrijving", "status", "begin", "eind", "waarde", "eenheid", "toelichting",
)  # fmt: skip
_SYSTEMS: Final = {"sct": "SNOMED", "icpc": "ICPC", "atc": "ATC", "loinc": "LOINC"}
_DUTCH: Final = {"active": "actief", "inactive": "inactief", "resolved": "afgesloten", "stopped": "gestopt", "completed": "afgerond"}  # fmt: skip
_DECISIONS: Final = {"do": "JA", "dont": "NEE", "other": "JA_MAAR"}


@dataclass(frozen=True, slots=True)
class Dropped:
    """One file as a home writes it, and when it did."""

    name: str
    body: bytes
    at: datetime


def files(source: str, persons: Sequence[Person], now: datetime) -> list[Dropped]:
    """What a home dropped so far, oldest first.

    The nightly file came last night and the night before. The feed stopped two days ago: it is late.
    """
    held = [
        (number, person, person.sources[source]) for number, person in enumerate(persons, 1) if source in person.sources
    ]
    if not held:
        return []
    write, ages, extension = _KINDS[source]
    made = []
    for age, is_first in zip(ages, (True, False), strict=True):
        at = (now - age).astimezone(ZONE).replace(microsecond=0)
        rows = [(number, person, chart, chart.earlier if is_first else chart.facts) for number, person, chart in held]
        made.append(Dropped(f"{source}_{at:%Y%m%dT%H%M}.{extension}", write(rows, at, is_first), at))
    return made


def drop(directory: Path, dropped: Sequence[Dropped]) -> None:
    """Write each file, then its marker, as old as they are."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    for one in dropped:
        for path, body in ((directory / one.name, one.body), (directory / f"{one.name}.done", b"")):
            path.write_bytes(body)
            os.utime(path, (one.at.timestamp(), one.at.timestamp()))


_Row = tuple[int, Person, Chart, tuple[Fact, ...]]


def _nightly(rows: Sequence[_Row], at: datetime, is_first: bool) -> bytes:  # noqa: ARG001 - every night is full
    text = io.StringIO()
    writer = csv.DictWriter(text, _COLUMNS, delimiter=";", lineterminator="\r\n")
    writer.writeheader()
    lines = [line for row in rows for line in _lines(*row)]
    writer.writerows(lines)
    text.write(f"EINDE;{len(lines)};{at.isoformat()}\r\n")
    return text.getvalue().encode()


def _lines(number: int, person: Person, chart: Chart, facts: tuple[Fact, ...]) -> Iterator[dict[str, str]]:
    client = {
        "clientnummer": f"W{number:04d}",
        "bsn": person.bsn,
        "geboortedatum": _day(person.birthDate),
        "geslacht": "V" if person.gender == "female" else "M",
        "achternaam": person.name.last,
        "voornamen": person.name.given,
    }
    for contact in chart.contacts:
        yield client | {"soort": "contactpersoon", **_contact(contact)}
    for fact in facts:
        yield client | {"id": fact.id, **_line(fact)}


def _line(fact: Fact) -> dict[str, str]:
    match fact:
        case Medication():
            dates = {"begin": _day(fact.start), "eind": _day(fact.end)}
            return {"soort": "medicatie", **_coded(fact.code, fact.text), "status": _DUTCH[fact.status], **dates, "toelichting": fact.dosage}  # fmt: skip
        case Problem():
            dates = {"begin": _day(fact.onset), "eind": _day(fact.end)}
            return {
                "soort": "probleem",
                **_coded(fact.code),
                "status": _DUTCH[fact.status],
                **dates,
                "toelichting": fact.note,
            }
        case Allergy():
            return {"soort": "allergie", **_coded(fact.code), "status": _DUTCH[fact.status], "begin": _day(fact.onset), "toelichting": fact.note}  # fmt: skip
        case Directive():
            said = {"status": _DECISIONS[fact.decision], "begin": _day(fact.date), "toelichting": fact.text}
            return {"soort": "behandelgrens", **_coded(fact.treatment), **said}
        case Measurement() if fact.of == "weight":
            value = f"{fact.value:f}".replace(".", ",")
            return {"soort": "gewicht", "begin": _day(fact.at), "waarde": value, "eenheid": fact.unit or "kg"}
    message = f"a nursing home's file has no row for '{type(fact).__name__}'"
    raise ValueError(message)


def _contact(contact: Contact) -> dict[str, str]:
    return {
        "id": f"contact-{contact.relation.code}",
        "code": contact.relation.display,
        "omschrijving": contact.name.full,
        "waarde": contact.phone,
    }


def _coded(code: Coding, text: str = "") -> dict[str, str]:
    return {"code": code.code, "codestelsel": _SYSTEMS[code.alias], "omschrijving": text or code.display}


def _day(iso: str) -> str:
    """A date as Dutch people write it, as precise as it is."""
    return "-".join(reversed(iso.partition("T")[0].split("-")))


def _feed(rows: Sequence[_Row], at: datetime, is_first: bool) -> bytes:
    clients = [_client(*row, at_first=is_first) for row in rows if row[3] or is_first]
    mode = "full" if is_first else "delta"
    return exact.encode({"exportTime": at.isoformat(), "mode": mode, "count": len(clients), "clients": clients})


def _client(number: int, person: Person, chart: Chart, facts: tuple[Fact, ...], *, at_first: bool) -> Json:
    made: Json = {
        "clientNumber": f"A{number:04d}",
        "bsn": person.bsn,
        "birthDate": person.birthDate,
        "gender": "F" if person.gender == "female" else "M",
        "familyName": person.name.last,
        "givenNames": person.name.given,
    }
    for fact in facts:
        kind, item = _item(fact)
        made.setdefault(kind, []).append(
            {name: value for name, value in {"id": fact.id, **item}.items() if value != ""}
        )
    if at_first and chart.contacts:
        made["contacts"] = [
            {"id": f"contact-{one.relation.code}", "code": one.relation.display, "description": one.name.full, "phone": one.phone}
            for one in chart.contacts
        ]  # fmt: skip
    return made


def _item(fact: Fact) -> tuple[str, Json]:
    match fact:
        case Medication():
            return "medication", {**_named(fact.code, fact.text), "status": fact.status, "start": fact.start, "end": fact.end, "note": fact.dosage}  # fmt: skip
        case Problem():
            return "problems", {**_named(fact.code), "status": fact.status, "start": fact.onset, "end": fact.end, "note": fact.note}  # fmt: skip
        case Allergy():
            return "allergies", {**_named(fact.code), "status": fact.status, "start": fact.onset, "note": fact.note}
        case Directive():
            said = {"status": _DECISIONS[fact.decision], "start": fact.date, "note": fact.text}
            return "directives", {**_named(fact.treatment), **said}
        case Measurement() if fact.of == "weight":
            unit = fact.unit or vocabulary()["measurements"]["weight"]["unit"]
            return "weights", {"value": fact.value, "unit": unit, "start": fact.at.partition("T")[0]}
    message = f"a nursing home's feed has no list for '{type(fact).__name__}'"
    raise ValueError(message)


def _named(code: Coding, text: str = "") -> Json:
    return {"code": code.code, "system": _SYSTEMS[code.alias], "description": text or code.display}


# Source -> how it writes, how long ago its two files came, and what their names end in.
_KINDS: Final[dict[str, tuple[Callable[[Sequence[_Row], datetime, bool], bytes], tuple[timedelta, timedelta], str]]] = {
    NIGHTLY: (_nightly, (timedelta(hours=29), timedelta(hours=5)), "csv"),
    FEED: (_feed, (timedelta(days=3), timedelta(days=2)), "json"),
}
