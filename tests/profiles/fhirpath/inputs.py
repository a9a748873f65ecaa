"""The resources the cases of FHIRPath are evaluated on: synthetic persons, values with exact digits."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from profiles.exact import Json
from tests.profiles.examples import DIV

PATIENT: Final[Json] = {
    "resourceType": "Patient",
    "id": "p1",
    "text": {"status": "generated", "div": DIV},
    "extension": [{"url": "urn:x:flag", "valueBoolean": True}, {"url": "urn:x:code", "valueCode": "a"}],
    "contained": [
        {"resourceType": "Organization", "id": "o1", "name": "Huisartsenpost"},
        {"resourceType": "Practitioner", "id": "g1", "name": [{"family": "Arts"}]},
    ],
    "identifier": [{"use": "official", "system": "urn:x", "value": "1"}, {"system": "urn:y", "value": "2"}],
    "active": True,
    "name": [
        {
            "use": "official",
            "family": "van Testen",
            "_family": {"id": "f1", "extension": [{"url": "urn:x:own", "valueString": "Testen"}]},
            "given": ["Anna", "A."],
            "_given": [{"extension": [{"url": "urn:x:q", "valueCode": "BR"}]}, None],
        },
        {"use": "nickname", "given": ["An"], "period": {"end": "2001"}},
        {"use": "old", "_family": {"extension": [{"url": "urn:x:absent", "valueCode": "masked"}]}},
    ],
    "telecom": [
        {"system": "phone", "value": "0612345678", "rank": 1},
        {"system": "email", "value": "a@example.org"},
    ],
    "gender": "female",
    "birthDate": "1972-11",
    "_birthDate": {"extension": [{"url": "urn:x:time", "valueDateTime": "1972-11-30T10:00:00+01:00"}]},
    "deceasedBoolean": False,
    "multipleBirthInteger": 2,
    "generalPractitioner": [{"reference": "#g1"}, {"reference": "Practitioner/7"}],
    "managingOrganization": {"reference": "#o1"},
}

OBSERVATION: Final[Json] = {
    "resourceType": "Observation",
    "id": "o1",
    "status": "final",
    "category": [{"coding": [{"system": "urn:x:cat", "code": "laboratory"}]}],
    "code": {
        "coding": [{"system": "http://loinc.org", "code": "14749-6", "display": "Glucose"}, {"code": "glu"}],
        "text": "glucose",
    },
    "subject": {"reference": "Patient/p1"},
    "effectiveDateTime": "2026-03-01T08:15:00+01:00",
    "issued": "2026-03-01T09:15:00.123Z",
    "valueQuantity": {
        "value": Decimal("7.20"),
        "unit": "mmol/l",
        "system": "http://unitsofmeasure.org",
        "code": "mmol/L",
    },
    "referenceRange": [{"low": {"value": 4, "unit": "mmol/l"}, "high": {"value": Decimal("5.60"), "unit": "mmol/l"}}],
    "component": [
        {"code": {"text": "nuchter"}, "valueBoolean": True},
        {"code": {"text": "tekst"}, "valueString": "helder"},
        {"code": {"text": "tijd"}, "valueTime": "08:15:00"},
        {"code": {"text": "leeg"}, "_valueString": {"extension": [{"url": "urn:x:absent", "valueCode": "unknown"}]}},
    ],
}

QUESTIONNAIRE: Final[Json] = {
    "resourceType": "Questionnaire",
    "status": "draft",
    "item": [
        {
            "linkId": "1",
            "type": "group",
            "item": [
                {"linkId": "1.1", "type": "decimal", "required": True},
                {"linkId": "1.2", "type": "group", "item": [{"linkId": "1.2.1", "type": "string", "text": "t"}]},
            ],
        },
        {"linkId": "2", "type": "boolean"},
    ],
}

BUNDLE: Final[Json] = {
    "resourceType": "Bundle",
    "type": "collection",
    "entry": [
        {"fullUrl": "urn:uuid:1", "resource": {"resourceType": "Patient", "id": "p1", "gender": "male"}},
        {"fullUrl": "urn:uuid:2", "resource": {"resourceType": "Observation", "id": "o1", "status": "final"}},
        {"fullUrl": "urn:uuid:3", "resource": {"resourceType": "Observation", "id": "o2", "status": "amended"}},
    ],
}

INPUTS: Final = {"patient": PATIENT, "observation": OBSERVATION, "questionnaire": QUESTIONNAIRE, "bundle": BUNDLE}
