"""The synthetic records of the measurements: persons with test BSNs, a Patient and ten Observations each, HL7 v2 messages."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from profiles import exact
from profiles.identifiers import BSN_SYSTEM, passes_elfproef

OBSERVATIONS: Final = 10
_NICTIZ: Final = "http://nictiz.nl/fhir/StructureDefinition"
_VITALS: Final = (
    ("8867-4", "Hartfrequentie", "nl-core-HeartRate", "/min"),
    ("9279-1", "Ademfrequentie", "nl-core-Respiration", "/min"),
    ("8310-5", "Lichaamstemperatuur", "nl-core-BodyTemperature", "Cel"),
    ("59408-5", "Zuurstofsaturatie", "nl-core-O2Saturation", "%"),
    ("29463-7", "Lichaamsgewicht", "nl-core-BodyWeight", "kg"),
)


def bsns(count: int) -> list[str]:
    """Test BSNs of the range that is never given to a person."""
    found = [number for number in (str(each) for each in range(999990000, 999991000)) if passes_elfproef(number)]
    return found[:count]


def searchset(kind: str, source: int, bsn: str) -> bytes:
    """What a source knows of a person, as it answers a search."""
    made = (
        [_patient(source, bsn)]
        if kind == "Patient"
        else list(_observations(source, bsn))
        if kind == "Observation"
        else []
    )
    entries = [{"fullUrl": f"http://source.example/fhir/{kind}/{one['id']}", "resource": one, "search": {"mode": "match"}}
               for one in made]  # fmt: skip
    return exact.encode({"resourceType": "Bundle", "type": "searchset", "total": len(made), "entry": entries})


def _patient(source: int, bsn: str) -> dict[str, Any]:
    return {
        "resourceType": "Patient",
        "id": f"p{source}-{bsn[-4:]}",
        "meta": {"lastUpdated": "2026-11-20T08:00:00.000+01:00", "profile": [f"{_NICTIZ}/nl-core-Patient"]},
        "identifier": [{"use": "official", "system": BSN_SYSTEM, "value": bsn}],
        "name": [{"use": "official", "text": "Proef Persoon", "family": "Persoon", "given": ["Proef"]}],
        "telecom": [{"system": "phone", "value": "+31201234567", "use": "home"}],
        "gender": "female",
        "birthDate": "1961-04-12",
        "address": [
            {"use": "home", "line": ["Voorbeeldlaan 12"], "city": "Utrecht", "postalCode": "3511 AB", "country": "NL"}
        ],
    }


def _observations(source: int, bsn: str) -> Iterator[dict[str, Any]]:
    for number in range(OBSERVATIONS):
        code, display, profile, unit = _VITALS[number % len(_VITALS)]
        taken = datetime(2026, 11, 20, 8, tzinfo=UTC) - timedelta(days=source * 20 + number)
        yield {
            "resourceType": "Observation",
            "id": f"o{source}-{bsn[-4:]}-{number}",
            "meta": {"lastUpdated": taken.isoformat(timespec="milliseconds"), "profile": [f"{_NICTIZ}/{profile}"]},
            "identifier": [{"system": "urn:oid:2.16.840.1.113883.2.4.3.11.999.7", "value": f"{source}-{bsn[-4:]}-{number}"}],
            "status": "final",
            "category": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category",
                                      "code": "vital-signs", "display": "Vital Signs"}]}],
            "code": {"coding": [{"system": "http://loinc.org", "code": code, "display": display}], "text": display},
            "subject": {"reference": f"Patient/p{source}-{bsn[-4:]}", "type": "Patient", "display": "Proef Persoon"},
            "effectiveDateTime": taken.isoformat(timespec="seconds"),
            "performer": [{"type": "Practitioner", "display": "Voorbeeld, arts",
                           "identifier": {"system": "http://fhir.nl/fhir/NamingSystem/uzi-nr-pers", "value": "900000001"}}],
            "valueQuantity": {"value": 60 + number, "unit": unit, "system": "http://unitsofmeasure.org", "code": unit},
            "interpretation": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation",
                                            "code": "N", "display": "Normal"}]}],
            "note": [{"text": "Gemeten in rust, patiënt zat vijf minuten; herhaald bij twijfel over de eerste meting."}],
            "method": {"coding": [{"system": "http://snomed.info/sct", "code": "37931006", "display": "Auscultatie"}]},
        }  # fmt: skip


def messages(bsn: str, feed: str, results: int) -> Iterator[tuple[str, bytes]]:
    """The messages of one contact: an admission, then its results. Gives the control id with each."""
    at = "20261120080000+0100"
    identity = f"PID|1||{bsn}^^^NLMINBIZA^NNNLD||Persoon&&Persoon^Proef^^^^^L||19610412|F"
    visit = f"PV1|1|E|||||||||||||||||{feed}-{bsn[-4:]}"
    note = (
        "Gemeten in rust in de ambulance; de patient zat vijf minuten. Herhaald bij twijfel over de eerste meting. " * 4
    )

    def message(kind: str, suffix: str, *segments: str) -> tuple[str, bytes]:
        control = f"{feed}-{bsn[-4:]}-{suffix}"
        head = f"MSH|^~\\&|AMBULANCE|{feed}|GATEWAY|ROAZ|{at}||{kind}|{control}|P|2.5|||AL|NE|NLD|UNICODE UTF-8"
        return control, ("\r".join([head, *segments]) + "\r").encode()

    yield message("ADT^A04^ADT_A01", "A", f"EVN||{at}", identity, visit)
    found = [f"OBR|1||{feed}-{bsn[-4:]}|8716-3^Vitale functies^LN|||{at}||||||||||||||||||F"]
    for number in range(results):
        code, display, _, unit = _VITALS[number % len(_VITALS)]
        found.append(f"OBX|{number + 1}|NM|{code}^{display}^LN||{60 + number}|{unit}^{unit}^UCUM|50-100|N|||F|||{at}")
        found.append(f"NTE|1||{note}")
    yield message("ORU^R01^ORU_R01", "R", identity, visit, *found)
