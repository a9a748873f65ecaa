"""The HL7 v3 elements that messages and documents of the simulated organizations write alike."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from html import escape
from typing import Final

from gateway.demo.elements import Holder
from gateway.demo.facts import Allergy, Coding, Fact, Laboratory, Measurement, Person, Pressure, Problem
from gateway.demo.persons import vocabulary

BSN: Final = "2.16.840.1.113883.2.4.6.3"
URA: Final = "2.16.528.1.1007.3.3"
UZI: Final = "2.16.528.1.1007.3.1"
ROLES: Final = "2.16.840.1.113883.2.4.15.111"
LOINC: Final = "2.16.840.1.113883.6.1"
SNOMED: Final = "2.16.840.1.113883.6.96"
CONCERN: Final = '<code code="CONC" codeSystem="2.16.840.1.113883.5.6"/>'
NAMESPACES: Final = 'xmlns="urn:hl7-org:v3" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
HEAD: Final = '<?xml version="1.0" encoding="UTF-8"?>\n'


def record_target(person: Person, birth_date: str = "") -> str:
    """Who it is about."""
    name, address = person.name, person.address
    where = (
        f'<addr use="HP"><streetName>{escape(address.street)}</streetName><houseNumber>{escape(address.number)}</houseNumber>'
        f"<postalCode>{escape(address.postcode)}</postalCode><city>{escape(address.city)}</city></addr>"
        if address
        else ""
    )
    phone = f'<telecom use="HP" value="tel:{escape(person.phone)}"/>' if person.phone else ""
    prefix = f'<prefix qualifier="VV">{escape(name.prefix)} </prefix>' if name.prefix else ""
    called = f'<given qualifier="BR">{escape(name.given)}</given>{prefix}<family qualifier="BR">{escape(name.family)}</family>'
    gender = "F" if person.gender == "female" else "M"
    role = (
        f'<id root="{BSN}" extension="{person.bsn}"/>{where}{phone}<patient><name use="L">{called}</name>'
        f'<administrativeGenderCode code="{gender}" codeSystem="2.16.840.1.113883.5.1"/>'
        f'<birthTime value="{stamp(birth_date or person.birthDate)}"/></patient>'
    )
    return f'<recordTarget typeCode="RCT"><patientRole classCode="PAT">{role}</patientRole></recordTarget>'


def coded(code: Coding, element: str = "code", kind: str = "") -> str:
    """A code of a person file, in the OID of its system."""
    type_ = f' xsi:type="{kind}"' if kind else ""
    system = vocabulary()["oids"][code.alias]
    return f'<{element}{type_} code="{code.code}" codeSystem="{system}" displayName="{escape(code.display)}"/>'


def stamp(moment: str) -> str:
    """A date or an instant as HL7 v3 writes it, as precise as it is."""
    if "T" not in moment:
        return moment.replace("-", "")
    return datetime.fromisoformat(moment).strftime("%Y%m%d%H%M%S%z")


def number(holder: Holder, fact: str) -> str:
    """The identification of a fact: the organization's own root and its own key."""
    return f'<id root="2.16.840.1.113883.2.4.6.6.{holder.ura}.1" extension="{escape(fact)}"/>'


def period(start: str, end: str = "") -> str:
    """From when, and until when where it is over."""
    return (
        f'<low value="{stamp(start)}"/>' if start else ""
    ) + (f'<high value="{stamp(end)}"/>' if end else "")  # fmt: skip


def concern(holder: Holder, key: str, template: str, status: str, recorded: str, inner: str, note: str = "") -> str:
    """The act around a problem or an allergy: whether it is still one, and since when it is on record."""
    said = f"<text>{escape(note)}</text>" if note else ""
    return (
        f'<act classCode="ACT" moodCode="EVN"><templateId root="{template}"/>{number(holder, f"{key}-act")}{CONCERN}{said}'
        f'<statusCode code="{"active" if status == "active" else "completed"}"/>'
        f"<effectiveTime>{period(recorded)}</effectiveTime>"
        f'<entryRelationship typeCode="SUBJ">{inner}</entryRelationship></act>'
    )


