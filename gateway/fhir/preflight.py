"""Read the question of `$can-access`: one patient, and the types or categories it is about."""

from __future__ import annotations

from typing import Final

from consent.categories import CATEGORIES, IMPERSONAL, categories_of_type, types_of_category
from gateway.errors import Invalid
from gateway.fhir.interactions import CLINICAL
from gateway.fhir.reading import accepts, patient_by, resource_body, url_parameters
from gateway.model import Incoming, Json, Patient, Question
from gateway.ports import Ports

_KNOWN: Final = frozenset({"identifier", "birthDate", "patient", "type", "category", "_format", "_pretty"})


def asked(incoming: Incoming, patient_id: str, ports: Ports) -> Question:
    """Read what is asked; without types and categories it is about everything a summary asks.

    Raises:
        Invalid: no patient, or a type or category nobody knows.
    """
    url = url_parameters(incoming)
    accepts(incoming, url)
    given: list[tuple[str, object]] = [(name, value) for name, value in url]
    if incoming.method == "POST" and incoming.body:
        entries = resource_body(incoming, "Parameters").get("parameter") or []
        given += [(str(one.get("name")), _value(one)) for one in entries if isinstance(one, dict)]
    for name, _ in given:
        if name not in _KNOWN:
            raise Invalid(
                "unknown-parameter", name=name[:40], type="Patient/$can-access", known=", ".join(sorted(_KNOWN))
            )
    types, categories = _wanted(given)
    patient = _patient(patient_id, given, ports)
    return Question("can-access", "s", types, categories, patient, names="&".join(sorted({name for name, _ in given})))


def _wanted(given: list[tuple[str, object]]) -> tuple[tuple[str, ...], frozenset[str]]:
    types = [str(value) for name, value in given if name == "type"]
    wanted = [str(value) for name, value in given if name == "category"]
    for one in types:
        if one not in CLINICAL:
            raise Invalid("invalid-parameter", name="type", why="give a clinical resource type")
    for one in wanted:
        if one not in CATEGORIES:
            raise Invalid("invalid-parameter", name="category", why="give a code of nl-gf-data-categories-cs")
    if not types:
        types = sorted({one for category in wanted for one in types_of_category(category)} or CLINICAL)
    categories = frozenset(wanted) or frozenset[str]().union(*(categories_of_type(one) for one in types))
    return tuple(types), categories - IMPERSONAL - {"Consent"}


def _patient(patient_id: str, given: list[tuple[str, object]], ports: Ports) -> Patient:
    named = [*([patient_id] if patient_id else []), *(str(value) for name, value in given if name == "patient")]
    identifiers = [value for name, value in given if name == "identifier"]
    if len(named) + len(identifiers) != 1:
        raise Invalid("patient-required" if not named and not identifiers else "patient-conflict")
    if named:
        id_ = named[0].removeprefix("Patient/")
        known = ports.keys.patient_identifier(id_)
        if known is None:
            raise Invalid("not-found", what="this patient id")
        return Patient(id_, known[0], known[1])
    identifier = identifiers[0]
    system, _, value = (
        (str(identifier.get("system", "")), "", str(identifier.get("value", "")))
        if isinstance(identifier, dict)
        else str(identifier).partition("|")
    )
    birth = next((str(value) for name, value in given if name == "birthDate"), "")
    return patient_by(system, value, birth, ports, "Parameters.parameter.where(name='identifier')")


def _value(entry: Json) -> object:
    return next((value for name, value in entry.items() if name.startswith("value")), "")
