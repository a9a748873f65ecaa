"""Writes a person's record as FHIR R4 in the zib2020 profiles, as GP and mental-health systems do."""

from __future__ import annotations

from collections.abc import Iterator
from functools import singledispatch
from typing import Final

from gateway.demo.elements import (
    NICTIZ,
    Holder,
    Json,
    Record,
    addresses,
    concept,
    fixed,
    identifiers,
    measured,
    meta,
    names,
    phones,
    practitioner,
    pruned,
    quantity,
    reference_range,
)
from gateway.demo.facts import (
    Alert,
    Allergy,
    Coding,
    Contact,
    Directive,
    Encounter,
    Laboratory,
    Measurement,
    Medication,
    MedicationAgreement,
    Pressure,
    Problem,
    Will,
)
from profiles.identifiers import ROLE_SYSTEM, URA_SYSTEM

_TERMINOLOGY: Final = "http://terminology.hl7.org/CodeSystem"
_SCT: Final = "http://snomed.info/sct"
_FLAGS: Final = {"H": ("281302008", "Boven referentiewaarde"), "L": ("281300000", "Onder referentiewaarde")}
_DECISIONS: Final = {"do": ("permit", "0", "Wel uitvoeren"), "dont": ("deny", "2", "Niet uitvoeren")}


def record(of: Record) -> list[Json]:
    """Every resource of one person, the Patient first."""
    return [_patient(of), *(resource for fact in of.chart.facts for resource in _written(fact, of))]


def staff(holder: Holder) -> list[Json]:
    """The organization, its doctor and the doctor's role."""
    role = {
        "resourceType": "PractitionerRole",
        "id": f"{holder.source}-role",
        "meta": meta(f"{NICTIZ}/nl-core-HealthProfessional-PractitionerRole", ()),
        "practitioner": {"reference": f"Practitioner/{holder.source}-practitioner", "display": holder.practitioner},
        "organization": {"reference": f"Organization/{holder.source}-organization", "display": holder.organization},
        "specialty": [fixed(ROLE_SYSTEM, holder.role)],
    }
    organization = {
        "resourceType": "Organization",
        "id": f"{holder.source}-organization",
        "meta": meta(f"{NICTIZ}/nl-core-HealthcareProvider-Organization", ()),
        "identifier": [{"system": URA_SYSTEM, "value": holder.ura}],
        "name": holder.organization,
    }
    return [role, practitioner(holder, f"{NICTIZ}/nl-core-HealthProfessional-Practitioner"), organization]


def _patient(of: Record) -> Json:
    holder, person = of.holder, of.person
    return pruned(
        {
            "resourceType": "Patient",
            "id": of.patient_id,
            "meta": meta(f"{NICTIZ}/nl-core-Patient", person.labels),
            "identifier": identifiers(of),
            "name": names(person.name),
            "telecom": phones(person.phone),
            "gender": person.gender,
            "birthDate": of.chart.birthDate or person.birthDate,
            "deceasedDateTime": of.chart.deceased,
            "address": addresses(person.address),
            "multipleBirthInteger": person.multipleBirth or None,
            "contact": [_contact(contact) for contact in of.chart.contacts],
            "generalPractitioner": [
                {
                    "reference": f"PractitionerRole/{holder.source}-role",
                    "type": "PractitionerRole",
                    "display": holder.practitioner,
                }
            ]
            if holder.role == "01.015"
            else [],
        }
    )


def _contact(contact: Contact) -> Json:
    codes = [code for code in (contact.role, contact.relation) if code is not None]
    return pruned(
        {
            "relationship": [concept(code, "r4") for code in codes],
            "name": names(contact.name)[0],
            "telecom": phones(contact.phone),
        }
    )


@singledispatch
def _written(fact: object, of: Record) -> Iterator[Json]:
    raise NotImplementedError(type(fact))


@_written.register
def _allergy(fact: Allergy, of: Record) -> Iterator[Json]:
    reaction = pruned(
        {"manifestation": [concept(fact.reaction, "r4")] if fact.reaction else [], "severity": fact.severity}
    )
    yield pruned(
        of.begin("AllergyIntolerance", fact, f"{NICTIZ}/nl-core-AllergyIntolerance", fact.recorded)
        | {
            "clinicalStatus": fixed(f"{_TERMINOLOGY}/allergyintolerance-clinical", fact.status),
            "verificationStatus": fixed(f"{_TERMINOLOGY}/allergyintolerance-verification", fact.verification),
            "category": [fact.category] if fact.category else [],
            "criticality": fact.criticality,
            "code": concept(fact.code, "r4"),
            "patient": of.subject,
            "onsetDateTime": fact.onset,
            "recordedDate": fact.recorded,
            "note": _notes(fact.note),
            "reaction": [reaction] if fact.reaction else [],
        }
    )


