"""HL7 v2 text as FHIR primitives: what is not a value of the type is reported, never guessed."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

from mappings.er7_reading import Er7Reading
from mappings.formats.er7_time import date_of, date_time_of

Convert = Callable[[Er7Reading, Any, int], Any]  # (reading, segment or node, number of the part; 0 = all of it)

_CODE: Final = re.compile(r"[^\s]+( [^\s]+)*\Z")
_NUMBER: Final = re.compile(r"[+-]?\d*\.?\d+\Z|[+-]?\d+\.\Z")
_CLOCK: Final = re.compile(r"([01]\d|2[0-3]):?([0-5]\d):?([0-5]\d)?(\.\d+)?(?:[+-]\d{4})?\Z")


def text(reading: Er7Reading, node: Any, at: int) -> str | None:  # noqa: ANN401, ARG001 - one signature
    """Read a text."""
    return node.text(at or 1) or None


def code(reading: Er7Reading, node: Any, at: int) -> str | None:  # noqa: ANN401 - segment or node
    """Read a code."""
    value = node.text(at or 1)
    if value and not _CODE.match(value):
        reading.note(node, at, "invalid", "not a code")
        return None
    return value or None


def number(reading: Er7Reading, node: Any, at: int) -> Decimal | None:  # noqa: ANN401 - segment or node
    """Read a number with the digits it was written with."""
    value = node.text(at or 1)
    if not value:
        return None
    if not _NUMBER.match(value):
        reading.note(node, at, "invalid", "not a number")
        return None
    return Decimal(value)


def whole(minimum: int) -> Convert:
    """Read a whole number that is not below a minimum."""

    def convert(reading: Er7Reading, node: Any, at: int) -> int | None:  # noqa: ANN401 - segment or node
        value = number(reading, node, at)
        if value is None:
            return None
        if value != int(value) or not minimum <= value <= 2_147_483_647:
            reading.note(node, at, "invalid", "not a whole number of this type")
            return None
        return int(value)

    return convert


def boolean(reading: Er7Reading, node: Any, at: int) -> bool | None:  # noqa: ANN401, ARG001 - one signature
    """Read a yes or no of table 0136."""
    value = node.peek(at or 1)
    if value not in {"Y", "N"}:
        return None
    node.text(at or 1)
    return bool(value == "Y")


def date(reading: Er7Reading, node: Any, at: int) -> str | None:  # noqa: ANN401 - segment or node
    """Give the date of a DT or TS with the precision it was written with."""
    value = node.text(at or 1)
    made = date_of(value) if value else None
    if value and made is None:
        reading.note(node, at, "invalid", "not a date or time of HL7 v2")
    return made


def date_time(reading: Er7Reading, node: Any, at: int) -> str | None:  # noqa: ANN401 - segment or node
    """Give the dateTime of a TS with its precision, and its zone or that of the source."""
    value = node.text(at or 1)
    made = date_time_of(value, reading.origin.zone) if value else None
    if value and made is None:
        reading.note(node, at, "invalid", "not a date or time of HL7 v2")
    return made


def instant(reading: Er7Reading, node: Any, at: int) -> str | None:  # noqa: ANN401 - segment or node
    """Read a TS that is precise enough to be an instant; a coarser one stays unread and is reported."""
    made = date_time_of(node.peek(at or 1), reading.origin.zone)
    if made is None or "T" not in made:
        return None
    node.text(at or 1)
    return made


def clock(reading: Er7Reading, node: Any, at: int) -> str | None:  # noqa: ANN401, ARG001 - one signature
    """Read a TM; anything else stays unread."""
    match = _CLOCK.match(node.peek(at or 1))
    if match is None:
        return None
    node.text(at or 1)
    return f"{match[1]}:{match[2]}:{match[3] or '00'}{match[4] or ''}"


ER7_PRIMITIVES: Final[dict[str, Convert]] = {
    **dict.fromkeys(("string", "markdown", "uri", "url"), text),
    "code": code,
    "date": date,
    "dateTime": date_time,
    "instant": instant,
    "time": clock,
    "boolean": boolean,
    "decimal": number,
    "integer": whole(-2_147_483_648),
    "positiveInt": whole(1),
    "unsignedInt": whole(0),
}
