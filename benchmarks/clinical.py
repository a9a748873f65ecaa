"""Resources of a synthetic person as nl-core asks for them: what the validation benchmark reads."""

from __future__ import annotations

from typing import Any, Final

Json = dict[str, Any]

_NL: Final = "http://nictiz.nl/fhir/StructureDefinition/"
_R4: Final = "http://hl7.org/fhir/StructureDefinition/"
_DIV: Final = (
    '<div xmlns="http://www.w3.org/1999/xhtml"><table><caption>{title}</caption><tbody><tr><th>Naam</th><td>{body}</td></tr>'
    "<tr><th>Bron</th><td>Synthetische persoon &lt;test&gt;</td></tr></tbody></table></div>"
)


def _coded(system: str, code: str, display: str) -> Json:
    return {"coding": [{"system": system, "code": code, "display": display}], "text": display}


def _qualifier(code: str) -> Json:
    return {"extension": [{"url": _R4 + "iso21090-EN-qualifier", "valueCode": code}]}


def _part(url: str, value: str) -> Json:
    return {"url": _R4 + url, "valueString": value}


def _text(title: str, body: str) -> Json:
    return {
        "status": "extensions",
        "div": _DIV.format(title=title, body=body),
    }


def _name() -> Json:
    return {
        "extension": [{"url": _R4 + "humanname-assembly-order", "valueCode": "NL1"}],
        "use": "official",
        "text": "Johanna Petronella Maria van Putten-van der Giessen",
        "family": "van Putten-van der Giessen",
        "_family": {
            "extension": [
                _part("humanname-own-prefix", "van"),
                _part("humanname-own-name", "Putten"),
                _part("humanname-partner-prefix", "van der"),
                _part("humanname-partner-name", "Giessen"),
            ]
        },
        "given": ["Johanna", "Petronella", "Maria", "J.P.M.", "Jo"],
        "_given": [_qualifier("BR"), _qualifier("BR"), _qualifier("BR"), _qualifier("IN"), _qualifier("CL")],
    }


def _address(use: str, number: str) -> Json:
    return {
        "extension": [
            {
                "url": _NL + "ext-AddressInformation.AddressType",
                "valueCodeableConcept": _coded(
                    "http://terminology.hl7.org/CodeSystem/v3-AddressUse", "HP", "Officieel adres"
                ),
            }
        ],
        "use": use,
        "type": "both",
        "line": [f"Knolweg {number}a rood"],
        "_line": [
            {
                "extension": [
                    _part("iso21090-ADXP-streetName", "Knolweg"),
                    _part("iso21090-ADXP-houseNumber", number),
                    _part("iso21090-ADXP-buildingNumberSuffix", "a rood"),
                ]
            }
        ],
        "city": "Stitswerd",
        "district": "Eemsdelta",
        "postalCode": "9999XA",
        "country": "Nederland",
        "_country": {
            "extension": [
                {
                    "url": _NL + "ext-CodeSpecification",
                    "valueCodeableConcept": _coded("urn:iso:std:iso:3166", "NL", "Nederland"),
                }
            ]
        },
        "period": {"start": "2001-06-01"},
    }


def _telecom() -> list[Json]:
    return [
        {
            "extension": [{"url": _NL + "ext-Comment", "valueString": "alleen na 17 uur"}],
            "system": "phone",
            "_system": {
                "extension": [
                    {
                        "url": _NL + "ext-CodeSpecification",
                        "valueCodeableConcept": _coded(
                            "http://terminology.hl7.org/CodeSystem/v3-AddressUse", "MC", "Mobiel telefoonnummer"
                        ),
                    }
                ]
            },
            "value": "+31611234567",
            "use": "home",
        },
        {"system": "email", "value": "jo@voorbeeld.example", "use": "home"},
    ]


