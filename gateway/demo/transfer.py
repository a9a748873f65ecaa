"""Writes the transfer documents of the simulated ambulance service: one CDA document per trip, for the department that receives."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import Final

from gateway.demo.ambulance import SOURCE, Written
from gateway.demo.elements import Holder
from gateway.demo.facts import Allergy, Given, Person, Problem, Transfer, Trip
from gateway.demo.organizations import holder, region_tables
from gateway.demo.v3_elements import (
    HEAD,
    LOINC,
    NAMESPACES,
    URA,
    allergy,
    author,
    coded,
    concern,
    measured,
    number,
    period,
    problem,
    record_target,
    stamp,
)

_TRIPS: Final = "2.16.840.1.113883.2.4.3.32.5"
_CCDA: Final = "2.16.840.1.113883.10.20.22.4"


def documents(persons: Sequence[Person]) -> list[Written]:
    """Every transfer document of the region."""
    return [
        _document(person, chart.trip, chart.transfer)
        for person in persons
        if (chart := person.sources.get(SOURCE)) and chart.trip and chart.transfer
    ]


def _document(person: Person, trip: Trip, transfer: Transfer) -> Written:
    of, id_ = holder(SOURCE), f"{trip.number}-T"
    root = f"2.16.840.1.113883.2.4.6.6.{of.ura}"
    keeper = f'<id root="{URA}" extension="{of.ura}"/><name>{escape(of.organization)}</name>'
    head = (
        '<typeId root="2.16.840.1.113883.1.3" extension="POCD_HD000040"/>'
        f'<id root="{root}.2" extension="{id_}"/><code code="57133-1" codeSystem="{LOINC}" displayName="Ambulanceoverdracht"/>'
        f'<title>Ambulanceoverdracht</title><effectiveTime value="{stamp(transfer.at)}"/>'
        '<confidentialityCode code="N" codeSystem="2.16.840.1.113883.5.25"/><languageCode code="nl-NL"/>'
        f'<setId root="{root}.3" extension="{trip.number}"/><versionNumber value="1"/>{record_target(person)}'
        f"{author(of, transfer.at)}<custodian><assignedCustodian><representedCustodianOrganization>{keeper}"
        f"</representedCustodianOrganization></assignedCustodian></custodian>{''.join(map(_recipient, transfer.to))}"
        f'<componentOf><encompassingEncounter><id root="{_TRIPS}" extension="{trip.number}"/>'
        '<code code="EMER" codeSystem="2.16.840.1.113883.5.4"/>'
        f"<effectiveTime>{period(trip.start)}</effectiveTime></encompassingEncounter></componentOf>"
    )
    body = "".join(_sections(of, trip, transfer))
    text = f"{HEAD}<ClinicalDocument {NAMESPACES}>{head}<component><structuredBody>{body}</structuredBody></component></ClinicalDocument>"
    return Written(id_, text.encode())


def _recipient(organization: str) -> str:
    """For whom it is: the department that will receive the person."""
    row = region_tables()["organizations"][organization]
    received = f'<id root="{URA}" extension="{row["ura"]}"/><name>{escape(row["name"])}</name>'
    return (
        '<informationRecipient typeCode="PRCP"><intendedRecipient classCode="ASSIGNED">'
        f"<receivedOrganization>{received}</receivedOrganization></intendedRecipient></informationRecipient>"
    )


def _sections(of: Holder, trip: Trip, transfer: Transfer) -> Iterator[str]:
    yield _section("46239-0", "Reden van komst", f"{trip.complaint}. {transfer.narrative}", ())
    parts: dict[tuple[str, str], list[str]] = {}
    for fact in transfer.facts:
        key = f"{trip.number}-{fact.id}"
        if isinstance(fact, Allergy):
            inner = allergy(of, key, fact, f"{_CCDA}.7")
            entry = concern(of, key, f"{_CCDA}.30", fact.status, fact.recorded, inner, fact.note)
            parts.setdefault(("48765-2", "Allergieën"), []).append(entry)
        elif isinstance(fact, Problem):
            inner = problem(of, key, fact, f"{_CCDA}.4")
            entry = concern(of, key, f"{_CCDA}.3", fact.status, fact.recorded, inner, fact.note)
            parts.setdefault(("11450-4", "Werkdiagnose"), []).append(entry)
        elif isinstance(fact, Given):
            parts.setdefault(("29549-3", "Toegediende medicatie"), []).append(_given(of, key, fact))
        else:
            parts.setdefault(("8716-3", "Vitale functies"), []).extend(measured(of, key, fact))
    for (code, title), entries in parts.items():
        yield _section(code, title, title, entries)


def _section(code: str, title: str, text: str, entries: Sequence[str]) -> str:
    inside = "".join(f"<entry>{entry}</entry>" for entry in entries)
    return (
        f'<component><section><code code="{code}" codeSystem="{LOINC}"/><title>{escape(title)}</title>'
        f"<text>{escape(text)}</text>{inside}</section></component>"
    )


def _given(of: Holder, key: str, fact: Given) -> str:
    drug = f"<manufacturedMaterial>{coded(fact.code)}</manufacturedMaterial>"
    return (
        f'<substanceAdministration classCode="SBADM" moodCode="EVN">{number(of, key)}<statusCode code="completed"/>'
        f'<effectiveTime value="{stamp(fact.at)}"/><doseQuantity value="{fact.amount:f}" unit="{escape(fact.unit)}"/>'
        f"<consumable><manufacturedProduct>{drug}</manufacturedProduct></consumable></substanceAdministration>"
    )
