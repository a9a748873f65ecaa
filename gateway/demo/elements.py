"""The FHIR elements both dialects write alike."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, Literal

from gateway.demo.facts import Address, Chart, Coding, Fact, Laboratory, Measurement, Name, Person
from gateway.demo.persons import vocabulary
from profiles.identifiers import BSN_SYSTEM, UZI_SYSTEM

Json = dict[str, Any]
Version = Literal["r4", "stu3"]

NICTIZ: Final = "http://nictiz.nl/fhir/StructureDefinition"
HL7: Final = "http://hl7.org/fhir/StructureDefinition"
UCUM: Final = "http://unitsofmeasure.org"


@dataclass(frozen=True, slots=True)
class Holder:
    """The organization whose record is written, and the doctor who answers for it."""

    source: str
    version: Version
    ura: str
    organization: str
    practitioner: str
    uzi: str
    role: str  # UZI role code
    number_system: str = ""  # of the patient numbers it gives out itself


@dataclass(frozen=True, slots=True)
class Record:
    """One person at one organization, ready to be written."""

    holder: Holder
    person: Person
    chart: Chart
    patient_id: str

    @property
    def subject(self) -> Json:
        """The reference every clinical resource carries."""
        return {"reference": f"Patient/{self.patient_id}", "display": self.person.name.full}

    def begin(self, kind: str, fact: Fact, profile: str, updated: str) -> Json:
        """A resource with its id and meta."""
        return {
            "resourceType": kind,
            "id": f"{self.patient_id}-{fact.id}",
            "meta": meta(profile, (*self.person.labels, *fact.labels), updated),
        }


def meta(profile: str, labels: tuple[str, ...], updated: str = "") -> Json:
    """The meta of a resource: what it claims to be and how it is labeled."""
    return pruned(
        {
            "versionId": "1",
            "lastUpdated": (updated if "T" in updated else f"{updated}T09:00:00+01:00") if updated else "",
            "profile": [profile] if profile else [],
            "security": [vocabulary()["labels"][label] for label in dict.fromkeys(labels)],
        }
    )


def pruned(resource: Json) -> Json:
    """Leave out what is empty: FHIR has no empty strings, lists or objects."""
    return {name: value for name, value in resource.items() if value not in ("", None, [], {})}


def coding(code: Coding, version: Version) -> Json:
    """A Coding in the systems of one FHIR version."""
    system = vocabulary()["systems"][code.alias][0 if version == "r4" else 1]
    return {"system": system, "code": code.code, "display": code.display}


def concept(code: Coding, version: Version, text: str = "") -> Json:
    """A CodeableConcept with one coding."""
    return pruned({"coding": [coding(code, version)], "text": text})


def fixed(system: str, code: str, display: str = "") -> Json:
    """A CodeableConcept the dialect itself prescribes."""
    return {"coding": [pruned({"system": system, "code": code, "display": display})]}


def quantity(value: Decimal | None, unit: str, comparator: str = "") -> Json:
    """A Quantity with the digits it was recorded with."""
    if value is None:
        return {}
    return pruned(
        {
            "value": value,
            "comparator": comparator,
            "unit": unit.removeprefix("{").removesuffix("}") if unit.startswith("{") else unit,
            "system": UCUM,
            "code": unit,
        }
    )


def measured(fact: Measurement, version: Version) -> tuple[str, list[Json], Json]:
    """Profile name, codings and value of a vital sign."""
    row = vocabulary()["measurements"][fact.of]
    return (
        row[version],
        [coding(Coding(code), version) for code in row["codes"]],
        quantity(fact.value, fact.unit or row["unit"]),
    )


def reference_range(fact: Laboratory) -> list[Json]:
    """The range of the laboratory that did the test."""
    bounds = pruned({"low": quantity(fact.low, fact.unit), "high": quantity(fact.high, fact.unit)})
    return [bounds] if bounds else []


def names(name: Name) -> list[Json]:
    """The official name with its Dutch parts, and the name the person goes by."""
    parts = [{"url": f"{HL7}/humanname-own-prefix", "valueString": name.prefix}] if name.prefix else []
    parts.append({"url": f"{HL7}/humanname-own-name", "valueString": name.family})
    qualifier = {"extension": [{"url": f"{HL7}/iso21090-EN-qualifier", "valueCode": "BR"}]}
    official = {
        "use": "official",
        "text": name.full,
        "family": name.last,
        "_family": {"extension": parts},
        "given": [name.given],
        "_given": [qualifier],
    }
    return [official, {"use": "usual", "given": [name.given]}]


def addresses(address: Address | None) -> list[Json]:
    """The home address with street and number apart."""
    if address is None:
        return []
    parts = [
        {"url": f"{HL7}/iso21090-ADXP-streetName", "valueString": address.street},
        {"url": f"{HL7}/iso21090-ADXP-houseNumber", "valueString": address.number},
    ]
    return [
        {
            "use": "home",
            "type": "both",
            "line": [f"{address.street} {address.number}"],
            "_line": [{"extension": parts}],
            "city": address.city,
            "postalCode": address.postcode,
            "country": "Nederland",
        }
    ]


def phones(number: str) -> list[Json]:
    """One phone number."""
    return [{"system": "phone", "value": number}] if number else []


def identifiers(record: Record) -> list[Json]:
    """The BSN, else the number the organization gave."""
    if record.person.bsn:
        return [{"system": BSN_SYSTEM, "value": record.person.bsn}]
    return [{"system": record.holder.number_system, "value": record.person.number}]


def practitioner(holder: Holder, profile: str) -> Json:
    """The doctor who answers for the record."""
    return {
        "resourceType": "Practitioner",
        "id": f"{holder.source}-practitioner",
        "meta": meta(profile, ()),
        "identifier": [{"system": UZI_SYSTEM, "value": holder.uzi}],
        "name": [{"text": holder.practitioner}],
    }
