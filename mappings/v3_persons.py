"""The named transforms for persons and organizations in HL7 version 3: names, addresses, telecommunication, roles."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from mappings.concepts import concept_map
from mappings.model import Json
from mappings.reading import Reading
from mappings.v3_functions import PENDING, identifier, place
from mappings.v3_functions import concept as read_concept
from mappings.v3_times import attribute, child, children

Convert = Callable[[Reading, Any, Any], Any]

_V3: Final = "http://terminology.hl7.org/CodeSystem/v3-"
_NICTIZ: Final = "http://nictiz.nl/fhir/StructureDefinition/"
_EXTENSION: Final = "http://hl7.org/fhir/StructureDefinition/"
_PARTS: Final = ("prefix", "given", "family", "suffix", "delimiter")
_FAMILY: Final = {"BR": "own", "SP": "partner"}
_DUTCH: Final = frozenset({"BR", "SP", "VV", "IN"})
_ORDERS: Final = {"B": "NL1", "S": "NL2", "SB": "NL3", "BS": "NL4"}  # in which order the names were written
_SCHEMES: Final = {"tel": "phone", "fax": "fax", "x-text-fax": "fax", "mailto": "email", "sms": "sms", "http": "url", "https": "url"}  # fmt: skip
_PERSONS: Final = ("assignedPerson", "playingEntity", "associatedPerson", "relatedPerson", "Person")
_ORGANIZATIONS: Final = (
    "representedOrganization", "scopingEntity", "Organization", "scopingOrganization", "representedCustodianOrganization",
)  # fmt: skip
_OMB: Final = frozenset({"1002-5", "2028-9", "2054-5", "2076-8", "2106-3", "2135-2", "2186-5"})
_URA: Final = "2.16.528.1.1007.3.3"
_POSTAL: Final = re.compile(r"(\d{4}) ([A-Z]{2})\Z")
_LINE: Final = ("streetName", "houseNumber", "buildingNumberSuffix", "additionalLocator", "unitID")


def _name(arguments: Any) -> Convert:  # noqa: ANN401, ARG001 - one signature a transform
    """Read an EN: own and partner's name apart, initials and given names marked, the name one is called beside it.

    Spec: HL7 v3 data types R1 EN; nl-core-NameInformation.
    """

    def convert(reading: Reading, container: Any, key: Any) -> list[Json] | None:  # noqa: ANN401 - a node of any shape
        node = container[key]
        if node.get("nullFlavor") and not any(part in node for part in _PARTS):
            return None
        parts = _parts(reading, node)
        use = concept_map("v3-name-use").find(attribute(reading, node, "use").partition(" ")[0])
        made: Json = {"use": use["code"] if use else "official"}
        if made["use"] == "usual" and node.get("use") == "L" and any(mark in _DUTCH for _, mark, _ in parts):
            made["use"] = "official"  # nl-core-NameInformation: own and partner's name apart
        if not parts:
            text = attribute(reading, node, "_text")
            return [{**made, "text": text}] if text else None
        attribute(reading, node, "_text")
        _family(made, parts)
        _given(made, parts, "BR" if _is_dutch(reading) else "")
        for kind in ("prefix", "suffix"):
            found = [text for name, mark, text in parts if name == kind and mark != "VV"]
            if found:
                made[kind] = found
        called = [text for name, mark, text in parts if name == "given" and mark == "CL"]
        return [made, {"use": "usual", "given": called}] if called else [made]

    return convert


def _one_name(arguments: Any) -> Convert:  # noqa: ANN401 - a YAML value
    """Read an EN where FHIR has room for one name."""
    every = _name(arguments)

    def convert(reading: Reading, container: Any, key: Any) -> Json | None:  # noqa: ANN401 - a node of any shape
        found = every(reading, container, key)
        return found[0] if found else None

    return convert


def _parts(reading: Reading, node: Json) -> list[tuple[str, str, str]]:
    found = [(one.get("order", 0), name, one) for name in _PARTS for one in children(node, name)]
    ordered = sorted(found, key=lambda part: part[0])
    read = [(name, attribute(reading, one, "qualifier").partition(" ")[0], attribute(reading, one, "_text")) for _, name, one in ordered]  # fmt: skip
    return [part for part in read if part[2]]


def _family(made: Json, parts: list[tuple[str, str, str]]) -> None:
    words: list[str] = []
    extensions: list[Json] = []
    before = ""
    for name, mark, text in parts:
        if name == "prefix" and mark == "VV":
            before = text
            words.append(text)
        elif name == "delimiter":
            words.append(text)
        elif name == "family":
            words.append(text)
            whose = _FAMILY.get(mark)
            if whose and before:
                extensions.append({"url": f"{_EXTENSION}humanname-{whose}-prefix", "valueString": before})
            if whose:
                extensions.append({"url": f"{_EXTENSION}humanname-{whose}-name", "valueString": text})
            before = ""
    if words:
        made["family"] = " ".join(words).replace(" - ", "-")
    if extensions:
        made["_family"] = {"extension": extensions}
    order = _ORDERS.get("".join(mark[0] for name, mark, _ in parts if name == "family" and mark in _FAMILY))
    if order:
        made["extension"] = [{"url": f"{_EXTENSION}humanname-assembly-order", "valueCode": order}]


def _is_dutch(reading: Reading) -> bool:
    """Claim that names are written as HL7 v3 writes them here: in every message, and in documents of no other realm."""
    return bool(child(child(reading.root, "ClinicalDocument"), "realmCode").get("code", "NL") == "NL")


def _given(made: Json, parts: list[tuple[str, str, str]], usual: str) -> None:
    """Mark each given name as one in full or an initial; `usual` is what one without a mark is.

    Spec: nl-core-NameInformation, iso21090-EN-qualifier; HL7 v3 as Nictiz reads it: without a qualifier a given name is BR.
    """
    given = [
        (mark or ("IN" if usual and text.endswith(".") else usual), text)
        for name, mark, text in parts
        if name == "given" and mark != "CL"
    ]
    if given:
        made["given"] = [text for _, text in given]
    if any(mark in {"BR", "IN"} for mark, _ in given):
        url = f"{_EXTENSION}iso21090-EN-qualifier"
        made["_given"] = [
            {"extension": [{"url": url, "valueCode": mark}]} if mark in {"BR", "IN"} else None for mark, _ in given
        ]


def spoken(reading: Reading, node: Json) -> str:
    """Give a name as one speaks it."""
    parts = _parts(reading, node)
    own = attribute(reading, node, "_text")
    return " ".join(text for _, mark, text in parts if mark != "CL").replace(" - ", "-") if parts else own


def _address(arguments: Any) -> Convert:  # noqa: ANN401, ARG001 - one signature a transform
    """Read an AD; street and number stand in one line, each marked.

    Spec: HL7 v3 data types R1 AD; nl-core-AddressInformation.
    """

    def convert(reading: Reading, container: Any, key: Any) -> Json | None:  # noqa: ANN401 - a node of any shape
        node = container[key]
        made: Json = {}
        uses = attribute(reading, node, "use").split()
        use = next((found["code"] for one in uses if (found := concept_map("v3-address-use").find(one))), "")
        if use:
            made["use"] = use
        kind = "postal" if "PST" in uses else "physical" if "PHYS" in uses else ""
        if kind:
            made["type"] = kind
        _lines(reading, node, made)
        for name, target in (("city", "city"), ("county", "district"), ("state", "state"), ("postalCode", "postalCode"), ("country", "country")):  # fmt: skip
            text = _words(reading, child(node, name))
            if text:
                made[target] = _POSTAL.sub(r"\1\2", text) if target == "postalCode" else text
        text = attribute(reading, node, "_text")
        if text:
            made["text"] = text
        if not made.keys() - {"use", "type"}:
            return None
        _address_extensions(reading, node, made, uses)
        return made

    return convert


def _address_extensions(reading: Reading, node: Json, made: Json, uses: list[str]) -> None:
    """Keep what kind of address it is and which country, as codes.

    Spec: nl-core-AddressInformation, ext-AddressInformation.AddressType; ext-CodeSpecification.
    """
    if len(uses) == 1:
        concept = {"coding": [{"system": f"{_V3}AddressUse", "code": uses[0]}]}
        made["extension"] = [{"url": f"{_NICTIZ}ext-AddressInformation.AddressType", "valueCodeableConcept": concept}]
    country = child(node, "country")
    coded = read_concept(reading, country) if "country" in made else None
    known = concept_map("v3-country").find(made.get("country", "").lower())
    if coded and "coding" not in coded and known:
        coded = {"coding": [dict(known)]}
    if coded and "coding" in coded:
        coded.pop("text", None)
        made["_country"] = {"extension": [{"url": f"{_NICTIZ}ext-CodeSpecification", "valueCodeableConcept": coded}]}


def _lines(reading: Reading, node: Json, made: Json) -> None:
    marked = [(name, text) for name in _LINE for one in children(node, name) if (text := _words(reading, one))]
    plain = [text for one in children(node, "streetAddressLine") if (text := _words(reading, one))]
    if marked:
        extensions = [{"url": f"{_EXTENSION}iso21090-ADXP-{name}", "valueString": text} for name, text in marked]
        made["line"] = [" ".join(text for _, text in marked), *plain]
        made["_line"] = [{"extension": extensions}, *[None] * len(plain)]
    elif plain:
        made["line"] = plain


def _words(reading: Reading, node: Json) -> str:
    display = attribute(reading, node, "displayName")
    (
        attribute(reading, node, "code"),
        attribute(reading, node, "codeSystem"),
        attribute(reading, node, "codeSystemVersion"),
    )
    return attribute(reading, node, "_text") or display


def _telecom(arguments: Any) -> Convert:  # noqa: ANN401, ARG001 - one signature a transform
    """Read a TEL: its scheme is the system."""

    def convert(reading: Reading, container: Any, key: Any) -> Json | None:  # noqa: ANN401 - a node of any shape
        node = container[key]
        value = attribute(reading, node, "value")
        if not value:
            return None
        scheme, colon, rest = value.partition(":")
        system = _SCHEMES.get(scheme.lower(), "") if colon else "phone"
        uses = attribute(reading, node, "use").split()
        if "PG" in uses:
            system = "pager"
        made = {"system": system or "other", "value": value if system in {"", "url"} or not colon else rest}
        known = next((found["code"] for one in uses if (found := concept_map("v3-telecom-use").find(one))), "")
        return ({**made, "use": known} if known else made) if made["value"].strip() else None

    return convert


def _person(arguments: Any) -> Convert:  # noqa: ANN401, ARG001 - one signature a transform
    """Name the person in a role, by number and name alone."""

    def convert(reading: Reading, container: Any, key: Any) -> Json | None:  # noqa: ANN401 - a node of any shape
        node = container[key]
        known = next((one for one in children(node, "id") if one.get("root") and not one.get("nullFlavor")), None)
        number = identifier(reading, known) if known else None
        if known is None or number is None:
            return None
        display = spoken(reading, child(_one_of(node, _PERSONS), "name"))
        made = {
            "reference": f"{PENDING}Practitioner|{known['root']}|{known.get('extension', '')}",
            "identifier": number,
        }
        return {**made, "display": display} if display else made

    return convert


def _role(arguments: Any) -> Convert:  # noqa: ANN401 - a YAML value
    """Name a person or organization in a role by number and name, and refer to it where the map lets its kind be referred to."""
    linked = tuple(arguments or ("Practitioner", "Organization"))
    kinds = " ".join(linked)

    def convert(reading: Reading, container: Any, key: Any) -> Json | None:  # noqa: ANN401 - a node of any shape
        node = container[key]
        made = reading.memo.get((kinds, id(node)), reading)
        if made is reading:  # never made: None is an answer too
            made = reading.memo[kinds, id(node)] = _named(reading, node, linked)
        return dict(made) if made else None

    return convert


def _named(reading: Reading, node: Json, linked: tuple[str, ...]) -> Json | None:
    person, scoping = _one_of(node, _PERSONS), _one_of(node, _ORGANIZATIONS)
    names = [
        spoken(reading, child(person, "name")),
        spoken(reading, child(node, "name")),
        _organization(reading, scoping),
    ]
    made: Json = {}
    numbers = [identifier(reading, one) for place in (node, scoping) for one in children(place, "id")]
    number = next((one for one in numbers if one), None)
    if number:
        made["identifier"] = number
    is_payor = child(node, "code").get("code") == "PAYOR"
    is_provider = is_payor or any(one.get("root") == _URA for one in children(node, "id"))
    target, owner = ("Practitioner", node) if person and not is_provider else ("Organization", scoping or node)
    if is_provider:
        owner = node
    known = next((one for one in children(owner, "id") if one.get("root") and not one.get("nullFlavor")), None)
    if known and target in linked:
        first = f"{role_key(node)}\n" if target == "Practitioner" else ""
        made["reference"] = f"{PENDING}{first}{target}|{known['root']}|{known.get('extension', '')}"
    display = ", ".join(dict.fromkeys(name for name in names if name))
    if display:
        made["display"] = display
        if "Location" in linked:
            made["reference"] = place(node)
    return made if made.keys() - {"reference"} else None


def _responsible(arguments: Any) -> Convert:  # noqa: ANN401 - a YAML value
    """Name who answers for all results of a report.

    Spec: nl-core-LaboratoryTestResult, performer with event-performerFunction RESP.
    """
    every = _role(arguments)
    function = {"coding": [{"system": f"{_V3}ParticipationType", "code": "RESP", "display": "responsible party"}]}

    def convert(reading: Reading, container: Any, key: Any) -> Json | None:  # noqa: ANN401 - a node of any shape
        made = every(reading, container, key)
        if not made:
            return None
        return {
            "extension": [{"url": f"{_EXTENSION}event-performerFunction", "valueCodeableConcept": function}],
            **made,
        }

    return convert


def role_key(node: Json) -> str:
    """Name somebody in a role by the numbers of the person and the organization."""
    places = (node, _one_of(node, _ORGANIZATIONS))
    numbers = [f"{one.get('root', '')}|{one.get('extension', '')}" for place in places for one in children(place, "id")]
    return f"PractitionerRole|{'|'.join(numbers)}"


def _heritage(arguments: Any) -> Convert:  # noqa: ANN401 - a YAML value
    """Read race or ethnicity: the codes of the census are categories, further ones the detail, and their words.

    Spec: US Core race and ethnicity; C-CDA on FHIR CCDA-FHIR_Patient.
    """

    def convert(reading: Reading, container: Any, key: Any) -> list[Json] | None:  # noqa: ANN401 - a node of any shape
        node = container[key]
        made: list[Json] = []
        words: list[str] = []
        for name in arguments:
            for one in children(node, name):
                concept = read_concept(reading, one) or {}
                for coding in concept.get("coding", []):
                    url = "ombCategory" if coding["code"] in _OMB or not made else "detailed"
                    made.append({"url": url, "valueCoding": coding})
                    words.append(coding.get("display", coding["code"]))
                flavor = attribute(reading, one, "nullFlavor") if "coding" not in concept else ""
                if flavor and not made:
                    made.append({"url": "ombCategory", "valueCoding": {"system": f"{_V3}NullFlavor", "code": flavor}})
                    words.append(concept.get("text", "Unknown"))
        return [*made, {"url": "text", "valueString": ", ".join(words)}] if made else None

    return convert


def _one_of(node: Json, names: tuple[str, ...]) -> Json:
    return next((found for name in names if (found := child(node, name))), {})


def _organization(reading: Reading, node: Json) -> str:
    return spoken(reading, child(node, "name")) or attribute(reading, child(node, "desc"), "_text")


V3_PERSONS: Final[dict[str, Callable[[Any], Convert]]] = {
    "v3-name": _name,
    "v3-name-one": _one_name,
    "v3-address": _address,
    "v3-telecom": _telecom,
    "v3-role": _role,
    "v3-responsible": _responsible,
    "v3-person": _person,
    "v3-heritage": _heritage,
}
