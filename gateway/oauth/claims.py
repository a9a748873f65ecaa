"""Who and why: the claims of an assertion, each within the registration of its client, as a Caller."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from consent.model import Emergency, Requester
from consent.purposes import PURPOSES, is_barred, purpose_of
from gateway.errors import Refused
from gateway.model import Caller
from gateway.oauth import dialects, grounds
from gateway.policy import Policy
from gateway.settings import ClientTable
from profiles.identifiers import BSN_SYSTEM, URA_SYSTEM, is_digits

Json = dict[str, Any]

EXTENSION: Final = dialects.DEFAULT
_PLACE: Final = f"the client assertion, extensions.{EXTENSION}"
_TEXT: Final = re.compile(r"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]{1,200}")
_CASE: Final = re.compile(r"(?:Task/)?([A-Za-z0-9\-.]{1,64})", re.ASCII)
_PATIENT: Final = re.compile(r"(?:Patient/)?(p\d{1,4}-[A-Za-z0-9\-.]{1,62})", re.ASCII)
_URA_PREFIXES: Final = (f"{URA_SYSTEM}|", "urn:oid:2.16.528.1.1007.3.3|", "urn:oid:2.16.528.1.1007.3.3.", "urn:ura:")
_BSN_NAMES: Final = (BSN_SYSTEM, "urn:oid:2.16.840.1.113883.2.4.6.3")
_ASSURANCE: Final = {
    level: level.rpartition("/")[2]
    for name in ("low", "substantial", "high")
    for level in (name, f"http://eidas.europa.eu/LoA/{name}", f"http://eidas.europe.eu/LoA/{name}")
}


def caller(claims: Json, client: ClientTable, policy: Policy, scopes: frozenset[str], now: float = 0.0) -> Caller:
    """The caller a proven assertion names; what it leaves out is the client's single registered value.

    Raises:
        Refused: `oauth-claims`, says which claim to put where, or which value is not registered.

    INVARIANT: the facility type is of the directory, never of a claim (rule B4).
    """
    try:
        return _caller(dialects.said(claims, client.claims), client, policy, scopes, now)
    except Refused as error:
        raise _refusal(why=dialects.in_words(error.words.get("why", ""), client.claims)) from None


def _caller(said: Json, client: ClientTable, policy: Policy, scopes: frozenset[str], now: float) -> Caller:
    organization = _organization(said, client)
    person = _person(said, client)
    purpose = _purpose(said, client, person)
    launch = _patient(said)
    emergency = _emergency(said, purpose, launch, now)
    return Caller(
        requester=Requester(
            client=client.id,
            organization=organization,
            facility_type=policy.facility_type(organization),
            role=_role(said, client, person),
            person=person,
            assurance=_assurance(said),
            system=client.person == "system",
            mandated_by=_mandate(said, person),
            mandated_role=_bare(next(iter(_codes(said, "delegation_role_code")), "")),
        ),
        purpose=purpose,
        scopes=scopes,
        organization_name=policy.name(organization),
        person_name=_text(said, "subject_name"),
        responsible=_text(said, "responsible"),
        case=_case(said),
        launch=launch,
        emergency=emergency,
    )


def _organization(said: Json, client: ClientTable) -> str:
    named = _text(said, "organization_id")
    if not named:
        return client.organization
    for prefix in _URA_PREFIXES:
        named = named.removeprefix(prefix)
    ura = named.zfill(8)
    if not is_digits(ura, 8) or ura != client.organization:
        raise _refusal(why="organization_id is not the URA this client is registered for")
    return ura


def _person(said: Json, client: ClientTable) -> str | None:
    person = _text(said, "subject_id")
    if person and client.person != "claim":
        raise _refusal(
            why=f'subject_id: this client is registered as person = "{client.person}" and names nobody; leave it out'
        )
    if person.partition("|")[0] in _BSN_NAMES:
        raise _refusal(why="subject_id: a professional is not named by BSN; use UZI number, Dezi number or AGB code")
    return person or None


def _role(said: Json, client: ClientTable, person: str | None) -> str | None:
    """The role: claimed, else the only one registered; needed as soon as there is a person."""
    named = _codes(said, "subject_role")
    if len(named) > 1:
        raise _refusal(why="subject_role: one role at a time")
    if named:
        role = named[0] if named[0] in client.roles else _bare(named[0])
        if role not in client.roles:
            raise _refusal(why="subject_role is not registered for this client")
        return role
    if len(client.roles) == 1:
        return client.roles[0]
    if person:
        raise _refusal(
            why=f"subject_role is missing and this client has {len(client.roles)} registered roles: put one in {_PLACE}"
        )
    return None


def _purpose(said: Json, client: ClientTable, person: str | None) -> str:
    """The purpose as a Dutch situation (rule B5): claimed, else the only one registered."""
    registered = {situation for code in client.purposes if (situation := purpose_of(code))}
    named = _codes(said, "purpose_of_use")
    if any(is_barred(code) for code in named):
        raise _refusal(why="purpose_of_use names a purpose that no agreement can open")
    situations = {purpose_of(code) for code in named} or registered
    if len(situations) != 1:
        if not registered and not named and client.person == "none":
            return ""  # pushes only: what it brings has its own basis
        number = (
            f"has {len(situations)} values" if named else f"is missing and this client has {len(registered)} registered"
        )
        raise _refusal(why=f'purpose_of_use {number}: put one in {_PLACE}, such as ["TREAT"]; ask one token a purpose')
    purpose = next(iter(situations))
    if purpose is None or purpose not in registered:
        raise _refusal(
            why="purpose_of_use is not registered for this client; registered are: "
            + (", ".join(sorted(registered)) or "none")
        )
    if PURPOSES[purpose].person and not person:
        raise _refusal(why=f"purpose_of_use '{purpose}' is for persons: put subject_id in {_PLACE}")
    return purpose


def _assurance(said: Json) -> str | None:
    level = _text(said, "loa")
    if level and level not in _ASSURANCE:
        raise _refusal(why="loa must be low, substantial or high (or the eIDAS URL of one)")
    return _ASSURANCE.get(level)


def _case(said: Json) -> str:
    case = _text(said, "case")
    found = _CASE.fullmatch(case)
    if case and found is None:
        raise _refusal(why="case must be the id of a Task, as the answer to POST Task gave it")
    return found[1] if found else ""


def _patient(said: Json) -> str:
    """The patient a token is for: an id of this gateway, never an identifier of the person."""
    named = _text(said, "patient") or _text(said, "person_id")
    found = _PATIENT.fullmatch(named)
    if named and found is None:
        raise _refusal(why="patient must be the id of a Patient of this gateway, as a search gave it")
    return found[1] if found else ""


def _emergency(said: Json, purpose: str, launch: str, now: float) -> Emergency | None:
    """The grounds of breaking the glass, which holds for one patient (rule B2)."""
    breaking = purpose in PURPOSES and PURPOSES[purpose].emergency
    if "emergency" not in said or not breaking:
        if "emergency" in said:
            raise _refusal(why="emergency goes with purpose_of_use BTG only")
        return None
    if not launch:
        raise _refusal(why=f"emergency is about one patient: put its id as 'patient' in {_PLACE}")
    return grounds.stated(said["emergency"], now)


def _mandate(said: Json, person: str | None) -> str:
    """In whose name the person acts (rule B7)."""
    by = _text(said, "delegation_registered_by")
    if len(_codes(said, "delegation_role_code")) > 1:
        raise _refusal(why="delegation_role_code: one role; a mandate is not passed on")
    if bool(by) != bool(_codes(said, "delegation_role_code")):
        raise _refusal(why="delegation_registered_by and delegation_role_code go together")
    if by and not person:
        raise _refusal(why="delegation_registered_by: a mandate is given to a person; put subject_id beside it")
    return by


def _text(said: Json, name: str) -> str:
    """A claim of one piece of printable text; empty and absent are the same."""
    value = said.get(name)
    if value is None or value == "":
        return ""
    if not isinstance(value, str) or _TEXT.fullmatch(value) is None:
        raise _refusal(why=f"{name} must be one printable text of at most 200 characters")
    return value


def _codes(said: Json, name: str) -> list[str]:
    """Codes as text, `system|code`, `system#code` or a Coding; one of them or a list."""
    value = said.get(name)
    rows: Iterable[Any] = value if isinstance(value, list) else () if value in (None, "") else (value,)
    return [_code(row, name) for row in rows]


def _code(row: Any, name: str) -> str:  # noqa: ANN401 - a claim is any value until checked
    if isinstance(row, dict):
        row = f"{row.get('system', '')}|{row.get('code', '')}".removeprefix("|")
    if not isinstance(row, str) or _TEXT.fullmatch(row) is None:
        raise _refusal(why=f"{name} must hold codes as text or Coding")
    return row.replace("#", "|", 1)


def _bare(code: str) -> str:
    return code.rpartition("|")[2]


def _refusal(*, why: str) -> Refused:
    return Refused("oauth-claims", why=why)
