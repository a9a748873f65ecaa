"""The named transforms a map may use: primitives, and what no path and code map can say."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from mappings.concepts import renames
from mappings.reading import Reading
from mappings.record_functions import RECORD_FUNCTIONS
from mappings.stu3_functions import STU3_FUNCTIONS
from mappings.v3_functions import V3_FUNCTIONS
from mappings.v3_persons import V3_PERSONS
from mappings.v3_times import V3_TIMES

Convert = Callable[[Reading, Any, Any], Any]

_DATE: Final = re.compile(r"\d{4}(-(0[1-9]|1[0-2])(-(0[1-9]|[12]\d|3[01]))?)?\Z")
_DATE_TIME: Final = re.compile(
    r"\d{4}(-(0[1-9]|1[0-2])(-(0[1-9]|[12]\d|3[01])"
    r"(T([01]\d|2[0-3]):[0-5]\d:([0-5]\d|60)(\.\d+)?(Z|[+\-]((0\d|1[0-3]):[0-5]\d|14:00)))?)?)?\Z"
)
_TIME: Final = re.compile(r"([01]\d|2[0-3]):[0-5]\d:([0-5]\d|60)(\.\d+)?\Z")
_CODE: Final = re.compile(r"[^\s]+( [^\s]+)*\Z")
_ID: Final = re.compile(r"[A-Za-z0-9\-.]{1,64}\Z")
_NUMBER: Final = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?\Z")


def _text(pattern: re.Pattern[str] | None) -> Convert:
    def convert(reading: Reading, container: Any, key: Any) -> str | None:  # noqa: ANN401 - a node of any shape
        value = container[key]
        if not isinstance(value, str) or (pattern is not None and not pattern.match(value)):
            if value not in ("", None):
                reading.note((container, key), "invalid", "not a value of this type")
            return None
        reading.taken.add((id(container), key))
        return value or None

    return convert


def _boolean(reading: Reading, container: Any, key: Any) -> bool | None:  # noqa: ANN401 - a node of any shape
    value = container[key]
    reading.take(container, key)
    if isinstance(value, bool):
        return value
    if value in ("true", "false"):
        return bool(value == "true")
    reading.note((container, key), "invalid", "not a boolean")
    return None


def _decimal(reading: Reading, container: Any, key: Any) -> Decimal | int | None:  # noqa: ANN401
    """Keep the digits: a number from JSON is one already, text (XML) becomes one digit by digit."""
    value = container[key]
    if isinstance(value, (int, Decimal)) and not isinstance(value, bool):
        reading.taken.add((id(container), key))
        return value
    text = value.strip() if isinstance(value, str) else ""
    if not _NUMBER.match(text):
        if value not in ("", None):
            reading.note((container, key), "invalid", "not a number")
        return None
    try:
        made = Decimal(text)
    except InvalidOperation:  # pragma: no cover - the pattern allows nothing else
        return None
    reading.taken.add((id(container), key))
    return made


def _integer(reading: Reading, container: Any, key: Any) -> int | None:  # noqa: ANN401 - a node of any shape
    value = _decimal(reading, container, key)
    if value is None or value != int(value):
        return None
    return int(value)


def _any(reading: Reading, container: Any, key: Any) -> Any:  # noqa: ANN401 - a node of any shape
    reading.take(container, key)
    return container[key]


_uri: Final = _text(None)


def _canonical(reading: Reading, container: Any, key: Any) -> str | None:  # noqa: ANN401 - a node of any shape
    """Read a canonical, also where STU3 had a Reference to it."""
    value = container[key]
    found: str | None = (
        _uri(reading, value, "reference")
        if isinstance(value, dict) and isinstance(value.get("reference"), str)
        else _uri(reading, container, key)
    )
    return found


PRIMITIVES: Final[dict[str, Convert]] = {
    **dict.fromkeys(("string", "markdown", "uri", "url", "oid", "uuid", "xhtml", "base64Binary"), _text(None)),
    "canonical": _canonical,
    "code": _text(_CODE),
    "id": _text(_ID),
    "date": _text(_DATE),
    "dateTime": _text(_DATE_TIME),
    "instant": _text(_DATE_TIME),
    "time": _text(_TIME),
    "boolean": _boolean,
    "decimal": _decimal,
    **dict.fromkeys(("integer", "positiveInt", "unsignedInt"), _integer),
}


def _renamed(arguments: Any) -> Convert:  # noqa: ANN401 - a YAML value
    """Rename a uri by a table; what is not in it stays; what the table empties is dropped."""
    names = renames(arguments)
    plain = _text(None)

    def convert(reading: Reading, container: Any, key: Any) -> str | None:  # noqa: ANN401 - a node of any shape
        value = plain(reading, container, key)
        return None if value is None else (names.get(value, value) or None)

    return convert


def _profile(arguments: Any) -> Convert:  # noqa: ANN401 - a YAML value
    """Give the nl-core canonical of an older one; a claim that does not hold in R4 is not repeated."""
    names = renames(arguments)

    def convert(reading: Reading, container: Any, key: Any) -> str | None:  # noqa: ANN401 - a node of any shape
        value = container[key]
        reading.take(container, key)
        return names.get(value.partition("|")[0]) if isinstance(value, str) else None

    return convert


def _constant(arguments: Any) -> Convert:  # noqa: ANN401 - a YAML value
    """Give a fixed value where the source has the node; the node counts as read."""

    def convert(reading: Reading, container: Any, key: Any) -> Any:  # noqa: ANN401 - a node of any shape
        reading.take(container, key)
        return arguments

    return convert


def _wrapped(arguments: Any) -> Convert:  # noqa: ANN401 - a YAML value
    """Put text into an object under the name the map gives, as a comment becomes a note."""
    plain = _text(None)

    def convert(reading: Reading, container: Any, key: Any) -> Any:  # noqa: ANN401 - a node of any shape
        value = plain(reading, container, key)
        return None if value is None else {arguments: value}

    return convert


def _reference(arguments: Any) -> Convert:  # noqa: ANN401 - a YAML value
    """Follow a resource type that has another name in R4."""
    plain = _text(None)

    def convert(reading: Reading, container: Any, key: Any) -> str | None:  # noqa: ANN401 - a node of any shape
        value = plain(reading, container, key)
        if value is None:
            return None
        if value.startswith("#"):
            reading.links.setdefault("#", value)
        kind, slash, rest = value.partition("/")
        return f"{arguments.get(kind, kind)}{slash}{rest}"

    return convert


def _concept_of_coding(arguments: Any) -> Convert:  # noqa: ANN401 - a YAML value
    """Give a Coding the CodeableConcept R4 asks for, its system renamed."""
    systems = renames(arguments)

    def convert(reading: Reading, container: Any, key: Any) -> Any:  # noqa: ANN401 - a node of any shape
        node = container[key]
        if not isinstance(node, dict):
            return None
        reading.take(container, key)
        system = node.get("system")
        mapped = {**node, "system": systems.get(system, system)} if system else dict(node)
        kept = [dict(node)] if system != mapped.get("system") and str(system).startswith("http://hl7.org/fhir/") else []
        return {"coding": [mapped, *kept]}

    return convert


FUNCTIONS: Final[dict[str, Callable[[Any], Convert]]] = {
    "as-is": lambda _: _any,
    "renamed": _renamed,
    "profile": _profile,
    "constant": _constant,
    "wrapped": _wrapped,
    "reference": _reference,
    "coding-to-concept": _concept_of_coding,
    **RECORD_FUNCTIONS,
    **STU3_FUNCTIONS,
    **V3_FUNCTIONS,
    **V3_PERSONS,
    **V3_TIMES,
}
