"""Synthetic resources as sources send them: one patient, four custodians, valid by default."""

from __future__ import annotations

from typing import Any, Final

from consent.categories import category_of
from gateway.membership import supports

Json = dict[str, Any]

BSN, OTHER_BSN, THIRD_BSN = "999990019", "999990020", "999990032"
BIRTH: Final = "1980-02-29"
BSN_SYSTEM: Final = "http://fhir.nl/fhir/NamingSystem/bsn"
SNOMED, LOINC = "http://snomed.info/sct", "http://loinc.org"
TERMS: Final = "http://terminology.hl7.org/CodeSystem"


def covers(categories: frozenset[str], resource: Json) -> bool:
    """Would a source that is asked for these categories give this resource?"""
    return supports(resource) or category_of(resource) in categories


def coded(code: str, display: str = "", system: str = SNOMED) -> Json:
    coding = {"system": system, "code": code}
    return {"coding": [{**coding, "display": display}]} if display else {"coding": [coding]}


def person(id_: str = "local-1", bsn: str = BSN, **other: Any) -> Json:
    return {"resourceType": "Patient", "id": id_, "identifier": [{"system": BSN_SYSTEM, "value": bsn}],
            "birthDate": BIRTH, "gender": "female", "name": [{"family": "Jansen", "given": ["Ada"]}], **other}  # fmt: skip


def allergy(id_: str = "a1", of: str = "local-1", **other: Any) -> Json:
    return {
        "resourceType": "AllergyIntolerance", "id": id_, "patient": {"reference": f"Patient/{of}"},
        "clinicalStatus": coded("active", system=f"{TERMS}/allergyintolerance-clinical"),
        "verificationStatus": coded("confirmed", system=f"{TERMS}/allergyintolerance-verification"),
        "code": coded("764146007", "Penicilline"), "criticality": "high", **other,
    }  # fmt: skip


def observation(
    id_: str = "o1", of: str = "local-1", code: str = "8867-4", kind: str = "vital-signs", **other: Any
) -> Json:
    return {
        "resourceType": "Observation", "id": id_, "status": "final", "subject": {"reference": f"Patient/{of}"},
        "category": [coded(kind, system=f"{TERMS}/observation-category")], "code": coded(code, "Hartfrequentie", LOINC),
        "effectiveDateTime": "2026-02-01T10:00:00+01:00",
        "valueQuantity": {"value": 72, "unit": "/min", "system": "http://unitsofmeasure.org", "code": "/min"}, **other,
    }  # fmt: skip


def condition(id_: str = "c1", of: str = "local-1", **other: Any) -> Json:
    return {
        "resourceType": "Condition", "id": id_, "subject": {"reference": f"Patient/{of}"},
        "clinicalStatus": coded("active", system=f"{TERMS}/condition-clinical"), "code": coded("44054006", "Diabetes"), **other,
    }  # fmt: skip


def flag(id_: str = "f1", of: str = "local-1", **other: Any) -> Json:
    return {"resourceType": "Flag", "id": id_, "status": "active", "subject": {"reference": f"Patient/{of}"},
            "code": coded("18629005", "Let op"), **other}  # fmt: skip


def medication(id_: str = "m1", of: str = "local-1", **other: Any) -> Json:
    return {"resourceType": "MedicationStatement", "id": id_, "status": "active", "subject": {"reference": f"Patient/{of}"},
            "medicationCodeableConcept": coded("387207008", "Ibuprofen"), **other}  # fmt: skip


def directive(id_: str = "d1", of: str = "local-1", **other: Any) -> Json:
    return {
        "resourceType": "Consent", "id": id_, "status": "active", "patient": {"reference": f"Patient/{of}"},
        "scope": coded("adr", system=f"{TERMS}/consentscope"), "category": [coded("acd", system=f"{TERMS}/consentcategorycodes")],
        "policy": [{"uri": "https://wetten.overheid.nl/"}], "dateTime": "2025-05-01", "provision": {"type": "deny"}, **other,
    }  # fmt: skip


def privacy(ura: str, bsn: str = BSN, effect: str = "permit", **other: Any) -> Json:
    """A Consent about sharing, as a client records it."""
    return {
        "resourceType": "Consent", "status": "active",
        "patient": {"identifier": {"system": BSN_SYSTEM, "value": bsn}},
        "scope": coded("patient-privacy", system=f"{TERMS}/consentscope"), "category": [coded("59284-0", system=LOINC)],
        "organization": [{"identifier": {"system": "http://fhir.nl/fhir/NamingSystem/ura", "value": ura}}],
        "policy": [{"uri": "https://wetten.overheid.nl/"}], "provision": {"type": effect}, **other,
    }  # fmt: skip


# What each custodian holds. Every chart names the patient by an id of its own.
CHARTS: Final[dict[str, list[Json]]] = {
    "gp": [person("g1"), allergy("a1", "g1"), medication("m1", "g1"), condition("c1", "g1"), directive("d1", "g1")],
    "hospital": [person("h1"), allergy("a1", "h1"), observation("o1", "h1"), flag("f1", "h1")],
    "mental": [person("z1"), condition("secret", "z1", code=coded("35489007", "Depressie"))],
}
