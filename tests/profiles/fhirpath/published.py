"""What HL7, Nictiz and IPS publish beside the project: invariants with where they stand, and search parameters."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest

from profiles.exact import Json, decode
from profiles.xml import to_json

SHARED: Final = Path(__file__).parents[4] / "shared"
PACKAGES: Final = SHARED / "packages"
DATA: Final = SHARED / "data"
BESIDE: Final = pytest.mark.skipif(not PACKAGES.is_dir(), reason="third-party packages are not beside the project")
EXAMPLES: Final = ("nl-core-examples/*.xml", "r4-examples/*", "ips-examples/**/*.json", "synthea-r4/*.json")


@dataclass(frozen=True)
class Invariant:
    """One constraint at one element of one definition."""

    key: str
    severity: str
    expression: str
    definition: str
    type: str
    path: str
    kinds: tuple[str, ...]
    is_profile: bool


@cache
def definitions() -> tuple[Json, ...]:
    found = (json.loads(file.read_bytes()) for file in sorted(PACKAGES.glob("*/*.json")))
    return tuple(one for one in found if isinstance(one, dict))


@cache
def invariants() -> tuple[Invariant, ...]:
    return tuple(invariant for one in definitions() for invariant in _of(one))


def _of(definition: Json) -> Iterator[Invariant]:
    if definition.get("resourceType") != "StructureDefinition":
        return
    for view in ("snapshot", "differential"):
        for element in definition.get(view, {}).get("element", ()):
            kinds = tuple(kind["code"] for kind in element.get("type", ()))
            for row in element.get("constraint", ()):
                if "expression" in row:
                    yield Invariant(
                        row["key"], row["severity"], row["expression"], definition["url"], definition["type"],
                        element["path"], kinds, definition.get("derivation") == "constraint",
                    )  # fmt: skip


@cache
def searches() -> tuple[tuple[str, tuple[str, ...], str], ...]:
    return tuple(
        (one["id"], tuple(one["base"]), one["expression"])
        for one in definitions()
        if one.get("resourceType") == "SearchParameter" and one.get("expression")
    )


def examples() -> Iterator[tuple[str, Json]]:
    for pattern in EXAMPLES:
        for file in sorted(DATA.glob(pattern)):
            found: Any = to_json(file.read_bytes()) if file.suffix == ".xml" else decode(file.read_bytes())
            yield file.name, found
