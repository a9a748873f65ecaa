"""Registrations in the gateway's own localization index: a FHIR List in the shape of the national index (NVI)."""

from __future__ import annotations

import re
import secrets
from typing import Final

from gateway.errors import Invalid, Refused
from gateway.fhir.reading import resource_body
from gateway.intake.write import Write, identifier_of, kept, subject
from gateway.model import CANONICAL, IndexEntry, Json, Outgoing, instant
from profiles.identifiers import URA_SYSTEM

CUSTODIAN: Final = "http://minvws.github.io/generiekefuncties-docs/StructureDefinition/nl-gf-localization-custodian"
BASIS: Final = f"{CANONICAL}/StructureDefinition/registration-basis"
BASES: Final = ("explicit", "care-team", "referral", "observation")
_CATEGORY: Final = re.compile(r"[A-Za-z]{3,40}")


async def register(write: Write) -> Outgoing:
    """Register that the caller's organization holds data of a patient.

    An entry is itself "making available": it is accepted only with its basis (rule C3), and only for
    the organization in the token.

    Raises:
        Invalid: `invalid-resource`, naming the element.
        Refused: `write-refused` for another custodian.
    """
    ports = write.ports
    entry = resource_body(write.incoming, "List")
    custodian = identifier_of((_extension(entry, CUSTODIAN) or {}).get("valueReference"), URA_SYSTEM)
    if not custodian:
        raise Invalid("invalid-resource", expression=f"List.extension('{CUSTODIAN}')", why="name the custodian by URA")
    if custodian != write.caller.requester.organization:
        raise Refused("write-refused", why="an organization registers only its own data")
    basis = str((_extension(entry, BASIS) or {}).get("valueCode", ""))
    if basis not in BASES:
        raise Invalid(
            "invalid-resource", expression=f"List.extension('{BASIS}')", why=f"give the basis: {', '.join(BASES)}"
        )
    patient = subject(entry, "subject", ports)
    write.record.patient, write.record.reasons = patient, (basis,)
    now = ports.now()
    id_ = f"list-{secrets.token_hex(12)}"
    await write.record.intent([])
    await ports.index.register(
        IndexEntry(id_, patient.id, custodian, _categories(entry), basis, now, write.caller.requester.client)
    )
    shown = entry | {
        "id": id_,
        "status": "current",
        "mode": "working",
        "subject": {"reference": f"Patient/{patient.id}"},
        "meta": {"versionId": "1", "lastUpdated": instant(now)},
    }
    return kept(shown, 201, ports.settings.gateway.base)


async def withdraw(write: Write) -> Outgoing:
    """End a registration of the caller's organization."""
    await write.record.intent([])
    if not await write.ports.index.withdraw(write.id, write.caller.requester.organization):
        raise Invalid("not-found", what="this registration")
    return Outgoing(204)


def _categories(entry: Json) -> frozenset[str]:
    code = entry.get("code")
    codings = code.get("coding", []) if isinstance(code, dict) else []
    found = frozenset(str(coding.get("code", "")) for coding in codings)
    if not all(_CATEGORY.fullmatch(code) for code in found):
        raise Invalid("invalid-resource", expression="List.code", why="give codes of nl-gf-data-categories-cs")
    return found


def _extension(resource: Json, url: str) -> Json | None:
    return next(
        (entry for entry in resource.get("extension", ()) if isinstance(entry, dict) and entry.get("url") == url), None
    )
