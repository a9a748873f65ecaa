"""Writes the building blocks of MP9 as the simulated GP post and pharmacy answer them in HL7 v3."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Final

from gateway.demo.elements import Holder, Record
from gateway.demo.facts import AdministrationAgreement, Coding, Dispense, MedicationAgreement, Step
from gateway.demo.v3_elements import SNOMED, URA, author, coded, number, period, stamp

_BLOCKS: Final = "2.16.840.1.113883.2.4.3.11.60.20.77.10"
_OBSERVATIONS: Final = "2.16.840.1.113883.2.4.3.11.60.20.77.5.2"
_STOPPED: Final = f'<value xsi:type="CE" code="410546004" codeSystem="{SNOMED}" displayName="stopgezet"/>'
_PIECES: Final = '<translation value="{}" code="245" codeSystem="2.16.840.1.113883.2.4.4.1.900.2" displayName="stuk"/>'


def medication(record: Record) -> Iterator[str]:
    """Every building block of a record, in the order of its facts."""
    for fact in record.chart.facts:
        key, of = f"{record.patient_id}-{fact.id}", record.holder
        if isinstance(fact, MedicationAgreement):
            yield _agreement(of, key, fact)
        elif isinstance(fact, AdministrationAgreement):
            replaced = f"{record.patient_id}-{fact.replaces}" if fact.replaces else ""
            yield _administration(of, key, fact, replaced)
        elif isinstance(fact, Dispense):
            yield _dispense(of, key, fact)


def _agreement(of: Holder, key: str, fact: MedicationAgreement) -> str:
    drug = f"<manufacturedMaterial>{coded(fact.code)}<name>{escape(fact.text)}</name></manufacturedMaterial>"
    return (
        f'<substanceAdministration classCode="SBADM" moodCode="RQO">{number(of, key)}'
        f'<code code="33633005" codeSystem="{SNOMED}"/><text mediaType="text/plain">{escape(fact.dosage)}</text>'
        f'<statusCode code="{"active" if fact.status == "active" else "completed"}"/>'
        f'<effectiveTime xsi:type="IVL_TS">{period(fact.start, fact.end)}</effectiveTime>'
        f"<consumable><manufacturedProduct>{drug}</manufacturedProduct></consumable>"
        f"{author(of, fact.authored)}</substanceAdministration>"
    )


def _administration(of: Holder, key: str, fact: AdministrationAgreement, replaced: str) -> str:
    """The agreement of the pharmacy; a stopped one says so, and which it ends."""
    stop = (
        f'<entryRelationship typeCode="COMP"><observation classCode="OBS" moodCode="EVN"><templateId root="{_BLOCKS}.9414"/>'
        f'<code code="1" codeSystem="{_OBSERVATIONS}" displayName="Stoptype"/>{_STOPPED}</observation></entryRelationship>'
        if fact.status == "stopped"
        else ""
    )
    ended = (
        f'<entryRelationship typeCode="REFR"><substanceAdministration classCode="SBADM" moodCode="RQO">'
        f'<templateId root="{_BLOCKS}.9101"/>{number(of, replaced)}<code code="422037009" codeSystem="{SNOMED}"/>'
        '<consumable xsi:nil="true"/></substanceAdministration></entryRelationship>'
        if replaced
        else ""
    )
    steps = "".join(_step(place, step) for place, step in enumerate(fact.steps, start=1))
    return (
        f'<substanceAdministration classCode="SBADM" moodCode="RQO"><templateId root="{_BLOCKS}.9416"/>{number(of, key)}'
        f'<code code="422037009" codeSystem="{SNOMED}" displayName="Toedieningsafspraak"/>'
        f'<text mediaType="text/plain">{escape(fact.dosage)}</text>'
        f'<effectiveTime xsi:type="IVL_TS">{period(fact.start, fact.end)}</effectiveTime>'
        f"<consumable>{_product(fact.code)}</consumable>{_pharmacy(of, fact.authored)}{stop}{steps}{ended}"
        f"{_treatment(of, fact.treatment)}</substanceAdministration>"
    )


def _step(place: int, step: Step) -> str:
    """One step of a schedule, in the Timing of FHIR that MP9 writes inside HL7 v3."""
    timing = (
        f'<repeat><boundsDuration><value value="{step.days}"/><unit value="dag"/><system value="http://unitsofmeasure.org"/>'
        f'<code value="d"/></boundsDuration><frequency value="{step.times}"/><period value="1"/><periodUnit value="d"/></repeat>'
    )
    return (
        f'<entryRelationship typeCode="COMP"><sequenceNumber value="{place}"/><substanceAdministration classCode="SBADM" moodCode="RQO">'
        f'<templateId root="{_BLOCKS}.9359"/><effectiveTime xsi:type="Timing" xmlns="http://hl7.org/fhir">{timing}</effectiveTime>'
        f'<doseQuantity><center value="{step.amount:f}" unit="1">{_PIECES.format(f"{step.amount:f}")}</center></doseQuantity><consumable xsi:nil="true"/>'
        "</substanceAdministration></entryRelationship>"
    )


def _dispense(of: Holder, key: str, fact: Dispense) -> str:
    return (
        f'<supply classCode="SPLY" moodCode="EVN"><templateId root="{_BLOCKS}.9364"/>{number(of, key)}'
        f'<code code="373784005" codeSystem="{SNOMED}" displayName="Verstrekking"/><effectiveTime value="{stamp(fact.at)}"/>'
        f'<quantity value="{fact.amount:f}" unit="1">{_PIECES.format(f"{fact.amount:f}")}</quantity><expectedUseTime><width value="{fact.days}" unit="d"/></expectedUseTime>'
        f'<product>{_product(fact.code)}</product><performer><assignedEntity><id nullFlavor="NI"/>{_organization(of)}'
        f"</assignedEntity></performer>{_treatment(of, fact.treatment)}</supply>"
    )


def _product(code: Coding) -> str:
    material = f'<manufacturedMaterial classCode="MMAT" determinerCode="KIND">{coded(code)}</manufacturedMaterial>'
    return f'<manufacturedProduct><templateId root="{_BLOCKS}.9362"/>{material}</manufacturedProduct>'


def _pharmacy(of: Holder, at: str) -> str:
    """A pharmacy agrees as an organization."""
    return f'<author><time value="{stamp(at)}"/><assignedAuthor><id nullFlavor="NI"/>{_organization(of)}</assignedAuthor></author>'


def _organization(of: Holder) -> str:
    return f'<representedOrganization><id root="{URA}" extension="{of.ura}"/><name>{escape(of.organization)}</name></representedOrganization>'


def _treatment(of: Holder, treatment: str) -> str:
    """To which treatment a building block belongs: MP9 relates them by this number only."""
    named = f'<id root="2.16.840.1.113883.2.4.6.6.{of.ura}.9" extension="{escape(treatment)}"/>'
    return (
        f'<entryRelationship typeCode="COMP" inversionInd="true"><procedure classCode="PROC" moodCode="EVN">'
        f'<templateId root="{_BLOCKS}.9084"/>{named}<code code="1" codeSystem="2.16.840.1.113883.2.4.3.11.60.20.77.5.3"/>'
        "</procedure></entryRelationship>"
    )
