"""Say R4 resources in STU3 for receivers that still ask it, with every loss."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, Final

from mappings.library import to_stu3
from mappings.model import Json, Loss, NotMappable, Origin
from mappings.reading import Reading
from mappings.stu3_definitions import stu3_definitions
from mappings.tables import table
from profiles.definitions import Element, Member, Type
from profiles.exact import NotExact, decode, encode

STU3_VERSION: Final = "3.0.2"
_NOBODY: Final = Origin("", "", "")  # nothing of the gateway's own goes into the result
_ABSENT: Final = {"extension": [{"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}]}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Downgraded:
    """An STU3 resource, or none where STU3 cannot say it safely, and what it could not carry."""

    resource: Json | None
    losses: tuple[Loss, ...]


def downgrade(resource: Json) -> Downgraded:
    """Make an STU3 resource of one of R4; of a Bundle every entry, and references follow types that were renamed.

    Losses say what STU3 cannot carry. What it could only carry with another meaning is left out: then the result is
    none, and in a Bundle an OperationOutcome stands in its place, so that nobody takes the rest for all there is.
    """
    losses: list[Loss] = []
    made = (
        _bundle(resource, losses)
        if resource.get("resourceType") == "Bundle"
        else _lowered(resource, _roles([resource]), str(resource.get("resourceType", "")), losses)
    )
    return Downgraded(made, tuple(losses))


def downgrade_bytes(body: bytes) -> tuple[bytes, tuple[Loss, ...]]:
    """Do the same with the bytes of a resource or Bundle; decimals keep their digits.

    Raises:
        NotMappable: no FHIR JSON, or a resource STU3 cannot say.
    """
    try:
        made = downgrade(decode(body))
    except NotExact as error:
        raise NotMappable(str(error)) from None
    if made.resource is None:
        raise NotMappable(made.losses[0].reason, made.losses[0].path)
    return encode(made.resource), made.losses


def stu3_type(kind: str) -> str:
    """Name a resource type of R4 as STU3 does; empty when STU3 does not have it."""
    name = _names().get(kind, kind)
    return name if name in stu3_definitions().resources else ""


def r4_type(kind: str) -> str:
    """Name a resource type of STU3 as R4 does."""
    older = table("maps/fhir-stu3/renames.yaml")["types"].get(kind, {}).get("target")
    return {name: one for one, name in _names().items()}.get(kind, older or kind)


@cache
def _names() -> dict[str, str]:
    renamed = {
        kind: row["target"] for kind, row in table("maps/to-stu3/renames.yaml")["types"].items() if "target" in row
    }
    return {"ServiceRequest": "ProcedureRequest", **renamed}


def _roles(resources: list[Any]) -> dict[str, str]:
    """Know the person behind each role that is at hand: STU3 refers to the person."""
    found = {}
    for one in resources:
        if isinstance(one, dict) and one.get("resourceType") == "PractitionerRole":
            person = one.get("practitioner")
            if isinstance(person, dict) and isinstance(person.get("reference"), str):
                found[f"PractitionerRole/{one.get('id')}"] = person["reference"]
    return found


def _bundle(bundle: Json, losses: list[Loss]) -> Json | None:
    entries = [one for one in bundle.get("entry", ()) if isinstance(one, dict)]
    roles = _roles([one.get("resource") for one in entries])
    bare = {**bundle, "entry": [{k: v for k, v in one.items() if k != "resource"} for one in entries]}
    made = _lowered(bare, {}, "Bundle", losses)
    if made is None:
        return None
    lowered = []
    for number, (entry, source) in enumerate(zip(_shells(bare, made), entries, strict=True)):
        resource = source.get("resource")
        if not isinstance(resource, dict):
            lowered.append(entry)
            continue
        path = f"entry[{number}].resource"
        inner = (
            _bundle(resource, losses)
            if resource.get("resourceType") == "Bundle"
            else _lowered(resource, roles, path, losses)
        )
        lowered.append(
            {**entry, **_address(entry, resource, inner), "resource": inner}
            if inner is not None
            else _unsaid(entry, bundle, losses[-1])
        )
    return {**{k: v for k, v in made.items() if k != "entry"}, **({"entry": lowered} if lowered else {})}


def _shells(bare: Json, made: Json) -> list[Json]:
    """Give the entries without their resources; one that says nothing but its resource was not made, so it is empty."""
    found = iter(made.get("entry", ()))
    return [next(found) if any(v not in (None, [], {}, "") for v in one.values()) else {} for one in bare["entry"]]


def _address(entry: Json, before: Json, after: Json) -> Json:
    """Let the address of an entry follow the type of its resource."""
    old, new = f"/{before['resourceType']}/", f"/{after['resourceType']}/"
    return {"fullUrl": entry["fullUrl"].replace(old, new)} if old != new and old in entry.get("fullUrl", "") else {}


def _unsaid(entry: Json, bundle: Json, loss: Loss) -> Json:
    """Say in place of a resource that there is one STU3 cannot hold."""
    issue = {
        "severity": "warning",
        "code": "not-supported",
        "diagnostics": f"Left out of this STU3 answer: {loss.reason}",
    }
    search = {"search": {"mode": "outcome"}} if bundle.get("type") == "searchset" else {}
    return {**{k: v for k, v in entry.items() if k not in {"search", "fullUrl"}}, "resource": {"resourceType": "OperationOutcome", "issue": [issue]}, **search}  # fmt: skip


def _lowered(resource: Json, roles: dict[str, str], where: str, losses: list[Loss]) -> Json | None:
    reading = Reading(resource, _NOBODY, links=dict(roles))
    chosen = to_stu3().choose(reading, resource)
    if chosen is None:
        losses.append(Loss(where, "dropped", "STU3 has no such resource"))
        return None
    reason = chosen.refusal(reading, resource)
    if reason:
        losses.append(Loss(where, "dropped", reason))
        return None
    made = chosen.run(reading, resource)
    definition = chosen.definition
    if definition.profile and not made.get("meta", {}).get("profile"):
        profile = table("maps/fhir-r4/profiles.yaml")["base"] + definition.profile
        made["meta"] = {**made.get("meta", {}), "profile": [profile]}
    losses.extend(reading.losses(where, frozenset(definition.ignored)))
    return made if _is_complete(made, where, losses) else None


def _is_complete(made: Json, where: str, losses: list[Loss]) -> bool:
    """Claim that a resource, after what can be completed was, holds all STU3 asks."""
    missing = _missing(made, stu3_definitions().types[made["resourceType"]], where, losses)
    if missing:
        losses.append(Loss(where, "dropped", f"STU3 asks {missing}"))
        return False
    contained = [one for one in made.get("contained", ()) if _is_complete(one, f"{where}.contained", losses)]
    if "contained" in made and not contained:
        del made["contained"]
    elif contained:
        made["contained"] = contained
    return True


def _missing(node: Json, kind: Type, where: str, losses: list[Loss]) -> str:
    """Complete what STU3 asks: a value says that it is unknown, a part without what it asks is taken out.

    Returns what cannot be completed, as a path; empty when the node holds all STU3 asks.
    """
    types = stu3_definitions().types
    for element, present in _concerned(kind.name, tuple(node)):
        if not present:
            member = element.members[0]
            if len(element.members) > 1 or member.many or member.type in types or member.type == "Resource":
                return f"{kind.name}.{element.name}"
            node[f"_{member.name}"] = dict(_ABSENT)
            losses.append(Loss(where, "approximate", f"STU3 asks {kind.name}.{element.name}, which is not known"))
        for member in present:
            part = types.get(_held_type(node[member.name]) if member.type == "Resource" else member.type)
            if part is not None:
                _complete(node, member.name, part, where, losses)
                if member.name not in node and element.required:
                    return f"{kind.name}.{element.name}"
    return ""


@lru_cache(maxsize=2048)
def _concerned(kind: str, names: tuple[str, ...]) -> tuple[tuple[Element, tuple[Member, ...]], ...]:
    """Give what of a type must be looked at where a node holds these names: what is not there and asked, and what has parts."""
    types, found = stu3_definitions().types, []
    for element in types[kind].elements:
        there = [one for one in element.members if one.name in names or f"_{one.name}" in names]
        parts = tuple(one for one in there if one.name in names and (one.type in types or one.type == "Resource"))
        if parts or (element.required and not there):
            found.append((element, parts))
    return tuple(found)


def _held_type(node: Any) -> str:  # noqa: ANN401 - any JSON value
    return str(node.get("resourceType", "")) if isinstance(node, dict) else ""


def _complete(node: Json, name: str, part: Type, where: str, losses: list[Loss]) -> None:
    several = node[name] if isinstance(node[name], list) else [node[name]]
    place = f"{where}.{name}"
    kept = []
    for one in several:
        missing = _missing(one, part, place, losses) if isinstance(one, dict) else ""
        if missing:
            losses.append(Loss(place, "dropped", f"STU3 asks {missing}"))
        else:
            kept.append(one)
    if not kept:
        del node[name]
    elif len(kept) < len(several):
        node[name] = kept
