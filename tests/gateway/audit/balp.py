"""The constraints of IHE BALP 1.1 on FHIR R4, one row a profile, written from its specification; and what breaks them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

Json = dict[str, Any]

BASE: Final = "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit."
DCM: Final = "http://dicom.nema.org/resources/ontology/DCM"
REST: Final = ("http://terminology.hl7.org/CodeSystem/audit-event-type", "rest")
FHIR: Final = "http://hl7.org/fhir/restful-interaction"
SOURCE, DESTINATION, APPLICATION = (DCM, "110153"), (DCM, "110152"), (DCM, "110150")
USER: Final = ("http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "IRCP")
OAUTH_USER: Final = ("https://profiles.ihe.net/ITI/BALP/CodeSystem/UserAgentTypes", "UserOauthAgent")
TRANSACTION: Final = ("https://profiles.ihe.net/ITI/BALP/CodeSystem/BasicAuditEntityType", "XrequestId")
PERSON: Final = ("http://terminology.hl7.org/CodeSystem/audit-entity-type", "1")
OBJECT: Final = ("http://terminology.hl7.org/CodeSystem/audit-entity-type", "2")
ROLE: Final = "http://terminology.hl7.org/CodeSystem/object-role"


@dataclass(frozen=True)
class Profile:
    """What one profile asks of an event as a whole; agents and entities have rules of their own below."""

    type: tuple[str, str]
    subtypes: frozenset[tuple[str, str]]  # one of them, once
    action: str
    client: tuple[str, str] | None = None
    server: tuple[str, str] | None = None
    data: bool = False  # exactly one domain resource
    query: bool = False
    patient: bool = False
    only_subtype: bool = False
    purpose: bool = False


def _rest(action: str, *codes: str, reads: bool = False, data: bool = True, query: bool = False) -> Profile:
    client, server = (DESTINATION, SOURCE) if reads else (SOURCE, DESTINATION)
    return Profile(REST, frozenset((FHIR, code) for code in codes), action, client, server, data, query)


_PLAIN: Final = {
    "Create": _rest("C", "create"),
    "Read": _rest("R", "read", "vread", reads=True),
    "Update": _rest("U", "update", "patch"),
    "Delete": _rest("D", "delete"),
    "Query": _rest("E", "search", data=False, query=True),
}
_DISCLOSE: Final = frozenset({("http://terminology.hl7.org/CodeSystem/iso-21089-lifecycle", "disclose")})
PROFILES: Final = {
    **_PLAIN,
    **{
        f"Patient{name}": Profile(**{**row.__dict__, "patient": True})  # the same, and exactly one patient
        for name, row in _PLAIN.items()
    },
    "PrivacyDisclosure.Source": Profile(
        (DCM, "110106"), _DISCLOSE, "R", DESTINATION, SOURCE, patient=True, purpose=True
    ),
    "PrivacyDisclosure.Recipient": Profile(
        (DCM, "110107"), _DISCLOSE, "C", DESTINATION, SOURCE, patient=True, purpose=True
    ),
    "AuthZconsent": Profile(
        (DCM, "110113"),
        frozenset({("https://profiles.ihe.net/ITI/BALP/CodeSystem/AuthZsubType", "AuthZ-Consent")}),
        "E",
        patient=True,
        only_subtype=True,
    ),
}


def claimed(event: Json) -> list[str]:
    """The profiles an event says it is of, by their short names."""
    return [url.removeprefix(BASE) for url in event.get("meta", {}).get("profile", ())]


def breaches(event: Json) -> list[str]:
    """Everything the profiles an event claims have against it."""
    found = list(_always(event))
    for name in claimed(event):
        if name == "OAUTHaccessTokenUse.Comprehensive":
            found += [f"{name}: {what}" for what in _oauth(event)]
        else:
            found += [f"{name}: {what}" for what in _profile(event, PROFILES[name])]
    return found


def _profile(event: Json, row: Profile) -> Iterator[str]:
    if _code(event["type"]) != row.type:
        yield "type"
    codes = [_code(one) for one in event.get("subtype", ())]
    if sum(code in row.subtypes for code in codes) != 1:
        yield "subtype"
    if row.only_subtype and len(codes) != 1:
        yield "one subtype only"
    if event.get("action") != row.action:
        yield "action"
    if "modifierExtension" in event:
        yield "modifierExtension"
    if row.purpose and not event.get("purposeOfEvent"):
        yield "purposeOfEvent"
    if row.purpose and not _entities(event, OBJECT, "4"):
        yield "what was disclosed"
    for name, code in (("client", row.client), ("server", row.server)):
        if code is not None:
            yield from (f"{name}: {what}" for what in _machine(_agents(event, code)))
    if row.data and not _one_with_what(_entities(event, OBJECT, "4")):
        yield "exactly one data entity with what"
    if row.query:
        asked = _entities(event, OBJECT, "24")
        if len(asked) != 1 or not asked[0].get("query"):
            yield "exactly one query entity with query"
    if row.patient:
        persons = _entities(event, PERSON, "1")
        if not _one_with_what(persons) or not persons[0]["what"].get("reference", "").startswith("Patient/"):
            yield "exactly one patient entity with a reference to a Patient"
    users = _agents(event, USER)
    if len(users) > 1 or any(not user.get("who") or user["requestor"] is not True for user in users):
        yield "user"
    if "AuthZ-Consent" in {code for _, code in codes} and not any(
        entity["what"].get("reference", "").startswith("Consent/") or entity["what"].get("display")
        for entity in event["entity"]
        if _code(entity["type"]) == ("http://hl7.org/fhir/resource-types", "Consent")
    ):
        yield "the consent"


def _machine(agents: list[Json]) -> Iterator[str]:
    if len(agents) != 1:
        yield f"{len(agents)} agents"
    for agent in agents:
        if not agent.get("who"):
            yield "who"
        if not agent.get("network", {}).get("address") or "media" in agent:
            yield "network"


def _oauth(event: Json) -> Iterator[str]:
    """Who used the access token, as its claims say. Spec: IHE BALP, 'OAUTH access token use, comprehensive'."""
    users, clients = _agents(event, OAUTH_USER), _agents(event, APPLICATION)
    if len(users) != 1 or len(clients) > 1:
        yield "one user, at most one client"
    for user in users:
        if not user.get("who", {}).get("identifier", {}).get("value"):
            yield "sub"
        policy = user.get("policy", ())
        if len(policy) != 1 or not policy[0].startswith("urn:ietf:params:oauth:jti:"):
            yield "jti"
        if user["requestor"] is not True or {"altId", "location", "media", "network"} & user.keys():
            yield "what a user is not"
    for client in clients:
        if not client["who"].get("identifier", {}).get("value"):
            yield "client_id"


def _always(event: Json) -> Iterator[str]:
    transactions = [one for one in event["entity"] if _code(one["type"]) == TRANSACTION]
    if len(transactions) > 1 or any(not one["what"]["identifier"].get("value") for one in transactions):
        yield "transaction"
    if event.get("outcome") != "0" and not event.get("outcomeDesc"):
        yield "a failure says why"
    if any("name" in one and "query" in one for one in event["entity"]):
        yield "sev-1"
    if not event["source"].get("observer") or not event["source"].get("site"):
        yield "source"


def _agents(event: Json, code: tuple[str, str]) -> list[Json]:
    return [agent for agent in event["agent"] if code in {_code(one) for one in agent["type"]["coding"]}]


def _entities(event: Json, type_: tuple[str, str], role: str) -> list[Json]:
    return [
        one for one in event["entity"] if _code(one["type"]) == type_ and _code(one.get("role", {})) == (ROLE, role)
    ]


def _one_with_what(entities: list[Json]) -> bool:
    return len(entities) == 1 and bool(entities[0].get("what"))


def _code(coding: Json) -> tuple[str, str]:
    return coding.get("system", ""), coding.get("code", "")
