"""Writes a person's record as FHIR STU3 in the zib2017 profiles, as hospital systems do."""

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
from profiles.identifiers import URA_SYSTEM

_CORE: Final = "http://fhir.nl/fhir/StructureDefinition"
_SCT: Final = "http://snomed.info/sct"
_DECISIONS: Final = {"do": "JA", "dont": "NEE", "other": "JA_MAAR"}
_PARTIES: Final = {"patient": ("116154003", "Patiënt"), "representative": ("310391006", "Vertegenwoordiger")}


def record(of: Record) -> list[Json]:
    """Every resource of one person, the Patient first."""
    return [_patient(of), *(resource for fact in of.chart.facts for resource in _written(fact, of))]


def staff(holder: Holder) -> list[Json]:
    """The organization and its doctor."""
    organization = {
        "resourceType": "Organization",
        "id": f"{holder.source}-organization",
        "meta": meta(f"{_CORE}/nl-core-organization", ()),
        "identifier": [{"system": URA_SYSTEM, "value": holder.ura}],
        "name": holder.organization,
    }
    return [practitioner(holder, f"{_CORE}/nl-core-practitioner"), organization]


def _patient(of: Record) -> Json:
    person = of.person
    return pruned(
        {
            "resourceType": "Patient",
            "id": of.patient_id,
            "meta": meta(f"{_CORE}/nl-core-patient", person.labels),
            "identifier": identifiers(of),
            "name": names(person.name),
            "telecom": phones(person.phone),
            "gender": person.gender,
            "birthDate": of.chart.birthDate or person.birthDate,
            "deceasedDateTime": of.chart.deceased,
            "address": addresses(person.address),
            "multipleBirthInteger": person.multipleBirth or None,
            "contact": [_contact(contact) for contact in of.chart.contacts],
            "managingOrganization": {
                "reference": f"Organization/{of.holder.source}-organization",
                "display": of.holder.organization,
            },
        }
    )


