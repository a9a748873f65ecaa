"""The named transforms for files and feeds: dates, numbers and codes as people write them."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any, Final

from mappings.concepts import concept_map, renames
from mappings.model import Json
from mappings.reading import Reading
from profiles.identifiers import BSN_SYSTEM, passes_elfproef

Convert = Callable[[Reading, Any, Any], Any]

_LOCAL: Final = re.compile(r"(?:(?:(?P<day>\d{1,2})[-/.])?(?P<month>\d{1,2})[-/.])?(?P<year>\d{4})\Z")
_ISO: Final = re.compile(r"(?P<year>\d{4})(?:-(?P<month>\d\d)(?:-(?P<day>\d\d))?)?\Z")


def _written(reading: Reading, container: Any, key: Any) -> str:  # noqa: ANN401 - a node of any shape
    value = container[key]
    reading.take(container, key)
    return str(value).strip() if isinstance(value, (str, int, Decimal)) and not isinstance(value, bool) else ""


def _date(arguments: Any) -> Convert:  # noqa: ANN401, ARG001 - one signature a transform
    """Read a date as d-m-yyyy, m-yyyy, yyyy or in ISO order, with the precision it was written with."""

    def convert(reading: Reading, container: Any, key: Any) -> str | None:  # noqa: ANN401 - a node of any shape
        text = _written(reading, container, key)
        match = _LOCAL.match(text) or _ISO.match(text)
        if match is None or not _exists(match):
            if text:
                reading.note((container, key), "invalid", "not a date")
            return None
        return "-".join(match[name].zfill(2) for name in ("year", "month", "day") if match[name])

    return convert


def _exists(match: re.Match[str]) -> bool:
    try:
        date(int(match["year"]), int(match["month"] or 1), int(match["day"] or 1))
    except ValueError:
        return False
    return True


def _number(arguments: Any) -> Convert:  # noqa: ANN401 - a YAML value
    """Read a number with the decimal sign the map names, digit by digit."""

    def convert(reading: Reading, container: Any, key: Any) -> Decimal | None:  # noqa: ANN401 - a node of any shape
        if isinstance(container[key], Decimal):  # a number of JSON has its digits already
            reading.take(container, key)
            return Decimal(container[key])
        text = _written(reading, container, key).replace(arguments or ".", ".")
        if not re.fullmatch(r"[+-]?\d+(\.\d+)?", text, re.ASCII):
            reading.note((container, key), "invalid", "not a number")
            return None
        return Decimal(text)

    return convert


def _bsn(arguments: Any) -> Convert:  # noqa: ANN401, ARG001 - one signature a transform
    """Read a BSN that may have lost its leading zeros; one that fails the eleven-test is left out and reported."""

    def convert(reading: Reading, container: Any, key: Any) -> Json | None:  # noqa: ANN401 - a node of any shape
        number = bsn(_written(reading, container, key))
        if not number:
            reading.note((container, key), "invalid", "the BSN fails the eleven-test and is left out")
            return None
        return {"system": BSN_SYSTEM, "value": number}

    return convert


def _client(arguments: Any) -> Convert:  # noqa: ANN401, ARG001 - one signature a transform
    """Read the number a custodian gave its client; numbers of two custodians never meet."""

    def convert(reading: Reading, container: Any, key: Any) -> Json | None:  # noqa: ANN401 - a node of any shape
        number = _written(reading, container, key)
        return {"system": f"urn:roaz:{reading.origin.custodian}:client", "value": number} if number else None

    return convert


def bsn(text: str) -> str:
    """Give nine digits that pass the eleven-test, or nothing."""
    number = text.strip().zfill(9)
    return number if passes_elfproef(number) else ""


def _concept(arguments: Any) -> Convert:  # noqa: ANN401 - a YAML value
    """Read the code, its system and its words from the fields the map names."""
    systems = renames("er7-systems")

    def convert(reading: Reading, container: Any, key: Any) -> Json | None:  # noqa: ANN401 - a node of any shape
        node = container[key]
        code, name, words = (_written(reading, node, field) if (field := arguments.get(part)) in node else "" for part in ("code", "system", "text"))  # fmt: skip
        system = systems.get(name, name if name.startswith(("http://", "https://", "urn:")) else "")
        if name and not system:
            reading.note(
                (node, arguments["system"]), "unknown-code", "the code system is not known; code and text are kept"
            )
        coding = {"system": system, "code": code, "display": words if system else ""}
        made: Json = {"coding": [{part: value for part, value in coding.items() if value}]} if code else {}
        if words:
            made["text"] = words
        return made or None

    return convert


def _unit(arguments: Any) -> Convert:  # noqa: ANN401, ARG001 - one signature a transform
    """Read a unit: UCUM where the table knows it, else its text, reported."""

    def convert(reading: Reading, container: Any, key: Any) -> Json | None:  # noqa: ANN401 - a node of any shape
        text = _written(reading, container, key)
        known = concept_map("units").find(text)
        if known is None:
            reading.note((container, key), "unknown-code", "the unit is not in the table; its text is kept")
            return {"unit": text} if text else None
        return {"unit": text, "system": "http://unitsofmeasure.org", "code": known["code"]}

    return convert


RECORD_FUNCTIONS: Final[dict[str, Callable[[Any], Convert]]] = {
    "local-date": _date,
    "local-number": _number,
    "local-bsn": _bsn,
    "local-client": _client,
    "local-concept": _concept,
    "local-unit": _unit,
}
