"""Part of a resource: its summary, its words, or the elements asked for; always marked as a part, never without what is mandatory."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import Any, Final

from gateway.errors import Invalid
from gateway.model import Json
from profiles import exact

SUMMARIES: Final = frozenset({"true", "text", "data", "count", "false"})
_TAG: Final = {"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "SUBSETTED"}
_KEPT: Final = ("resourceType", "id", "meta")


def elements(type_: str, value: str) -> tuple[str, ...]:
    """Read `_elements`: names of elements at the top of a resource; a type may stand before them.

    Raises:
        Invalid: `invalid-parameter` for a name the type does not have.
    """
    names = tuple(name.strip().removeprefix(f"{type_}.") for name in value.split(",") if name.strip())
    known = _names(type_)
    if not names or any(name not in known for name in names):  # a choice is named `value` or `valueQuantity`
        raise Invalid(
            "invalid-parameter",
            name="_elements",
            why=f"give names of elements of {type_}, as {', '.join(sorted(known)[:6])}",
        )
    return tuple(known[name] for name in names)


def subset(resource: Json, summary: str, wanted: Iterable[str] = ()) -> bytes:
    """The part that was asked for, marked SUBSETTED.

    Spec: FHIR R4 3.1.1.5.8 'Summary', 3.1.1.5.9 'Elements'.
    """
    rows = _rows().get(resource["resourceType"], {"summary": [], "always": []})
    match summary:
        case "data":
            made = {name: value for name, value in resource.items() if name != "text"}
        case "text":
            made = _only(resource, ("text", *rows["always"]))
        case "true":
            made = _only(resource, (*rows["summary"], *rows["always"]))
        case _:
            made = _only(resource, (*wanted, *rows["always"]))
    meta = dict(made.get("meta") or {})
    meta["tag"] = [*[tag for tag in meta.get("tag") or () if tag != _TAG], _TAG]
    made["meta"] = meta
    return exact.encode(made)


def _only(resource: Json, paths: Iterable[str]) -> Json:
    """The elements named, and inside those that are named further only what is."""
    tops: dict[str, set[str]] = {}
    for path in paths:
        top, _, inner = path.partition(".")
        tops.setdefault(top, set()).update({inner} if inner else ())
    made: Json = {}
    for name, value in resource.items():
        named = name if name in _KEPT else _named(name.removeprefix("_"), tops)
        if named is not None:
            deeper = tops.get(named)
            made[name] = _inside(value, deeper) if deeper else value
    return made


def _named(name: str, tops: Iterable[str]) -> str | None:
    for top in tops:
        if top == name:
            return top
        stem = top.removesuffix("[x]")
        if stem != top and name.startswith(stem) and name[len(stem) : len(stem) + 1].isupper():
            return top
    return None


def _inside(value: Any, inner: set[str]) -> Any:  # noqa: ANN401 - an element of a resource
    if isinstance(value, list):
        return [_inside(one, inner) for one in value]
    if not isinstance(value, dict):
        return value
    kept = {
        name: one
        for name, one in value.items()
        if name == "modifierExtension" or _named(name.removeprefix("_"), inner) is not None
    }
    return kept or value


@cache
def _rows() -> dict[str, dict[str, list[str]]]:
    return tomllib.loads(files(__package__).joinpath("subsets.toml").read_text("utf-8"))


@cache
def _names(type_: str) -> dict[str, str]:
    """The elements of a type by every name they can be asked by; of a choice the general one ends with [x]."""
    from profiles.definitions import definitions  # noqa: PLC0415 - read when somebody asks for elements, not at the start

    held = definitions().types.get(type_)
    found: dict[str, str] = {}
    for element in held.elements if held else ():
        found |= {member.name: member.name for member in element.members}
        choice = any(member.name != element.name for member in element.members)
        found[element.name] = f"{element.name}[x]" if choice else element.name
    return found
