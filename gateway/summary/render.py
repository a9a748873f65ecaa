"""One item in words: what it says, its status and negation always in sight, with source and dates (rules E6–E10)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from gateway.model import Item, Json
from gateway.summary import directives, dosage, medication, reports
from gateway.summary.texts import Note, Words
from gateway.summary.values import (
    code,
    concept,
    extension,
    moment,
    notes,
    period,
    person_name,
    reference_range,
    value_of,
)

Find = Callable[[str], Json | None]  # the resource a reference points to, if it came along

_FLAG_DETAIL: Final = "http://hl7.org/fhir/StructureDefinition/flag-detail"
_SILENT_STATUSES: Final = frozenset(
    {"final", "completed", "confirmed", "finished", "current"}
)  # what a reader expects anyway


class Said(msgspec.Struct):
    """What one resource says, before source and dates are put beside it."""

    text: str
    states: list[str] = []  # status and negation, shown before the details
    details: list[str] = []
    label: str = ""
    rank: int = 0  # order in the section; lower is read first
    group: str = ""  # treatment id of medication


class Line(msgspec.Struct, frozen=True):
    """One item as one line of text, for narrative and page alike."""

    id: str
    type: str
    custodian: str
    source: str
    text: str
    states: tuple[str, ...] = ()
    details: tuple[str, ...] = ()
    label: str = ""
    date: str = ""
    recorded: str = ""
    fetched: str = ""
    notes: tuple[Note, ...] = ()
    rank: int = 0
    group: str = ""

    @property
    def sentence(self) -> str:
        """The line without source and dates."""
        head = f"{self.label}: {self.text}" if self.label else self.text
        return "; ".join((head, *self.states, *self.details))


def line(
    item: Item, source: str, words: Words, find: Find, notes: tuple[Note, ...] = (), *, negative: bool = False
) -> Line:
    """Put one item in words.

    `source` is the name of its custodian, `notes` what others say about it; `negative` when it says "none known".
    """
    resource = item.resource
    said = _TYPES.get(item.type, _other)(resource, words, find)
    if negative or item.negative:
        said.text = words.say("none_known", text=said.text)
    if item.marks:
        notes = (*notes, *_marks(item))
    return Line(
        id=item.id, type=item.type, custodian=item.custodian, source=source,
        text=said.text or words["unknown"], states=tuple(filter(None, said.states)),
        details=tuple(filter(None, said.details)), label=said.label,
        date=item.date, recorded=item.recorded, fetched=moment(item.fetched),
        notes=tuple(dict.fromkeys(notes)), rank=said.rank, group=said.group,
    )  # fmt: skip


def _marks(item: Item) -> list[Note]:
    """What the gateway itself noticed about an item."""
    known = {"stale": "stale", "implausible": "implausible"}
    told = [Note.of(known[mark], urgent=True) for mark in item.marks if mark in known]
    findings = ", ".join(mark for mark in item.marks if mark not in known)
    return [*told, Note.of("findings", text=findings)] if findings else told


def status(resource: Json, words: Words, element: str = "status") -> str:
    """The status in words, empty when it is the one a reader expects."""
    value = resource.get(element)
    coded = value if isinstance(value, str) else code(value)
    return words.code("status", coded) if coded and coded not in _SILENT_STATUSES else ""


def _allergy(resource: Json, words: Words, _: Find) -> Said:
    criticality = str(resource.get("criticality", ""))
    said = Said(concept(resource.get("code")))
    said.states = [words[f"criticality_{criticality}"] if criticality in ("high", "low", "unable-to-assess") else "",
                   status(resource, words, "clinicalStatus"), status(resource, words, "verificationStatus")]  # fmt: skip
    for reaction in resource.get("reaction") or ():
        told = concept(reaction.get("manifestation")) or str(reaction.get("description", ""))
        if told:
            severity = reaction.get("severity")
            said.details.append(
                words.say("reaction", text=f"{told} ({words.code('severity', severity)})" if severity else told)
            )
    said.details += notes(resource, words)
    over = code(resource.get("verificationStatus")) in ("refuted", "entered-in-error") or code(
        resource.get("clinicalStatus")
    ) in ("inactive", "resolved")
    said.rank = {"high": 0, "low": 2}.get(criticality, 1) + (10 if over else 0)
    return said


def _condition(resource: Json, words: Words, _: Find) -> Said:
    said = Said(concept(resource.get("code")))
    said.states = [status(resource, words, "clinicalStatus"), status(resource, words, "verificationStatus")]
    site = concept(resource.get("bodySite"))
    onset = resource.get("onsetDateTime") or resource.get("onsetString") or ""
    end = resource.get("abatementDateTime") or resource.get("abatementString") or ""
    said.details = [
        words.say("location", text=site) if site else "",
        words.say("since", text=onset) if onset else "",
        words.say("period_end", text=end) if end else "",
        *notes(resource, words),
    ]
    said.rank = 10 if code(resource.get("verificationStatus")) in ("refuted", "entered-in-error") else 0
    return said


def _flag(resource: Json, words: Words, find: Find) -> Said:
    said = Said(concept(resource.get("code")))
    detail = extension(resource, _FLAG_DETAIL)
    if detail is not None:
        # An alert that only points to a problem carries "not applicable" as its own code.
        target = detail.get("valueReference") or {}
        about = find(str(target.get("reference", ""))) or {}
        said.text = concept(about.get("code")) or str(target.get("display", "")) or said.text
    said.states = [status(resource, words)]
    said.details = [concept(resource.get("category")), period(resource.get("period") or {})]
    said.rank = 0 if resource.get("status") == "active" else 10
    return said


def _observation(resource: Json, words: Words, find: Find) -> Said:
    name, value = concept(resource.get("code")), value_of(resource, words)
    told = f"{name}: {value}" if value else name
    if "component" in resource or "hasMember" in resource:
        told = "; ".join(filter(None, (told, *_members(resource, words, find))))
    return Said(
        told, [status(resource, words), words["not_patient"] if resource.get("focus") else ""],
        [concept(resource.get("interpretation")), reference_range(resource, words), *notes(resource, words)],
    )  # fmt: skip


def _members(resource: Json, words: Words, find: Find) -> Iterator[str]:
    """The parts of a measurement, and the measurements it groups."""
    for part in resource.get("component") or ():
        yield words.say("member", name=concept(part.get("code")), value=value_of(part, words))
    for reference in resource.get("hasMember") or ():
        member = find(str(reference.get("reference", "")))
        if member is not None and (told := value_of(member, words)):
            yield words.say("member", name=concept(member.get("code")), value=told)


def _procedure(resource: Json, words: Words, _: Find) -> Said:
    site = concept(resource.get("bodySite"))
    return Said(
        concept(resource.get("code")), [status(resource, words)],
        [words.say("location", text=site) if site else "", *notes(resource, words)],
    )  # fmt: skip


def _immunization(resource: Json, words: Words, _: Find) -> Said:
    given = words["not_given"] if resource.get("status") == "not-done" else status(resource, words)
    return Said(concept(resource.get("vaccineCode")), [given], notes(resource, words))


def _device(resource: Json, words: Words, find: Find) -> Said:
    target = resource.get("device") or {}
    device = find(str(target.get("reference", ""))) or {}
    name = concept(device.get("type")) or str(target.get("display", ""))
    site = concept(resource.get("bodySite"))
    return Said(
        name, [status(resource, words)],
        [words.say("location", text=site) if site else "", *notes(resource, words)],
    )  # fmt: skip


def _encounter(resource: Json, words: Words, find: Find) -> Said:
    kind = resource.get("class") or {}
    name = words.code("class", str(kind.get("code", ""))) or str(kind.get("display", ""))
    reasons = concept(resource.get("reasonCode"))
    for part in resource.get("diagnosis") or ():
        about = find(str((part.get("condition") or {}).get("reference", "")))
        reasons = ", ".join(filter(None, (reasons, concept((about or {}).get("code")))))
    return Said(
        ", ".join(filter(None, (name, concept(resource.get("type"))))), [status(resource, words)],
        [period(resource.get("period") or {}), words.say("reason", text=reasons) if reasons else ""],
        label=words.code("type", str(resource.get("resourceType", ""))),
    )  # fmt: skip


def _related_person(resource: Json, words: Words, _: Find) -> Said:
    telecoms = ", ".join(str(one["value"]) for one in resource.get("telecom") or () if one.get("value"))
    return Said(
        person_name(resource.get("name") or {}), [boolean_inactive(resource, words)],
        [concept(resource.get("relationship")), words.say("phone", text=telecoms) if telecoms else ""],
        label=words["contact_person"],
    )  # fmt: skip


def _care_team(resource: Json, words: Words, find: Find) -> Said:
    members = []
    for part in resource.get("participant") or ():
        reference = part.get("member") or {}
        member = find(str(reference.get("reference", ""))) or {}
        members.append(str(reference.get("display", "")) or provider(member, find))
    told = ", ".join(filter(None, members))
    return Said(
        str(resource.get("name", "")) or concept(resource.get("category")), [status(resource, words)],
        [words.say("members", text=told) if told else ""], label=words.code("type", "CareTeam"),
    )  # fmt: skip


def _family(resource: Json, words: Words, _: Find) -> Said:
    conditions = ", ".join(concept(part.get("code")) for part in resource.get("condition") or ())
    return Said(conditions, [words["family"], concept(resource.get("relationship"))], notes(resource, words))


def _other(resource: Json, words: Words, _: Find) -> Said:
    """What has no rendering of its own: its most telling element and its status."""
    for element in ("code", "type", "category", "serviceType"):
        text = concept(resource.get(element))
        if text:
            break
    else:
        text = str(resource.get("description") or resource.get("title") or "")
    conclusion = str(resource.get("conclusion") or "")
    return Said(
        text, [status(resource, words)], [conclusion, *notes(resource, words)],
        label=words.code("type", str(resource.get("resourceType", ""))),
    )  # fmt: skip


def boolean_inactive(resource: Json, words: Words) -> str:
    """Say so when a person is recorded as no longer active."""
    return words.code("status", "inactive") if resource.get("active") is False else ""


def provider(resource: Json, find: Find) -> str:
    """A practitioner, their role, or an organization by name."""
    if resource.get("resourceType") == "PractitionerRole":
        parts = []
        for element in ("practitioner", "organization"):
            reference = resource.get(element) or {}
            target = find(str(reference.get("reference", ""))) or {}
            parts.append(provider(target, find) or str(reference.get("display", "")))
        return ", ".join(filter(None, parts)) or concept(resource.get("specialty"))
    name = resource.get("name")
    return name if isinstance(name, str) else person_name(name or {})


def _medication(resource: Json, words: Words, find: Find) -> Said:
    said = Said(medication.product(resource, find), label=medication.block(resource, words))
    said.states = [medication.state(resource, words)]
    said.details = [dosage.dose(resource, words), medication.in_use(resource, words), *notes(resource, words)]
    said.group = medication.treatment(resource)
    said.rank = 10 if medication.is_over(resource) else 0
    return said


def _consent(resource: Json, words: Words, find: Find) -> Said:
    said = Said(directives.subject(resource, words), label=directives.kind(resource, words))
    said.states = [directives.decision(resource, words), status(resource, words)]
    said.details = list(directives.details(resource, words, find))
    said.rank = directives.rank(resource)
    return said


def _report(resource: Json, words: Words, _: Find) -> Said:
    said = Said(reports.title(resource), label=words.code("type", "Composition"))
    said.states = [status(resource, words)]
    said.details = list(reports.told(resource))
    return said


_TYPES: Final[dict[str, Callable[[Json, Words, Find], Said]]] = {
    "AllergyIntolerance": _allergy,
    "CareTeam": _care_team,
    "Composition": _report,
    "Condition": _condition,
    "Consent": _consent,
    "DeviceUseStatement": _device,
    "Encounter": _encounter,
    "EpisodeOfCare": _encounter,
    "FamilyMemberHistory": _family,
    "Flag": _flag,
    "Immunization": _immunization,
    "MedicationAdministration": _medication,
    "MedicationDispense": _medication,
    "MedicationRequest": _medication,
    "MedicationStatement": _medication,
    "Observation": _observation,
    "Procedure": _procedure,
    "RelatedPerson": _related_person,
}
