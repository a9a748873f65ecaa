"""The definitions of FHIR STU3 as values of the same kind as those of R4: what elements a type has, and which codes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import msgspec

from profiles.definitions import Element, Member, Type


@dataclass(frozen=True, slots=True)
class Stu3:
    """All of FHIR STU3 (3.0.2) that a map needs to know."""

    version: str
    types: dict[str, Type]
    resources: frozenset[str]
    codes: dict[str, tuple[str, ...]]  # "Condition.clinicalStatus": the codes STU3 knows there


@cache
def stu3_definitions() -> Stu3:
    """Read the shipped definitions, once."""
    facts: dict[str, Any] = msgspec.json.decode(files("mappings.sources").joinpath("fhir-stu3.json").read_bytes())
    resources = frozenset(facts["resources"])
    types = {
        name: Type(name, name in resources, tuple(_element(label, kind) for label, kind in elements.items()), ())
        for name, elements in facts["types"].items()
    }
    codes = {place: tuple(found) for place, found in facts["codes"].items()}
    return Stu3(facts["version"], types, resources, codes)


def _element(label: str, kind: str) -> Element:
    """Read "Reference*!": the type, whether it repeats, whether it must be there; a choice has several types."""
    bare = kind.rstrip("*!")
    many, name = "*" in kind, label.removesuffix("[x]")
    members = tuple(
        Member(name + one[0].upper() + one[1:] if label != name else name, name, one, many=many)
        for one in bare.split("|")
    )
    return Element(name, "!" in kind, members)
