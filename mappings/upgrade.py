"""Lift the resources of an STU3 source to R4 by their maps."""

from __future__ import annotations

from typing import Any, Final

from mappings.formats.fhir_bundle import Parts
from mappings.library import stu3
from mappings.model import Json, Loss, Origin, Translation
from mappings.profile_claims import claim
from mappings.reading import Reading
from mappings.settlements import SETTLEMENTS
from mappings.tables import names, table

_VERSION: Final = "1"


def upgrade(parts: Parts, origin: Origin, *, whole: bool = False) -> Translation:
    """Make R4 resources of STU3 ones; a type without a map is a loss, never an error.

    Args:
        parts: the resources as they were sent.
        origin: where they came from.
        whole: also types that say nothing of a patient.
    """
    resources: list[Json] = []
    keys: list[str] = []
    places: dict[str, str] = {}
    losses = parts.losses
    for source, key, path in zip(parts.resources, parts.keys, parts.paths, strict=True):
        kind = source["resourceType"]
        where = path if path == kind else f"{path}.resource"
        if not whole and _is_beside(kind):
            losses.append(Loss(where, "unmapped", f"no map for {kind}"))
            continue
        made = _lifted(source, origin, where, losses)
        if made is not None:
            made["id"] = key.partition("/")[2]
            resources.append(made)
            keys.append(f"{made['resourceType']}/{made['id']}")
            places[keys[-1]] = where
    return Translation(
        tuple(resources),
        tuple(keys),
        tuple(losses),
        map="fhir-stu3/zib2017",
        version=_VERSION,
        facts=parts.facts,
        next=parts.next,
        places=places,
    )


def _is_beside(kind: str) -> bool:
    """Claim that a type has no map of its own and is none that speaks of a patient."""
    return kind not in names("maps/fhir-stu3") and kind not in table("maps/fhir-stu3/renames.yaml")["clinical"]


def _lifted(source: Json, origin: Origin, where: str, losses: list[Loss]) -> Json | None:
    reading = Reading(source, origin)
    compiler = stu3()
    chosen = compiler.choose(reading, source)
    if chosen is None:
        losses.append(Loss(where, "unmapped", f"no map for {source['resourceType']}"))
        return None
    made = chosen.run(reading, source)
    definition = chosen.definition
    for name in definition.after:
        SETTLEMENTS[name](reading, source, made)
    if definition.profile and not made.get("meta", {}).get("profile"):
        made.setdefault("meta", {})["profile"] = [table("maps/fhir-r4/profiles.yaml")["base"] + definition.profile]
    if "#" in reading.links:
        _without_loose_ends(made, where, losses)
    claim(made)
    losses.extend(reading.losses(where, frozenset(definition.ignored)))
    return made


def _without_loose_ends(made: Json, where: str, losses: list[Loss]) -> None:
    """A reference into the resource that leads to nothing keeps its words only, as FHIR knows no such reference (ref-1)."""
    inside = {f"#{one.get('id')}" for one in made.get("contained", ())} | {"#"}
    stack: list[Any] = [made]
    while stack:
        node = stack.pop()
        if isinstance(node, list):
            stack.extend(node)
        elif isinstance(node, dict):
            target = node.get("reference")
            if isinstance(target, str) and target.startswith("#") and target not in inside:
                del node["reference"]
                node.setdefault("display", "niet meegestuurd")
                losses.append(Loss(where, "dropped", "a reference to a contained resource that was not sent"))
            stack.extend(node.values())
