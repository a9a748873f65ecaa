"""The representations a FHIR answer can have: which one the caller prefers, and JSON turned into XML."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final, Literal
from urllib.parse import parse_qsl

import msgspec

from gateway.errors import Invalid
from gateway.model import Answer, Incoming, Json, Outgoing
from gateway.ports import Ports
from gateway.standing import Standing
from profiles import exact
from profiles.xml import to_json, to_xml

Format = Literal["json", "xml", "html"]
Assemble = Callable[[Standing, Sequence[Answer], Incoming, Ports], Outgoing]

JSON_TYPES: Final = ("application/fhir+json", "application/json", "text/json", "application/json+fhir")
XML_TYPES: Final = ("application/fhir+xml", "application/xml", "text/xml", "application/xml+fhir")
HTML_TYPES: Final = ("text/html", "application/xhtml+xml")
_FORMATS: Final[dict[str, Format]] = {
    **dict.fromkeys((*JSON_TYPES, "json"), "json"),
    **dict.fromkeys((*XML_TYPES, "xml"), "xml"),
    **dict.fromkeys((*HTML_TYPES, "html"), "html"),
}
_WILDCARDS: Final = frozenset({"*/*", "application/*"})
_MOST_CHOICES: Final = 50
_JSON: Final = "application/fhir+json"
STU3: Final = "3.0"
_AS_STU3: Final = f"{_JSON}; fhirVersion={STU3}; charset=utf-8"
VERSIONS: Final = ("", "4.0", STU3)
_XML: Final = "application/fhir+xml; charset=utf-8"


@lru_cache(maxsize=1024)
def preferred(wanted: str, *, html: bool) -> Format | None:
    """The representation of an Accept header or `_format`: by quality, then by order; JSON when all are welcome.

    None when none of them can be made. Spec: RFC 9110 12.5.1; FHIR R4 3.1.0.1.10 and 3.1.0.1.11.
    """
    found: list[tuple[float, bool, Format]] = []
    for part in wanted.split(",", _MOST_CHOICES)[:_MOST_CHOICES]:
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        name = name.replace(" ", "+")  # a plus in a URL means a space
        quality = _quality(parameters) if _version(parameters) in VERSIONS else 0.0
        format_ = "json" if name in _WILDCARDS else _FORMATS.get(name)
        if format_ and quality > 0 and (html or format_ != "html"):
            found.append((quality, name not in _WILDCARDS, format_))
    return max(found, key=lambda choice: choice[:2])[2] if found else None  # max gives the first of equals


def _version(parameters: list[str]) -> str:
    """The release of FHIR a media type names. Spec: FHIR R4 2.6.0.4 'fhirVersion'."""
    found = next((value.partition("=")[2] for value in parameters if value.startswith("fhirversion=")), "")
    return ".".join(found.strip('" ').split(".")[:2])


def media_type(incoming: Incoming) -> str:
    """What a body is said to be; one in another charset or of another release is of no type that is read here.

    Spec: FHIR R4 3.1.0.1.11: 'the character encoding SHALL be UTF-8'; 2.6.0.4 'fhirVersion'.
    """
    said = incoming.header(b"content-type").lower()
    kind, *parameters = (piece.strip() for piece in said.split(";"))
    charset = next((one.partition("=")[2].strip('" ') for one in parameters if one.startswith("charset=")), "utf-8")
    return kind if charset == "utf-8" and _version(parameters) in ("", "4.0") else said[:60]


def asks_for_stu3(incoming: Incoming) -> bool:
    """Claim that the caller wants the answer as FHIR STU3: that release is named where the representation is."""
    if (
        b"fhirversion" not in incoming.headers.get(b"accept", b"").lower()
        and "fhirversion" not in incoming.query.lower()
    ):
        return False
    named = next((value for name, value in parse_qsl(incoming.query) if name == "_format"), "")
    choices = (part.split(";") for part in (named or incoming.header(b"accept")).lower().split(",", _MOST_CHOICES))
    return next((_version([piece.strip() for piece in rest]) == STU3 for _, *rest in choices), False)


def in_stu3(answer: Outgoing) -> Outgoing:
    """The same answer as FHIR STU3, when it is a FHIR resource in JSON.

    Raises:
        Invalid: `not-acceptable` when STU3 cannot say it.
    """
    if not answer.body or not answer.content_type.startswith(_JSON) or answer.content_type == _AS_STU3:
        return answer
    from mappings.downgrade import downgrade_bytes  # noqa: PLC0415 - loads the tables of another release
    from mappings.model import NotMappable  # noqa: PLC0415 - as above

    try:
        body, _ = downgrade_bytes(answer.body)
    except NotMappable:
        possible = ", ".join(JSON_TYPES)
        raise Invalid("not-acceptable", type="FHIR STU3: it has no such resource", possible=possible) from None
    return msgspec.structs.replace(answer, body=body, content_type=_AS_STU3)


def _quality(parameters: list[str]) -> float:
    text = next((value[2:].strip() for value in parameters if value.startswith("q=")), "1")
    try:
        quality = float(text)
    except ValueError:
        return 0.0
    return quality if 0 <= quality <= 1 else 0.0


def asks_for_xml(incoming: Incoming, *, html: bool) -> bool:
    """Claim that the caller prefers XML; where it cannot be known, JSON is what everybody gets."""
    accept = incoming.headers.get(b"accept", b"")
    form = incoming.body if incoming.path.endswith("/_search") else b""
    if b"xml" not in accept and "xml" not in incoming.query and b"xml" not in form:
        return False
    given = f"{incoming.query}&{form.decode('utf-8', 'replace')}" if form else incoming.query
    named = next((value for name, value in parse_qsl(given) if name == "_format"), "")
    return preferred(named or accept.decode("latin-1"), html=html) == "xml"


def in_xml(answer: Outgoing) -> Outgoing:
    """The same answer as XML, when it is a FHIR resource in JSON.

    Raises:
        Invalid: `not-acceptable` when XML cannot say it.
    """
    if not answer.body or not answer.content_type.startswith(_JSON):
        return answer
    try:
        body = to_xml(exact.decode(answer.body))
    except exact.NotExact as error:
        raise Invalid(
            "not-acceptable", type=f"application/fhir+xml ({error})", possible=", ".join(JSON_TYPES)
        ) from None
    return msgspec.structs.replace(answer, body=body, content_type=_XML)


def from_xml(body: bytes) -> Json:
    """Read a body in XML.

    Raises:
        Invalid: `malformed-xml`.
    """
    try:
        return to_json(body)
    except exact.NotExact as error:
        raise Invalid("malformed-xml", why=str(error)) from None


def assembled_in(form: Callable[[Outgoing], Outgoing], assemble: Assemble) -> Assemble:
    """The same assembly in another form: what cannot be said in it is refused before the record says it was given."""

    def assembled(standing: Standing, answers: Sequence[Answer], incoming: Incoming, ports: Ports) -> Outgoing:
        return form(assemble(standing, answers, incoming, ports))

    return assembled