@_written.register
def _problem(fact: Problem, of: Record) -> Iterator[Json]:
    confirmed = fixed(f"{_TERMINOLOGY}/condition-ver-status", "confirmed")
    confirmed["coding"].append({"system": _SCT, "code": "410605003", "display": "Bevestigd"})
    yield pruned(
        of.begin("Condition", fact, f"{NICTIZ}/nl-core-Problem", fact.recorded)
        | {
            "clinicalStatus": fixed(f"{_TERMINOLOGY}/condition-clinical", fact.status),
            "verificationStatus": confirmed,
            "category": [fixed(_SCT, "282291009", "Diagnose")],
            "code": concept(fact.code, "r4"),
            "subject": of.subject,
            "onsetDateTime": fact.onset,
            "abatementDateTime": fact.end,
            "recordedDate": fact.recorded,
            "note": _notes(fact.note),
        }
    )


@_written.register
def _medication(fact: Medication, of: Record) -> Iterator[Json]:
    yield pruned(
        of.begin("MedicationStatement", fact, f"{NICTIZ}/mp-MedicationUse2", fact.asserted)
        | {
            "status": fact.status,
            "category": fixed(_SCT, "422979000", "Medicatiegebruik"),
            "medicationReference": _product_reference(fact, of),
            "subject": of.subject,
            "effectivePeriod": pruned({"start": fact.start, "end": fact.end}),
            "dateAsserted": fact.asserted,
            "reasonCode": [{"text": fact.reason}] if fact.reason else [],
            "dosage": [_dosage(fact)],
        }
    )
    yield _product(fact, of)


@_written.register
def _agreement(fact: MedicationAgreement, of: Record) -> Iterator[Json]:
    yield pruned(
        of.begin("MedicationRequest", fact, f"{NICTIZ}/mp-MedicationAgreement", fact.authored)
        | {
            "status": fact.status,
            "intent": "order",
            "category": [fixed(_SCT, "33633005", "Medicatieafspraak")],
            "medicationReference": _product_reference(fact, of),
            "subject": of.subject,
            "authoredOn": fact.authored,
            "dosageInstruction": [_dosage(fact)],
        }
    )
    yield _product(fact, of)


@_written.register
def _alert(fact: Alert, of: Record) -> Iterator[Json]:
    yield of.begin("Flag", fact, f"{NICTIZ}/nl-core-Alert", fact.start) | {
        "status": fact.status,
        "category": [fixed("http://loinc.org", "75323-6", "Aandoening")],
        "code": concept(fact.code, "r4"),
        "subject": of.subject,
        "period": {"start": fact.start},
    }


@_written.register
def _directive(fact: Directive, of: Record) -> Iterator[Json]:
    party = of.subject if fact.verified == "patient" else {"type": "RelatedPerson", "display": "Vertegenwoordiger"}
    provision: Json = {"code": [concept(fact.treatment, "r4")]}
    modifiers = []
    if fact.decision in _DECISIONS:
        kind, code, display = _DECISIONS[fact.decision]
        decision = fixed("urn:oid:2.16.840.1.113883.2.4.3.11.60.40.4.25.1", code, display)
        specification = {"url": f"{NICTIZ}/ext-CodeSpecification", "valueCodeableConcept": decision}
        provision |= {"type": kind, "_type": {"extension": [specification]}}
    else:
        modifiers = [{"url": f"{NICTIZ}/ext-TreatmentDirective2.SpecificationOther", "valueString": fact.text}]
    yield pruned(
        of.begin("Consent", fact, f"{NICTIZ}/nl-core-TreatmentDirective2", fact.date)
        | {
            "extension": [{"url": f"{NICTIZ}/ext-Comment", "valueString": fact.note}] if fact.note else [],
            "modifierExtension": modifiers,
            "status": "active",
            "scope": fixed(f"{_TERMINOLOGY}/consentscope", "treatment"),
            "category": [fixed(_SCT, "129125009", "Behandelaanwijzing")],
            "patient": of.subject,
            "dateTime": fact.date,
            "policy": [{"uri": "https://wetten.overheid.nl/"}],
            "verification": [{"verified": True, "verifiedWith": party, "verificationDate": fact.date}],
            "provision": provision,
        }
    )


