"""Join results that belong together into the panel their profile asks for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from mappings.formats.fhir_bundle import digest
from mappings.model import Json
from mappings.tables import table

_LOINC: Final = "http://loinc.org"
_SYSTOLIC, _DIASTOLIC, _MEAN = "8480-6", "8462-4", "8478-0"
_SHARED: Final = (
    "basedOn",
    "status",
    "category",
    "subject",
    "encounter",
    "effectiveDateTime",
    "issued",
    "performer",
    "method",
    "bodySite",
)
_OWN: Final = ("code", "valueQuantity", "interpretation", "referenceRange", "dataAbsentReason")


def assemble_blood_pressure(resources: list[Json], keys: list[str]) -> tuple[list[Json], list[str]]:
    """Join a systolic and a diastolic pressure of one moment into one Observation, as nl-core-BloodPressure asks.

    Only an unambiguous pair is joined: one of each at the same time, with the same status. The rest stays as sent.

    Spec: nl-core-BloodPressure: LOINC 85354-9, components 8480-6 and 8462-4 both 1..1.
    """
    groups: dict[tuple[str, str], dict[str, list[int]]] = {}
    for position, resource in enumerate(resources):
        code = _loinc(resource)
        if code in {_SYSTOLIC, _DIASTOLIC, _MEAN} and "valueQuantity" in resource and "effectiveDateTime" in resource:
            moment = (resource["effectiveDateTime"], resource["status"])
            groups.setdefault(moment, {}).setdefault(code, []).append(position)
    panels: dict[int, Json] = {}
    joined: set[int] = set()
    for found in groups.values():
        if len(found.get(_SYSTOLIC, ())) == len(found.get(_DIASTOLIC, ())) == 1 and len(found.get(_MEAN, ())) <= 1:
            positions = [found[code][0] for code in (_SYSTOLIC, _DIASTOLIC, _MEAN) if code in found]
            joined.update(positions)
            panels[positions[0]] = _panel([resources[one] for one in positions])
    kept: list[Json] = []
    names: list[str] = []
    for position, (resource, key) in enumerate(zip(resources, keys, strict=True)):
        if position in panels:
            kept.append(panels[position])
            names.append(f"Observation/{panels[position]['id']}")
        elif position not in joined:
            kept.append(resource)
            names.append(key)
    if panels:
        _point_to_panels(kept, {keys[one]: f"Observation/{panel['id']}" for one, panel in _of(groups, panels)})
    return kept, names


def _of(groups: dict[tuple[str, str], dict[str, list[int]]], panels: dict[int, Json]) -> Iterator[tuple[int, Json]]:
    """Pair the position of each joined result with its panel."""
    for found in groups.values():
        positions = [one for places in found.values() for one in places]
        panel = next((panels[one] for one in positions if one in panels), None)
        if panel is not None:
            yield from ((one, panel) for one in positions)


def _point_to_panels(resources: list[Json], renamed: dict[str, str]) -> None:
    """What referred to a joined result refers to its panel, once."""
    for resource in resources:
        if resource["resourceType"] == "DiagnosticReport" and "result" in resource:
            targets = dict.fromkeys(renamed.get(one["reference"], one["reference"]) for one in resource["result"] if "reference" in one)  # fmt: skip
            resource["result"] = [{"reference": target} for target in targets] + [one for one in resource["result"] if "reference" not in one]  # fmt: skip


def _panel(parts: list[Json]) -> Json:
    shared: Json = {name: parts[0][name] for name in _SHARED if name in parts[0]}
    notes = [note for part in parts for note in part.get("note", [])]
    identifiers = [one for part in parts for one in part.get("identifier", [])]
    labels = [one for part in parts for one in part.get("meta", {}).get("security", [])]
    security = {"security": [one for number, one in enumerate(labels) if one not in labels[:number]]} if labels else {}
    return {
        "resourceType": "Observation",
        "id": digest(f"panel\x1f{parts[0]['id']}".encode()),
        "meta": {"profile": [table("maps/fhir-r4/profiles.yaml")["base"] + "nl-core-BloodPressure"], **security},
        **shared,
        **({"identifier": identifiers} if identifiers else {}),
        **({"note": notes} if notes else {}),
        "code": {"coding": [{"system": _LOINC, "code": "85354-9"}]},
        "component": [{name: part[name] for name in _OWN if name in part} for part in parts],
    }


def _loinc(resource: Json) -> str:
    if resource["resourceType"] != "Observation":
        return ""
    return next((str(one["code"]) for one in resource["code"].get("coding", []) if one.get("system") == _LOINC), "")
