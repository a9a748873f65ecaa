"""Medication building blocks in words, grouped by treatment id only (rule E6)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from gateway.model import Json
from gateway.summary.texts import Words
from gateway.summary.values import code, concept, extension, modifier, period, quantity, span

TREATMENT: Final = "http://nictiz.nl/fhir/StructureDefinition/ext-PharmaceuticalTreatment.Identifier"
STOP_TYPE: Final = "http://nictiz.nl/fhir/StructureDefinition/ext-StopType"
_RENDERED: Final = "http://nictiz.nl/fhir/StructureDefinition/ext-RenderedDosageInstruction"
_PERIOD_OF_USE: Final = "http://nictiz.nl/fhir/StructureDefinition/ext-TimeInterval.Period"
_OVER: Final = frozenset({"stopped", "completed", "cancelled", "entered-in-error", "not-taken", "declined"})
_RUNNING: Final = frozenset({"active", "in-progress", "preparation", "unknown"})


def product(resource: Json, find: Callable[[str], Json | None]) -> str:
    """What is used: the product's own words, never merged with those of another source."""
    if "medicationCodeableConcept" in resource:
        return concept(resource["medicationCodeableConcept"])
    reference = resource.get("medicationReference") or {}
    target = str(reference.get("reference", ""))
    if target.startswith("#"):
        inside = (one for one in resource.get("contained") or () if one.get("id") == target[1:])
        medication = next(inside, None)
    else:
        medication = find(target)
    return concept((medication or {}).get("code")) or str(reference.get("display", ""))


def block(resource: Json, words: Words) -> str:
    """Which building block of the medication process this is."""
    type_ = str(resource.get("resourceType", ""))
    coded = code(resource.get("category"))
    told = words.code("block", coded) if coded else ""
    return told if told and told != coded else words.code("block", type_)


def state(resource: Json, words: Words) -> str:
    """The status; a stop is always said, also when the sender puts it in a modifier."""
    stop = modifier(resource, STOP_TYPE)
    if stop is not None:
        return words.say("stopped", text=concept(stop.get("valueCodeableConcept")) or words["unknown"])
    if resource.get("status") == "not-taken":
        return words["not_taken"]
    return words.code("status", str(resource.get("status", "unknown")))


def is_stop(resource: Json) -> bool:
    """Claim that this building block ends the treatment."""
    return modifier(resource, STOP_TYPE) is not None or resource.get("status") == "stopped"


def is_running(resource: Json) -> bool:
    """Claim that this building block says the medication is being used or supplied."""
    return not is_stop(resource) and resource.get("status") in _RUNNING


def is_over(resource: Json) -> bool:
    """Claim that this building block is about the past."""
    return is_stop(resource) or resource.get("status") in _OVER


def treatment(resource: Json) -> str:
    """The id of the pharmaceutical treatment; the only thing medication is grouped by."""
    found = extension(resource, TREATMENT)
    identifier = (found or {}).get("valueIdentifier") or {}
    value = identifier.get("value")
    return f"{identifier.get('system', '')}|{value}" if value else ""


def in_use(resource: Json, words: Words) -> str:
    """The period of use as sent."""
    found = extension(resource, _PERIOD_OF_USE)
    told = (found or {}).get("valuePeriod") or resource.get("effectivePeriod") or {}
    reason = concept(resource.get("reasonCode"))
    return "; ".join(filter(None, (period(told), words.say("reason", text=reason) if reason else "")))


def dose(resource: Json, words: Words) -> str:
    """The dose in words; a missing dose is said, never left out.

    A schedule is told in the words of its source: its parts do not say what comes first, and for how long.
    """
    rows = resource.get("dosageInstruction") or resource.get("dosage") or ()
    rows = [rows] if isinstance(rows, dict) else rows
    whole = str((extension(resource, _RENDERED) or {}).get("valueString") or "")
    if whole and not any(row.get("text") for row in rows):
        return whole
    told = " + ".join(filter(None, (_one_dose(row, words) for row in rows)))
    return told or words["no_dose"]


def _one_dose(row: Json, words: Words) -> str:
    if row.get("text"):
        return str(row["text"])
    amounts = [
        quantity(rate.get("doseQuantity") or {}) or span(rate.get("doseRange") or {})
        for rate in row.get("doseAndRate") or ()
    ]
    if isinstance(row.get("dose"), dict):  # MedicationAdministration
        amounts.append(quantity(row["dose"]))
    parts = [", ".join(filter(None, amounts)), _timing(row.get("timing") or {}, words)]
    if not any(parts):
        return ""
    route = concept(row.get("route"))
    if row.get("asNeededBoolean") is True or row.get("asNeededCodeableConcept"):
        parts.append(" ".join(filter(None, (words["as_needed"], concept(row.get("asNeededCodeableConcept"))))))
    parts.append(words.say("route", text=route) if route else "")
    return ", ".join(filter(None, parts))


def _timing(timing: Json, words: Words) -> str:
    told = concept(timing.get("code"))
    repeat = timing.get("repeat") or {}
    if not told and repeat.get("frequency"):
        unit = words.code("unit", str(repeat.get("periodUnit", "")))
        told = words.say("dose_times", frequency=repeat["frequency"], period=repeat.get("period", 1), unit=unit)
    return told
