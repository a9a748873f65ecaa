"""Mend what vendors send in R4 that is of STU3 or of neither: by rows of a table, and with what was sent beside it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from functools import cache
from typing import Any, Final

from mappings.concepts import concept_map, renames
from mappings.model import Json, Loss
from mappings.tables import table

_MEASURED: Final = re.compile(r"(<=|>=|<|>)?\s*(-?\d+(?:[.,]\d+)?)\s+(\S.{0,30})\Z")
_UCUM: Final = "http://unitsofmeasure.org"
_MOVED: Final = "http://hl7.org/fhir/"


def mend(resources: list[Json], paths: list[str], body: bytes) -> list[Loss]:
    """Mend resources in place, where the bytes they were read from hold a trace of a mixture; say what was mended.

    Args:
        resources: as they were read.
        paths: where each stood in what was sent.
        body: the bytes, which are looked through once.
    """
    moved = any(trace in body for trace in traces("moved"))
    if not moved and not any(trace in body for trace in traces("traces")):
        return []
    return [
        loss
        for resource, path in zip(resources, paths, strict=True)
        for loss in _mended(resource, path if path == resource["resourceType"] else f"{path}.resource", moved=moved)
    ]


@cache
def traces(name: str) -> tuple[bytes, ...]:
    """Give the texts without which nothing needs mending."""
    return tuple(one.encode() for one in table("maps/fhir-r4/mixtures.yaml")[name])


def _mended(resource: Json, path: str, *, moved: bool) -> list[Loss]:
    rows, kind = table("maps/fhir-r4/mixtures.yaml"), resource.get("resourceType", "")
    losses = [*_statuses(resource, rows["statuses"].get(kind, {}), path)]
    _profiles(resource)
    for concept in _concepts(resource) if moved else ():
        _moved(concept)
    if kind in rows["measured"]:
        parts = [one for one in (resource, *_several(resource.get("component"))) if isinstance(one, dict)]
        mended = [one for one in parts if _measured(one)]
        losses += [
            Loss(f"{path}.valueString", "approximate", "a number with its unit was sent as text") for _ in mended
        ]
    for row in rows["categories"].get(kind, ()):
        _categorized(resource, row)
    return losses


def _statuses(resource: Json, rows: dict[str, Any], path: str) -> Iterator[Loss]:
    for name, row in rows.items():
        value = resource.get(name)
        concept: Any = {"coding": [{"code": value}]} if isinstance(value, str) else value
        codings = [one for one in _several(concept.get("coding")) if isinstance(one, dict)] if isinstance(concept, dict) else []  # fmt: skip
        if not codings or any(one.get("system") == row["system"] for one in codings):
            continue
        code = next((one["code"] for one in codings if one.get("code") in row["codes"]), None)
        if code is None:
            continue  # validation says that it is none R4 knows
        said = [one for one in codings if "system" in one]
        resource[name] = {**concept, "coding": [{"system": row["system"], "code": code}, *said]}
        yield Loss(f"{path}.{name}", "approximate", "the status stood under another system, or none")


def _profiles(resource: Json) -> None:
    """Claim in place of a profile of 2017 the one that took its place."""
    meta = resource.get("meta")
    claimed = meta.get("profile") if isinstance(meta, dict) else None
    if isinstance(meta, dict) and isinstance(claimed, list):
        names = renames("nl-core-profiles")
        made = [names.get(one.partition("|")[0], one) if isinstance(one, str) else one for one in claimed]
        if made != claimed:
            meta["profile"] = list(dict.fromkeys(made))


def _concepts(resource: Json) -> Iterator[Json]:
    stack: list[Any] = [resource]
    while stack:
        node = stack.pop()
        if isinstance(node, list):
            stack.extend(one for one in node if isinstance(one, (dict, list)))
        elif isinstance(node, dict):
            if isinstance(node.get("coding"), list):
                yield node
            stack.extend(one for name, one in node.items() if isinstance(one, (dict, list)) and name != "coding")


def _moved(concept: Json) -> None:
    """Say a coding of a system that FHIR renamed under its new name too, where nobody did."""
    codings = [one for one in concept["coding"] if isinstance(one, dict)]
    known = {(one.get("system"), one.get("code")) for one in codings}
    names = renames("code-systems")
    added = []
    for one in codings:
        system = one.get("system")
        new = names.get(system) if isinstance(system, str) and system.startswith(_MOVED) else None
        if new and (new, one.get("code")) not in known:
            added.append({**one, "system": new})
    if added:
        concept["coding"] = [*added, *concept["coding"]]


def _measured(node: Json) -> bool:
    """Read "80 aantal/min" as the quantity it is; a unit nobody knows leaves it text."""
    text = node.get("valueString")
    match = _MEASURED.match(text.strip()) if isinstance(text, str) else None
    known = concept_map("units").find(match[3].strip()) if match is not None else None
    if match is None or known is None:
        return False
    del node["valueString"]
    comparator = {"comparator": match[1]} if match[1] else {}
    node["valueQuantity"] = {
        "value": Decimal(match[2].replace(",", ".")),
        **comparator,
        "unit": match[3].strip(),
        "system": _UCUM,
        "code": known["code"],
    }
    return True


def _categorized(resource: Json, row: dict[str, Any]) -> None:
    code = resource.get("code")
    codings = [one for one in _several(code.get("coding")) if isinstance(one, dict)] if isinstance(code, dict) else []
    if not any(one.get("system") == row["system"] and one.get("code") in row["codes"] for one in codings):
        return
    wanted = row["category"]
    categories = _several(resource.get("category"))
    present = [one for each in categories if isinstance(each, dict) for one in _several(each.get("coding")) if isinstance(one, dict)]  # fmt: skip
    if not any(one.get("system") == wanted["system"] and one.get("code") == wanted["code"] for one in present):
        resource["category"] = [{"coding": [dict(wanted)]}, *categories]


def _several(value: Any) -> list[Any]:  # noqa: ANN401 - unchecked source JSON
    return value if isinstance(value, list) else []
