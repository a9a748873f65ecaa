"""Turn source bytes of any known format into R4 resources with a list of what was lost."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from mappings.documents import keep_original, translate_document
from mappings.documents import translate_message as translate_interaction
from mappings.formats import hl7v2, xml_tree
from mappings.formats.fhir_bundle import Parts
from mappings.formats.fhir_bundle import split as split_bundle
from mappings.formats.fhir_xml import read
from mappings.library import records
from mappings.messages import translate_message
from mappings.mixtures import mend
from mappings.model import Json, NotMappable, Origin, Translation
from mappings.profile_claims import claim
from mappings.records import joined, split_records, translate_records
from mappings.upgrade import upgrade
from mappings.validity import valid_only
from profiles.exact import NotExact, decode
from profiles.xml import to_json

_BLANK: Final = b" \t\r\n\xef\xbb\xbf"
# Names and systems that STU3 has and R4 has not.
_STU3: Final = re.compile(
    rb'"http://hl7\.org/fhir/(?:v[23]/|observation-category"|condition-category")|fhir\.nl/fhir/StructureDefinition/nl-core-'
    rb'|nictiz\.nl/fhir/StructureDefinition/(?:BgZ-|code-specification"|practitionerrole-reference")'
    rb'|"(?:assertedDate|notGiven|notDone|taken|reasonNotTaken|vaccinationProtocol|codedDiagnosis|isBrand)"\s*:'
    rb'|"(?:clinicalStatus|verificationStatus)"\s*:\s*"|"fhirVersion"\s*:\s*"3\.'
    rb'|"resourceType"\s*:\s*"(?:ProcedureRequest|ReferralRequest|EligibilityRequest|EligibilityResponse|Sequence|BodySite)"'
)
_STU3_XML: Final = re.compile(
    rb'fhir\.nl/fhir/StructureDefinition/nl-core-|nictiz\.nl/fhir/StructureDefinition/(?:BgZ-|code-specification")'
    rb'|"http://hl7\.org/fhir/(?:v[23]/|observation-category"|condition-category")'
    rb"|<(?:assertedDate|notGiven|notDone|taken|clinicalStatus|verificationStatus) value="
)
_DOCUMENT: Final = re.compile(rb"<(?:[A-Za-z_][\w.\-]*:)?ClinicalDocument[\s>]")
_PROLOG: Final = re.compile(rb"(?:\s++|<\?.*?\?>|<!--.*?-->)*+", re.DOTALL)
_TAG: Final = re.compile(rb"<(?:([A-Za-z_][\w.\-]*):)?[A-Za-z_][\w.\-]*[^>]*>")
_FRAMING: Final = b"\x0b\r\n\t \xef\xbb\xbf"


def translate(
    body: bytes,
    format: str,  # noqa: A002 - the words of the line
    origin: Origin,
    map: str = "",  # noqa: A002 - the words of the line
    *,
    whole: bool = False,
) -> Translation:
    """Read what a source sent and give it as R4 resources in nl-core terms, with every loss.

    Args:
        body: the bytes as they arrived.
        format: one of `formats()`.
        origin: where they came from.
        map: the map that must do it, as `Translation.map` names it; empty accepts what the content chooses.
        whole: also what a message says of itself and of money, which belongs to no patient.

    Raises:
        NotMappable: unknown format or map, or bytes that cannot be read as the format.
    """
    translator = _TRANSLATORS.get(format)
    if translator is None:
        message = f"unknown format; possible are {', '.join(formats())}"
        raise NotMappable(message, "format")
    if format in RECORDS:
        return joined(translate_records(body, format, origin, map))
    translation = valid_only(_WHOLE.get(format, translator)(body, origin)) if whole else translator(body, origin)
    if map and map != translation.map:
        message = f"these bytes are read by map {translation.map}"
        raise NotMappable(message, "map")
    return translation


def split(body: bytes, format: str, map: str = "") -> tuple[bytes, ...]:  # noqa: A002
    """Take apart what holds many patients into bytes of one patient each, which `translate` reads again.

    So each patient's message can be kept, replayed and erased alone; what is of no patient comes last.

    Raises:
        NotMappable: the file as a whole is not as its map describes it.
    """
    if format == "hl7v2":
        return hl7v2.messages_of(body)
    return split_records(body, format, map) if format in RECORDS else (body,)


def formats() -> tuple[str, ...]:
    """Name the formats `translate` reads."""
    return tuple(_TRANSLATORS)


def guess(body: bytes) -> str:
    """Name the format the bytes look like.

    Raises:
        NotMappable: they look like none of `formats()`.
    """
    start = body.lstrip(_FRAMING)
    if start[:3] in {b"MSH", b"FHS", b"BHS"}:
        return "hl7v2"
    if start[:1] == b"{" and b'"resourceType"' in start:
        return "fhir-stu3" if _STU3.search(start) else "fhir-r4"
    if start[:1] == b"<":
        return _xml_kind(start)
    found = [one for one in RECORDS if _is_record(start, one)]
    if found:
        return found[0]
    message = f"the bytes look like none of {', '.join(formats())}; name the format"
    raise NotMappable(message)


def _xml_kind(start: bytes) -> str:
    """Tell by the namespace of its root what a file is; in an envelope of another, by what is named first."""
    prolog = _PROLOG.match(start)
    root = start[prolog.end() if prolog else 0 :][:20_000]
    tag = _TAG.match(root)
    prefix = b":" + tag[1] if tag and tag[1] else b""
    namespace = re.search(rb"\sxmlns" + prefix + rb"""\s*=\s*["']([^"']*)["']""", tag[0]) if tag else None
    if b"http://hl7.org/fhir" in (namespace[1] if namespace else root[:2000]):
        return "fhir-stu3" if _STU3_XML.search(start) else "fhir-r4"
    if b"urn:hl7-org:v3" not in root:
        message = f"the bytes look like none of {', '.join(formats())}; name the format"
        raise NotMappable(message)
    return "cda" if _DOCUMENT.search(root[:5000]) else "hl7v3"


def _is_record(start: bytes, format_: str) -> bool:
    """Claim that a file begins as the map of a file or feed says it does."""
    for header, _ in records(format_).values():
        if format_ == "csv" and start.startswith(header["dialect"]["delimiter"].join(header["columns"][:3]).encode()):
            return True
        if format_ == "json" and start[:1] == b"{" and f'"{header["clients"]}"'.encode() in start[:5000]:
            return True
    return False


def _fhir_r4_whole(body: bytes, origin: Origin) -> Translation:
    """A file with nothing but an OperationOutcome is content here, and an answer of a source elsewhere."""
    made = _fhir_r4(body, origin)
    root = _root(body) if not made.resources and body.lstrip(_FRAMING)[:1] == b"{" else {}
    if root.get("resourceType") != "OperationOutcome":
        return made
    root.setdefault("id", "outcome")
    return replace(made, resources=(root,), keys=(f"OperationOutcome/{root['id']}",), losses=())


def _fhir_r4(body: bytes, origin: Origin) -> Translation:  # noqa: ARG001 - one signature a format
    try:
        root = decode(body) if body.lstrip(_FRAMING)[:1] != b"<" else to_json(body)
    except NotExact as error:
        raise NotMappable(str(error)) from None
    parts = split_bundle(root, body)
    parts.losses += mend(parts.resources, parts.paths, body)
    for resource in parts.resources:
        claim(resource)
    return Translation(
        resources=tuple(parts.resources),
        keys=tuple(parts.keys),
        losses=tuple(parts.losses),
        map="fhir-r4/native",
        version="1",
        facts=parts.facts,
        next=parts.next,
        places=dict(zip(parts.keys, parts.paths, strict=True)),
    )


def _fhir_stu3(body: bytes, origin: Origin) -> Translation:
    root = _root(body)
    return upgrade(split_bundle(root, body), origin)


def _hl7v2(body: bytes, origin: Origin) -> Translation:
    return joined(tuple(translate_message(hl7v2.read(one), origin) for one in hl7v2.messages_of(body)))


def _hl7v2_whole(body: bytes, origin: Origin) -> Translation:
    return joined(tuple(translate_message(hl7v2.read(one), origin, whole=True) for one in hl7v2.messages_of(body)))


def _fhir_stu3_whole(body: bytes, origin: Origin) -> Translation:
    """A file with nothing but an OperationOutcome is content here, and an answer of a source elsewhere."""
    root = _root(body)
    alone = root.get("resourceType") == "OperationOutcome"
    parts = Parts([root], ["OperationOutcome/outcome"], ["OperationOutcome"]) if alone else split_bundle(root, body)
    return upgrade(parts, origin, whole=True)


def _cda(body: bytes, origin: Origin) -> Translation:
    return keep_original(translate_document(xml_tree.read(body), origin), body, whole=False)


def _cda_whole(body: bytes, origin: Origin) -> Translation:
    return keep_original(translate_document(xml_tree.read(body), origin), body, whole=True)


def _hl7v3(body: bytes, origin: Origin) -> Translation:
    return translate_interaction(xml_tree.read(body), origin)


def _root(body: bytes) -> Json:
    if body.lstrip(_BLANK)[:1] == b"<":
        return read(body)
    try:
        return decode(body)
    except NotExact as error:
        raise NotMappable(str(error)) from None


def _csv(body: bytes, origin: Origin) -> Translation:
    return joined(translate_records(body, "csv", origin))


def _json(body: bytes, origin: Origin) -> Translation:
    return joined(translate_records(body, "json", origin))


RECORDS: Final = frozenset({"csv", "json"})  # formats of which one file holds many clients
_Translator = Callable[[bytes, Origin], Translation]
_WHOLE: Final[dict[str, _Translator]] = {
    "fhir-r4": _fhir_r4_whole,
    "hl7v2": _hl7v2_whole,
    "fhir-stu3": _fhir_stu3_whole,
    "cda": _cda_whole,
}
_TRANSLATORS: Final[dict[str, _Translator]] = {
    "fhir-r4": _fhir_r4,
    "fhir-stu3": _fhir_stu3,
    "hl7v2": _hl7v2,
    "cda": _cda,
    "hl7v3": _hl7v3,
    "csv": _csv,
    "json": _json,
}
