"""The log taken out: AuditEvents a line, or rows a spreadsheet cannot be tricked by, with a manifest that is signed."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
from collections.abc import Iterable
from typing import Any, Final, Protocol

from gateway.audit.view import Seen, fate
from gateway.model import Json
from profiles import exact

COLUMNS: Final = (
    "id", "recorded", "event", "type", "action", "status", "error", "organization", "facility", "client", "person",
    "name", "role", "responsible", "assurance", "purpose", "case", "patient", "policy", "address", "request", "custodian",
    "source", "fate", "states", "agreement", "consent", "items", "written",
)  # fmt: skip
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "|", "%", "\uff1d", "\uff0b", "\uff0d", "\uff20")
TYPE: Final = "roaz-audit-export+jws"


class Signer(Protocol):
    """The part of the key ring that signs for the log."""

    def sign_audit(self, message: bytes) -> bytes:
        """An Ed25519 signature with the current audit key."""
        ...

    def current(self, kind: str) -> int:
        """The number of the key in use."""
        ...

    def audit_keys(self) -> dict[int, bytes]:
        """The public keys by number."""
        ...


class Digest:
    """What was written so far: how many lines, how many bytes, which digest, from which record to which."""

    def __init__(self) -> None:
        self.rows = 0
        self.bytes = 0
        self.first = self.last = ""
        self._sha256 = hashlib.sha256()

    def take(self, text: str, rows: int = 0, id_: str = "") -> str:
        """Count a piece of the file, and give it back."""
        raw = text.encode()
        self.rows += rows
        self.bytes += len(raw)
        self.first, self.last = self.first or id_, id_ or self.last
        self._sha256.update(raw)
        return text

    @property
    def facts(self) -> Json:
        """Everything counted, for the manifest."""
        named = {"newest": self.first, "oldest": self.last} if self.first else {}
        return {"rows": self.rows, "bytes": self.bytes, "sha256": self._sha256.hexdigest(), **named}


def head() -> str:
    """The first line of a CSV file."""
    return _line(COLUMNS)


def rows(id_: str, seen: Seen) -> str:
    """A record as CSV: a line for each custodian, or one when there is none."""
    record = seen.record
    own: dict[str, Any] = {
        "id": id_, "recorded": record.at, "event": record.interaction or record.kind, "type": record.type,
        "action": record.action, "status": record.status or "", "error": record.error,
        "organization": record.organization, "facility": record.facility, "client": record.client,
        "person": record.person, "name": record.person_name, "role": record.role, "responsible": record.responsible,
        "assurance": record.assurance, "purpose": record.purpose, "case": record.case, "patient": record.patient,
        "policy": record.policy, "address": record.address, "request": record.request, "written": record.object,
    }  # fmt: skip
    lines = [own]
    if record.custodians:
        lines = [
            own
            | {
                "custodian": one.custodian or one.facility,
                "source": one.source,
                "fate": fate(one, record),
                "states": "; ".join(f"{category} {state}".strip() for category, state in sorted(one.states.items())),
                "agreement": one.rule,
                "consent": one.consent,
                "items": " ".join(f"{shown.type}/{shown.id}" for shown in one.shown),
            }
            for one in record.custodians
        ]
    return "".join(_line([line.get(name, "") for name in COLUMNS]) for line in lines)


def ndjson(events: Iterable[Json]) -> str:
    """AuditEvents, one a line."""
    return "".join(exact.encode(event).decode() + "\n" for event in events)


def manifest(claims: Json, signer: Signer) -> str:
    """What was exported, signed: a JWS anybody can check with the public key of the log.

    Spec: RFC 7515 (compact serialization), RFC 8037 (EdDSA).
    """
    number = signer.current("audit")
    key = {"kty": "OKP", "crv": "Ed25519", "x": _text(signer.audit_keys()[number])}
    header = {"alg": "EdDSA", "typ": TYPE, "kid": f"audit-{number}", "jwk": key}
    signed = f"{_text(exact.encode(header))}.{_text(exact.encode(claims))}"
    return f"{signed}.{_text(signer.sign_audit(signed.encode()))}"


def safe(cell: object) -> str:
    """A cell that no spreadsheet takes for a formula (attack 127): what starts like one gets an apostrophe in front."""
    text = str(cell).replace("\x00", "")
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA) else text


def _line(cells: Iterable[object]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, quoting=csv.QUOTE_ALL, lineterminator="\r\n").writerow([safe(cell) for cell in cells])
    return buffer.getvalue()


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
