"""Ask the patient now (rule B2): the words to read, who answered, and a receipt; for this case only, a day at most."""

from __future__ import annotations

from typing import Any, Final

from consent.agreement import in_force
from consent.forms import ASKED
from consent.model import ANY
from gateway.errors import GatewayError
from gateway.intake import submit
from gateway.model import CANONICAL, instant
from gateway.oauth.login import Errand
from gateway.routes.pages import open_cases
from gateway.routes.pages.frame import Pages
from gateway.routes.pages.open_cases import MAXIMUM_TEXT, Mine
from gateway.routes.pages.visit import ROOT, ZONE, Reply, Visit
from profiles import exact
from profiles.identifiers import URA_SYSTEM

Json = dict[str, Any]

pages: Final = Pages(f"{ROOT}/cases", "coordinator")
SCRIPT: Final = "roaz-ask-now-1"  # the words in texts/coordinator.toml; another text is another number
_TERMS: Final = "http://terminology.hl7.org/CodeSystem"
RELATIONS: Final = ("parent", "guardian", "curator", "mentor", "proxy")


@pages.get("/{case_id}/ask", fresh=True)
async def ask(visit: Visit, case_id: str) -> Reply:
    """The words to read to the patient."""
    found = await open_cases.mine(visit, case_id)
    await visit.note("page", "ask", patient=open_cases.patient_of(visit, found), case=found.id)
    return _form(visit, found, {})


@pages.post("/{case_id}/ask", fresh=True)
async def answered(visit: Visit, case_id: str) -> Reply:
    """Record what the patient said: a yes or a no."""
    found = await open_cases.mine(visit, case_id)
    said = {name: visit.fields.get(name, "").strip() for name in ("said", "by", "name", "relation", "identity")}
    wrong = _wrong(said)
    if wrong:
        return _form(visit, found, wrong, status=422)
    custodians = accepting(visit)
    if said["said"] == "deny":  # a yes for this very case would outrank a no that comes after it
        await _take_back(visit, found)
    rows, kept = [], 0
    for ura in custodians:
        code = await _record(visit, found, ura, said)
        kept += not code
        rows.append((visit.ports.policy.name(ura), code))
    return visit.page("case_asked.html.j2", visit.words["asked_title"], case=found.id, rows=rows, kept=kept,
                      said=said, at=visit.now.astimezone(ZONE).strftime("%d-%m-%Y %H:%M"), script=SCRIPT,
                      ends=found.told()["ends"], told=found.told())  # fmt: skip


def _wrong(said: dict[str, str]) -> dict[str, str]:
    wrong: dict[str, str] = {}
    if said["said"] not in ("permit", "deny"):
        wrong["said"] = "wrong_said"
    if said["by"] not in ("patient", "representative"):
        wrong["by"] = "wrong_by"
    if said["by"] == "representative" and (not said["name"] or said["relation"] not in RELATIONS):
        wrong["name"] = "wrong_representative"
    if not said["identity"] or len(said["identity"]) > MAXIMUM_TEXT or len(said["name"]) > MAXIMUM_TEXT:
        wrong["identity"] = "wrong_identity"
    return wrong


def accepting(visit: Visit) -> list[str]:
    """The custodians that accept a spoken yes: by agreement, so that it says nothing about who holds data."""
    own = visit.logged.identity.organization
    found = [one for one in visit.ports.policy.agreements
             if one.patient_asked and in_force(one, visit.now) and {own, ANY} & one.requesters]  # fmt: skip
    named = {ura for one in found for ura in one.custodians if ura != ANY}
    if any(ANY in one.custodians for one in found):
        named |= {one.ura for one in visit.ports.settings.organizations} - {own}
    return sorted(named)


async def _record(visit: Visit, found: Mine, ura: str, said: dict[str, str]) -> str:
    """Keep what was said about one custodian's data, through the line; the code of the refusal, or nothing."""
    body = exact.encode(_consent(visit, found, ura, said))
    try:
        incoming = await visit.to_the_line("POST", "fhir/Consent", Errand(case=found.id, fresh=True), body=body)
        await submit(incoming, "create", "Consent", "", visit.ports)
    except GatewayError as error:
        if error.row.status >= 500:
            raise
        return error.code
    return ""


async def _take_back(visit: Visit, found: Mine) -> None:
    """End every spoken yes of this case, through the line (rule C6: closing is easy)."""
    statements = await visit.ports.consents.statements(found.patient)
    spoken = {one.id.partition("/")[0].partition("#")[0] for one in statements
              if one.effect == "permit" and one.source == "patient-asked" and found.id in one.cases}  # fmt: skip
    for id_ in sorted(spoken):
        kept = await visit.ports.consents.get(id_)
        if kept is None:
            continue
        version, raw, _ = kept
        body = exact.encode(exact.decode(raw) | {"status": "inactive"})
        incoming = await visit.to_the_line("PUT", f"fhir/Consent/{id_}", Errand(case=found.id, fresh=True), body=body,
                                           if_match=f'W/"{version}"')  # fmt: skip
        await submit(incoming, "update", "Consent", id_, visit.ports)


def _consent(visit: Visit, found: Mine, ura: str, said: dict[str, str]) -> Json:
    """The Consent a coordinator records who just asked."""
    own = visit.logged.identity.organization
    talk: dict[str, Json] = {
        "case": {"valueReference": {"reference": f"Task/{found.id}"}},
        "script": {"valueString": SCRIPT},
        "answeredBy": {"valueCode": said["by"]},
        "identity": {"valueString": said["identity"]},
    }
    recipient = {
        "role": {"coding": [{"system": f"{_TERMS}/v3-ParticipationType", "code": "IRCP"}]},
        "reference": {"identifier": {"system": URA_SYSTEM, "value": own}},
    }
    consent: Json = {
        "resourceType": "Consent",
        "status": "active",
        "scope": {"coding": [{"system": f"{_TERMS}/consentscope", "code": "patient-privacy"}]},
        "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
        "patient": {"reference": f"Patient/{found.patient}"},
        "dateTime": instant(visit.now),
        "organization": [{"identifier": {"system": URA_SYSTEM, "value": ura}}],
        "policy": [{"uri": "https://wetten.overheid.nl/BWBR0023864"}],
        "provision": {"type": said["said"], "actor": [recipient]},
        "extension": [{"url": ASKED, "extension": [{"url": name, **value} for name, value in talk.items()]}],
    }
    born = visit.logged.recall("born", found.id, str)
    if born:
        consent["extension"].append({"url": f"{CANONICAL}/StructureDefinition/patient-birth-date", "valueDate": born})
    if said["by"] == "representative":
        who = [{"url": "role", "valueCode": said["relation"]}]
        consent["performer"] = [{"display": said["name"], "extension": [
            {"url": f"{CANONICAL}/StructureDefinition/representative", "extension": who}]}]  # fmt: skip
    return consent


def _form(visit: Visit, found: Mine, wrong: dict[str, str], status: int = 200) -> Reply:
    return visit.page("case_ask.html.j2", visit.words["ask_title"], status=status, case=found.id, wrong=wrong,
                      said=visit.fields, relations=RELATIONS, told=found.told(), accepting=bool(accepting(visit)),
                      organization_name=visit.ports.policy.name(visit.logged.identity.organization))  # fmt: skip