def _contact(contact: Contact) -> Json:
    codes = [code for code in (contact.role, contact.relation) if code is not None]
    return pruned(
        {
            "relationship": [concept(code, "stu3") for code in codes],
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
        {"manifestation": [concept(fact.reaction, "stu3")] if fact.reaction else [], "severity": fact.severity}
    )
    yield pruned(
        of.begin("AllergyIntolerance", fact, f"{NICTIZ}/zib-AllergyIntolerance", fact.recorded)
        | {
            "clinicalStatus": fact.status,
            "verificationStatus": fact.verification,
            "category": [fact.category] if fact.category else [],
            "criticality": fact.criticality,
            "code": concept(fact.code, "stu3"),
            "patient": of.subject,
            "onsetDateTime": fact.onset,
            "assertedDate": fact.recorded,
            "note": _notes(fact.note),
            "reaction": [reaction] if fact.reaction else [],
        }
    )


@_written.register
def _problem(fact: Problem, of: Record) -> Iterator[Json]:
    yield pruned(
        of.begin("Condition", fact, f"{NICTIZ}/zib-Problem", fact.recorded)
        | {
            "clinicalStatus": fact.status,
            "verificationStatus": "confirmed",
            "category": [fixed(_SCT, "282291009", "Diagnose")],
            "code": concept(fact.code, "stu3"),
            "subject": of.subject,
            "onsetDateTime": fact.onset,
            "abatementDateTime": fact.end,
            "assertedDate": fact.recorded,
            "note": _notes(fact.note),
        }
    )


@_written.register
def _medication(fact: Medication, of: Record) -> Iterator[Json]:
    category = fixed("urn:oid:2.16.840.1.113883.2.4.3.11.60.20.77.5.3", "6", "Medicatiegebruik")
    yield pruned(
        of.begin("MedicationStatement", fact, f"{NICTIZ}/zib-MedicationUse", fact.asserted)
        | {
            "status": fact.status,
            "category": category,
            "medicationReference": _product_reference(fact, of),
            "subject": of.subject,
            "effectivePeriod": pruned({"start": fact.start, "end": fact.end}),
            "dateAsserted": fact.asserted,
            "taken": "y",
            "reasonCode": [{"text": fact.reason}] if fact.reason else [],
            "dosage": [_dosage(fact)],
        }
    )
    yield _product(fact, of)


@_written.register
def _agreement(fact: MedicationAgreement, of: Record) -> Iterator[Json]:
    yield pruned(
        of.begin("MedicationRequest", fact, f"{NICTIZ}/zib-MedicationAgreement", fact.authored)
        | {
            "status": fact.status,
            "intent": "order",
            "category": fixed(_SCT, "16076005", "Medicatieafspraak"),
            "medicationReference": _product_reference(fact, of),
            "subject": of.subject,
            "authoredOn": fact.authored,
            "requester": {
                "agent": {
                    "reference": f"Practitioner/{of.holder.source}-practitioner",
                    "display": of.holder.practitioner,
                }
            },
            "dosageInstruction": [_dosage(fact)],
        }
    )
    yield _product(fact, of)


@_written.register
def _alert(fact: Alert, of: Record) -> Iterator[Json]:
    yield of.begin("Flag", fact, f"{NICTIZ}/zib-Alert", fact.start) | {
        "status": fact.status,
        "category": fixed("http://loinc.org", "75323-6", "Aandoening"),
        "code": concept(fact.code, "stu3"),
        "subject": of.subject,
        "period": {"start": fact.start},
    }


@_written.register
def _directive(fact: Directive, of: Record) -> Iterator[Json]:
    permitted = fixed("urn:oid:2.16.840.1.113883.2.4.3.11.60.40.4", _DECISIONS[fact.decision])
    verification = [
        {"url": "Verified", "valueBoolean": True},
        {"url": "VerifiedWith", "valueCodeableConcept": fixed(_SCT, *_PARTIES[fact.verified])},
        {"url": "VerificationDate", "valueDateTime": fact.date},
    ]
    extensions: list[Json] = [
        {"url": f"{NICTIZ}/zib-TreatmentDirective-Treatment", "valueCodeableConcept": concept(fact.treatment, "stu3")},
        {"url": f"{NICTIZ}/zib-TreatmentDirective-Verification", "extension": verification},
    ]
    comment = fact.text or fact.note
    if comment:
        extensions.append({"url": f"{NICTIZ}/Comment", "valueString": comment})
    yield of.begin("Consent", fact, f"{NICTIZ}/zib-TreatmentDirective", fact.date) | {
        "extension": extensions,
        "modifierExtension": [
            {"url": f"{NICTIZ}/zib-TreatmentDirective-TreatmentPermitted", "valueCodeableConcept": permitted}
        ],
        "status": "active",
        "category": [fixed(_SCT, "11291000146105", "Behandelaanwijzing")],
        "patient": of.subject,
        "dateTime": fact.date,
        "policy": [{"uri": "https://wetten.overheid.nl/"}],
    }


@_written.register
def _will(fact: Will, of: Record) -> Iterator[Json]:
    yield pruned(
        of.begin("Consent", fact, f"{NICTIZ}/zib-AdvanceDirective", fact.date)
        | {
            "extension": [{"url": f"{NICTIZ}/Comment", "valueString": fact.note}] if fact.note else [],
            "status": "active",
            "category": [fixed(_SCT, "11341000146107", "Wilsverklaring"), concept(fact.type, "stu3")],
            "patient": of.subject,
            "dateTime": fact.date,
            "policy": [{"uri": "https://wetten.overheid.nl/"}],
        }
    )


@_written.register
def _pressure(fact: Pressure, of: Record) -> Iterator[Json]:
    parts = (
        ("loinc 8480-6 Systolische bloeddruk", fact.systolic),
        ("loinc 8462-4 Diastolische bloeddruk", fact.diastolic),
    )
    yield _observation(fact, of, "BloodPressure", fact.at) | {
        "code": concept(Coding("loinc 85354-9 Bloeddruk"), "stu3"),
        "component": [
            {"code": concept(Coding(code), "stu3"), "valueQuantity": quantity(value, "mm[Hg]")} for code, value in parts
        ],
    }


@_written.register
def _measurement(fact: Measurement, of: Record) -> Iterator[Json]:
    profile, codings, value = measured(fact, "stu3")
    yield _observation(fact, of, profile, fact.at) | {"code": {"coding": codings}, "valueQuantity": value}


@_written.register
def _laboratory(fact: Laboratory, of: Record) -> Iterator[Json]:
    written = _observation(fact, of, "LaboratoryTestResult-Observation", fact.at)
    written["category"] = [_category("laboratory"), fixed(_SCT, "49581000146104", "Laboratoriumonderzoek")]
    yield pruned(
        written
        | {
            "code": concept(fact.code, "stu3"),
            "valueQuantity": quantity(fact.value, fact.unit, fact.comparator),
            "interpretation": fixed("http://hl7.org/fhir/v2/0078", fact.flag) if fact.flag else {},
            "referenceRange": reference_range(fact),
        }
    )


@_written.register
def _encounter(fact: Encounter, of: Record) -> Iterator[Json]:
    yield of.begin("Encounter", fact, f"{NICTIZ}/zib-Encounter", fact.end or fact.start) | {
        "status": "finished" if fact.end else "in-progress",
        "class": {"system": "http://hl7.org/fhir/v3/ActCode", "code": fact.class_},
        "subject": of.subject,
        "period": pruned({"start": fact.start, "end": fact.end}),
        "reason": [{"text": fact.reason}],
        "serviceProvider": {
            "reference": f"Organization/{of.holder.source}-organization",
            "display": of.holder.organization,
        },
    }


def _observation(fact: Pressure | Measurement | Laboratory, of: Record, profile: str, at: str) -> Json:
    return of.begin("Observation", fact, f"{NICTIZ}/zib-{profile}", at) | {
        "status": "final",
        "category": [_category("vital-signs")],
        "subject": of.subject,
        "effectiveDateTime": at,
        "performer": [
            {"reference": f"Organization/{of.holder.source}-organization", "display": of.holder.organization}
        ],
    }


def _category(code: str) -> Json:
    return fixed("http://hl7.org/fhir/observation-category", code)


def _product(fact: Medication | MedicationAgreement, of: Record) -> Json:
    return {
        "resourceType": "Medication",
        "id": f"{of.patient_id}-{fact.id}-product",
        "meta": meta(f"{NICTIZ}/zib-Product", ()),
        "code": concept(fact.code, "stu3", fact.text),
    }


def _product_reference(fact: Medication | MedicationAgreement, of: Record) -> Json:
    return {"reference": f"Medication/{of.patient_id}-{fact.id}-product", "display": fact.text}


def _dosage(fact: Medication | MedicationAgreement) -> Json:
    repeat = {"frequency": fact.times, "period": 1, "periodUnit": "d"} if fact.times else {}
    return pruned(
        {
            "text": fact.dosage,
            "timing": {"repeat": repeat} if repeat else {},
            "doseQuantity": quantity(fact.amount, fact.unit),
        }
    )


def _notes(text: str) -> list[Json]:
    return [{"text": text}] if text else []
