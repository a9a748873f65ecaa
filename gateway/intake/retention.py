"""How long what was pushed may stay: until its contact ended and the term of its source is over (rule C4)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from gateway.model import Json
from gateway.ports import Keys
from gateway.settings import SourceTable
from mappings.model import Translation
from profiles.dates import parse

_VOID: Final = frozenset({"cancelled", "entered-in-error"})
_OVER: Final = frozenset({"finished", "completed"})


@dataclass(frozen=True, slots=True)
class Contact:
    """The trip, visit or episode a message belongs to."""

    key: str = ""  # keyed digest of its number
    ended: datetime | None = None
    cancelled: bool = False


def contact_key(custodian: str, number: str, keys: Keys) -> str:
    """What the gateway calls a contact: a keyed digest, because a trip number leads to a person."""
    return keys.item_id(custodian, f"contact|{number}")


def contact_of(translation: Translation, custodian: str, keys: Keys) -> Contact:
    """The contact a message belongs to, as far as it says so."""
    found = [
        (resource, native)
        for resource, native in zip(translation.resources, translation.keys, strict=True)
        if resource.get("resourceType") == "Encounter"
    ]
    number = translation.facts.get("trip") or next((_number(resource) or native for resource, native in found), "")
    if not number:
        return Contact()
    encounters = [resource for resource, _ in found]
    # Visits that a document tells of are not what it is about: that stands in its header, and so in its facts.
    tells = translation.map.startswith("cda/")
    void = bool(encounters) and not tells and all(one.get("status") in _VOID for one in encounters)
    cancelled = translation.facts.get("status") == "cancelled" or void
    # A letter that tells of several contacts says nothing about which of them this is.
    ended = _end(encounters[0]) if len(encounters) == 1 else None
    return Contact(contact_key(custodian, number, keys), ended, cancelled)


def expiry(contact: Contact, source: SourceTable, received: datetime) -> datetime:
    """The moment after which a message is erased.

    A contact whose end is not known counts as ended some time after it was last spoken of.
    """
    if contact.cancelled:
        return received + source.retention
    if contact.ended is None:
        return received + source.open_contact + source.retention
    return max(contact.ended, received) + source.retention


def _number(encounter: Json) -> str:
    identifiers = encounter.get("identifier")
    rows = identifiers if isinstance(identifiers, list) else []
    return next((str(one["value"]) for one in rows if isinstance(one, dict) and one.get("value")), "")


def _end(encounter: Json) -> datetime | None:
    period = encounter.get("period")
    text = period.get("end") if isinstance(period, dict) else None
    date = parse(text) if isinstance(text, str) else None
    return date.upper if date is not None and encounter.get("status", "finished") in _OVER else None
