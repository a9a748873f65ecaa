"""The compiled FHIR R4 definitions as values: what elements a type has and what may stand in them."""

from __future__ import annotations

import json
import lzma
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final

# A type that is a profile carries in choice elements the name of what it profiles.
_CHOICE_NAME: Final = {"SimpleQuantity": "Quantity", "MoneyQuantity": "Quantity"}


@dataclass(frozen=True, slots=True)
class Primitive:
    """One primitive type: its JSON form and limits."""

    name: str
    json: str
    pattern: str | None = None
    longest: int | None = None
    least: int | None = None
    most: int | None = None


@dataclass(frozen=True, slots=True)
class Member:
    """One JSON property of a type; a choice element gives one per type."""

    name: str
    expression: str
    type: str
    many: bool = False
    targets: tuple[str, ...] = ()
    codes: str | None = None


@dataclass(frozen=True, slots=True)
class Element:
    """One element as defined: its name without [x] and the properties that can carry it."""

    name: str
    required: bool
    members: tuple[Member, ...]
    attribute: bool = False  # an attribute in XML


@dataclass(frozen=True, slots=True)
class Together:
    """An invariant about elements that go together: `form` is with, some or not_both."""

    key: str
    form: str
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Type:
    """One data type, backbone element or resource; its elements are in the order of the specification."""

    name: str
    is_resource: bool
    elements: tuple[Element, ...]
    together: tuple[Together, ...]


@dataclass(frozen=True, slots=True)
class Definitions:
    """All of FHIR R4 (4.0.1) that validation needs."""

    version: str
    primitives: dict[str, Primitive]
    codes: dict[str, dict[str, frozenset[str]]]
    types: dict[str, Type]
    resources: frozenset[str]


@cache
def definitions() -> Definitions:
    """Read the shipped definitions, once."""
    folder = files("profiles.definitions")
    facts: dict[str, Any] = json.loads(lzma.decompress(folder.joinpath("r4.json.xz").read_bytes()))
    together = _together(folder.joinpath("invariants.toml").read_text(encoding="utf-8"))
    types = {name: _type(name, facts, together.get(name, ())) for name in facts["types"]}
    return Definitions(
        version=facts["source"]["version"],
        primitives={name: Primitive(name, **row) for name, row in facts["primitives"].items()},
        codes={
            name: {system: frozenset(codes) for system, codes in systems.items()}
            for name, systems in facts["codes"].items()
        },
        types=types,
        resources=frozenset(name for name, row in facts["types"].items() if row["kind"] == "resource"),
    )


def _together(text: str) -> dict[str, tuple[Together, ...]]:
    found: dict[str, tuple[Together, ...]] = {}
    for form, rows in tomllib.loads(text).items():
        for row in rows:
            names = tuple(row["of"]) if "of" in row else (row["when"], row["also"])
            found[row["type"]] = (*found.get(row["type"], ()), Together(row["key"], form, names))
    return found


def _type(name: str, facts: dict[str, Any], together: tuple[Together, ...]) -> Type:
    row = facts["types"][name]
    elements = tuple(_element(label, element) for label, element in row["elements"].items())
    return Type(name, row["kind"] == "resource", elements, together)


def _element(label: str, row: dict[str, Any]) -> Element:
    name = label.removesuffix("[x]")
    members = tuple(
        Member(
            name=_property(name, kind) if label != name else name,
            expression=f"{name}.ofType({_CHOICE_NAME.get(kind, kind)})" if label != name else name,
            type=kind,
            many=row.get("many", False),
            targets=tuple(row.get("targets", ())) if kind == "Reference" else (),
            codes=row.get("codes"),
        )
        for kind in row["types"]
    )
    return Element(name, bool(row.get("min")), members, bool(row.get("attribute")))


def _property(name: str, kind: str) -> str:
    suffix = _CHOICE_NAME.get(kind, kind)
    return name + suffix[0].upper() + suffix[1:]
