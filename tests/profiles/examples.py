"""Resources of synthetic persons that are valid FHIR R4, written by hand to touch many kinds of elements."""

from __future__ import annotations

from copy import deepcopy
from decimal import Decimal
from typing import Final

from profiles.exact import Json

DIV: Final = '<div xmlns="http://www.w3.org/1999/xhtml"><p>Waarde <b>7,2</b> &lt; 8<br/>mmol/l</p></div>'

PATIENT: Final[Json] = {
    "resourceType": "Patient",
    "id": "p1",
    "meta": {"lastUpdated": "2026-03-01T10:00:00+01:00", "profile": ["http://example.org/StructureDefinition/p"]},
    "text": {"status": "generated", "div": DIV},
    "extension": [
        {
            "url": "http://example.org/nationality",
            "extension": [{"url": "code", "valueCodeableConcept": {"coding": [{"system": "urn:x", "code": "NL"}]}}],
        }
    ],
    "identifier": [{"use": "official", "system": "http://fhir.nl/fhir/NamingSystem/bsn", "value": "999990019"}],
    "active": True,
    "name": [
        {
            "use": "official",
            "family": "van Testen",
            "_family": {"extension": [{"url": "http://example.org/own-name", "valueString": "Testen"}]},
            "given": ["Anna", "A."],
            "_given": [
                {"extension": [{"url": "http://example.org/qualifier", "valueCode": "BR"}]},
                {"extension": [{"url": "http://example.org/qualifier", "valueCode": "IN"}]},
            ],
        }
    ],
    "telecom": [{"system": "phone", "value": "+31612345678", "rank": 1}],
    "gender": "female",
    "birthDate": "1972-11",
    "deceasedBoolean": False,
    "address": [{"line": ["Teststraat 1"], "city": "Utrecht", "period": {"start": "2001", "end": "2020-05-04"}}],
    "contact": [{"name": {"text": "B. Testen"}, "relationship": [{"text": "partner"}]}],
    "generalPractitioner": [{"reference": "Practitioner/g1", "type": "Practitioner", "display": "huisarts"}],
    "managingOrganization": {"identifier": {"system": "http://fhir.nl/fhir/NamingSystem/ura", "value": "00000001"}},
}

OBSERVATION: Final[Json] = {
    "resourceType": "Observation",
    "id": "o1",
    "status": "final",
    "category": [
        {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "laboratory"}]}
    ],
    "code": {"coding": [{"system": "http://loinc.org", "code": "14749-6", "display": "Glucose"}], "text": "glucose"},
    "subject": {"reference": "https://bron.example/fhir/Patient/p1"},
    "effectiveDateTime": "2026-03-01T08:15:00+01:00",
    "issued": "2026-03-01T09:15:00.123Z",
    "performer": [{"reference": "urn:uuid:0b0c7b1c-0d51-4c7e-9f45-5d1b7fcf2a10"}],
    "valueQuantity": {
        "value": Decimal("7.20"),
        "unit": "mmol/l",
        "system": "http://unitsofmeasure.org",
        "code": "mmol/L",
    },
    "referenceRange": [{"low": {"value": 4}, "high": {"value": Decimal("5.60")}}],
    "component": [{"code": {"text": "nuchter"}, "valueBoolean": True}],
}

MEDICATION_REQUEST: Final[Json] = {
    "resourceType": "MedicationRequest",
    "status": "active",
    "intent": "order",
    "contained": [{"resourceType": "Medication", "id": "m1", "code": {"text": "paracetamol 500 mg"}}],
    "medicationReference": {"reference": "#m1"},
    "subject": {"reference": "Patient/p1/_history/2"},
    "dosageInstruction": [
        {
            "sequence": 1,
            "timing": {
                "repeat": {"frequency": 3, "period": 1, "periodUnit": "d", "timeOfDay": ["08:00:00", "20:00:00"]}
            },
            "doseAndRate": [{"doseQuantity": {"value": 2, "unit": "tablet"}}],
            "asNeededBoolean": False,
        }
    ],
}

CONDITION: Final[Json] = {
    "resourceType": "Condition",
    "clinicalStatus": {
        "coding": [{"system": "http://terminology.hl7.org/CodeSystem/condition-clinical", "code": "active"}]
    },
    "code": {"coding": [{"system": "http://snomed.info/sct", "code": "44054006"}]},
    "subject": {"reference": "Patient/p1"},
    "onsetAge": {"value": 54, "unit": "jaar", "system": "http://unitsofmeasure.org", "code": "a"},
    "note": [{"authorString": "huisarts", "time": "2026-01-01", "text": "in overleg"}],
}

QUESTIONNAIRE: Final[Json] = {
    "resourceType": "Questionnaire",
    "status": "draft",
    "item": [
        {
            "linkId": "1",
            "type": "group",
            "item": [{"linkId": "1.1", "type": "decimal", "required": True, "maxLength": 5}],
        }
    ],
}

COMPOSITION: Final[Json] = {
    "resourceType": "Composition",
    "text": {"status": "generated", "div": DIV},
    "status": "final",
    "type": {"coding": [{"system": "http://loinc.org", "code": "60591-5"}]},
    "subject": {"reference": "urn:uuid:11111111-1111-4111-8111-111111111111"},
    "date": "2026-03-01",
    "author": [{"display": "gateway"}],
    "title": "Samenvatting",
    "confidentiality": "N",
    "section": [
        {
            "title": "Problemen",
            "code": {"text": "problemen"},
            "text": {"status": "generated", "div": DIV},
            "entry": [{"reference": "Condition/c1", "type": "Condition"}],
            "section": [{"title": "Volledigheid", "text": {"status": "additional", "div": DIV}}],
        }
    ],
}

DOCUMENT: Final[Json] = {
    "resourceType": "Bundle",
    "identifier": {"system": "urn:ietf:rfc:3986", "value": "urn:uuid:22222222-2222-4222-8222-222222222222"},
    "type": "document",
    "timestamp": "2026-03-01T10:00:00Z",
    "entry": [
        {"fullUrl": "urn:uuid:33333333-3333-4333-8333-333333333333", "resource": COMPOSITION},
        {"fullUrl": "urn:uuid:11111111-1111-4111-8111-111111111111", "resource": PATIENT},
        {"resource": OBSERVATION},
    ],
}

TRANSACTION: Final[Json] = {
    "resourceType": "Bundle",
    "type": "transaction",
    "entry": [
        {
            "fullUrl": "urn:uuid:44444444-4444-4444-8444-444444444444",
            "resource": CONDITION,
            "request": {"method": "POST", "url": "Condition"},
        }
    ],
}

BINARY: Final[Json] = {"resourceType": "Binary", "contentType": "application/pdf", "data": "JVBERi0xLjcK"}

ALL: Final = {
    "patient": PATIENT,
    "observation": OBSERVATION,
    "medication-request": MEDICATION_REQUEST,
    "condition": CONDITION,
    "questionnaire": QUESTIONNAIRE,
    "composition": COMPOSITION,
    "document": DOCUMENT,
    "transaction": TRANSACTION,
    "binary": BINARY,
}


def changed(resource: Json, **elements: object) -> Json:
    """Give a copy with other elements; an ellipsis takes one away."""
    copy = deepcopy(resource) | elements
    return {name: value for name, value in copy.items() if value is not ...}
