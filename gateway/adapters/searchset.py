"""What may be read of a source's answer before it is translated: is it a searchset, is there more, which patients."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import msgspec

from gateway.adapters.http import HttpAnswer, HttpError

ENTRIES: Final = 10_000  # in one page
EMPTY: Final = b'{"resourceType":"Bundle","type":"searchset","total":0}'
_JSON: Final = frozenset({"application/fhir+json", "application/json", "application/json+fhir"})
_ID: Final = re.compile(r"[A-Za-z0-9\-.]{1,64}")


class _Link(msgspec.Struct):
    relation: str
    url: str


class _Search(msgspec.Struct):
    mode: str = "match"


class _Entry(msgspec.Struct):
    search: _Search = msgspec.field(default_factory=_Search)
    resource: msgspec.Raw = msgspec.field(default_factory=msgspec.Raw)


class _Bundle(msgspec.Struct):
    resourceType: str  # noqa: N815 - FHIR element name
    type: str
    link: list[_Link] = []
    entry: list[_Entry] = []


class _Issue(msgspec.Struct):
    severity: str = "error"


class _Outcome(msgspec.Struct):
    issue: list[_Issue] = []


class _Identifier(msgspec.Struct):
    system: str = ""
    value: str = ""


class _Patient(msgspec.Struct):
    resourceType: str  # noqa: N815 - FHIR element name
    id: str = ""
    identifier: list[_Identifier] = []


_bundle: Final = msgspec.json.Decoder(_Bundle)
_outcome: Final = msgspec.json.Decoder(_Outcome)
_patient: Final = msgspec.json.Decoder(_Patient)


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a searchset; `entries` are unread."""

    next: str | None
    troubled: bool  # the source itself says that something is missing
    entries: tuple[msgspec.Raw, ...]


def read(answer: HttpAnswer) -> Page:
    """Look at an answer without reading clinical content; that is for the translation, with exact digits.

    Raises:
        HttpError: `malformed` when it is not a searchset in UTF-8 FHIR JSON, `too-large` when it has too many entries.
    """
    if not _is_fhir_json(answer.headers.get("content-type", "")):
        raise HttpError("malformed")
    body = answer.body
    try:
        if not body.isascii():
            body.decode("utf-8")
        bundle = _bundle.decode(body)
        if bundle.resourceType != "Bundle" or bundle.type != "searchset":
            raise HttpError("malformed")
        troubled = any(_is_error(entry) for entry in bundle.entry if entry.search.mode == "outcome")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise HttpError("malformed") from None
    if len(bundle.entry) > ENTRIES:
        raise HttpError("too-large")
    following = next((link.url for link in bundle.link if link.relation == "next"), None)
    return Page(following, troubled, tuple(entry.resource for entry in bundle.entry))


def patients(page: Page, system: str, value: str) -> tuple[str, ...]:
    """The local ids of the Patients in a page, every one of them proven to be the person asked for.

    Raises:
        HttpError: `wrong-patient` when a Patient does not carry exactly this identifier, `malformed` when
            one cannot be read.
    """
    found: list[str] = []
    for resource in page.entries:
        try:
            patient = _patient.decode(resource) if bytes(resource) else None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise HttpError("malformed") from None
        if patient is None or patient.resourceType != "Patient":
            continue
        if not any(each.system == system and each.value == value for each in patient.identifier):
            raise HttpError("wrong-patient")
        if _ID.fullmatch(patient.id) is None:
            raise HttpError("malformed")
        found.append(patient.id)
    return tuple(dict.fromkeys(found))


def _is_fhir_json(content_type: str) -> bool:
    """Claim that a content type is FHIR JSON in UTF-8; no charset means UTF-8.

    Spec: FHIR R4 3.1.0.1.11 (http://hl7.org/fhir/R4/http.html#mime-type).
    """
    kind, *parameters = (part.strip().lower() for part in content_type.split(";"))
    charsets = [part.partition("=")[2].strip('"') for part in parameters if part.startswith("charset")]
    return kind in _JSON and all(charset in ("utf-8", "utf8") for charset in charsets)


def _is_error(entry: _Entry) -> bool:
    outcome = _outcome.decode(entry.resource)
    return any(issue.severity in ("error", "fatal") for issue in outcome.issue)
