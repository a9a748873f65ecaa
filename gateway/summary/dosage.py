"""A dosage in words: how much, when, for how long, and what comes after what (rules E6, E9)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from gateway.model import Json
from gateway.summary.texts import Words
from gateway.summary.values import concept, extension, period, quantity, ratio, span

_RENDERED: Final = "http://nictiz.nl/fhir/StructureDefinition/ext-RenderedDosageInstruction"


def dose(resource: Json, words: Words) -> str:
    """The dose in words; a missing dose is said, never left out.

    A schedule without texts of its own is told in the words its source has for the whole of it.
    """
    rows = resource.get("dosageInstruction") or resource.get("dosage") or ()
    rows = [rows] if isinstance(rows, dict) else rows
    whole = str((extension(resource, _RENDERED) or {}).get("valueString") or "")
    if whole and not any(row.get("text") for row in rows):
        return whole
    steps = (" + ".join(filter(None, (_one_dose(row, words) for row in step))) for step in _steps(rows))
    return f"; {words['dose_then']} ".join(filter(None, steps)) or words["no_dose"]


def _steps(rows: Iterable[Json]) -> Iterator[list[Json]]:
    """Doses of one number are taken together, those of a higher one later.

    Spec: FHIR R4 Dosage.sequence.
    """
    steps: dict[int, list[Json]] = {}
    for row in rows:
        number = row.get("sequence")
        steps.setdefault(number if isinstance(number, int) else 0, []).append(row)
    yield from (steps[number] for number in sorted(steps))


def _one_dose(row: Json, words: Words) -> str:
    if row.get("text"):
        return str(row["text"])
    rates = [rate for rate in row.get("doseAndRate") or () if isinstance(rate, dict)]
    amounts = [_amount(rate, "dose") for rate in rates]
    if isinstance(row.get("dose"), dict):  # MedicationAdministration
        amounts.append(quantity(row["dose"]))
    timing = row.get("timing") or {}
    parts = [", ".join(filter(None, amounts)), _frequency(timing, words), *_moments(timing, words)]
    if not any(parts):
        return ""
    parts += [words.say("dose_rate", text=told) for rate in rates if (told := _amount(rate, "rate"))]
    route = concept(row.get("route"))
    if row.get("asNeededBoolean") is True or row.get("asNeededCodeableConcept"):
        parts.append(" ".join(filter(None, (words["as_needed"], concept(row.get("asNeededCodeableConcept"))))))
    if isinstance(most := row.get("maxDosePerPeriod"), dict):
        parts.append(words.say("dose_most", text=ratio(most)))
    parts.append(words.say("route", text=route) if route else "")
    return ", ".join(filter(None, [*parts, _bounds(timing, words)]))


def _amount(rate: Json, name: str) -> str:
    told = quantity(rate.get(f"{name}Quantity") or {}) or span(rate.get(f"{name}Range") or {})
    return told or (ratio(rate[f"{name}Ratio"]) if isinstance(rate.get(f"{name}Ratio"), dict) else "")


def _frequency(timing: Json, words: Words) -> str:
    told = concept(timing.get("code"))
    repeat = timing.get("repeat") or {}
    if told or not (repeat.get("frequency") or repeat.get("period")):
        return told
    often = _from_to(repeat.get("frequency", 1), repeat.get("frequencyMax"))
    every = _from_to(repeat.get("period", 1), repeat.get("periodMax"))
    unit = words.code("unit", str(repeat.get("periodUnit", "")))
    return words.say("dose_times", frequency=often, period=every, unit=unit)


def _from_to(least: Any, most: Any) -> str:  # noqa: ANN401 - values of foreign systems
    return f"{least}–{most}" if most else str(least)


def _moments(timing: Json, words: Words) -> Iterator[str]:
    """The days, times and moments of the day, and how often in all."""
    repeat = timing.get("repeat") or {}
    for name in ("dayOfWeek", "when", "timeOfDay"):
        found = repeat.get(name)
        told = [str(one) for one in (found if isinstance(found, list) else [found]) if one]
        yield ", ".join(one[:5] if name == "timeOfDay" else words.code("timing", one) for one in told)
    if repeat.get("count"):
        yield words.say("dose_count", count=_from_to(repeat["count"], repeat.get("countMax")))


def _bounds(timing: Json, words: Words) -> str:
    """From when until when, or for how long."""
    repeat = timing.get("repeat") or {}
    length = repeat.get("boundsDuration")
    if isinstance(length, dict):
        unit = length.get("unit") or words.code("unit", str(length.get("code", "")))
        return words.say("dose_for", text=quantity({**length, "unit": unit}))
    if isinstance(repeat.get("boundsRange"), dict):
        return words.say("dose_for", text=span(repeat["boundsRange"]))
    return period(repeat["boundsPeriod"]) if isinstance(repeat.get("boundsPeriod"), dict) else ""
