"""Seeded breakages of a valid resource, each with the place where a validator must object."""

from __future__ import annotations

import random
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from profiles.exact import Json

Place = tuple[str | int, ...]
_REQUIRED = {"status", "linkId", "url", "code", "type", "intent", "subject", "method", "title", "date", "author", "div"}


@dataclass(frozen=True)
class Mutant:
    """One broken copy."""

    kind: str
    place: Place
    resource: Json


def places(value: Any, at: Place = ()) -> Iterator[tuple[Place, Any]]:
    """Give every value below with its place."""
    if isinstance(value, dict | list):
        for key, child in value.items() if isinstance(value, dict) else enumerate(value):
            yield (*at, key), child
            yield from places(child, (*at, key))


def mutants(resource: Json, seed: int, count: int) -> Iterator[Mutant]:
    """Give `count` breakages, none of which is valid FHIR."""
    chance = random.Random(seed)
    every = [item for item in places(resource) if item[0][-1] != "resourceType"]
    made = 0
    while made < count:
        place, value = chance.choice(every)
        kinds = _kinds(place, value)
        if not kinds:
            continue
        kind = chance.choice(sorted(kinds))
        broken = deepcopy(resource)
        owner = _at(broken, place[:-1])
        where = place
        if kind == "unknown-element":
            owner[place[-1]]["notAnElement"] = "x"
            where = (*place, "notAnElement")
        elif kind == "removed":
            del owner[place[-1]]
        else:
            owner[place[-1]] = kinds[kind]
        made += 1
        yield Mutant(kind, where, broken)


def _at(value: Any, place: Place) -> Any:
    for step in place:
        value = value[step]
    return value


def _kinds(place: Place, value: Any) -> dict[str, Any]:
    name = place[-1]
    # null in a list is the place of an extension where an underscore list has one.
    kinds: dict[str, Any] = {} if {"given", "_given"}.intersection(place) else {"null": None}
    if isinstance(value, dict):
        kinds |= {"empty-object": {}, "not-an-object": "text", "wrapped": [value], "unknown-element": None}
    elif isinstance(value, list):
        kinds |= {"empty-array": [], "unwrapped": value[0]}
    elif isinstance(value, bool):
        kinds |= {"text-for-boolean": "true", "number-for-boolean": 1}
    elif isinstance(value, str):
        kinds |= {"empty-string": "", "number-for-text": 7, "wrapped": [value], "control": value + "\x01"}
        kinds |= _for_text(name, value)
    else:
        kinds |= {"text-for-number": str(value), "wrapped": [value], "infinite": Decimal("Infinity")}
    if name in _REQUIRED and "extension" not in place and place[-2:] != ("code",):
        kinds |= _removal(place)
    return kinds


def _for_text(name: Any, value: str) -> dict[str, Any]:
    if name in ("birthDate", "effectiveDateTime", "date", "start", "lastUpdated", "timestamp", "issued", "time"):
        return {"no-such-day": "2026-02-30" + value[10:], "not-a-date": "01-03-2026"}
    if name in ("gender", "status", "intent", "periodUnit", "method", "use"):
        return {"unknown-code": "nonsense"}
    if name == "reference" and not value.startswith(("#", "urn:")):
        return {"wrong-target": "Slot/1"}
    if name == "div":
        return {"script": value.replace("<p>", "<p><script>alert(1)</script>"), "broken": value.replace("</p>", "")}
    if name == "id":
        return {"bad-id": "a_b" if len(value) < 4 else "x" * 65}
    return {}


def _removal(place: Place) -> dict[str, Any]:
    """Only elements that are required where these examples have them."""
    owner = next((step for step in reversed(place[:-1]) if isinstance(step, str)), "")
    required = {
        "text": {"status", "div"},
        "item": {"linkId", "type"},
        "request": {"method", "url"},
        "extension": {"url"},
        "component": {"code"},
    }
    return {"removed": None} if place[-1] in required.get(owner, ()) else {}