def problem(holder: Holder, key: str, fact: Problem, template: str) -> str:
    """A diagnosis: since when and until when it was there."""
    return (
        f'<observation classCode="OBS" moodCode="EVN"><templateId root="{template}"/>{number(holder, key)}'
        f'<code code="282291009" codeSystem="{SNOMED}" displayName="Diagnose"/><statusCode code="completed"/>'
        f"<effectiveTime>{period(fact.onset or fact.recorded, fact.end)}</effectiveTime>{coded(fact.code, 'value', 'CD')}</observation>"
    )


def allergy(holder: Holder, key: str, fact: Allergy, template: str) -> str:
    """A hypersensitivity with the substance and what it does."""
    reaction = (
        f'<entryRelationship typeCode="MFST" inversionInd="true"><observation classCode="OBS" moodCode="EVN">'
        f'<code code="ASSERTION" codeSystem="2.16.840.1.113883.5.4"/>{coded(fact.reaction, "value", "CD")}</observation></entryRelationship>'
        if fact.reaction
        else ""
    )
    return (
        f'<observation classCode="OBS" moodCode="EVN"><templateId root="{template}"/>{number(holder, key)}'
        '<code code="ASSERTION" codeSystem="2.16.840.1.113883.5.4"/><statusCode code="completed"/>'
        f"<effectiveTime>{period(fact.onset)}</effectiveTime>"
        f'<value xsi:type="CD" code="419511003" codeSystem="{SNOMED}" displayName="Neiging tot ongewenste reactie op medicatie"/>'
        '<participant typeCode="CSM"><participantRole classCode="MANU"><playingEntity classCode="MMAT">'
        f"{coded(fact.code)}</playingEntity></participantRole></participant>{reaction}</observation>"
    )


def measured(holder: Holder, key: str, fact: Fact, template: str = "") -> Iterator[str]:
    """Each value of a measurement or a laboratory result."""
    if isinstance(fact, Pressure):
        yield _value(
            holder,
            f"{key}-s",
            Coding("loinc 8480-6 Systolische bloeddruk"),
            f"{fact.systolic:f}",
            "mm[Hg]",
            fact.at,
            template,
        )
        yield _value(
            holder,
            f"{key}-d",
            Coding("loinc 8462-4 Diastolische bloeddruk"),
            f"{fact.diastolic:f}",
            "mm[Hg]",
            fact.at,
            template,
        )
    elif isinstance(fact, Measurement):
        row = vocabulary()["measurements"][fact.of]
        yield _value(
            holder, key, Coding(row["codes"][-1]), f"{fact.value:f}", fact.unit or row["unit"], fact.at, template
        )
    elif isinstance(fact, Laboratory):
        yield _value(holder, key, fact.code, f"{fact.value:f}", fact.unit, fact.at, template)


def _value(holder: Holder, key: str, code: Coding, value: str, unit: str, at: str, template: str) -> str:
    chosen = f'<templateId root="{template}"/>' if template else ""
    return (
        f'<observation classCode="OBS" moodCode="EVN">{chosen}{number(holder, key)}{coded(code)}<statusCode code="completed"/>'
        f'<effectiveTime value="{stamp(at)}"/><value xsi:type="PQ" value="{value}" unit="{escape(unit)}"/></observation>'
    )


def author(holder: Holder, at: str) -> str:
    """Who wrote it, for which organization."""
    return (
        f'<author><time value="{stamp(at)}"/><assignedAuthor><id root="{UZI}" extension="{holder.uzi}"/>'
        f'<code code="{holder.role}" codeSystem="{ROLES}"/>'
        f"<assignedPerson><name>{escape(holder.practitioner)}</name></assignedPerson>"
        f'<representedOrganization><id root="{URA}" extension="{holder.ura}"/><name>{escape(holder.organization)}</name></representedOrganization>'
        "</assignedAuthor></author>"
    )
