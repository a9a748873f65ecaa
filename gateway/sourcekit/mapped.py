"""What the maps make of a file, and what would be lost: counts and paths, never content."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Final

from consent.categories import CATEGORIES, types_of_category
from gateway.model import Json
from mappings.definition import MapError
from mappings.library import targets
from mappings.model import Loss, NotMappable, Origin
from mappings.translation import formats, translate
from profiles.validation import validate

_INDEX: Final = re.compile(r"\[\d+\]")
_NOBODY: Final = "00000000"  # no custodian: nothing of the translation is kept


@dataclass(frozen=True, slots=True)
class Lost:
    """One place of the source that is not, or not exactly, in the result; `count` times."""

    path: str
    kind: str
    reason: str
    count: int


@dataclass(frozen=True, slots=True)
class Mapped:
    """The outcome of one translation. INVARIANT: names of types and places only."""

    resources: tuple[Json, ...] = ()
    types: tuple[tuple[str, int], ...] = ()
    lost: tuple[Lost, ...] = ()
    invalid: int = 0  # resources that are no valid R4
    map: str = ""
    version: str = ""
    message: str = ""  # type and trigger, of a message
    trouble: str = ""  # why nothing was mapped


def attempt(body: bytes, format: str, received: str) -> Mapped:  # noqa: A002 - the word of the line
    """Translate the bytes as the intake would, and count."""
    if format not in formats():
        return Mapped(trouble=f"no map reads {format}; possible are {', '.join(formats())}")
    try:
        made = translate(body, format, Origin(_NOBODY, "probe", received))
    except NotMappable as error:
        return Mapped(trouble=f"{error.path + ': ' if error.path else ''}{error}")
    types = Counter(str(one.get("resourceType")) for one in made.resources)
    return Mapped(
        resources=made.resources,
        types=tuple(sorted(types.items())),
        lost=_grouped(made.losses),
        invalid=sum(any(issue.severity in {"error", "fatal"} for issue in validate(one)) for one in made.resources),
        map=made.map,
        version=made.version,
        message="^".join(made.facts[name] for name in ("type", "trigger") if made.facts.get(name)),
    )


def makes(format: str) -> frozenset[str]:  # noqa: A002 - the word of the line
    """The resource types the maps of a format can make; FHIR R4 needs no map."""
    if format == "fhir-r4":
        return frozenset().union(*(types_of_category(category) for category in CATEGORIES))
    if format not in formats():
        return frozenset()
    try:
        return targets(format)
    except (FileNotFoundError, MapError):
        return frozenset()


def _grouped(losses: tuple[Loss, ...]) -> tuple[Lost, ...]:
    """The same place in a hundred repetitions is one line."""
    counts = Counter((_INDEX.sub("", loss.path), str(loss.kind), loss.reason) for loss in losses)
    return tuple(Lost(*key, count) for key, count in sorted(counts.items(), key=lambda one: (-one[1], one[0])))
