"""Writes the HL7 v2.5 messages of the simulated ambulance service: an ADT^A04 per trip, then an ORU^R01 with its vital signs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from gateway.demo.facts import Chart, Coding, Contact, Measurement, Person, Pressure, Trip
from gateway.demo.organizations import region_tables
from gateway.demo.persons import vocabulary

SOURCE: Final = "ambulance"
_TRIPS: Final = "&2.16.840.1.113883.2.4.3.32.5&ISO"  # who gives out trip numbers
_ESCAPES: Final = str.maketrans({"\\": "\\E\\", "|": "\\F\\", "^": "\\S\\", "&": "\\T\\", "~": "\\R\\"})


@dataclass(frozen=True, slots=True)
class Written:
    """One message, ready to be sent; the control id stays when it is sent again."""

    control_id: str
    raw: bytes


def messages(persons: Sequence[Person], now: datetime) -> list[Written]:
    """Every message about the persons the ambulance brought, in order."""
    return [
        message
        for person in persons
        if (chart := person.sources.get(SOURCE)) and chart.trip
        for message in _trip(person, chart, chart.trip, now)
    ]


def _trip(person: Person, chart: Chart, trip: Trip, now: datetime) -> Iterator[Written]:
    identity = _identity(person)
    visit = _segment("PV1", {1: "1", 2: "E", 19: f"{_text(trip.number)}^^^{_TRIPS}^VN", 44: _stamp(trip.start)})
    kin = [_kin(position, contact) for position, contact in enumerate(chart.contacts, start=1)]
    reason = _segment("PV2", {3: f"^{_text(trip.complaint)}"})
    event = _segment("EVN", {2: _stamp(trip.start)})
    yield _message("ADT^A04^ADT_A01", f"{trip.number}-A", now, [event, identity, *kin, visit, reason])
    order = _segment("OBR", {1: "1", 3: _text(trip.number), 4: "8716-3^Vitale functies^LN", 7: _stamp(trip.start)})
    results = [
        _segment("OBX", {1: str(position), **fields}) for position, fields in enumerate(_results(chart), start=1)
    ]
    yield _message("ORU^R01^ORU_R01", f"{trip.number}-R", now, [identity, order, *results])


def _message(kind: str, control_id: str, now: datetime, segments: list[str]) -> Written:
    name = region_tables()["organizations"][SOURCE]["name"]
    header = f"MSH|^~\\&|AMBULANCE|{_text(name)}|GATEWAY|ROAZ|{_stamp(now.isoformat())}||{kind}|{control_id}|P|2.5|||AL|NE|NLD|UNICODE UTF-8"
    return Written(control_id, ("\r".join([header, *segments]) + "\r").encode())


def _identity(person: Person) -> str:
    name, address = person.name, person.address
    fields = {
        1: "1",
        3: f"{person.bsn}^^^NLMINBIZA^NNNLD",
        5: f"{_text(name.last)}&{_text(name.prefix)}&{_text(name.family)}^{_text(name.given)}^^^^^L",
        7: person.birthDate.replace("-", ""),
        8: "F" if person.gender == "female" else "M",
        13: f"{_text(person.phone)}^PRN^PH" if person.phone else "",
    }
    if address:
        street = f"{_text(address.street)} {_text(address.number)}&{_text(address.street)}&{_text(address.number)}"
        fields[11] = f"{street}^^{_text(address.city)}^^{_text(address.postcode)}^NLD^H"
    return _segment("PID", fields)


def _kin(position: int, contact: Contact) -> str:
    name = contact.name
    return _segment(
        "NK1",
        {
            1: str(position),
            2: f"{_text(name.last)}&{_text(name.prefix)}&{_text(name.family)}^{_text(name.given)}^^^^^L",
            3: f"{vocabulary()['kin'][contact.relation.code]}^{_text(contact.relation.display)}^HL70063",
            5: f"{_text(contact.phone)}^PRN^PH" if contact.phone else "",
        },
    )


def _results(chart: Chart) -> Iterator[dict[int, str]]:
    for fact in chart.facts:
        if isinstance(fact, Pressure):
            yield _result(Coding("loinc 8480-6 Systolische bloeddruk"), fact.systolic, "mm[Hg]", fact.at)
            yield _result(Coding("loinc 8462-4 Diastolische bloeddruk"), fact.diastolic, "mm[Hg]", fact.at)
        elif isinstance(fact, Measurement):
            row = vocabulary()["measurements"][fact.of]
            yield _result(Coding(row["codes"][-1]), fact.value, fact.unit or row["unit"], fact.at)


def _result(code: Coding, value: Decimal, unit: str, at: str) -> dict[int, str]:
    return {
        2: "NM",
        3: f"{code.code}^{_text(code.display)}^LN",
        5: f"{value:f}",
        6: f"{unit}^{unit}^UCUM",
        11: "F",
        14: _stamp(at),
    }


def _segment(name: str, fields: dict[int, str]) -> str:
    return "|".join([name, *(fields.get(position, "") for position in range(1, max(fields) + 1))])


def _stamp(instant: str) -> str:
    """An instant with its offset, as HL7 v2 writes it."""
    return datetime.fromisoformat(instant).strftime("%Y%m%d%H%M%S%z")


def _text(words: str) -> str:
    return words.translate(_ESCAPES)