def patient(number: int = 1) -> Json:
    """One Patient with everything nl-core has a place for; about 8 kB."""
    return {
        "resourceType": "Patient",
        "id": f"bench-patient-{number}",
        "meta": {"profile": [_NL + "nl-core-Patient"], "lastUpdated": "2026-11-01T10:00:00+01:00"},
        "text": _text(
            "Patiënt: J.P.M. van Putten-van der Giessen", "<b>Johanna</b> Petronella Maria, geboren 8 mei 1962"
        ),
        "extension": [
            {
                "url": _R4 + "patient-nationality",
                "extension": [
                    {
                        "url": "code",
                        "valueCodeableConcept": _coded("urn:oid:2.16.840.1.113883.2.4.4.16.32", "0001", "Nederlandse"),
                    }
                ],
            }
        ],
        "identifier": [
            {"use": "official", "system": "http://fhir.nl/fhir/NamingSystem/bsn", "value": "999990019"},
            {"system": "https://ziekenhuis.example/patient", "value": f"P{number:08}"},
        ],
        "active": True,
        "name": [
            _name(),
            {"use": "usual", "given": ["Jo"]},
        ],
        "telecom": _telecom(),
        "gender": "female",
        "_gender": {
            "extension": [
                {
                    "url": _NL + "ext-CodeSpecification",
                    "valueCodeableConcept": _coded(
                        "http://terminology.hl7.org/CodeSystem/v3-AdministrativeGender", "F", "Vrouw"
                    ),
                }
            ]
        },
        "birthDate": "1962-05-08",
        "deceasedBoolean": False,
        "address": [_address("home", "13"), _address("temp", "17")],
        "maritalStatus": _coded("http://terminology.hl7.org/CodeSystem/v3-MaritalStatus", "M", "Gehuwd"),
        "multipleBirthBoolean": False,
        "contact": [
            {
                "relationship": [
                    _coded("urn:oid:2.16.840.1.113883.2.4.3.11.22.472", "01", "Eerste relatie/contactpersoon"),
                    _coded("http://terminology.hl7.org/CodeSystem/v3-RoleCode", "HUSB", "Echtgenoot"),
                ],
                "name": _name(),
                "telecom": _telecom(),
                "address": _address("home", "13"),
            }
        ],
        "communication": [
            {
                "extension": [
                    {
                        "url": _R4 + "patient-proficiency",
                        "extension": [
                            {
                                "url": "level",
                                "valueCoding": {
                                    "system": "http://terminology.hl7.org/CodeSystem/v3-LanguageAbilityProficiency",
                                    "code": "E",
                                },
                            },
                            {
                                "url": "type",
                                "valueCoding": {
                                    "system": "http://terminology.hl7.org/CodeSystem/v3-LanguageAbilityMode",
                                    "code": "RSP",
                                },
                            },
                        ],
                    }
                ],
                "language": _coded("urn:oid:1.0.639.1", "nl", "Nederlands"),
                "preferred": True,
            }
        ],
        "generalPractitioner": [
            {
                "reference": "PractitionerRole/huisarts-1",
                "type": "PractitionerRole",
                "display": "Huisarts || Praktijk Noord",
            }
        ],
    }


def observation(number: int = 1) -> Json:
    """One laboratory result; about 2 kB."""
    return {
        "resourceType": "Observation",
        "id": f"bench-observation-{number}",
        "meta": {"profile": [_NL + "nl-core-LaboratoryTestResult"], "lastUpdated": "2026-11-01T10:00:00+01:00"},
        "text": _text("Laboratoriumuitslag", "Glucose 7,20 mmol/l"),
        "identifier": [{"system": "https://lab.example/uitslag", "value": f"U{number:06}"}],
        "status": "final",
        "category": [
            {
                "coding": [
                    {"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "laboratory"},
                    {"system": "http://snomed.info/sct", "code": "49581000146104", "display": "laboratoriumbevinding"},
                ]
            },
            _coded("http://snomed.info/sct", "275711006", "klinische chemie"),
        ],
        "code": _coded("http://loinc.org", "14749-6", "Glucose [Moles/volume] in Serum or Plasma"),
        "subject": {"reference": "Patient/bench-patient-1", "type": "Patient", "display": "J.P.M. van Putten"},
        "effectiveDateTime": "2026-03-01T08:15:00+01:00",
        "performer": [{"reference": "Organization/lab-1", "type": "Organization", "display": "Laboratorium Noord"}],
        "valueQuantity": {"value": 7, "unit": "mmol/l", "system": "http://unitsofmeasure.org", "code": "mmol/L"},
        "interpretation": [_coded("http://snomed.info/sct", "281302008", "Boven referentiewaarde")],
        "specimen": {"reference": "Specimen/bench-1", "type": "Specimen", "display": "Veneus bloed"},
        "referenceRange": [
            {
                "low": {"value": 4, "unit": "mmol/l", "system": "http://unitsofmeasure.org", "code": "mmol/L"},
                "high": {"value": 6, "unit": "mmol/l", "system": "http://unitsofmeasure.org", "code": "mmol/L"},
                "type": _coded(
                    "http://terminology.hl7.org/CodeSystem/referencerange-meaning", "normal", "Normal Range"
                ),
            }
        ],
        "note": [{"text": "Nuchter afgenomen; hemolytisch, resultaat met voorbehoud."}],
    }


def bundle(size: int = 50) -> Json:
    """A collection of one Patient and Observations about them."""
    base = "https://ziekenhuis.example/fhir/"
    resources = [patient(), *(observation(number) for number in range(2, size + 1))]
    return {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [
            {"fullUrl": f"{base}{resource['resourceType']}/{resource['id']}", "resource": resource}
            for resource in resources
        ],
    }
