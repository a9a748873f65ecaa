"""What an operation is given: names and values of the URL, of Parameters or of a form, as one list."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from gateway.errors import Invalid
from gateway.fhir.reading import Parameters, accepts, pairs, resource_body, url_parameters
from gateway.model import Incoming, Json
from profiles import dates

FORM: Final = "application/x-www-form-urlencoded"
COMMON: Final = frozenset({"_format", "_pretty"})


def given(incoming: Incoming, *, html: bool = False) -> Parameters:
    """Everything an operation is given, in order: the URL first, then the body.

    Spec: FHIR R4 3.2.0.1 'Executing an Operation'; a form is what a search by POST would send.

    Raises:
        Invalid: a BSN in the URL, a body that cannot be read, a representation that cannot be made.
    """
    found = list(url_parameters(incoming))
    if incoming.method == "POST" and incoming.body:
        kind = incoming.header(b"content-type").split(";")[0].strip().lower()
        if kind == FORM:
            found += pairs(incoming.body.decode("utf-8", "replace"))
        else:
            found += [_pair(entry) for entry in _entries(resource_body(incoming, "Parameters"))]
    accepts(incoming, found, html=html)
    return found


def only(found: Parameters, known: Collection[str], operation: str) -> dict[str, list[str]]:
    """The values by name, each name one that is known.

    Raises:
        Invalid: `unknown-parameter`.
    """
    values: dict[str, list[str]] = {}
    for name, value in found:
        if name not in known and name not in COMMON:
            raise Invalid("unknown-parameter", name=name[:40], type=operation, known=", ".join(sorted(known)))
        values.setdefault(name, []).append(value)
    return values


def one(values: dict[str, list[str]], name: str) -> str:
    """The one value of a parameter, empty without it.

    Raises:
        Invalid: `invalid-parameter` when it is given twice, or empty.
    """
    found = values.get(name, [""])
    if len(found) > 1:
        raise Invalid("invalid-parameter", name=name, why="give it once")
    if name in values and not found[0]:
        raise Invalid("invalid-parameter", name=name, why="give a value")
    return found[0]


def moment(values: dict[str, list[str]], name: str) -> dates.PartialDate | None:
    """A date or instant, as precise as it is given.

    Raises:
        Invalid: `invalid-parameter`.
    """
    text = one(values, name)
    found = dates.parse(text) if text else None
    if text and found is None:
        raise Invalid(
            "invalid-parameter", name=name, why="give a date as YYYY, YYYY-MM, YYYY-MM-DD or with time and zone"
        )
    return found


def _entries(parameters: Json) -> list[Json]:
    entries = parameters.get("parameter") or []
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise Invalid("invalid-resource", expression="Parameters.parameter", why="parameter must be a list of objects")
    return entries


def _pair(entry: Json) -> tuple[str, str]:
    name = str(entry.get("name", ""))
    value = next((found for key, found in entry.items() if key.startswith("value")), None)
    if isinstance(value, bool):
        return name, "true" if value else "false"
    if isinstance(value, dict):
        return name, _coded(value)
    if value is None or isinstance(value, list):
        raise Invalid(
            "invalid-resource", expression=f"Parameters.parameter.where(name='{_safe(name)}')", why="give one value[x]"
        )
    return name, str(value)


def _coded(value: Json) -> str:
    """A Coding, CodeableConcept, Identifier or Reference as a search would write it."""
    if isinstance(value.get("reference"), str):
        return str(value["reference"])
    if isinstance(value.get("identifier"), dict):
        value = value["identifier"]
    codings = value.get("coding")
    if isinstance(codings, list):
        return ",".join(_coded(coding) for coding in codings if isinstance(coding, dict))
    system, code = value.get("system"), value.get("code", value.get("value", ""))
    escaped = str(code).replace("\\", "\\\\").replace(",", "\\,").replace("|", "\\|")
    return f"{system}|{escaped}" if system else escaped


def _safe(name: str) -> str:
    return "".join(character for character in name if character.isalnum() or character in "-_.")[:40]
