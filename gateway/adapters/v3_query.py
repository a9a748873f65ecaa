"""Write the question to an HL7 v3 source: who asks, for whom and why, one interaction for each part that is asked."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from typing import Final

from gateway.adapters.dialects import Query
from gateway.model import Context, Patient
from profiles.identifiers import BSN_SYSTEM

BSN_ROOT: Final = "2.16.840.1.113883.2.4.6.3"
URA_ROOT: Final = "2.16.528.1.1007.3.3"
UZI_ROOT: Final = "2.16.528.1.1007.3.1"
_ROLES: Final = "2.16.840.1.113883.2.4.15.111"
_INTERACTIONS: Final = "2.16.840.1.113883.1.6"
_HEAD: Final = '<?xml version="1.0" encoding="UTF-8"?>\n'


@dataclass(frozen=True, slots=True)
class Written:
    """One question as it goes over the wire."""

    body: bytes
    ids: Mapping[str, str]  # interaction -> the id its answer must name; the batch under its own name


def root_of(patient: Patient) -> str:
    """The OID that says what kind of number names the patient; empty when there is none."""
    if patient.system == BSN_SYSTEM:
        return BSN_ROOT
    return patient.system.removeprefix("urn:oid:") if patient.system.startswith("urn:oid:") else ""


def write(
    queries: Sequence[Query], batch: str, patient: Patient, context: Context, custodian: str, now: datetime
) -> Written:
    """Write the interactions of a question, in their batch when there is one.

    Spec: HL7 v3 transmission and query wrappers as the Netherlands uses them (NICTIZEd2005-Okt).
    """
    ids = {query.interaction: str(uuid.uuid4()).upper() for query in queries}
    parts = [_interaction(query.interaction, ids, patient, context, custodian, now) for query in queries]
    if not batch:
        (only,) = parts
        return Written((_HEAD + only.replace(">", ' xmlns="urn:hl7-org:v3">', 1)).encode(), ids)
    ids |= {batch: str(uuid.uuid4()).upper()}
    envelope = f'<transmissionQuantity value="{len(parts)}"/>{_between(context, custodian)}'
    body = f'<{batch} xmlns="urn:hl7-org:v3">{_opening(batch, ids, now)}{envelope}{"".join(parts)}</{batch}>'
    return Written((_HEAD + body).encode(), ids)


def _interaction(
    name: str, ids: Mapping[str, str], patient: Patient, context: Context, custodian: str, now: datetime
) -> str:
    number = f'<value root="{escape(root_of(patient))}" extension="{escape(patient.value)}"/>'
    query = f'<queryId root="{str(uuid.uuid4()).upper()}"/><statusCode code="new"/><responsePriorityCode code="I"/>'
    act = (
        f'<ControlActProcess moodCode="EVN">{_author(context)}{_reason(context)}'
        f"<queryByParameter>{query}<patientID>{number}<semanticsText>Patient.id</semanticsText></patientID></queryByParameter>"
        "</ControlActProcess>"
    )
    processing = '<processingCode code="P"/><processingModeCode code="T"/><acceptAckCode code="NE"/>'
    return f"<{name}>{_opening(name, ids, now)}{processing}{_between(context, custodian)}{act}</{name}>"


def _opening(name: str, ids: Mapping[str, str], now: datetime) -> str:
    return (
        f'<id root="{ids[name]}"/><creationTime value="{now:%Y%m%d%H%M%S%z}"/><versionCode code="NICTIZEd2005-Okt"/>'
        f'<interactionId root="{_INTERACTIONS}" extension="{name}"/>'
    )


def _between(context: Context, custodian: str) -> str:
    sender = escape(context.requester.organization)
    return (
        f'<receiver><device><id root="{URA_ROOT}" extension="{escape(custodian)}"/></device></receiver>'
        f'<sender><device><id root="{URA_ROOT}" extension="{sender}"/></device></sender>'
    )


def _author(context: Context) -> str:
    """Who asks, in the source's dialect (rule B6); what is signed says the same."""
    asker = context.requester
    person = f'<id root="{UZI_ROOT}" extension="{escape(asker.person)}"/>' if asker.person else '<id nullFlavor="NA"/>'
    role = f'<code code="{escape(asker.role)}" codeSystem="{_ROLES}"/>' if asker.role else ""
    name = f"<name>{escape(context.person_name)}</name>" if context.person_name else ""
    principal = f"<assignedPrincipalChoiceList><assignedPerson>{name}</assignedPerson></assignedPrincipalChoiceList>"
    organization = (
        f'<Organization><id root="{URA_ROOT}" extension="{escape(asker.organization)}"/>'
        f"<name>{escape(context.organization_name)}</name></Organization>"
    )
    assigned = f"<AssignedPerson>{person}{role}{principal if name else ''}{organization}</AssignedPerson>"
    return f'<authorOrPerformer typeCode="AUT"><participant>{assigned}</participant></authorOrPerformer>'


def _reason(context: Context) -> str:
    return f'<reasonCode nullFlavor="OTH"><originalText>{escape(context.purpose)}</originalText></reasonCode>'
