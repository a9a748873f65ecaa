"""Read the times of HL7 version 3 (TS, IVL, PIVL, EIVL and the Dutch frequency) with the precision they were written with."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

from mappings.formats.er7_time import date_of, date_time_of
from mappings.model import Json
from mappings.reading import Reading

Convert = Callable[[Reading, Any, Any], Any]

_UNITS: Final = {"s": "seconde", "min": "minuut", "h": "uur", "d": "dag", "wk": "week", "mo": "maand", "a": "jaar"}
_DURATION: Final = "http://nictiz.nl/fhir/StructureDefinition/ext-TimeInterval.Duration"
_CONDITION: Final = "http://nictiz.nl/fhir/StructureDefinition/ext-PeriodOfUse.Condition"
_EXACT: Final = "http://hl7.org/fhir/StructureDefinition/timing-exact"
_HOUR: Final = re.compile(r"([01]\d|2[0-3]):[0-5]\d:([0-5]\d|60)(\.\d+)?\Z")
_DAYS: Final = frozenset({"mon", "tue", "wed", "thu", "fri", "sat", "sun"})
_WHEN: Final = frozenset(
    "HS WAKE C CM CD CV AC ACM ACD ACV PC PCM PCD PCV MORN NOON AFT EVE NIGHT".split()  # noqa: SIM905 - a row of codes
)


def attribute(reading: Reading, node: Any, name: str) -> str:  # noqa: ANN401 - a node of any shape
    """Read one attribute of a node, and count it as read."""
    value = node.get(name) if isinstance(node, dict) else None
    if not isinstance(value, str):
        return ""
    reading.take(node, name)
    return value.strip()


def child(node: Any, name: str) -> Json:  # noqa: ANN401 - a node of any shape
    """Give the first child of a name, or an empty node."""
    found = node.get(name) if isinstance(node, dict) else None
    return found[0] if isinstance(found, list) and found else {}


def children(node: Any, name: str) -> list[Json]:  # noqa: ANN401 - a node of any shape
    """Give all children of a name."""
    found = node.get(name) if isinstance(node, dict) else None
    return found if isinstance(found, list) else []


def moment(reading: Reading, node: Json) -> str | None:
    """Read a TS; what is no time is reported and left out.

    Spec: HL7 v3 data types R1, 'Point in Time'.
    """
    text = attribute(reading, node, "value")
    if not text:
        return None
    made = date_time_of(text, reading.origin.zone)
    if made is None and (made := date_of(text[:8]) if text[8:].isdigit() else None) is not None:
        reading.note((node, "value"), "approximate", "the time cannot be read; the date is kept")
    elif made is None:
        reading.note((node, "value"), "invalid", "not a date or time of HL7 v3")
    return made


def period(reading: Reading, node: Json) -> Json:
    """Read an IVL_TS as a Period; a width beside one bound gives the duration."""
    made: Json = {}
    low, high, center = (moment(reading, _either(node, name)) for name in ("low", "high", "center"))
    alone = moment(reading, node)
    if low or alone or center:
        made["start"] = low or alone or center
    if high:
        made["end"] = high
    if made.get("end", "9")[:10] < made.get("start", "")[:10] and len(made["end"]) >= 10:
        reading.note((node, "high"), "invalid", "the end is before the start and is left out")
        del made["end"]
    width = _either(node, "width")
    unit, amount = attribute(reading, width, "unit"), number(reading, width)
    if amount is not None and unit in _UNITS:
        made["extension"] = [{"url": _DURATION, "valueDuration": duration(amount, unit)}]
    return made


def duration(amount: Decimal, unit: str) -> Json:
    """Give a length of time with its unit in words beside the code."""
    return {"value": amount, "unit": _UNITS[unit], "system": "http://unitsofmeasure.org", "code": unit}


def flat(node: Any) -> str:  # noqa: ANN401 - a node of any shape
    """Write out what a node says, so that two of the same content are the same text."""
    if isinstance(node, dict):
        return "^".join(f"{key}={flat(value)}" for key, value in node.items() if key not in {"^", "within", "order"})
    return "~".join(flat(one) for one in node) if isinstance(node, list) else str(node)


def number(reading: Reading, node: Json, name: str = "value") -> Decimal | None:
    """Read a number with the digits it was written with."""
    text = attribute(reading, node, name)
    digits = text.lstrip("+-")
    if not digits or not digits.isascii() or digits.count(".") > 1 or not digits.replace(".", "").isdigit():
        if text:
            reading.note((node, name), "invalid", "not a number")
        return None
    return Decimal(text)


def is_count(amount: Decimal) -> bool:
    """Claim that a number is a positiveInt of FHIR: whole, above nothing, within 32 bits."""
    return 0 < amount < 2**31 and amount == int(amount)


def _date(arguments: Any) -> Convert:  # noqa: ANN401, ARG001 - one signature a transform
    def convert(reading: Reading, container: Any, key: Any) -> str | None:  # noqa: ANN401 - a node of any shape
        node = container[key]
        text = attribute(reading, node, "value")
        made = date_of(text) if text else None
        if text and made is None:
            reading.note((node, "value"), "invalid", "not a date of HL7 v3")
        return made

    return convert


def _date_time(arguments: Any) -> Convert:  # noqa: ANN401, ARG001 - one signature a transform
    def convert(reading: Reading, container: Any, key: Any) -> str | None:  # noqa: ANN401 - a node of any shape
        node = container[key]
        return moment(reading, node) or moment(reading, child(node, "low")) or moment(reading, child(node, "center"))

    return convert


def _instant(arguments: Any) -> Convert:  # noqa: ANN401, ARG001 - one signature a transform
    def convert(reading: Reading, container: Any, key: Any) -> str | None:  # noqa: ANN401 - a node of any shape
        made = moment(reading, container[key])
        return made if made and "T" in made else None

    return convert


def _period(arguments: Any) -> Convert:  # noqa: ANN401, ARG001 - one signature a transform
    def convert(reading: Reading, container: Any, key: Any) -> Json | None:  # noqa: ANN401 - a node of any shape
        return period(reading, container[key]) or None

    return convert


def _period_of_use(arguments: Any) -> Convert:  # noqa: ANN401, ARG001 - one signature a transform
    """Read the period an agreement is for, with the condition it depends on.

    Spec: mp-MedicationAgreement, ext-PeriodOfUse.Condition ('3 days before the operation').
    """

    def convert(reading: Reading, container: Any, key: Any) -> Json | None:  # noqa: ANN401 - a node of any shape
        made = period(reading, container[key])
        criterion = child(child(container[key].get("^"), "precondition"), "criterion")
        text = attribute(reading, child(criterion, "text"), "_text")
        if text:
            made["extension"] = [*made.get("extension", ()), {"url": _CONDITION, "valueString": text}]
        return made or None

    return convert


def _repeats(reading: Reading, node: Json) -> int | None:
    """Say how often a dispense may be repeated: HL7 v3 counts the first one too.

    Spec: HL7 v3 RIM Act.repeatNumber; FHIR R4 MedicationRequest.dispenseRequest.numberOfRepeatsAllowed.
    """
    times = number(reading, node)
    return int(times) - 1 if times is not None and is_count(times) else None


def _effective(arguments: Any) -> Convert:  # noqa: ANN401 - a YAML value
    """Read a moment or an interval under the name the map gives: effectiveDateTime or effectivePeriod."""

    def convert(reading: Reading, container: Any, key: Any) -> Json | None:  # noqa: ANN401 - a node of any shape
        made = period(reading, container[key])
        if not made:
            return None
        return {f"{arguments}DateTime": made["start"]} if made.keys() == {"start"} else {f"{arguments}Period": made}

    return convert


def timing(reading: Reading, node: Json) -> Json | None:
    """Read all the effectiveTimes of one administration together: bounds, frequency, moments of the day.

    Spec: HL7 v3 data types R1 'PIVL', 'EIVL'; hl7nl PIVL_TS.frequency; FHIR R4 Timing.
    """
    repeat: Json = {}
    made: Json = {}
    for one in (*children(node, "effectiveTime"), *children(node, "fhir_effectiveTime")):
        kind = one.get("xsi_type", "")
        if "fhir_repeat" in one or "fhir_event" in one or "fhir_code" in one:
            made.update(_written(reading, one))
        elif kind.startswith("PIVL") or one.keys() & {"period", "frequency", "nl_period", "nl_frequency"}:
            repeat.update(_recurrence(reading, one))
        elif kind.startswith("EIVL") or "event" in one:
            code = attribute(reading, child(one, "event"), "code")
            if code in _WHEN:
                repeat.setdefault("when", []).append(code)
        elif bounds := period(reading, one):
            repeat.update(_bounded(bounds))
    if repeat:
        made["repeat"] = {**repeat, **made.get("repeat", {})}
    return made or None


def _written(reading: Reading, node: Json) -> Json:
    """Read a Timing that was written as FHIR; one that no reader of FHIR could take is told as its text only.

    INVARIANT: half a schedule is never given as if it were whole.
    """
    found = fhir(reading, node, frozenset({"fhir_modifierExtension", "fhir_extension"}))
    repeat = found.get("repeat", {})
    units = {repeat.get(name, "d") for name in ("periodUnit", "durationUnit")}
    pairs = all((name in repeat) == (f"{name}Unit" in repeat) for name in ("period", "duration"))
    hours = all(_HOUR.match(str(one)) for one in repeat.get("timeOfDay", []))
    days = set(repeat.get("dayOfWeek", [])) <= _DAYS and set(repeat.get("when", [])) <= _WHEN
    bounds = repeat.get("boundsDuration", {})
    counts = all(is_count(repeat[name]) for name in _COUNTS & repeat.keys())
    if (
        counts
        and all(repeat[name] >= 0 for name in _NUMBERS & repeat.keys())
        and units <= _UNITS.keys()
        and pairs
        and hours
        and days
        and (not bounds or ({"value", "code"} <= bounds.keys() and bounds["code"] in _UNITS))
    ):
        return found
    reading.note((node, "fhir_repeat"), "invalid", "the schedule is no Timing of FHIR; its words are kept")
    return {}


def _bounded(bounds: Json) -> Json:
    """Give a duration without a start or end as the length of the course, everything else as its period."""
    if bounds.keys() == {"extension"}:
        return {"boundsDuration": bounds["extension"][0]["valueDuration"]}
    return {"boundsPeriod": bounds}


def _either(node: Json, name: str) -> Json:
    """Give a child of HL7 v3, or the same of its Dutch extension."""
    return child(node, name) or child(node, f"nl_{name}")


def _recurrence(reading: Reading, node: Json) -> Json:
    """Read a PIVL: how often in how long, from its period or from the Dutch frequency.

    Spec: HL7 v3 data types R1 PIVL; hl7nl (urn:hl7-nl:v3) PIVL_TS.frequency.
    """
    made: Json = {}
    rate = _either(node, "frequency")
    if rate:
        per = number(reading, _either(rate, "denominator"))
        unit = attribute(reading, _either(rate, "denominator"), "unit")
        times = _times(reading, _either(rate, "numerator"))
        if times and per is not None and per > 0 and unit in _UNITS:
            made = {"frequency": times[0], "period": per, "periodUnit": unit}
            if times[-1] > times[0]:
                made["frequencyMax"] = times[-1]
    every = _either(node, "period")
    if every:
        amount, unit = number(reading, every), attribute(reading, every, "unit")
        if amount is not None and amount >= 0 and unit in _UNITS:
            made = {"frequency": 1, "period": amount, "periodUnit": unit}
    flexible = attribute(reading, node, "isFlexible")
    if made and flexible in {"true", "false"}:
        made["extension"] = [{"url": _EXACT, "valueBoolean": flexible == "false"}]
    phase = _either(node, "phase")
    if phase and (bounds := period(reading, phase)):
        made.update(_bounded(bounds))
    return made


def _times(reading: Reading, node: Json) -> list[int]:
    """Read how often: one whole number, or the least and the most; nothing when a part of it cannot be read.

    Spec: HL7 v3 data types R1 URG in hl7nl (uncertainRange).
    """
    between = _either(node, "uncertainRange") or node
    ends = [_either(between, name) for name in ("low", "high") if _either(between, name)] or [node]
    read = [number(reading, one) for one in ends]
    whole = [int(one) for one in read if one is not None and is_count(one)]
    return whole if len(whole) == len(read) and whole == sorted(whole) else []


_NUMBERS: Final = frozenset(
    {"value", "frequency", "frequencyMax", "period", "periodMax", "duration", "durationMax", "count", "offset"}
)
_COUNTS: Final = frozenset({"frequency", "frequencyMax", "count"})
_LISTS: Final = frozenset({"event", "when", "dayOfWeek", "timeOfDay", "extension", "modifierExtension", "coding"})


def fhir(reading: Reading, node: Json, without: frozenset[str] = frozenset()) -> Json:
    """Read FHIR elements that stand inside HL7 v3, as MP9 writes its Timing."""
    made: Json = {}
    url = attribute(reading, node, "url")
    if url:
        made["url"] = url
    for name, values in node.items():
        if not name.startswith("fhir_") or name in without:
            continue
        plain = name.removeprefix("fhir_")
        found = [one for value in values if (one := _fhir_value(reading, value, plain)) is not None]
        if found:
            made[plain] = found if plain in _LISTS else found[0]
    return made


def _fhir_value(reading: Reading, node: Json, name: str) -> Any:  # noqa: ANN401 - any JSON value
    if name in _NUMBERS:
        return number(reading, node)
    if "value" not in node:
        found = fhir(reading, node)
        if name.endswith("Duration") and found.get("code") in _UNITS:
            found.update({"unit": found.get("unit", _UNITS[found["code"]]), "system": "http://unitsofmeasure.org"})
        return found or None
    text = attribute(reading, node, "value")
    if name == "valueBoolean":
        return text == "true"
    return (number(reading, node) if name in {"valueInteger", "valueDecimal"} else text) or None


def _timing(arguments: Any) -> Convert:  # noqa: ANN401, ARG001 - one signature a transform
    return lambda reading, container, key: timing(reading, container[key])


def _fhir(arguments: Any) -> Convert:  # noqa: ANN401, ARG001 - one signature a transform
    return lambda reading, container, key: fhir(reading, container[key]) or None


V3_TIMES: Final[dict[str, Callable[[Any], Convert]]] = {
    "v3-date": _date,
    "v3-date-time": _date_time,
    "v3-instant": _instant,
    "v3-period": _period,
    "v3-period-of-use": _period_of_use,
    "v3-repeats": lambda arguments: lambda reading, container, key: _repeats(reading, container[key]),  # noqa: ARG005 - one signature
    "v3-effective": _effective,
    "v3-timing": _timing,
    "v3-fhir": _fhir,
}
