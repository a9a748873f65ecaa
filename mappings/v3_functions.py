"""The named transforms for HL7 version 3 data types that no path and code map can say: codes, values, identifiers."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable, Iterator
from html import escape
from typing import Any, Final

from mappings.concepts import concept_map, renames
from mappings.model import Json
from mappings.reading import Reading
from mappings.v3_times import attribute, child, children, flat, moment, number, period
from profiles.identifiers import BSN_SYSTEM, passes_elfproef

Convert = Callable[[Reading, Any, Any], Any]

PENDING: Final = "urn:v3:"  # a reference by identifier, until all resources of the document are there
_PQ_TRANSLATION: Final = "http://hl7.org/fhir/StructureDefinition/iso21090-PQ-translation"
_NULL_FLAVOR: Final = "http://terminology.hl7.org/CodeSystem/v3-NullFlavor"
_UCUM: Final = "http://unitsofmeasure.org"
_OID: Final = re.compile(r"[0-2](\.(0|[1-9]\d*))+\Z")
_UUID: Final = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\Z")
_UNIT: Final = re.compile(r"[!-~]{1,60}\Z")
_CODE: Final = re.compile(r"\S+( \S+)*\Z")
_BASE64: Final = re.compile(r"[A-Za-z0-9+/]+={0,2}\Z")
_SPECIFICATION: Final = "http://nictiz.nl/fhir/StructureDefinition/ext-CodeSpecification"
_CATEGORY: Final = "http://nictiz.nl/fhir/StructureDefinition/ext-ResourceCategory"
_ABSENT: Final = "http://terminology.hl7.org/CodeSystem/data-absent-reason"
_ABSENT_URL: Final = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"


def identifier(reading: Reading, node: Json) -> Json | None:
    """Read an II; a BSN that fails the eleven-test is left out and reported.

    Spec: HL7 v3 data types R1 II; OID of the BSN 2.16.840.1.113883.2.4.6.3.
    """
    root, value = attribute(reading, node, "root"), attribute(reading, node, "extension")
    attribute(reading, node, "assigningAuthorityName")
    system = renames("identifier-systems").get(f"urn:oid:{root}", f"urn:oid:{root}" if _OID.match(root) else "")
    if system == BSN_SYSTEM:
        number_ = value.zfill(9) if value.isascii() and value.isdigit() else value
        if not passes_elfproef(number_):
            if value:
                reading.note((node, "extension"), "invalid", "the BSN fails the eleven-test and is left out")
            return None
        return {"system": BSN_SYSTEM, "value": number_}
    if value:
        return {"system": system, "value": value} if system else {"value": value}
    if system:
        return {"system": "urn:ietf:rfc:3986", "value": f"urn:oid:{root}"}
    return {"system": "urn:ietf:rfc:3986", "value": f"urn:uuid:{root.lower()}"} if _UUID.match(root) else None


def _identifier(arguments: Any) -> Convert:  # noqa: ANN401 - a YAML value
    """Read an II, with the use the map gives it."""

    def convert(reading: Reading, container: Any, key: Any) -> Json | None:  # noqa: ANN401 - a node of any shape
        made = identifier(reading, container[key])
        return {"use": arguments, **made} if made and arguments else made

    return convert


def concept(reading: Reading, node: Json) -> Json | None:
    """Read a CD, CE or CV: its code, every translation beside it, and the words it was taken from."""
    codings = list(_codings(reading, node))
    text = attribute(reading, child(node, "originalText"), "_text") or attribute(reading, node, "_text")
    if not codings and not text:
        text = attribute(reading, node, "displayName")
    if text and not codings and node.get("nullFlavor") == "OTH":
        codings = [{"system": _NULL_FLAVOR, "code": "OTH"}]  # the words are all there is: the table has no code for it
    made: Json = {"coding": codings} if codings else {}
    if text:
        made["text"] = text
    return made or None


def _codings(reading: Reading, node: Json) -> Iterator[Json]:
    code, system = attribute(reading, node, "code"), attribute(reading, node, "codeSystem")
    version, display = attribute(reading, node, "codeSystemVersion"), ""
    if _CODE.match(code):
        display = attribute(reading, node, "displayName")
        uri = f"urn:oid:{system}" if _OID.match(system) else ""
        made = {"system": renames("code-systems").get(uri, uri), "version": version, "code": code, "display": display}
        yield {name: value for name, value in made.items() if value}
    for one in children(node, "translation"):
        yield from _codings(reading, one)


def quantity(reading: Reading, node: Json) -> Json | None:
    """Read a PQ: the number with its digits, the unit in UCUM, and beside it what the sender wrote in a table of its own.

    Spec: HL7 v3 data types R1 PQ, PQR; MP9 writes the unit of the G-standard as translation; iso21090-PQ-translation.
    """
    others = [made for one in children(node, "translation") if (made := _translated(reading, one))]
    amount, unit = number(reading, node), attribute(reading, node, "unit")
    if amount is None:
        return others[0] if others else None
    words = next((one["unit"] for one in others if "unit" in one), "")
    extension = {"extension": [{"url": _PQ_TRANSLATION, "valueQuantity": one} for one in others]} if others else {}
    if not others and (not unit or unit == "1"):
        return {"value": amount}
    known = concept_map("units").find(unit)
    code = known["code"] if known else unit or "1"
    if not _UNIT.match(code):
        reading.note((node, "unit"), "unknown-code", "the unit is not UCUM; its text is kept")
        return {**extension, "value": amount, "unit": words or unit}
    return {**extension, "value": amount, "unit": words or unit, "system": _UCUM, "code": code}


def _translated(reading: Reading, node: Json) -> Json | None:
    code, oid = attribute(reading, node, "code"), attribute(reading, node, "codeSystem")
    amount, unit = number(reading, node), attribute(reading, node, "displayName")
    if amount is None or not _CODE.match(code) or not _OID.match(oid):
        return None
    return {"value": amount, **({"unit": unit} if unit else {}), "system": f"urn:oid:{oid}", "code": code}


def _bounds(reading: Reading, node: Json) -> Json | None:
    """Read an IVL_PQ: a Range, or one bound as a comparison."""
    low, high, center = (quantity(reading, child(node, name)) for name in ("low", "high", "center"))
    if low and high:
        return {"valueRange": {"low": low, "high": high}}
    if low or high:
        closed = attribute(reading, child(node, "low" if low else "high"), "inclusive") != "false"
        sign = (">" if low else "<") + ("=" if closed else "")
        found: Json = low or high or {}
        return {"valueQuantity": {"value": found["value"], "comparator": sign, **found}}
    return {"valueQuantity": center} if center else None


def _ratio(reading: Reading, node: Json) -> Json | None:
    above, below = quantity(reading, child(node, "numerator")), quantity(reading, child(node, "denominator"))
    return {"valueRatio": {"numerator": above, "denominator": below}} if above and below else None


def _value(arguments: Any) -> Convert:  # noqa: ANN401, ARG001 - one signature a transform
    """Read the value of an observation in the type it was sent in; a value that is absent says why.

    Spec: HL7 v3 data types R1; FHIR R4 Observation.value[x], dataAbsentReason.
    """

    def convert(reading: Reading, container: Any, key: Any) -> Json | None:  # noqa: ANN401 - a node of any shape
        node = container[key]
        kind = node.get("xsi_type", "")
        made = _typed(reading, node, kind)
        if made is not None:
            return made
        text = attribute(reading, node, "_text") or attribute(reading, child(node, "originalText"), "_text")
        if text:
            return {"valueString": text}
        flavor = node.get("nullFlavor")
        return {"dataAbsentReason": _absent(flavor)} if flavor else None

    return convert


def _typed(reading: Reading, node: Json, kind: str) -> Json | None:
    if kind in {"CD", "CE", "CV", "CO", "CS"} or "code" in node:
        found = concept(reading, node)
        return {"valueCodeableConcept": found} if found else None
    if kind in {"BL", "BN"}:
        flag = {"true": True, "false": False}.get(attribute(reading, node, "value"))
        return None if flag is None else {"valueBoolean": flag}
    if kind in {"TS", "IVL_TS"}:
        times = period(reading, node)
        if times.keys() == {"start"}:
            return {"valueDateTime": times["start"]}
        return {"valuePeriod": times} if times else None
    if kind.startswith("RTO"):
        return _ratio(reading, node)
    if kind == "IVL_PQ" or {"low", "high"} & node.keys():
        return _bounds(reading, node)
    if kind == "INT":
        return _whole(reading, node)
    if kind in {"PQ", "REAL", ""} and "value" in node:
        found = quantity(reading, node)
        if found:
            return {"valueQuantity": found}
        words = f"{attribute(reading, node, 'value')} {attribute(reading, node, 'unit')}".strip()
        return {"valueString": words} if words else None  # what is no number is shown as it was sent
    return None


def _whole(reading: Reading, node: Json) -> Json | None:
    """Read an INT; what does not fit 32 bits, as FHIR has them, is kept as its digits."""
    amount = number(reading, node)
    if amount is None or amount != int(amount):
        return None
    return {"valueInteger": int(amount)} if abs(amount) < 2**31 else {"valueString": str(amount)}


def _absent(flavor: str) -> Json:
    found = concept_map("null-flavor").find(flavor)
    return {"coding": [{"system": _ABSENT, "code": found["code"] if found else "unknown"}]}


def _reason(arguments: Any) -> Convert:  # noqa: ANN401, ARG001 - one signature a transform
    """Give the extension that says why an element is not there."""

    def convert(reading: Reading, container: Any, key: Any) -> Json | None:  # noqa: ANN401 - a node of any shape
        flavor = attribute(reading, container[key], "nullFlavor")
        if not flavor:
            return None
        return {"extension": [{"url": _ABSENT_URL, "valueCode": _absent(flavor)["coding"][0]["code"]}]}

    return convert


def _range(arguments: Any) -> Convert:  # noqa: ANN401, ARG001 - one signature a transform
    """Read an observationRange: its bounds, and its text as sent."""

    def convert(reading: Reading, container: Any, key: Any) -> Json | None:  # noqa: ANN401 - a node of any shape
        node = container[key]
        value = child(node, "value")
        made = {name: bound for name in ("low", "high") if (bound := quantity(reading, child(value, name)))}
        text = attribute(reading, child(node, "text"), "_text") or attribute(reading, value, "_text")
        return {**made, **({"text": text} if text else {})} or None

    return convert


def _amount(arguments: Any) -> Convert:  # noqa: ANN401 - one signature a transform
    """Read a dose: one quantity, or a range of two."""

    def convert(reading: Reading, container: Any, key: Any) -> Json | None:  # noqa: ANN401 - a node of any shape
        node = container[key]
        name = arguments
        if "center" in node or {"low", "high"} & node.keys():
            center = quantity(reading, child(node, "center"))
            if center:
                return {f"{name}Quantity": center}
            ends = {side: found for side in ("low", "high") if (found := quantity(reading, child(node, side)))}
            return {f"{name}Range": ends} if ends else None
        found = quantity(reading, node)
        return {f"{name}Quantity": found} if found else None

    return convert


def product(reading: Reading, node: Json) -> Json | None:
    """Read the code of a medicine; the one its sender chose is marked among its translations.

    Spec: mp-PharmaceuticalProduct, Medication.code.coding.userSelected.
    """
    made = concept(reading, node)
    codings = made.get("coding", []) if made else []
    if len(codings) > 1 and codings[0]["code"] == attribute(reading, node, "code"):
        codings[0]["userSelected"] = True
    return made


def _relation(arguments: Any) -> Convert:  # noqa: ANN401 - a YAML value
    """Refer to another building block as `_reference` does, and say of which kind it is.

    Spec: mp-MedicationUse2, ext-ResourceCategory.
    """
    refer = _reference(arguments)

    def convert(reading: Reading, container: Any, key: Any) -> Json | None:  # noqa: ANN401 - a node of any shape
        made: Json | None = refer(reading, container, key)
        kind = concept(reading, child(container[key], "code"))
        if made is None or kind is None:
            return made
        return {"extension": [{"url": _CATEGORY, "valueCodeableConcept": kind}], **made}

    return convert


def _reference(arguments: Any) -> Convert:  # noqa: ANN401 - a YAML value
    """Refer to what the source names only by its number, of the type the map gives."""

    def convert(reading: Reading, container: Any, key: Any) -> Json | None:  # noqa: ANN401 - a node of any shape
        for one in children(container[key], "id"):
            root, value = one.get("root", ""), one.get("extension", "")
            found = identifier(reading, one) if root else None
            if found:
                return {"reference": f"{PENDING}{arguments}|{root}|{value}", "type": arguments, "identifier": found}
        return None

    return convert


def _narrative(arguments: Any) -> Convert:  # noqa: ANN401, ARG001 - one signature a transform
    """Give the words of a section as the narrative of FHIR, a line for each line."""

    def convert(reading: Reading, container: Any, key: Any) -> Json | None:  # noqa: ANN401 - a node of any shape
        text = attribute(reading, container[key], "_text")
        if not text:
            return None
        lines = "<br/>".join(escape(line, quote=False) for line in text.split("\n"))
        return {"status": "additional", "div": f'<div xmlns="http://www.w3.org/1999/xhtml"><p>{lines}</p></div>'}

    return convert


def _content(arguments: Any) -> Convert:  # noqa: ANN401, ARG001 - one signature a transform
    """Read what is attached: the bytes as they came, plain words as bytes, or where the sender keeps it."""

    def convert(reading: Reading, container: Any, key: Any) -> Json | None:  # noqa: ANN401 - a node of any shape
        node = container[key]
        text, where = attribute(reading, node, "_text"), attribute(reading, node, "reference")
        media = attribute(reading, node, "mediaType")
        if attribute(reading, node, "representation") == "B64":
            encoded = re.sub(r"\s+", "", text)
            if len(encoded) % 4 == 0 and _BASE64.match(encoded):
                return {"contentType": media or "application/octet-stream", "data": encoded}
            reading.note((node, "_text"), "invalid", "what is attached is not base64")
            return {"contentType": media or "application/octet-stream"}
        if text:
            return {"contentType": "text/plain", "data": b64encode(text.encode()).decode()}
        return {"contentType": media or "application/octet-stream", **({"url": where} if where else {})}

    return convert


def _coded(arguments: Any) -> Convert:  # noqa: ANN401 - a YAML value
    """Read a code as one Coding by a code map; the line that keeps the concept reads the node itself."""
    codes = concept_map(arguments)

    def convert(reading: Reading, container: Any, key: Any) -> Json | None:  # noqa: ANN401
        node = container[key]
        found = codes.find(node.get("code", ""))
        if found is None:
            return None
        whole = concept(reading, node)
        if whole is None or any(one.get("system") == found.get("system") for one in whole.get("coding", [])):
            return dict(found)
        return {"extension": [{"url": _SPECIFICATION, "valueCodeableConcept": whole}], **found}

    return convert


def _language(reading: Reading, node: Json) -> Json | None:
    code = attribute(reading, node, "code")
    known = concept_map("language").find(code)
    if known is not None:
        return {"coding": [dict(known)]}
    return {"coding": [{"system": "urn:ietf:bcp:47", "code": code}]} if _CODE.match(code) else None


def _dose(reading: Reading, node: Json) -> Json | None:
    return quantity(reading, node) or quantity(reading, child(node, "center"))


def _worded(reading: Reading, node: Json) -> Json | None:
    text = attribute(reading, node, "_text")
    return {"text": text} if text else None


def _in_force(reading: Reading, node: Json) -> str | None:
    """Say that what has ended before it arrived is no longer in force."""
    end = moment(reading, node)
    return "inactive" if end and end[:10] < reading.origin.received[: len(end[:10])] else None


def place(node: Json) -> str:
    """Refer to a place by what is said of it: a place seldom has a number."""
    return f"{PENDING}Location|{flat(node)}"


def _facility(reading: Reading, node: Json) -> Json | None:
    names = [child(child(node, "location"), "name"), child(child(node, "serviceProviderOrganization"), "name")]
    display = ", ".join(text for one in names if (text := attribute(reading, one, "_text")))
    found = next((made for one in children(node, "id") if (made := identifier(reading, one))), None)
    made = {"reference": place(node) if display else "", "identifier": found, "display": display}
    return {name: value for name, value in made.items() if value} or None


def _each(read: Callable[[Reading, Json], Any]) -> Callable[[Any], Convert]:
    return lambda arguments: lambda reading, container, key: read(reading, container[key])  # noqa: ARG005


V3_FUNCTIONS: Final[dict[str, Callable[[Any], Convert]]] = {
    "v3-identifier": _identifier,
    "v3-concept": _each(concept),
    "v3-quantity": _each(quantity),
    "v3-value": _value,
    "v3-reason": _reason,
    "v3-range": _range,
    "v3-amount": _amount,
    "v3-reference": _reference,
    "v3-relation": _relation,
    "v3-product": _each(product),
    "v3-narrative": _narrative,
    "v3-content": _content,
    "v3-coded": _coded,
    "v3-language": _each(_language),
    "v3-dose": _each(_dose),
    "v3-text-concept": _each(_worded),
    "v3-flag-status": _each(_in_force),
    "v3-facility": _each(_facility),
}
