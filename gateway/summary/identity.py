"""The one Patient of the document, made of what every source says about the person."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import combinations
from typing import Final

from consent.categories import MASKED
from gateway.errors import Invalid
from gateway.model import Answer, Json, Patient
from gateway.summary.texts import Note
from profiles.dates import parse, same_day

UNKNOWN: Final[Json] = {
    "extension": [
        {"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}
    ]
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Identity:
    """The Patient of the document and what the reader must be told about it."""

    resource: Json
    banners: tuple[Note, ...]
    sources: tuple[tuple[str, Json], ...]  # (name of the custodian, its Patient)


def identify(patient: Patient, answers: Sequence[Answer]) -> Identity:
    """Make the one Patient resource of the document.

    Raises:
        Invalid: `patient-ambiguous` when two birth dates cannot be of one person. A partial date is
            compared on what it says only: "1980" is not 1 January 1980 (rule E1).
    """
    sources = tuple(_patients(answers))
    births = [patient.birth_date, *(str(resource.get("birthDate", "")) for _, resource in sources)]
    birth, certain = _birth_date([birth for birth in births if birth])
    resource: Json = {
        "resourceType": "Patient",
        "id": patient.id,
        "identifier": [{"system": patient.system, "value": patient.value}],
        "name": _names(sources) or [{"_text": UNKNOWN}],
    }
    banners = [] if patient.verified else [Note.of("not-verified", urgent=True)]
    if not certain:
        banners.append(Note.of("birth-date-uncertain"))
    _gender(resource, sources, banners)
    resource |= {"birthDate": birth} if birth else {"_birthDate": UNKNOWN}
    _death(resource, sources, banners)
    _multiple_birth(resource, sources, banners)
    _families(sources, banners)
    came = {f"{item.type}/{item.id}" for answer in answers for item in answer.items}
    general_practitioners = list(_general_practitioners(sources, came))
    if general_practitioners:
        resource["generalPractitioner"] = general_practitioners
    return Identity(resource, tuple(banners), sources)


def reachable(answers: Sequence[Answer]) -> Json:
    """Where and how the person is reached: every different address and number the sources give.

    INVARIANT: what one source keeps secret no other gives away: then nothing of it is shown (rule E11).
    """
    persons = [item for answer in answers for item in answer.items if item.type == "Patient"]
    if any(item.labels & MASKED for item in persons):
        return {}
    found: Json = {}
    for item in persons:
        for name in ("telecom", "address"):
            for one in item.resource.get(name) or ():
                if one not in found.setdefault(name, []):
                    found[name].append(one)
    return {name: values for name, values in found.items() if values}


def _patients(answers: Sequence[Answer]) -> Iterator[tuple[str, Json]]:
    for answer in answers:
        for item in answer.items:
            if item.type == "Patient":
                yield answer.custodian_name, item.resource


def _birth_date(births: Sequence[str]) -> tuple[str, bool]:
    """The most precise of the dates, and whether all of them are certainly the same day."""
    different = [parse(birth) for birth in dict.fromkeys(births)]  # ten sources that agree are compared once
    if any(same_day(one, other) is False for one, other in combinations(filter(None, different), 2)):
        raise Invalid("patient-ambiguous")
    # A date without a day is not certainly the same day as itself.
    first = different[0] if different else None
    certain = len(births) < 2 or all(first and date and same_day(first, date) for date in different)
    return max(births, key=len, default=""), certain


def _names(sources: Sequence[tuple[str, Json]]) -> list[Json]:
    """Every different name; a name without any word would say nothing."""
    names: list[Json] = []
    for _, resource in sources:
        for name in resource.get("name") or ():
            if (name.get("family") or name.get("given") or name.get("text")) and name not in names:
                names.append(name)
    return names


def _gender(resource: Json, sources: Sequence[tuple[str, Json]], banners: list[Note]) -> None:
    """Keep the gender all sources agree on; where they differ none is chosen."""
    said = {source["gender"]: name for name, source in sources if source.get("gender") not in (None, "unknown")}
    if len(said) == 1:
        resource["gender"] = next(iter(said))
    elif said:
        told = "; ".join(f"{name}: {gender}" for gender, name in said.items())
        banners.append(Note.of("gender-differs", told=told, urgent=True))


def _death(resource: Json, sources: Sequence[tuple[str, Json]], banners: list[Note]) -> None:
    """State a death only when more than one source says so and none does not (rule E4); the data stay either way."""
    dead = [(name, source) for name, source in sources if _is_dead(source)]
    if not dead:
        return
    told = "; ".join(f"{name} {source.get('deceasedDateTime', '')}".strip() for name, source in dead)
    if len(dead) > 1 and len(dead) == len(sources):
        dated = next((source["deceasedDateTime"] for _, source in dead if "deceasedDateTime" in source), None)
        resource |= {"deceasedDateTime": dated} if dated else {"deceasedBoolean": True}
        banners.append(Note.of("deceased", told=told, urgent=True))
    else:
        banners.append(Note.of("deceased-at-one", told=told, urgent=True))


def _is_dead(source: Json) -> bool:
    return bool(source.get("deceasedDateTime")) or source.get("deceasedBoolean") is True


def _multiple_birth(resource: Json, sources: Sequence[tuple[str, Json]], banners: list[Note]) -> None:
    """Keep the birth order of a multiple (rule E3); where sources differ none is chosen."""
    orders = {source["multipleBirthInteger"] for _, source in sources if "multipleBirthInteger" in source}
    if len(orders) == 1:
        resource["multipleBirthInteger"] = next(iter(orders))
    elif orders or any(source.get("multipleBirthBoolean") is True for _, source in sources):
        resource["multipleBirthBoolean"] = True
    if orders or "multipleBirthBoolean" in resource:
        banners.append(Note.of("multiple-birth", order=", ".join(str(order) for order in sorted(orders)) or "?"))


def _families(sources: Sequence[tuple[str, Json]], banners: list[Note]) -> None:
    """Say so when sources know the person by different family names; a name is never chosen away."""
    families: dict[str, str] = {}
    for custodian, source in sources:
        for name in source.get("name") or ():
            if name.get("family"):
                families.setdefault(str(name["family"]).casefold(), f"{custodian}: {name['family']}")
    if len(families) > 1:
        banners.append(Note.of("name-differs", told="; ".join(families.values()), urgent=True))


def _general_practitioners(sources: Sequence[tuple[str, Json]], came: AbstractSet[str]) -> Iterator[Json]:
    """Every GP once; a reference to what did not come along keeps its words only."""
    seen: set[str] = set()
    for _, source in sources:
        for given in source.get("generalPractitioner") or ():
            kept = given.get("reference") in came
            reference = given if kept else {name: value for name, value in given.items() if name != "reference"}
            key = str(reference.get("reference") or reference.get("display") or reference.get("identifier"))
            if reference.keys() - {"type"} and key not in seen:
                seen.add(key)
                yield reference
