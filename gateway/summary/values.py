"""FHIR data types in words, exactly as they were sent: no conversion, no rounding (rule E9)."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

from gateway.model import Json
from gateway.summary.texts import Words
from profiles import dates

# Resources come from foreign systems: any value may be of any type, so these functions take Any and look.


def concept(value: Any) -> str:  # noqa: ANN401 - see above
    """A CodeableConcept in words: its text, else a display, else a bare code."""
    if value.__class__ is list:
        return ", ".join(filter(None, map(concept, value)))
    if value.__class__ is not dict:
        return ""
    if value.get("text"):
        return str(value["text"])
    codings = value.get("coding") or ()
    for word in ("display", "code"):
        for coding in codings:
            if coding.get(word):
                return str(coding[word])
    return ""


def code(value: Any) -> str:  # noqa: ANN401 - see above
    """The first code of a CodeableConcept or a list of them."""
    for one in value if isinstance(value, list) else (value,):
        if isinstance(one, dict):
            for coding in one.get("coding") or ():
                if coding.get("code"):
                    return str(coding["code"])
    return ""


def quantity(value: Json) -> str:
    """A Quantity with comparator, every digit that was sent, and its unit."""
    unit = value.get("unit") or value.get("code") or ""
    number = f"{value.get('comparator', '')}{value.get('value', '')}"
    return f"{number} {unit}".strip()


def period(value: Json) -> str:
    """A Period as sent."""
    start, end = value.get("start", ""), value.get("end", "")
    return f"{start} – {end}" if end else start


def span(value: Json) -> str:
    """A Range as sent; an open end stays open."""
    low, high = quantity(value.get("low") or {}), quantity(value.get("high") or {})
    return f"{low} – {high}" if low and high else f"≥ {low}" if low else f"≤ {high}" if high else ""


def ratio(value: Json) -> str:
    """A Ratio as sent."""
    return f"{quantity(value.get('numerator') or {})} / {quantity(value.get('denominator') or {})}"


def boolean(value: bool, words: Words) -> str:
    """Yes or no."""
    return words["yes"] if value else words["no"]


def value_of(element: Json, words: Words) -> str:
    """The value[x] of an Observation or component in words; empty when there is none."""
    for name, read in _VALUES.items():
        if name in element:
            return read(element[name])
    if "valueBoolean" in element:
        return boolean(element["valueBoolean"], words)
    if "valueSampledData" in element:
        return words["series"]
    if "dataAbsentReason" in element:
        return words.say("no_value", text=concept(element["dataAbsentReason"]))
    return ""


def reference_range(element: Json, words: Words) -> str:
    """The reference range of the laboratory; it travels along with the value."""
    if "referenceRange" not in element:
        return ""
    texts = [str(row.get("text") or span(row)) for row in element["referenceRange"] or ()]
    told = "; ".join(filter(None, texts))
    return words.say("reference_range", text=told) if told else ""


def person_name(name: Any) -> str:  # noqa: ANN401 - see above
    """A HumanName in words."""
    if isinstance(name, list):
        # The official name first; a second name is often only the given name.
        named = sorted((one for one in name if isinstance(one, dict)), key=lambda one: one.get("use") != "official")
        return next(filter(None, map(person_name, named)), "")
    if name.get("text"):
        return str(name["text"])
    parts = (*(name.get("prefix") or ()), *(name.get("given") or ()), name.get("family") or "")
    return " ".join(str(part) for part in parts if part)


@lru_cache(maxsize=1024)
def moment(instant: str) -> str:
    """When this gateway did something, on the clock of the reader; dates of the source itself are shown as sent."""
    found = dates.parse(instant)
    if found is None or found.instant is None:
        return instant
    return found.instant.astimezone(dates.LOCAL).strftime("%d-%m-%Y %H:%M")


def notes(resource: Json, words: Words) -> list[str]:
    """Remarks of the source, in full."""
    return [words.say("note", text=note["text"]) for note in resource.get("note") or () if note.get("text")]


def extension(element: Json, url: str) -> Json | None:
    """The first extension with a url."""
    return next((one for one in element.get("extension") or () if one.get("url") == url), None)


def modifier(element: Json, url: str) -> Json | None:
    """The first modifier extension with a url."""
    return next((one for one in element.get("modifierExtension") or () if one.get("url") == url), None)


_VALUES: Final[dict[str, Callable[[Any], str]]] = {
    "valueQuantity": quantity,
    "valueCodeableConcept": concept,
    "valueString": str,
    "valueInteger": str,
    "valueRange": span,
    "valueRatio": ratio,
    "valueDateTime": str,
    "valueTime": str,
    "valuePeriod": period,
}
