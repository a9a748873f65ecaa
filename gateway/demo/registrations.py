"""What the custodians register at the gateway: that they hold data (FHIR List), and what their patients said (FHIR Consent)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from gateway.demo.elements import Json
from gateway.demo.facts import Person
from gateway.demo.organizations import region_tables
from gateway.model import CANONICAL, HELD_KINDS
from profiles.identifiers import BSN_SYSTEM, URA_SYSTEM

_GENERIC: Final = "http://minvws.github.io/generiekefuncties-docs"
_OURS: Final = f"{CANONICAL}/StructureDefinition"
_TERMINOLOGY: Final = "http://terminology.hl7.org/CodeSystem"
_CATEGORIES: Final = f"{_GENERIC}/CodeSystem/nl-gf-data-categories-cs"


@dataclass(frozen=True, slots=True)
class Registration:
    """One resource a custodian posts with its own token."""

    client: str
    resource: Json


def index_entries(persons: Sequence[Person], *, permitted: bool) -> list[Registration]:
    """Every "this custodian holds data of this person"; what is pushed is registered by the push itself.

    `permitted` false: nobody gave a permit, so every registration rests on the care relation.
    """
    return [
        Registration(
            f"{source}-registration", _entry(person, source, permitted and "permit" in person.consents[source])
        )
        for person in persons
        for source in person.sources
        if _is_asked(source)
    ]


def consents(persons: Sequence[Person], now: datetime, *, permitted: bool) -> list[Registration]:
    """Every permit and objection, each as its custodian posts it; without permits when `permitted` is false."""
    return [
        Registration(f"{custodian}-registration", consent)
        for person in persons
        for custodian, said in person.consents.items()
        for consent in _consents(person, custodian, said, now)
        if permitted or consent["provision"]["type"] == "deny"
    ]


def _is_asked(source: str) -> bool:
    return region_tables()["sources"][source]["kind"] not in HELD_KINDS


def _entry(person: Person, source: str, permitted: bool) -> Json:
    return {
        "resourceType": "List",
        "status": "current",
        "mode": "working",
        "extension": [
            {
                "url": f"{_GENERIC}/StructureDefinition/nl-gf-localization-custodian",
                "valueReference": _organization(source),
            },
            {
                "url": f"{CANONICAL}/StructureDefinition/registration-basis",
                "valueCode": "explicit" if permitted else "care-team",
            },
        ],
        "subject": {"identifier": identifier(person)},
        "emptyReason": {"coding": [{"system": f"{_TERMINOLOGY}/list-empty-reason", "code": "withheld"}]},
    }


def _consents(
    person: Person, custodian: str, said: Sequence[str | Mapping[str, Sequence[str]]], now: datetime
) -> Iterator[Json]:
    for statement in said:
        if isinstance(statement, str):
            yield _consent(person, custodian, now, {"type": statement})
        else:
            for effect, categories in statement.items():
                codes = [{"coding": [{"system": _CATEGORIES, "code": code}]} for code in categories]
                yield _consent(person, custodian, now, {"type": effect, "code": codes})


def _consent(person: Person, custodian: str, now: datetime, provision: Json) -> Json:
    return {
        "resourceType": "Consent",
        "status": "active",
        "scope": {"coding": [{"system": f"{_TERMINOLOGY}/consentscope", "code": "patient-privacy"}]},
        "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
        "patient": {"identifier": identifier(person)},
        # Who may speak for a person goes by age (rule C7).
        "extension": [{"url": f"{_OURS}/patient-birth-date", "valueDate": person.birthDate}],
        "dateTime": now.isoformat(timespec="seconds"),
        "performer": [_performer(by) for by in person.consentBy],
        "organization": [_organization(custodian)],
        "policy": [{"uri": "https://wetten.overheid.nl/jci1.3:c:BWBR0023864"}],
        "provision": provision,
    }


def _performer(by: str) -> Json:
    """Who said it: the person, or somebody who may speak for them."""
    if by == "patient":
        return {"type": "Patient", "display": by}
    role = {"url": "role", "valueCode": by}
    return {"display": by, "extension": [{"url": f"{_OURS}/representative", "extension": [role]}]}


def _organization(name: str) -> Json:
    row = region_tables()["organizations"][name]
    return {"type": "Organization", "identifier": {"system": URA_SYSTEM, "value": row["ura"]}, "display": row["name"]}


def identifier(person: Person) -> Json:
    """What a person is found by: the BSN, else the hospital's patient number."""
    if person.bsn:
        return {"system": BSN_SYSTEM, "value": person.bsn}
    system: str = region_tables()["sources"]["hospital"]["number_system"]
    return {"system": system, "value": person.number}
