"""Hand-made answers of a small region, for the tests of the summary."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from consent.model import Custodian, Decision, Reason, Requester
from gateway.model import Answer, Caller, Item, Json, Patient, Told
from gateway.policy import Policy
from gateway.summary.material import Material
from gateway.summary.sections import SECTIONS
from profiles import exact
from profiles.identifiers import BSN_SYSTEM

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
FETCHED = "2026-03-01T11:59:59.000Z"
PERSON = "p1-person"
SUBJECT = {"reference": f"Patient/{PERSON}"}
ALL = tuple(dict.fromkeys(category for section in SECTIONS for category in section.categories))
URAS = {
    "gp": ("90000001", "Z3"),
    "hospital": ("90000002", "V4"),
    "ambulance": ("90000003", "AMB"),
    "ggz": ("90000004", "G5"),
}
NAMES = {
    "gp": "Huisarts De Linde",
    "hospital": "Ziekenhuis Oost",
    "ambulance": "Ambulance Oost",
    "ggz": "GGZ De Stilte",
}

REFUSED_BY_PATIENT = Decision("deny", (Reason("consent-objection", "objection", "patient"),))
REFUSED_BY_CALLER = Decision("deny", (Reason("scope-insufficient", "scope", "caller"),))
NOT_CHECKABLE = Decision("unavailable", (Reason("consent-unknown", "register down", "patient"),))

SNOMED = "http://snomed.info/sct"
LOINC = "http://loinc.org"


def coded(code: str, display: str = "", system: str = SNOMED) -> Json:
    coding = {"system": system, "code": code}
    return {"coding": [{**coding, "display": display}]} if display else {"coding": [coding]}


def told(**exceptions: Told) -> dict[str, Told]:
    return {category: exceptions.get(category, Told("answered", Decision("permit"))) for category in ALL}


def refused(decision: Decision) -> Told:
    return Told("refused", decision)


def failed(decision: Decision | None = None) -> Told:
    return Told("failed", decision or Decision("permit"), "timeout")


def answer(
    who: str, *items: Item, source: str = "", categories: dict[str, Told] | None = None, **fields: Any
) -> Answer:
    ura, facility_type = URAS[who]
    for item in items:
        item.custodian, item.source = ura, source or who
    return Answer(
        Custodian(ura, facility_type), NAMES[who], source or who, categories if categories is not None else told(),
        list(items), fetched=FETCHED, format="fhir-r4", **fields,
    )  # fmt: skip


def item(type_: str, id_: str, resource: Json, *, raw: bytes = b"", **fields: Any) -> Item:
    whole = {"resourceType": type_, "id": id_, **resource}
    return Item(
        raw or exact.encode(whole), id_, type_, PERSON, "", "", fields.pop("category", ""), id_,
        date=fields.pop("date", "2025-06-01"), recorded="2025-06-02", fetched=FETCHED, map="fhir-r4@1", **fields,
    )  # fmt: skip


def allergy(id_: str, code: str = "764146007", display: str = "Penicilline", *, clinical: str = "active",
            verification: str = "confirmed", criticality: str = "high", **fields: Any) -> Item:  # fmt: skip
    systems = "http://terminology.hl7.org/CodeSystem/allergyintolerance-"
    return item("AllergyIntolerance", id_, {
        "clinicalStatus": {"coding": [{"system": systems + "clinical", "code": clinical}]},
        "verificationStatus": {"coding": [{"system": systems + "verification", "code": verification}]},
        "criticality": criticality, "code": coded(code, display), "patient": SUBJECT,
    }, **fields)  # fmt: skip


def no_allergies(id_: str) -> Item:
    return allergy(id_, "716186003", "No known allergy", criticality="low", negative=True)


def observation(id_: str, code: str = "8867-4", display: str = "Hartfrequentie", value: str = "72", *,
                kind: str = "vital-signs", **fields: Any) -> Item:  # fmt: skip
    raw = (
        f'{{"resourceType":"Observation","id":"{id_}","status":"final","category":[{{"coding":[{{"system":'
        f'"http://terminology.hl7.org/CodeSystem/observation-category","code":"{kind}"}}]}}],"code":{{"coding":'
        f'[{{"system":"{LOINC}","code":"{code}","display":"{display}"}}]}},"subject":{{"reference":"Patient/{PERSON}"}},'
        f'"effectiveDateTime":"2026-02-28T10:00:00+01:00","valueQuantity":{{"value":{value},"unit":"/min",'
        f'"system":"http://unitsofmeasure.org","code":"/min"}}}}'
    )
    return item("Observation", id_, {}, raw=raw.encode(), **fields)


def directive(id_: str, decision: str = "deny", treatment: str = "89666000", *, at: str = "2025-12-01", other: str = "",
              **fields: Any) -> Item:  # fmt: skip
    resource: Json = {
        "status": "active", "scope": coded("treatment", system="http://terminology.hl7.org/CodeSystem/consentscope"),
        "category": [coded("129125009")], "patient": SUBJECT, "dateTime": at, "policy": [{"uri": "https://wetten.overheid.nl/"}],
        "provision": {"code": [coded(treatment)]} | ({"type": decision} if decision else {}),
    }  # fmt: skip
    if other:
        url = "http://nictiz.nl/fhir/StructureDefinition/ext-TreatmentDirective2.SpecificationOther"
        resource["modifierExtension"] = [{"url": url, "valueString": other}]
    return item("Consent", id_, resource, date=at, **fields)


def person(id_: str, **facts: Any) -> Item:
    return item("Patient", id_, {"name": [{"family": "Jansen", "given": ["Eva"]}], "gender": "female",
                                 "birthDate": "1980-05-17"} | facts)  # fmt: skip


def material(*answers: Answer, **fields: Any) -> Material:
    patient = fields.pop("patient", Patient(PERSON, BSN_SYSTEM, "999990019", "1980-05-17"))
    caller = Caller(Requester("client", "90000009", "N6", "01.015", "person"), "behandeling", frozenset())
    policy = Policy("r1", disclosure={"G5": "silent"})
    return Material(patient, caller, answers, policy, "https://gateway.example", NOW, "request-1", **fields)
