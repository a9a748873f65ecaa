"""An HTTP request becomes a Question: one patient, the types asked, the parameters; a BSN never stands in a URL."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final
from urllib.parse import parse_qsl, unquote

from consent.categories import IMPERSONAL, categories_of_type
from gateway.errors import Invalid
from gateway.fhir.breadth import Pairs, breadth, categories_of, with_referring
from gateway.fhir.formats import HTML_TYPES, JSON_TYPES, XML_TYPES, from_xml, media_type, preferred
from gateway.fhir.interactions import CLINICAL, Route
from gateway.fhir.searching.narrowing import filters
from gateway.model import Incoming, Json, Patient, Question
from gateway.ports import Ports
from profiles import exact
from profiles.identifiers import BSN_SYSTEM, Bsn, passes_elfproef
from profiles.validation import accepts as accepts_resource
from profiles.validation import validate

# Every way a search names its patient: by id, or by an identifier of the person or of the reference to them.
_NAMED: Final = ("", ":Patient", ".identifier", ":Patient.identifier", ":identifier")
_SELECTORS: Final = frozenset(f"{name}{way}" for name in ("patient", "subject") for way in _NAMED)
_OF_COVERAGE: Final = _SELECTORS | {f"beneficiary{way}" for way in _NAMED}
_OF_PATIENT: Final = _SELECTORS | {"identifier", "_id", "birthdate"}
_NINE: Final = re.compile(r"(?<!\d)\d{9}(?!\d)")
# A code of a public terminology names no person, though one in eleven of nine digits could pass for a BSN.
_CODED: Final = re.compile(r"(?<![^,])http://snomed\.info/sct\|\d{6,18}(?![^,])")
_BSN_WORD: Final = "namingsystem/bsn"
_BSN_OID: Final = "2.16.840.1.113883.2.4.6.3"
_SHAPE: Final = frozenset(
    {"expected-array", "expected-object", "expected-scalar", "primitive-type", "null-value", "too-deep"}
)
_MAXIMUM_PARAMETERS: Final = 100

Parameters = list[tuple[str, str]]


def question(incoming: Incoming, route: Route, ports: Ports) -> Question:
    """Read what is asked.

    Raises:
        Invalid: with the code, the element or parameter at fault, and what would be right.
    """
    url = url_parameters(incoming)
    if route.id and passes_elfproef(route.id):
        raise Invalid("bsn-in-url")
    name = route.interaction.name
    if name == "summary":
        return _summary(incoming, route, url, ports)
    if name == "match":
        return _match(incoming, ports)
    if name == "read":
        accepts(incoming, url)
        types = with_referring(route.type)
        return Question(
            name,
            "r",
            types,
            categories_of(types),
            item=route.id,
            patient=_ours(route.id, ports) if route.type == "Patient" else None,
        )
    return _search(incoming, route, url, ports)


def url_parameters(incoming: Incoming) -> Parameters:
    """The parameters of the URL, once it is certain that none carries a BSN.

    Raises:
        Invalid: `bsn-in-url`, or an unreadable or overlong query.
    """
    return list(_checked(incoming.query))


@lru_cache(maxsize=1024)
def _checked(query: str) -> Pairs:
    """The same questions are asked again and again; what is refused is not kept, so that no BSN is."""
    parameters = tuple(pairs(query))
    for name, value in parameters:
        text = unquote(value)
        if _BSN_WORD in text.lower() or _BSN_OID in text:
            raise Invalid("bsn-in-url")
        if not name.startswith("_") and any(passes_elfproef(found) for found in _NINE.findall(_CODED.sub("", text))):
            raise Invalid("bsn-in-url")
    return parameters


def accepts(incoming: Incoming, parameters: Parameters, *, html: bool = False) -> bool:
    """Decide whether the answer can be in a form the caller takes; true for HTML, false for FHIR in JSON or XML.

    Raises:
        Invalid: `not-acceptable` for anything else.
    """
    wanted = next((value for name, value in parameters if name == "_format"), "") or incoming.header(b"accept")
    if not wanted or wanted in JSON_TYPES:
        return False
    format_ = preferred(wanted, html=html)
    if format_ is None:
        possible = (*JSON_TYPES, *XML_TYPES, *(HTML_TYPES if html else ()))
        raise Invalid("not-acceptable", type=wanted[:60] if wanted.isascii() else "that", possible=", ".join(possible))
    return format_ == "html"


def body_of(incoming: Incoming) -> Json:
    """Read the body as JSON or XML of FHIR R4.

    Raises:
        Invalid: `unsupported-media-type`, `malformed-json` or `malformed-xml`.
    """
    kind = media_type(incoming)
    if kind in XML_TYPES:
        return from_xml(incoming.body)
    if kind not in JSON_TYPES:
        possible = "application/fhir+json, application/fhir+xml"
        raise Invalid("unsupported-media-type", type=kind or "none", possible=possible)
    try:
        return exact.decode(incoming.body)
    except exact.NotExact as error:
        raise Invalid("malformed-json", why=str(error)) from None


def resource_body(incoming: Incoming, *types: str) -> Json:
    """Read the body as one resource of the given types.

    Raises:
        Invalid: wrong content type, malformed JSON or XML, or another resource type.
    """
    resource = body_of(incoming)
    if resource.get("resourceType") not in types:
        raise Invalid("invalid-resource", expression="resourceType", why=f"expected resourceType {' or '.join(types)}")
    if not accepts_resource(resource):
        _refuse_wrong_shape(resource)
    return resource


def _refuse_wrong_shape(resource: Json) -> None:
    """A body may be incomplete, for its reader says best what is missing; an element of another JSON type is refused here."""
    for issue in validate(resource):
        if issue.rule in _SHAPE:
            raise Invalid("invalid-resource", expression=issue.expression, why=issue.text_en)


def patient_by(system: str, value: str, birth_date: str, ports: Ports, expression: str = "") -> Patient:
    """The patient an identifier stands for.

    A BSN must pass the eleven-test. Another system must be declared and needs the birth date.

    Raises:
        Invalid: `identifier-invalid`, saying which rule.
    """

    def wrong(why: str) -> Invalid:
        return Invalid("identifier-invalid", expression=expression, why=why)

    if not system or not value:
        raise wrong("give system and value, as system|value")
    if system == BSN_SYSTEM:
        try:
            Bsn(value)
        except ValueError as error:
            raise wrong(str(error)) from None
    elif system not in ports.policy.identifier_systems:
        raise wrong("this identifier system is not known in this region; use the BSN system")
    elif not birth_date:
        raise wrong("an identifier other than the BSN also needs the birth date")
    if birth_date and not re.fullmatch(r"\d{4}-\d\d-\d\d", birth_date):
        raise Invalid("invalid-parameter", expression="birthDate", name="birthdate", why="give a full date, YYYY-MM-DD")
    return Patient(ports.keys.patient_id(system, value), system, value, birth_date)


def _summary(incoming: Incoming, route: Route, url: Parameters, ports: Ports) -> Question:
    html = accepts(incoming, url, html=True)
    profile = next((value for name, value in url if name == "profile"), "")
    known = {"profile", "_format", "_pretty"}
    if route.id:
        patient: Patient | None = _ours(route.id, ports)
        body = _parameters(incoming, optional=True)
    else:
        patient, body = None, _parameters(incoming)
        found = next((entry for entry in body if entry.get("name") == "identifier"), None)
        identifier = _object((found or {}).get("valueIdentifier"))
        text = str((found or {}).get("valueString", ""))
        system, _, value = (
            text.partition("|") if text else (identifier.get("system", ""), "", identifier.get("value", ""))
        )
        birth = next(
            (str(entry.get("valueDate", "")) for entry in body if entry.get("name") in {"birthDate", "birthdate"}), ""
        )
        patient = patient_by(str(system), str(value), birth, ports, "Parameters.parameter.where(name='identifier')")
    profile = next(
        (
            str(entry.get("valueCanonical") or entry.get("valueUri") or "")
            for entry in body
            if entry.get("name") == "profile"
        ),
        profile,
    )
    for name, _ in url:
        if name not in known:
            raise Invalid("unknown-parameter", name=name[:40], type="Patient/$summary", known=", ".join(sorted(known)))
    # A report is read within a summary only: by itself it is no interaction (attack 46).
    types = (*CLINICAL, "Composition")
    categories = frozenset[str]().union(*(categories_of_type(type_) for type_ in types)) - IMPERSONAL - {"Consent"}
    return Question("summary", "r", types, categories, patient, profile=profile, html=html, names="identifier=***")


def _match(incoming: Incoming, ports: Ports) -> Question:
    body = _parameters(incoming)
    entry = next((entry for entry in body if entry.get("name") == "resource"), {})
    resource = _object(entry.get("resource"))
    if resource.get("resourceType") != "Patient":
        raise Invalid(
            "invalid-resource", expression="Parameters.parameter", why="give a Patient in parameter 'resource'"
        )
    listed = resource.get("identifier")
    identifiers = [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []
    chosen = next((entry for entry in identifiers if entry.get("system") == BSN_SYSTEM), next(iter(identifiers), {}))
    birth = str(resource.get("birthDate", ""))
    if not birth:
        raise Invalid(
            "invalid-resource",
            expression="Parameters.parameter.resource.birthDate",
            why="a match needs identifier and birthDate",
        )
    patient = patient_by(
        str(chosen.get("system", "")),
        str(chosen.get("value", "")),
        birth,
        ports,
        "Parameters.parameter.resource.identifier",
    )
    return Question(
        "match", "s", ("Patient",), categories_of_type("Patient"), patient, names="identifier=***&birthDate=***"
    )


def _search(incoming: Incoming, route: Route, url: Parameters, ports: Ports) -> Question:
    given = list(url)
    if incoming.method == "POST":
        kind = incoming.header(b"content-type").split(";")[0].strip().lower()
        if kind not in {"application/x-www-form-urlencoded", ""}:
            raise Invalid("unsupported-media-type", type=kind, possible="application/x-www-form-urlencoded")
        given += pairs(incoming.body.decode("utf-8", "replace"))
    accepts(incoming, given)
    patient = _selected(given, route.type, ports)
    selectors = _selectors(route.type)
    rest = tuple((name, value) for name, value in given if name not in selectors)
    for name, value in rest:
        if _BSN_WORD in value.lower() or _BSN_OID in value:  # it would stand in the links of the answer
            raise Invalid(
                "invalid-parameter", name=name[:40], why="a BSN names the one patient of a search and nobody else"
            )
    lenient = "handling=lenient" in incoming.header(b"prefer").replace(" ", "").lower()
    # a question that is not understood is refused before anybody is asked
    wide = breadth(route.type, rest, lenient=lenient)
    return Question(
        route.interaction.name,
        "s",
        wide.types,
        categories_of(wide.types),
        patient,
        parameters=rest,
        lenient=lenient,
        names="&".join(f"{name}=***" for name, _ in given)[:200],
        named=wide.named,
        filters=filters(wide.search, rest),
    )


def _selectors(type_: str) -> frozenset[str]:
    return _OF_PATIENT if type_ == "Patient" else _OF_COVERAGE if type_ == "Coverage" else _SELECTORS


def _selected(given: Parameters, type_: str, ports: Ports) -> Patient:
    """Resolve every way of naming the patient to exactly one (attack 45)."""
    birth = _birth_date(given) if type_ == "Patient" else ""
    selectors = _selectors(type_) - {"birthdate"}
    found: dict[str, Patient] = {}
    for name, value in given:
        if name in selectors:
            for part in value.split(","):
                patient = _one(name, part, birth, ports)
                found[patient.id] = patient
    if not found:
        raise Invalid("patient-required")
    if len(found) > 1:
        raise Invalid("patient-conflict")
    return next(iter(found.values()))


def _birth_date(given: Parameters) -> str:
    """The birth date that says which person is meant: whole, for nobody is looked for by a range of them (attack 163)."""
    values = [value.removeprefix("eq") for name, value in given if name == "birthdate"]
    if len(set(values)) > 1 or not all(re.fullmatch(r"\d{4}-\d\d-\d\d", value) for value in values):
        raise Invalid(
            "invalid-parameter", expression="birthDate", name="birthdate", why="give one full date, YYYY-MM-DD"
        )
    return values[0] if values else ""


def _one(name: str, value: str, birth: str, ports: Ports) -> Patient:
    if name.endswith("identifier"):
        system, bar, number = value.partition("|")
        if not bar:
            raise Invalid("invalid-parameter", name=name, why="give system|value")
        return patient_by(system, number, birth, ports)
    if not value:
        raise Invalid("invalid-parameter", name=name, why="give the id of one patient")
    reference = value.removeprefix(f"{ports.settings.gateway.base}/fhir/").removeprefix("Patient/")
    return _ours(reference, ports, birth)


def _ours(patient_id: str, ports: Ports, birth: str = "") -> Patient:
    known = ports.keys.patient_identifier(patient_id)
    if known is None:
        raise Invalid("not-found", what="this patient id")
    return Patient(patient_id, known[0], known[1], birth)


def pairs(text: str) -> Parameters:
    """The parameters of a query or a form, in order.

    Raises:
        Invalid: `bad-request`.
    """
    if not text:
        return []
    try:
        found = parse_qsl(
            text,
            keep_blank_values=True,
            strict_parsing=True,
            max_num_fields=_MAXIMUM_PARAMETERS,
            encoding="utf-8",
            errors="strict",
        )
    except (ValueError, UnicodeDecodeError):
        raise Invalid("bad-request", why="the parameters are not name=value pairs, or too many") from None
    if "_pretty" in text and not {value for name, value in found if name == "_pretty"} <= {"true", "false"}:
        raise Invalid("invalid-parameter", name="_pretty", why="true or false")
    return found


def _parameters(incoming: Incoming, *, optional: bool = False) -> list[Json]:
    if optional and not incoming.body:
        return []
    resource = resource_body(incoming, "Parameters")
    entries = resource.get("parameter") or []
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise Invalid("invalid-resource", expression="Parameters.parameter", why="parameter must be a list of objects")
    return entries


def _object(value: object) -> Json:
    return value if isinstance(value, dict) else {}
