"""HL7 v2 measurements: values of an OBX in the type they were sent in, quantities, ranges and attachments."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

from mappings.concepts import concept_map
from mappings.er7_codes import concept
from mappings.er7_primitives import ER7_PRIMITIVES, Convert
from mappings.er7_reading import Er7Reading
from mappings.formats.er7_tree import ALL, Node, Segment
from mappings.model import Json

_UCUM: Final = "http://unitsofmeasure.org"
_NUMERIC: Final = re.compile(r"(<=|>=|<|>)?\s*([+-]?\d*\.?\d+)\Z")
_RANGE: Final = re.compile(r"([+-]?\d*\.?\d+)\s*-\s*([+-]?\d*\.?\d+)\Z")
_ATTACHMENT: Final = "http://hl7.org/fhir/5.0/StructureDefinition/extension-Observation.valueAttachment"
_TOKEN: Final = re.compile(r"[A-Za-z0-9!#$&^_.+\-]+\Z")
_KINDS: Final = {"application", "audio", "image", "text", "video", "multipart"}


def result(arguments: Any) -> Convert:  # noqa: ANN401, ARG001 - one signature a transform
    """Read OBX-2, OBX-5 and OBX-6 together: the value in the type it was sent in.

    Spec: HL7 v2.5 7.4.2 OBX; v2-to-FHIR segment map OBX.
    """

    def convert(reading: Er7Reading, node: Any, at: int) -> Json | None:  # noqa: ANN401, ARG001 - one signature
        segment: Segment = node
        kinds = segment.field(2)
        kind = kinds[0].text(1) if kinds else ""
        values = [one for one in segment.field(5) if one.leaves()]
        if not values:
            return None
        if kind == "NM" and len(values) > 1 and all(_NUMERIC.match(one.peek(1).strip()) for one in values):
            return _several(reading, segment, values)
        read = _READERS.get(kind)
        made = read(reading, segment, values[0]) if read is not None and (len(values) == 1 or kind in _CODED) else None
        return made if made is not None else _as_text(segment, values)

    return convert


def _as_text(segment: Segment, values: list[Node]) -> Json | None:
    texts = [text for node in values if (text := _text(node))]
    joined = "\n".join(texts)
    # A number sent as text needs its unit; words do not, and then the unit is reported as not read.
    unit = _written_unit(segment) if any(char.isdigit() for char in joined) else ""
    return {"valueString": f"{joined} {unit}".strip()} if joined else None


def _text(node: Node) -> str:
    node.mask = ALL
    return " ".join(one.strip() for one in node.leaves())


def _several(reading: Er7Reading, segment: Segment, values: list[Node]) -> Json:
    """Several numbers in one OBX: each a component of its own, as none of them is the value alone."""
    code = concept(None)(reading, segment.field(3)[0], 0) if segment.field(3) else None
    made = [found for one in values if (found := _number(reading, segment, one))]
    return {"component": [{"code": dict(code or {"text": "?"}), **one} for one in made]}


def _number(reading: Er7Reading, segment: Segment, value: Node) -> Json | None:
    match = _NUMERIC.match(value.text(1))
    if match is None:
        reading.note(segment, 5, "approximate", "not a number; kept as text")
        return None
    amount: Json = {"value": Decimal(match[2])}
    if match[1]:
        amount["comparator"] = match[1]
    return {"valueQuantity": {**amount, **_unit(reading, segment)}}


def _structured(reading: Er7Reading, segment: Segment, value: Node) -> Json | None:
    """Read an SN: comparator, number, separator, number.

    Spec: HL7 v2.5 2.A.70 SN.
    """
    sign, low, between, high = (value.text(step) for step in (1, 2, 3, 4))
    if not _NUMERIC.match(low) or (high and not _NUMERIC.match(high)) or sign == "<>":
        return None
    unit = _unit(reading, segment)
    if not high:
        comparator = {"comparator": sign} if sign in {"<", "<=", ">", ">="} else {}
        if sign and not comparator and sign != "=":
            return {"valueString": f"{sign}{low}{between} {_written_unit(segment)}".strip()}
        return {"valueQuantity": {"value": Decimal(low), **comparator, **unit}}
    if sign:
        return {"valueString": f"{sign}{low}{between}{high} {_written_unit(segment)}".strip()}
    first, second = {"value": Decimal(low), **unit}, {"value": Decimal(high), **unit}
    if between == "-":
        return {"valueRange": {"low": first, "high": second}}
    if between in {":", "/"}:
        return {"valueRatio": {"numerator": first, "denominator": {"value": Decimal(high)}}}
    return {"valueString": f"{low}{between}{high} {_written_unit(segment)}".strip()}


def _coded(reading: Er7Reading, segment: Segment, value: Node) -> Json | None:  # noqa: ARG001 - one signature
    made: Json | None = None
    for one in segment.field(5):
        found = concept(None)(reading, one, 0)
        if found and made is None:
            made = found
        elif found and made is not None:
            made.setdefault("coding", []).extend(found.get("coding", ()))
            if "text" in found:
                made["text"] = "; ".join(text for text in (made.get("text", ""), found["text"]) if text)
    return {"valueCodeableConcept": made} if made else None


def _plain_code(reading: Er7Reading, segment: Segment, value: Node) -> Json | None:  # noqa: ARG001 - one signature
    code = value.text(1)
    return {"valueCodeableConcept": {"coding": [{"code": " ".join(code.split())}]}} if code else None


def _moment(reading: Er7Reading, segment: Segment, value: Node) -> Json | None:  # noqa: ARG001 - one signature
    made = ER7_PRIMITIVES["dateTime"](reading, value, 1)
    return {"valueDateTime": made} if made else None


def _clock(reading: Er7Reading, segment: Segment, value: Node) -> Json | None:  # noqa: ARG001 - one signature
    made = ER7_PRIMITIVES["time"](reading, value, 1)
    return {"valueTime": made} if made else None


def _span(reading: Er7Reading, segment: Segment, value: Node) -> Json | None:  # noqa: ARG001 - one signature
    start, end = (ER7_PRIMITIVES["dateTime"](reading, value, at) if value.peek(at) else None for at in (1, 2))
    found = {name: one for name, one in (("start", start), ("end", end)) if one}
    return {"valuePeriod": found} if found else None


def _numbers(reading: Er7Reading, segment: Segment, value: Node) -> Json | None:
    low, high = (value.peek(at) for at in (1, 2))
    if not _NUMERIC.match(low) or not _NUMERIC.match(high):
        return None
    value.mask = ALL
    unit = _unit(reading, segment)
    return {"valueRange": {"low": {"value": Decimal(low), **unit}, "high": {"value": Decimal(high), **unit}}}


def _is_of_a_report(reading: Er7Reading, segment: Segment) -> bool:
    """Claim that the document stands in the report of its order, and needs no second place."""
    kind = reading.root["MSH"][0].peek(9) if "MSH" in reading.root else ""
    return segment.parent is not None and segment.parent.name == "OBR" and kind in {"ORU", "OUL"}


def _encapsulated(reading: Er7Reading, segment: Segment, value: Node) -> Json | None:
    if _is_of_a_report(reading, segment):
        return {}
    made = attached(reading, value)
    return {"extension": [{"url": _ATTACHMENT, "valueAttachment": made}]} if made else None


def attached(reading: Er7Reading, value: Node) -> Json | None:
    """Read an ED: content in base 64 or as text.

    Spec: HL7 v2.5 2.A.24 ED.
    """
    kind, subtype, encoding = (value.text(step).lower() for step in (2, 3, 4))
    value.text(1)
    content = value.peek(5)
    made: Json = {}
    if kind in _KINDS and _TOKEN.match(subtype):
        made["contentType"] = f"{kind}/{subtype}"
    elif _TOKEN.match(subtype):
        known = {
            "pdf": "application/pdf",
            "jpeg": "image/jpeg",
            "tiff": "image/tiff",
            "rtf": "text/rtf",
            "html": "text/html",
        }
        made["contentType"] = known.get(subtype, f"application/{subtype}")
    if content:
        data = _base64(content, encoding)
        if data is None:
            reading.note(value, 5, "invalid", "not base 64 as ED-4 says")
        else:
            value.text(5)
            made["data"] = data
            made.setdefault("contentType", "application/octet-stream")
    return made if "data" in made else None


def _base64(content: str, encoding: str) -> str | None:
    if encoding == "base64":
        bare = re.sub(r"\s", "", content)
        try:
            base64.b64decode(bare, validate=True)
        except (binascii.Error, ValueError):
            return None
        return bare
    if encoding == "hex":
        try:
            return base64.b64encode(bytes.fromhex(content)).decode()
        except ValueError:
            return None
    return base64.b64encode(content.encode()).decode()


def _pointed(reading: Er7Reading, segment: Segment, value: Node) -> Json | None:
    if _is_of_a_report(reading, segment):
        return {}
    made = pointed(value)
    return {"extension": [{"url": _ATTACHMENT, "valueAttachment": made}]} if made else None


def pointed(value: Node) -> Json | None:
    """Read an RP: where the content is.

    Spec: HL7 v2.5 2.A.63 RP; v2-to-FHIR data type map RP[Attachment].
    """
    url, kind, subtype = value.text(1), value.text(3).lower(), value.text(4).lower()
    made: Json = {"url": url} if url and " " not in url else {}
    if made and kind and _TOKEN.match(subtype or kind):
        made["contentType"] = f"{kind}/{subtype}" if subtype else kind
    return made or None


def attachment(arguments: Any) -> Convert:  # noqa: ANN401, ARG001 - one signature a transform
    """Read the value of an OBX as the content of a document, whatever its type.

    Spec: v2-to-FHIR segment map OBX[DocumentReference].
    """

    def convert(reading: Er7Reading, node: Any, at: int) -> Json | None:  # noqa: ANN401, ARG001 - one signature
        segment: Segment = node
        kinds = segment.field(2)
        kind = kinds[0].text(1) if kinds else ""
        values = segment.field(5)
        if not values:
            return None
        if kind == "ED":
            return attached(reading, values[0])
        if kind == "RP":
            return pointed(values[0])
        text = "\n".join(one for node in values if (one := _text(node)))
        return {"contentType": "text/plain", "data": base64.b64encode(text.encode()).decode()} if text else None

    return convert


def _written_unit(segment: Segment) -> str:
    units = segment.field(6)
    return (units[0].text(1) or units[0].text(2)) if units else ""


def _unit(reading: Er7Reading, segment: Segment) -> Json:
    units = segment.field(6)
    return unit_of(reading, units[0]) if units else {}


def unit_of(reading: Er7Reading, node: Node) -> Json:
    """Read a unit: UCUM where the sender or the table says so, else the text, reported."""
    code, text, system = (node.text(step) for step in (1, 2, 3))
    if not code:
        return {"unit": text} if text else {}
    if system in {"UCUM", "2.16.840.1.113883.6.8"} and " " not in code:
        return {"unit": text or code, "system": _UCUM, "code": code}
    known = concept_map("units").find(code)
    if known is None:
        reading.note(node, 0, "unknown-code", "the unit is not in the table; its text is kept")
        return {"unit": code}
    return {"unit": text or code, "system": _UCUM, "code": known["code"]}


def quantity(arguments: Any) -> Convert:  # noqa: ANN401, ARG001 - one signature a transform
    """Read a CQ, or a number with no unit.

    Spec: HL7 v2.5 2.A.15 CQ.
    """

    def convert(reading: Er7Reading, node: Any, at: int) -> Json | None:  # noqa: ANN401 - segment or node
        part = node.child(at) if at else node
        if part is None or not _NUMERIC.match(part.peek(1)):
            return None
        match = _NUMERIC.match(part.text(1))
        made: Json = {"value": Decimal(match[2])} if match else {}
        if match and match[1]:
            made["comparator"] = match[1]
        unit = part.child(2)
        return {**made, **(unit_of(reading, unit) if unit is not None else {})}

    return convert


def unit(arguments: Any) -> Convert:  # noqa: ANN401, ARG001 - one signature a transform
    """Read a CWE as the unit of a quantity."""

    def convert(reading: Er7Reading, node: Any, at: int) -> Json | None:  # noqa: ANN401 - segment or node
        part = node.child(at) if at else node
        return unit_of(reading, part) if part is not None else None

    return convert


def reference_range(arguments: Any) -> Convert:  # noqa: ANN401, ARG001 - one signature a transform
    """Read OBX-7: bounds where it is plainly two numbers, and always the text as sent."""

    def convert(reading: Er7Reading, node: Any, at: int) -> Json | None:  # noqa: ANN401, ARG001 - one signature
        text = node.text(at or 1)
        if not text:
            return None
        match = _RANGE.match(text)
        bounds = {"low": {"value": Decimal(match[1])}, "high": {"value": Decimal(match[2])}} if match else {}
        return {**bounds, "text": text}

    return convert


_CODED: Final = frozenset({"CE", "CWE", "CNE", "CF"})
_Reader = Callable[[Er7Reading, Segment, Node], Json | None]
_READERS: Final[dict[str, _Reader]] = {
    "NM": _number,
    "SN": _structured,
    **dict.fromkeys(sorted(_CODED), _coded),
    **dict.fromkeys(("ID", "IS"), _plain_code),
    **dict.fromkeys(("DT", "TS", "DTM"), _moment),
    "TM": _clock,
    "DR": _span,
    "NR": _numbers,
    "ED": _encapsulated,
    "RP": _pointed,
}
ER7_VALUES: Final[dict[str, Callable[[Any], Convert]]] = {
    "er7-result": result,
    "er7-attachment": attachment,
    "er7-quantity": quantity,
    "er7-unit": unit,
    "er7-range": reference_range,
}