@_written.register
def _will(fact: Will, of: Record) -> Iterator[Json]:
    yield pruned(
        of.begin("Consent", fact, f"{NICTIZ}/nl-core-AdvanceDirective", fact.date)
        | {
            "extension": [{"url": f"{NICTIZ}/ext-Comment", "valueString": fact.note}] if fact.note else [],
            "status": "active",
            "scope": fixed(f"{_TERMINOLOGY}/consentscope", "adr"),
            "category": [fixed(f"{_TERMINOLOGY}/consentcategorycodes", "acd")],
            "patient": of.subject,
            "dateTime": fact.date,
            "policy": [{"uri": "https://wetten.overheid.nl/"}],
            "provision": {"code": [concept(fact.type, "r4")]},
        }
    )


@_written.register
def _pressure(fact: Pressure, of: Record) -> Iterator[Json]:
    parts = (
        ("loinc 8480-6 Systolische bloeddruk", fact.systolic),
        ("loinc 8462-4 Diastolische bloeddruk", fact.diastolic),
    )
    yield _observation(fact, of, "BloodPressure", fact.at) | {
        "code": concept(Coding("loinc 85354-9 Bloeddruk"), "r4"),
        "component": [
            {"code": concept(Coding(code), "r4"), "valueQuantity": quantity(value, "mm[Hg]")} for code, value in parts
        ],
    }


@_written.register
def _measurement(fact: Measurement, of: Record) -> Iterator[Json]:
    profile, codings, value = measured(fact, "r4")
    yield _observation(fact, of, profile, fact.at) | {"code": {"coding": codings}, "valueQuantity": value}


@_written.register
def _laboratory(fact: Laboratory, of: Record) -> Iterator[Json]:
    written = _observation(fact, of, "LaboratoryTestResult", fact.at)
    written["category"] = [
        fixed(f"{_TERMINOLOGY}/observation-category", "laboratory"),
        fixed(_SCT, "275711006", "Serumtest"),
    ]
    yield pruned(
        written
        | {
            "code": concept(fact.code, "r4"),
            "valueQuantity": quantity(fact.value, fact.unit, fact.comparator),
            "interpretation": [fixed(_SCT, *_FLAGS[fact.flag])] if fact.flag else [],
            "referenceRange": reference_range(fact),
        }
    )


@_written.register
def _encounter(fact: Encounter, of: Record) -> Iterator[Json]:
    yield of.begin("Encounter", fact, f"{NICTIZ}/nl-core-Encounter", fact.end or fact.start) | {
        "status": "finished" if fact.end else "in-progress",
        "class": {"system": f"{_TERMINOLOGY}/v3-ActCode", "code": fact.class_},
        "subject": of.subject,
        "period": pruned({"start": fact.start, "end": fact.end}),
        "reasonCode": [{"text": fact.reason}],
        "serviceProvider": {
            "reference": f"Organization/{of.holder.source}-organization",
            "display": of.holder.organization,
        },
    }


def _observation(fact: Pressure | Measurement | Laboratory, of: Record, profile: str, at: str) -> Json:
    return of.begin("Observation", fact, f"{NICTIZ}/nl-core-{profile}" if profile else "", at) | {
        "status": "final",
        "category": [fixed(f"{_TERMINOLOGY}/observation-category", "vital-signs")],
        "subject": of.subject,
        "effectiveDateTime": at,
        "performer": [
            {"reference": f"Organization/{of.holder.source}-organization", "display": of.holder.organization}
        ],
    }


def _product(fact: Medication | MedicationAgreement, of: Record) -> Json:
    return {
        "resourceType": "Medication",
        "id": f"{of.patient_id}-{fact.id}-product",
        "meta": meta(f"{NICTIZ}/mp-PharmaceuticalProduct", ()),
        "code": concept(fact.code, "r4", fact.text),
    }


def _product_reference(fact: Medication | MedicationAgreement, of: Record) -> Json:
    return {"reference": f"Medication/{of.patient_id}-{fact.id}-product", "display": fact.text}


def _dosage(fact: Medication | MedicationAgreement) -> Json:
    repeat = {"frequency": fact.times, "period": 1, "periodUnit": "d"} if fact.times else {}
    dose = quantity(fact.amount, fact.unit)
    return pruned(
        {
            "text": fact.dosage,
            "timing": {"repeat": repeat} if repeat else {},
            "doseAndRate": [{"doseQuantity": dose}] if dose else [],
        }
    )


def _notes(text: str) -> list[Json]:
    return [{"text": text}] if text else []
