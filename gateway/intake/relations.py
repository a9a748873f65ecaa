"""Treatment relations that were told: a CareTeam, EpisodeOfCare or Encounter says who treats whom, and how long that counts (rule C8)."""

from __future__ import annotations

import secrets
import tomllib
from collections.abc import Iterator
from datetime import datetime
from functools import cache
from importlib import resources
from typing import Any, Final

from consent.dates import span
from consent.model import ANY, Relation
from consent.roles import role_of
from gateway.errors import Invalid, Refused, Unavailable
from gateway.fhir.reading import resource_body
from gateway.intake.write import Write, expected_version, identifier_of, kept, known_patient, subject
from gateway.model import Json, Outgoing, instant
from gateway.ports import Ports, Relations
from gateway.settings import RelationTable
from profiles import exact
from profiles.identifiers import URA_SYSTEM

PREFIX: Final = "relation-"
TYPES: Final = ("CareTeam", "EpisodeOfCare", "Encounter")


@cache
def table() -> dict[str, Any]:
    """What tells a relation, by resource type."""
    return tomllib.loads((resources.files("gateway.intake") / "relations.toml").read_text(encoding="utf-8"))


async def create(write: Write) -> Outgoing:
    """Tell that an organization treats a patient.

    A custodian tells who treats its patient; that counts for its own data. An organization that tells of its own
    contact is believed only by agreements that accept `own-contact`.

    Raises:
        Invalid: `invalid-resource`, naming the element and the rule.
        Refused: `role-refused`, or `write-refused` for an organization of no agreement.
    """
    return await _keep(write, f"{PREFIX}{secrets.token_hex(12)}", None)


async def update(write: Write) -> Outgoing:
    """Change or end what was told; needs If-Match with the version that was read. It counts from the next decision.

    Raises:
        Invalid: `not-found`, `conflict`, `invalid-resource`.
    """
    _, _, owner = await _own(write)
    return await _keep(write, write.id, expected_version(write.incoming), owner)


async def read(write: Write) -> Outgoing:
    """Read what the own organization told."""
    version, raw, _ = await _own(write)
    return Outgoing(200, raw, headers=(("etag", f'W/"{version}"'),))


async def _own(write: Write) -> tuple[int, bytes, str]:
    """INVARIANT: to anybody else it does not exist."""
    found = await _store(write.ports).get(write.id)
    if found is None or _recorder(exact.decode(found[1])) != write.caller.requester.organization:
        raise Invalid("not-found", what="this relation")
    write.record.patient = known_patient(found[2], write.ports)
    return found


async def _keep(write: Write, id_: str, expected: int | None, owner: str = "") -> Outgoing:
    ports, own, now = write.ports, write.caller.requester.organization, write.ports.now()
    resource = resource_body(write.incoming, *table())
    _may_tell(write, str(resource["resourceType"]))
    type_, row = resource["resourceType"], table()[resource["resourceType"]]
    patient = subject(resource, row["patient"], ports)
    write.record.patient = patient
    if owner and owner != patient.id:
        raise Invalid("invalid-resource", expression=f"{type_}.{row['patient']}", why="it stays with its patient")
    told = tuple(relations_in(resource, patient.id, own, now, ports))
    version = 1 if expected is None else expected + 1
    meta = {**(resource.get("meta") or {}), "versionId": str(version), "lastUpdated": instant(now)}
    resource |= {
        "id": id_,
        row["patient"]: {"reference": f"Patient/{patient.id}"},
        "meta": meta | {"source": f"urn:roaz:ura:{own}"},
    }
    write.record.object = f"{type_}/{id_}/_history/{version}"
    write.record.reasons = tuple(sorted({one.kind for one in told})) or ("ended",)
    await write.record.intent([])
    await _store(ports).put(id_, expected, exact.encode(resource), patient.id, told)
    return kept(resource, 201 if expected is None else 200, ports.settings.gateway.base, version)


