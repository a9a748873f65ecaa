"""Patient ids: an identifier sealed deterministically into a FHIR id, so that no table is needed to read it back."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from profiles.identifiers import BSN_SYSTEM

# One byte names a system. Never renumber: the ids in every store depend on it.
_WELL_KNOWN: Final[dict[str, int]] = {
    BSN_SYSTEM: 1,
    "urn:oid:2.16.840.1.113883.2.4.6.3": 1,
}
_SYSTEM_OF: Final = {1: BSN_SYSTEM}
_WRITTEN_OUT: Final = 0
_CONFIGURED: Final = 255

# "p999-" leaves 59 of the 64 characters of a FHIR id: 36 bytes, of which the SIV takes 16.
_MAXIMUM_PLAIN_BYTES: Final = 20
_SHAPE: Final = re.compile(r"p([1-9][0-9]{0,2})-([a-z2-7]{28,58})")


def encode(cipher: AESSIV, number: int, system: str, value: str, systems: Mapping[bytes, str]) -> str:
    """The patient id of an identifier under one key.

    Raises:
        ValueError: the value is empty or too long for a FHIR id, or the system is not configured; the text
            names the limit, not the value.
    """
    plain = _plain(system, value, systems)
    return f"p{number}-{_base32(cipher.encrypt(plain, [b'patient-id']))}"


def number_of(patient_id: str) -> int | None:
    """The key number a patient id names, None when it has not the shape of one."""
    found = _SHAPE.fullmatch(patient_id)
    return int(found[1]) if found else None


def decode(cipher: AESSIV, patient_id: str, systems: Mapping[bytes, str]) -> tuple[str, str] | None:
    """System and value behind a patient id, None when it was not made with this key."""
    text = patient_id.partition("-")[2].upper()
    try:
        sealed = base64.b32decode(text + "=" * (-len(text) % 8))
        # Two spellings of one id would be two patients in a store: only the canonical one is ours.
        if _base32(sealed) != text.lower():
            return None
        plain = cipher.decrypt(sealed, [b"patient-id"])
    except (InvalidTag, binascii.Error, ValueError):
        return None
    return _identifier(plain, systems)


def short_form(system: str) -> bytes:
    """Four bytes that stand for a configured identifier system."""
    return hashlib.sha256(system.encode()).digest()[:4]


def _plain(system: str, value: str, systems: Mapping[bytes, str]) -> bytes:
    if not value:
        message = "an empty value identifies nobody"
        raise ValueError(message)
    code = _WELL_KNOWN.get(system)
    written_out = bytes([_WRITTEN_OUT]) + f"{system}|{value}".encode()
    if code is not None:
        plain = bytes([code]) + value.encode()
    elif len(written_out) <= _MAXIMUM_PLAIN_BYTES:
        plain = written_out
    elif systems.get(short_form(system)) == system:
        plain = bytes([_CONFIGURED]) + short_form(system) + value.encode()
    else:
        message = "this identifier system is not known here; declare it in [[identifier_systems]]"
        raise ValueError(message)
    if len(plain) > _MAXIMUM_PLAIN_BYTES:
        limit = _MAXIMUM_PLAIN_BYTES - (1 if code is not None else 5)
        message = f"the value of this identifier is longer than {limit} bytes and does not fit in a FHIR id"
        raise ValueError(message)
    return plain


def _identifier(plain: bytes, systems: Mapping[bytes, str]) -> tuple[str, str] | None:
    code, rest = plain[0], plain[1:]
    if code == _WRITTEN_OUT:
        system, _, value = rest.decode().partition("|")
        return system, value
    if code == _CONFIGURED:
        known = systems.get(rest[:4])
        return (known, rest[4:].decode()) if known else None
    return _SYSTEM_OF[code], rest.decode()


def _base32(raw: bytes) -> str:
    return base64.b32encode(raw).decode().rstrip("=").lower()
