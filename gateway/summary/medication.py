"""Medication building blocks in words, grouped by treatment id only (rule E6)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from gateway.model import Json
from gateway.summary.texts import Words
from gateway.summary.values import code, concept, extension, modifier, period

TREATMENT: Final = "http://nictiz.nl/fhir/StructureDefinition/ext-PharmaceuticalTreatment.Identifier"
STOP_TYPE: Final = "http://nictiz.nl/fhir/StructureDefinition/ext-StopType"
_CONDITION: Final = "http://nictiz.nl/fhir/StructureDefinition/ext-PeriodOfUse.Condition"
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
    """The period of use as sent, with the condition it depends on."""
    found = extension(resource, _PERIOD_OF_USE)
    told = (found or {}).get("valuePeriod") or resource.get("effectivePeriod") or {}
    condition = str((extension(told, _CONDITION) or {}).get("valueString") or "")
    problems = [str(one["display"]) for one in resource.get("reasonReference") or () if one.get("display")]
    reason = ", ".join(filter(None, [concept(resource.get("reasonCode")), *problems]))
    return "; ".join(filter(None, (period(told), condition, words.say("reason", text=reason) if reason else "")))