def relations_in(resource: Json, patient: str, own: str, now: datetime, ports: Ports) -> Iterator[Relation]:
    """The relations a resource tells; none when its state says that nobody treats (any more).

    Raises:
        Invalid: `invalid-resource`: no organization by URA, an unknown state, or dates that cannot be read.
    """
    type_, row = resource["resourceType"], table()[resource["resourceType"]]
    status = resource.get("status")
    if status not in (*row["open"], *row["ended"], *row["never"]):
        raise Invalid("invalid-resource", expression=f"{type_}.status", why="give the state, by a code of FHIR R4")
    named = dict(_organizations(resource, row["who"]))
    if not named:
        who = f"{type_}.{row['who'][0]}"
        raise Invalid("invalid-resource", expression=who, why="name who treats by identifier: its URA")
    if unknown := sorted(named.keys() - ports.policy.organizations.keys()):
        why = f"organization {unknown[0]} is not one of this region"
        raise Invalid("invalid-resource", expression=f"{type_}.{row['who'][0]}", why=why)
    if status in row["never"]:
        return
    for ura, narrower in sorted(named.items()):
        kind = "own-contact" if row["kind"] == "contact" and ura == own else row["kind"]
        terms = _terms(ports, kind)
        start, end = _window(resource.get("period"), type_, terms, now, open_=status in row["open"])
        if narrower is not None:
            first, last = _window(narrower, f"{type_}.participant", terms, now, open_=True)
            start, end = max(start, first), min(end, last)
        yield Relation(kind, ura, patient, ANY if kind == "own-contact" else own, start, end)


def _may_tell(write: Write, type_: str) -> None:
    """A professional in a role that writes this, or a system, of an organization of this region."""
    requester = write.caller.requester
    role = role_of(requester.role) if requester.role else None
    if requester.person and (role is None or not role.may_write(type_)):
        raise Refused("role-refused", role=requester.role or "?", why="it may not write this resource type")
    if requester.organization not in write.ports.policy.organizations:
        raise Refused("write-refused", why="only organizations of this region tell who treats a patient")


def _organizations(resource: Json, paths: list[str]) -> Iterator[tuple[str, Json | None]]:
    """The URAs at some paths, each with the period of the participant it stands in."""
    for path in paths:
        outer, _, inner = path.rpartition(".")
        for holder in _many(resource.get(outer)) if outer else (resource,):
            for reference in _many(holder.get(inner)):
                if ura := identifier_of(reference, URA_SYSTEM):
                    yield ura.zfill(8), holder.get("period") if outer else None


def _many(value: Any) -> list[Json]:  # noqa: ANN401 - an element is one value, a list, or absent
    found = value if isinstance(value, list) else [value]
    return [one for one in found if isinstance(one, dict)]


def _window(
    period: Any,  # noqa: ANN401 - as a client wrote it
    type_: str,
    terms: RelationTable,
    now: datetime,
    *,
    open_: bool,
) -> tuple[datetime, datetime]:
    """From when until when it counts; the length of what has no end is data of the region."""
    said = period if isinstance(period, dict) else {}
    try:
        start = span(str(said["start"]))[0] if said.get("start") else now
        end = span(str(said["end"]))[1] if said.get("end") else None
    except (ValueError, OverflowError):
        raise Invalid(
            "invalid-resource", expression=f"{type_}.period", why="dates of a period cannot be read"
        ) from None
    if end is None:
        return start, (max(start, now) + terms.unended if open_ else now + terms.after)
    if end <= start:
        raise Invalid("invalid-resource", expression=f"{type_}.period", why="it ends before it starts")
    return start, end + terms.after


def _terms(ports: Ports, kind: str) -> RelationTable:
    consent = ports.settings.consent
    return {"care-team": consent.care_team, "contact": consent.contact}.get(kind, consent.own_contact)


def _recorder(resource: Json) -> str:
    return str((resource.get("meta") or {}).get("source", "")).removeprefix("urn:roaz:ura:")


def _store(ports: Ports) -> Relations:
    if ports.relations is None:
        raise Unavailable("store-unavailable")
    return ports.relations
