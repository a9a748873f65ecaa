"""An agreement between organizations as a FHIR Contract: read completely, or refused with the element at fault."""

from __future__ import annotations

from datetime import date
from typing import Any, Final

import msgspec

from consent.model import Agreement
from gateway.errors import Invalid, StartError
from gateway.model import CANONICAL, Json
from gateway.policy import Policy, agreement_of
from gateway.settings import AgreementTable
from profiles.identifiers import URA_SYSTEM

TERMS: Final = f"{CANONICAL}/StructureDefinition/agreement"
_WHERE: Final = f"Contract.extension('{TERMS}')"
IDENTIFIER: Final = f"{CANONICAL}/NamingSystem/agreement"
_PARTIES: Final = {"requesters": "grantee", "custodians": "grantor"}
_MANY: Final = {
    "purpose": "purposes", "category": "categories", "role": "roles", "relation": "relations",
    "facilityType": "facility_types", "excluded": "excluded",
}  # fmt: skip
_ONE: Final = {"basis": "basis", "emergency": "emergency", "disclosure": "disclosure"}
_SWITCH: Final = {"systemAccess": "system_access", "patientAsked": "patient_asked"}


def agreement_in(contract: Json, policy: Policy) -> Agreement:
    """Read the agreement a Contract states; its id is its identifier, else the id of the Contract.

    Raises:
        Invalid: `invalid-resource`, an element that is missing, unknown or says what no agreement can.
    """
    identifier = _first(contract.get("identifier"), IDENTIFIER) or str(contract.get("id") or "new")
    start, end = _period(contract)
    row: Json = {"id": identifier, "start": start, "end": end, **_terms(contract)}
    row |= {field: _party(contract, role, policy) for field, role in _PARTIES.items()}
    signed = contract.get("issued")
    if signed:
        row["signed"] = _day(str(signed), "Contract.issued")
    try:
        return agreement_of(msgspec.convert(row, AgreementTable))
    except msgspec.ValidationError as error:
        raise _wrong(_WHERE, str(error)) from None
    except StartError as error:
        raise _wrong(_WHERE, str(error)) from None


def substance(contract: Json) -> Json:
    """What two people must agree on: everything but status, version and signatures."""
    return {name: part for name, part in contract.items() if name not in ("status", "meta", "id", "signer", "text")}


def _terms(contract: Json) -> Json:
    written = [one for one in _list(contract, "extension") if one.get("url") == TERMS]
    if len(written) != 1:
        raise _wrong("Contract.extension", "state the terms once, in extension " + TERMS)
    found: Json = {}
    for part in _list(written[0], "extension"):
        name = part.get("url")
        value = next((value for key, value in part.items() if key.startswith("value")), None)
        if name in _MANY:
            found.setdefault(_MANY[name], []).append(value)
        elif name in _ONE or name in _SWITCH:
            field = _ONE.get(name) or _SWITCH[name]
            if field in found:
                raise _wrong(_WHERE, f"{name} is stated twice")
            found[field] = value
        else:
            known = ", ".join(sorted((*_MANY, *_ONE, *_SWITCH)))
            raise _wrong(_WHERE, "a part nobody knows here; known are: " + known)
    if not found.get("purposes"):
        raise _wrong(_WHERE, "name at least one purpose")
    return found


def _party(contract: Json, role: str, policy: Policy) -> list[str]:
    """The organizations that have a role in the offer; a direction is part of every agreement (C8)."""
    found: list[str] = []
    for term in _list(contract, "term"):
        offer = term.get("offer")
        for party in _list(offer, "party") if isinstance(offer, dict) else ():
            codes = {one.get("code") for one in _list(party.get("role") or {}, "coding")}
            if role in codes:
                found += [_ura(reference, policy) for reference in _list(party, "reference")]
    if not found:
        raise _wrong("Contract.term.offer.party", "name at least one organization with role " + role)
    return found


def _ura(reference: Json, policy: Policy) -> str:
    identifier = reference.get("identifier")
    value = str(identifier.get("value", "")) if isinstance(identifier, dict) else ""
    if not isinstance(identifier, dict) or identifier.get("system") != URA_SYSTEM or value not in policy.organizations:
        raise _wrong("Contract.term.offer.party.reference", "name an organization of this region by URA")
    return value


def _period(contract: Json) -> tuple[date, date]:
    period = contract.get("applies")
    if not isinstance(period, dict) or not period.get("start") or not period.get("end"):
        raise _wrong("Contract.applies", "an agreement has a start and an end")
    start, end = _day(str(period["start"]), "Contract.applies.start"), _day(str(period["end"]), "Contract.applies.end")
    if end < start:
        raise _wrong("Contract.applies", "the end lies before the start")
    return start, end


def _day(text: str, expression: str) -> date:
    try:
        return date.fromisoformat(text[:10])
    except ValueError:
        raise _wrong(expression, "give a whole date") from None


def _first(identifiers: Any, system: str) -> str:  # noqa: ANN401 - an element of any shape
    listed = identifiers if isinstance(identifiers, list) else []
    return next(
        (str(one.get("value", "")) for one in listed if isinstance(one, dict) and one.get("system") == system), ""
    )


def _list(holder: Json, name: str) -> list[Json]:
    value = holder.get(name)
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _wrong(expression: str, why: str) -> Invalid:
    return Invalid("invalid-resource", expression=expression, why=why)
