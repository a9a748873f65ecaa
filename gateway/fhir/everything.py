"""What `Patient/$everything` asks and which of a patient's items it is about: types, care dates, changes since."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from consent.categories import IMPERSONAL, categories_of_type
from gateway.errors import Invalid
from gateway.fhir.invocation import given, moment, one, only
from gateway.fhir.types import CLINICAL
from gateway.model import Incoming, Item, Json, Patient, Question
from gateway.ports import Ports
from profiles import dates

MOST: Final = 500
_KNOWN: Final = ("start", "end", "_since", "_type", "_count", "_cursor")
# What is true until something ends it: its dates say when it began.
_LASTS: Final = {
    "AllergyIntolerance", "CarePlan", "CareTeam", "Condition", "Coverage", "EpisodeOfCare", "Flag", "Goal",
    "MedicationStatement", "MedicationRequest", "DeviceUseStatement", "Consent",
}  # fmt: skip
_PERIODS: Final = ("period", "effectivePeriod", "performedPeriod", "occurrencePeriod", "onsetPeriod")
_ENDS: Final = ("abatementDateTime", "abatementPeriod")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What of a patient is asked."""

    types: tuple[str, ...]
    start: datetime
    end: datetime
    since: datetime | None
    count: int | None
    cursor: str
    used: tuple[tuple[str, str], ...]  # as the links repeat it

    def covers(self, item: Item) -> bool:
        """Claim that an item is asked. What has no date is never left out: nobody knows that it was not then."""
        if item.type not in self.types:
            return False
        if self.since is not None:
            changed = dates.parse(str((item.resource.get("meta") or {}).get("lastUpdated", "")))
            if changed is not None and changed.upper <= self.since:
                return False
        first, last = _care(item)
        return first < self.end and last > self.start


def wanted(incoming: Incoming) -> Wanted:
    """Read what is asked.

    Raises:
        Invalid: a parameter that is not known or whose value is not.

    Spec: FHIR R4 Patient-everything.
    """
    values = only(given(incoming), _KNOWN, "Patient/$everything")
    types = [part for text in values.get("_type", ()) for part in text.split(",")]
    for type_ in types:
        if type_ not in CLINICAL:
            raise Invalid("invalid-parameter", name="_type", why="give resource types this server has, with commas")
    count = one(values, "_count")
    if count and not re.fullmatch(r"[1-9]\d{0,5}", count):
        raise Invalid("invalid-parameter", name="_count", why="give a whole number, 1 or more")
    start, end, since = (moment(values, name) for name in ("start", "end", "_since"))
    if start and end and end.upper <= start.lower:
        raise Invalid("invalid-parameter", name="end", why="it is before start")
    return Wanted(
        tuple(dict.fromkeys(types)) or ("Patient", *(type_ for type_ in CLINICAL if type_ != "Patient")),
        start.lower if start else dates.EARLIEST,
        end.upper if end else dates.LATEST,
        since.lower if since else None,
        min(int(count), MOST) if count else None,
        one(values, "_cursor"),
        tuple((name, text) for name in _KNOWN if name != "_cursor" for text in values.get(name, ())),
    )


def question(incoming: Incoming, patient_id: str, ports: Ports) -> Question:
    """The question behind it: one patient, every type that is wanted.

    Raises:
        Invalid: see `wanted`; `not-found` for an id that is no patient of this gateway.
    """
    asked = wanted(incoming)
    known = ports.keys.patient_identifier(patient_id)
    if known is None:
        raise Invalid("not-found", what="this patient id")
    categories = frozenset[str]().union(*(categories_of_type(type_) for type_ in asked.types))
    if asked.types != ("Consent",):
        categories = (categories - IMPERSONAL - {"Consent"}) | ({"Patient"} if "Patient" in asked.types else set())
    names = "&".join(f"{name}=***" for name, _ in asked.used)
    return Question(
        "everything", "r", asked.types, categories, Patient(patient_id, *known), parameters=asked.used, names=names
    )


def in_order(items: Iterable[Item]) -> list[Item]:
    """The patient first, then by type and newest fact; the same at every page."""
    place = {type_: number for number, type_ in enumerate(dict.fromkeys(("Patient", *CLINICAL)))}
    stable = sorted(items, key=lambda item: item.id)
    newest = sorted(stable, key=lambda item: _first(item.date), reverse=True)
    return sorted(newest, key=lambda item: place.get(item.type, len(place)))


def _care(item: Item) -> tuple[datetime, datetime]:
    """From when to when an item is about the patient; all of time when it does not say."""
    resource = item.resource
    period = next((resource[name] for name in _PERIODS if isinstance(resource.get(name), dict)), None)
    if period is not None:
        first, last = (dates.parse(str(period.get(name, ""))) for name in ("start", "end"))
        return (first.lower if first else dates.EARLIEST), (last.upper if last else dates.LATEST)
    said = dates.parse(item.date)
    if said is None:
        return dates.EARLIEST, dates.LATEST
    if item.type not in _LASTS:
        return said.lower, said.upper
    ended = next(iter(_moments(resource)), None)
    return said.lower, ended or dates.LATEST


def _moments(resource: Json) -> Iterator[datetime]:
    for name in _ENDS:
        value = resource.get(name)
        text = value.get("end") or value.get("start") if isinstance(value, dict) else value
        found = dates.parse(str(text)) if text else None
        if found is not None:
            yield max(found.upper, found.lower)


def _first(text: str) -> datetime:
    found = dates.parse(text)
    return found.lower if found else dates.EARLIEST
