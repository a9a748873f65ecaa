"""The agents of an AuditEvent: the two machines, the person, who is responsible, and the organization with what allowed it."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final

from consent.roles import role_of
from gateway.audit import vocabulary as words
from gateway.audit.record import Asked, Record
from gateway.model import Json
from gateway.policy import Policy
from profiles.identifiers import ORGANIZATION_TYPE_SYSTEM, URA_SYSTEM
from profiles.identifiers import ROLE_SYSTEM as UZI_ROLE_SYSTEM

_UZI_ROLE: Final = re.compile(r"\d{2}\.\d{3}")
SOURCE: Final = "dcm|110153"
DESTINATION: Final = "dcm|110152"
USER_TYPES: Final = f"{words.BALP}/CodeSystem/UserAgentTypes"
ASSURANCE_EXTENSION: Final = f"{words.BALP}/StructureDefinition/ihe-assuranceLevel"


@dataclass(frozen=True, slots=True)
class Recorder:
    """The gateway as it names itself in an event."""

    base: str
    name: str
    ura: str
    policy: Policy

    @property
    def who(self) -> Json:
        """The gateway, by the organization that runs it."""
        made: Json = {"display": self.name}
        return {"identifier": {"system": URA_SYSTEM, "value": self.ura}} | made if self.ura else made


def machines(record: Record, recorder: Recorder, *, reads: bool) -> list[Json]:
    """Client and server; who sends the content is the source of it.

    Spec: IHE BALP 1.1: on a read the server is the source, on query, create, update and delete the client is.
    """
    sends, receives = (DESTINATION, SOURCE) if reads else (SOURCE, DESTINATION)
    who: Json = {"identifier": {"system": recorder.base, "value": record.client}} if record.client else {}
    client: Json = {
        "type": words.concept(words.coding(sends), words.coding("dcm|110150")),
        "who": who or {"display": "unknown client"},
        "requestor": not (record.token or record.person),
        "network": network(record.address or "unknown"),
    }
    return [client, gateway(recorder, receives)]


def gateway(recorder: Recorder, short: str) -> Json:
    """This gateway, as source or destination."""
    return {
        "type": words.concept(words.coding(short)),
        "who": recorder.who,
        "requestor": False,
        "network": {"address": recorder.base, "type": "5"},
    }


def user(record: Record, recorder: Recorder) -> list[Json]:
    """Who asks: the person, else the system behind the access token; nobody when neither is known."""
    if not record.token and not record.person:
        return []
    recipient = words.coded(words.PARTICIPATION, "IRCP", "information recipient")
    agent: Json = {
        "type": words.concept(recipient),
        "who": {"identifier": identifier(record.person or record.client, recorder.base)},
        "requestor": True,
    }
    if record.token:
        oauth = words.coded(USER_TYPES, "UserOauthAgent", "User OAuth Agent participant")
        agent |= {"type": words.concept(oauth, recipient), "policy": [f"urn:ietf:params:oauth:jti:{record.token}"]}
    if record.assurance:
        level = words.concept(words.coded(words.ASSURANCE_SYSTEM, record.assurance))
        agent["extension"] = [{"url": ASSURANCE_EXTENSION, "valueCodeableConcept": level}]
    if record.person_name:
        agent["name"] = record.person_name
    if record.role:
        agent["role"] = [role(record.role)]
    if record.purpose:
        agent["purposeOfUse"] = [words.purpose(record.purpose)]
    return [agent]


def responsible(record: Record) -> list[Json]:
    """Who is responsible for what the person does."""
    if not record.responsible:
        return []
    kind = words.coded(words.PARTICIPATION, "RESP", "responsible party")
    return [{"type": words.concept(kind), "who": {"identifier": identifier(record.responsible)}, "requestor": False}]


def others(record: Record, recorder: Recorder) -> list[Json]:
    """Who is responsible, and the organization on whose behalf, with the policies that allowed it."""
    found = responsible(record)
    if record.organization:
        found.append(organization(record.organization, record.facility, recorder) | policies(record))
    return found


def organization(ura: str, facility: str, recorder: Recorder, kind: Json | None = None) -> Json:
    """An organization by URA, name and facility type; only by its type where `ura` is empty (F1)."""
    facility = facility or recorder.policy.facility_type(ura)
    who: Json = (
        {"identifier": {"system": URA_SYSTEM, "value": ura}, "display": recorder.policy.name(ura)}
        if ura
        else {"display": f"organization of type {facility or '?'}"}
    )
    agent: Json = {"type": words.concept(kind or words.coded(words.ROLE_CLASS, "PROV", "healthcare provider"))}
    agent |= {"who": who, "requestor": False}
    if facility and facility != "?":
        agent["role"] = [words.concept(words.coded(ORGANIZATION_TYPE_SYSTEM, facility))]
    return agent


def policies(record: Record, *custodians: Asked) -> Json:
    """The authorization protocol: revision of the policy, and the agreements that decided. Spec: NEN 7513 7.4."""
    agreements = dict.fromkeys(one.rule for one in custodians or record.custodians if one.rule)
    named = [f"urn:roaz:policy:{record.policy}"] if record.policy else []
    named += [f"urn:roaz:agreement:{one}" for one in agreements]
    return {"policy": named} if named else {}


def network(address: str) -> Json:
    """A network access point: an IP address, else a name of a machine."""
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return {"address": address, "type": "1"}
    return {"address": address, "type": "2"}


def identifier(text: str, system: str = "") -> Json:
    """An identifier kept as `system|value`, or bare."""
    named, _, value = text.rpartition("|")
    system = named or system
    return {"system": _uri(system), "value": value} if system else {"value": value}


def role(code: str) -> Json:
    """A role of the UZI register or of the region, with its name."""
    known = role_of(code)
    system = UZI_ROLE_SYSTEM if _UZI_ROLE.fullmatch(code) else words.ROLE_SYSTEM
    return words.concept(words.coded(system, code, known.nl if known else ""))


def _uri(system: str) -> str:
    return system if ":" in system else f"urn:roaz:{system}"
