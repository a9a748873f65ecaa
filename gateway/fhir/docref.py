"""Find documents of a patient (IPA `$docref`): those of the sources, and the summary as a document made on demand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from urllib.parse import urlencode
from uuid import NAMESPACE_URL, uuid5

from consent.categories import categories_of_type
from gateway.errors import Invalid
from gateway.fhir.invocation import given, moment, one, only
from gateway.fhir.reading import patient_by
from gateway.model import Incoming, Item, Json, Patient, Question, instant
from gateway.ports import Ports
from profiles import dates

_KNOWN: Final = (
    "patient", "subject", "identifier", "patient.identifier", "birthDate", "start", "end", "type", "on-demand", "profile"
)  # fmt: skip
SUMMARY: Final = {"system": "http://loinc.org", "code": "60591-5", "display": "Patient summary Document"}
_FORMAT: Final = "application/fhir+json"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which documents are asked."""

    patient: Patient
    start: datetime
    end: datetime
    types: tuple[tuple[str, str], ...]  # system and code; an empty system is any
    on_demand_only: bool
    profiles: tuple[str, ...]
    used: tuple[tuple[str, str], ...]

    def covers(self, item: Item) -> bool:
        """Claim that a document of a source is asked; one without a date is never left out."""
        if self.on_demand_only or (self.profiles and not set(self.profiles) & _profiles(item.resource)):
            return False
        return self._in_time(item) and (not self.types or self._typed(item.resource.get("type")))

    def covers_summary(self, now: datetime, is_offered: Callable[[str], bool]) -> bool:
        """Claim that the summary of now is asked."""
        known = not self.profiles or any(is_offered(profile) for profile in self.profiles)
        coded = {"coding": [SUMMARY]}
        return known and self.start <= now < self.end and (not self.types or self._typed(coded))

    def _in_time(self, item: Item) -> bool:
        period = (item.resource.get("context") or {}).get("period")
        said = period if isinstance(period, dict) else {"start": item.date, "end": item.date}
        first, last = (dates.parse(str(said.get(name, ""))) for name in ("start", "end"))
        return (first.lower if first else dates.EARLIEST) < self.end and (
            last.upper if last else dates.LATEST
        ) > self.start

    def _typed(self, concept: object) -> bool:
        codings = concept.get("coding", ()) if isinstance(concept, dict) else ()
        found = {(str(one.get("system", "")), str(one.get("code", ""))) for one in codings if isinstance(one, dict)}
        return any(
            (system, code) in found or (not system and code in {c for _, c in found}) for system, code in self.types
        )


def wanted(incoming: Incoming, ports: Ports) -> Wanted:
    """Read what is asked.

    Raises:
        Invalid: no patient or two, a parameter that is not known or whose value is not.

    Spec: HL7 IPA 1.0.0 OperationDefinition docref.
    """
    values = only(given(incoming), _KNOWN, "DocumentReference/$docref")
    on_demand = one(values, "on-demand")
    if on_demand not in ("", "true", "false"):
        raise Invalid("invalid-parameter", name="on-demand", why="give true or false")
    start, end = moment(values, "start"), moment(values, "end")
    if start and end and end.upper <= start.lower:
        raise Invalid("invalid-parameter", name="end", why="it is before start")
    types = [tuple(part.rpartition("|")[::2]) for text in values.get("type", ()) for part in text.split(",")]
    patient = _patient(values, ports)
    shown = ("start", "end", "type", "on-demand", "profile")
    return Wanted(
        patient,
        start.lower if start else dates.EARLIEST,
        end.upper if end else dates.LATEST,
        tuple((system, code) for system, code in types),
        on_demand == "true",
        tuple(text.partition("|")[0] for text in values.get("profile", ())),
        (("patient", patient.id), *((name, text) for name in shown for text in values.get(name, ()))),
    )


def question(incoming: Incoming, ports: Ports) -> Question:
    """The question behind it.

    Raises:
        Invalid: see `wanted`.
    """
    patient = wanted(incoming, ports).patient
    type_ = "DocumentReference"
    return Question("docref", "s", (type_,), categories_of_type(type_), patient, names="patient=***")


def on_demand(patient: Patient, now: datetime, base: str, profile: str = "") -> Json:
    """The summary of a patient as a document that is made when it is fetched, to the profile that was asked.

    Spec: FHIR R4 DocumentReference; IHE XDS 'on-demand document entry'.
    """
    asked = f"?{urlencode({'profile': profile})}" if profile else ""
    reference = f"{base}/fhir/Composition/{patient.id}/$document{asked}"
    made = uuid5(NAMESPACE_URL, reference)
    return {
        "resourceType": "DocumentReference",
        "meta": {"profile": ["http://hl7.org/fhir/uv/ipa/StructureDefinition/ipa-documentreference"]},
        "masterIdentifier": {"system": "urn:ietf:rfc:3986", "value": f"urn:uuid:{made}"},
        "status": "current",
        "type": {"coding": [SUMMARY]},
        "category": [{"coding": [SUMMARY]}],
        "subject": {"reference": f"Patient/{patient.id}"},
        "date": instant(now),
        "content": [
            {
                "attachment": {"contentType": _FORMAT, "url": reference},
                "format": {
                    "system": "http://ihe.net/fhir/ihe.formatcode.fhir/CodeSystem/formatcode",
                    "code": "urn:ihe:pcc:ips:2020",
                },
            }
        ],
    }


def _patient(values: dict[str, list[str]], ports: Ports) -> Patient:
    named = {text.removeprefix(f"{ports.settings.gateway.base}/fhir/").removeprefix("Patient/")
             for name in ("patient", "subject") for text in values.get(name, ())}  # fmt: skip
    identifiers = {text for name in ("identifier", "patient.identifier") for text in values.get(name, ())}
    if len(named) + len(identifiers) != 1:
        raise Invalid("patient-required" if not named | identifiers else "patient-conflict")
    if identifiers:
        system, bar, value = identifiers.pop().rpartition("|")
        if not bar:
            raise Invalid("invalid-parameter", name="identifier", why="give system|value")
        return patient_by(system, value, one(values, "birthDate"), ports)
    id_ = named.pop()
    known = ports.keys.patient_identifier(id_)
    if known is None:
        raise Invalid("not-found", what="this patient id")
    return Patient(id_, *known)


def _profiles(resource: Json) -> set[str]:
    found = (resource.get("meta") or {}).get("profile") or ()
    return {str(url).partition("|")[0] for url in found}
