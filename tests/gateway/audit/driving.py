"""Everything that can be asked of the API, refused and broken too, with what the truth is about each request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Final

from gateway.model import Caller
from tests.gateway.audit.memory import LogWorld
from tests.gateway.charts import BIRTH, BSN, BSN_SYSTEM, OTHER_BSN, Json, person, privacy
from tests.gateway.test_answers import identified, matching
from tests.gateway.test_cases import task
from tests.gateway.test_writes import registration
from tests.gateway.world import (
    COORDINATOR,
    GP,
    HOSPITAL,
    MENTAL,
    OUTSIDER,
    PHYSICIAN,
    POST,
    SYSTEM,
    Reply,
    custodian,
)

AUDITOR: Final = replace(
    PHYSICIAN, purpose="toezicht", person_name="Vera Toezicht", token_id="t9",
    requester=replace(PHYSICIAN.requester, client="audit-app", role="auditor", person="uzi|900000107"),
)  # fmt: skip
TODAY: Final = "date=ge2026-03-02&date=le2026-03-02"


def auditor(ura: str) -> Caller:
    """Somebody who supervises one organization."""
    return replace(AUDITOR, requester=replace(AUDITOR.requester, organization=ura, client=f"audit-{ura}"))


def _case_read(world: LogWorld) -> Reply:
    made = world.post("Task", task(), COORDINATOR)
    return world.get(f"Task/{made.json['id']}", COORDINATOR)


def _case_version(world: LogWorld) -> Reply:
    made = world.post("Task", task(), COORDINATOR)
    return world.get(made.header("location").partition("/fhir/")[2], COORDINATOR)


def _case_closed(world: LogWorld) -> Reply:
    made = world.post("Task", task(), COORDINATOR).json
    return world.request("PUT", f"Task/{made['id']}", COORDINATOR, body=made | {"status": "completed"})


def _consent_changed(world: LogWorld) -> Reply:
    made = world.post("Consent", privacy(GP), custodian(GP)).json
    return world.request("PUT", f"Consent/{made['id']}", custodian(GP), body=privacy(GP) | {"status": "inactive"},
                         headers={"if-match": 'W/"1"'})  # fmt: skip


def _withdrawn(world: LogWorld) -> Reply:
    made = world.post("List", registration(), custodian(GP))
    return world.request("DELETE", f"List/{made.json['id']}", custodian(GP))


@dataclass
class Driven:
    """One request with its answer, and what must stand about it in the log."""

    name: str
    reply: Reply
    caller: Caller | None
    shows: bool  # data of the patient was given
    patient: bool  # it was about the patient, and who that is was known when it ended


Ask = Callable[[LogWorld], Reply]

# name -> caller, whether data of the patient is shown, whether the patient is known, what is asked
QUESTIONS: Final[dict[str, tuple[Caller | None, bool, bool, Ask]]] = {
    "search": (PHYSICIAN, True, True, lambda world: world.search()),
    "search by POST": (PHYSICIAN, True, True, lambda world: world.post(
        "Condition/_search", f"patient.identifier={BSN_SYSTEM}|{BSN}")),
    "find": (PHYSICIAN, True, True, lambda world: world.find()),
    "read a person": (PHYSICIAN, True, True, lambda world: world.get(f"Patient/{world.patient}")),
    "read an item": (PHYSICIAN, True, True, lambda world: world.get(
        f"AllergyIntolerance/{world.search().items[0]['id']}")),
    "summary": (PHYSICIAN, True, True, lambda world: world.summary()),
    "summary by POST": (PHYSICIAN, True, True, lambda world: world.post("Patient/$summary", identified())),
    "summary as a page": (PHYSICIAN, True, True, lambda world: world.summary(accept="text/html")),
    "summary by a system": (SYSTEM, True, True, lambda world: world.summary(SYSTEM)),
    "summary as XML": (PHYSICIAN, True, True, lambda world: world.summary(accept="application/fhir+xml")),
    "search of several types": (PHYSICIAN, True, True, lambda world: world.get(
        f"?patient={world.patient}&_type=AllergyIntolerance,Condition")),
    "everything": (PHYSICIAN, True, True, lambda world: world.get(f"Patient/{world.patient}/$everything")),
    "everything by POST": (PHYSICIAN, True, True, lambda world: world.post(
        f"Patient/{world.patient}/$everything", {"resourceType": "Parameters"})),
    "newest": (PHYSICIAN, True, True, lambda world: world.get(
        f"Observation/$lastn?patient={world.patient}&category=vital-signs")),
    "documents": (PHYSICIAN, False, True, lambda world: world.get(
        f"DocumentReference/$docref?patient={world.patient}")),
    "document": (PHYSICIAN, True, True, lambda world: world.get(f"Composition/{world.patient}/$document")),
    "document of nobody": (PHYSICIAN, False, False, lambda world: world.get("Composition/x/$document")),
    "batch without a token": (None, False, False, lambda world: world.post("", {"resourceType": "Bundle"}, None)),
    "batch that is none": (PHYSICIAN, False, False, lambda world: world.post(
        "", {"resourceType": "Bundle", "type": "transaction"})),
    "empty batch": (PHYSICIAN, False, False, lambda world: world.post("", {"resourceType": "Bundle", "type": "batch"})),
    "version of a case": (COORDINATOR, False, True, _case_version),
    "match": (PHYSICIAN, True, True, lambda world: world.post("Patient/$match", matching())),
    "match of nobody": (PHYSICIAN, False, True, lambda world: world.post(
        "Patient/$match", matching(birth="1900-01-01"))),
    "unknown person": (PHYSICIAN, False, False, lambda world: world.post("Patient/$summary", identified(OTHER_BSN))),
    "no agreement": (OUTSIDER, False, True, lambda world: world.search(caller=OUTSIDER)),
    "no case": (COORDINATOR, False, True, lambda world: world.search(caller=COORDINATOR)),
    "no token": (None, False, False, lambda world: world.search(caller=None)),
    "token of nobody": (None, False, False, lambda world: world.get(
        "Patient/x", None, authorization="Bearer a.b.c")),
    "BSN in the URL": (PHYSICIAN, False, False, lambda world: world.get(f"Patient?identifier={BSN}")),
    "unknown type": (None, False, False, lambda world: world.get("Nothing")),
    "unknown path": (None, False, False, lambda world: world.get("Patient/x/y/z")),
    "unknown id": (PHYSICIAN, False, False, lambda world: world.get("Condition/x")),
    "unknown parameter": (PHYSICIAN, False, False, lambda world: world.search(more="&nothing=1")),
    "no patient": (PHYSICIAN, False, False, lambda world: world.get("Condition")),
    "wrong method": (None, False, False, lambda world: world.request("DELETE", "Patient/x")),
    "malformed": (PHYSICIAN, False, False, lambda world: world.post(
        "Patient/$match", b"{", content_type="application/fhir+json")),
    "wrong media type": (PHYSICIAN, False, False, lambda world: world.post(
        "Patient/$match", b"x", content_type="text/plain")),
    "too large": (None, False, False, lambda world: world.post("Patient/$match", b"{" * 200_000)),
    "not acceptable": (PHYSICIAN, False, False, lambda world: world.search(accept="image/png")),
    "case opened": (COORDINATOR, False, True, lambda world: world.post("Task", task(), COORDINATOR)),
    "case read": (COORDINATOR, False, True, _case_read),
    "case closed": (COORDINATOR, False, True, _case_closed),
    "consent changed": (custodian(GP), False, True, _consent_changed),
    "may look": (PHYSICIAN, False, True, lambda world: world.get(f"Patient/{world.patient}/$can-access")),
    "may look by POST": (PHYSICIAN, False, True, lambda world: world.post("Patient/$can-access", identified())),
    "checked": (PHYSICIAN, False, False, lambda world: world.post("Condition/$validate", {"resourceType": "Condition"})),
    "agreement proposed": (PHYSICIAN, False, False, lambda world: world.post("Contract", {"resourceType": "Contract"})),
    "agreement unknown": (PHYSICIAN, False, False, lambda world: world.get("Contract/x")),
    "agreement changed": (PHYSICIAN, False, False, lambda world: world.request(
        "PUT", "Contract/x", body={"resourceType": "Contract"})),
    "case refused": (SYSTEM, False, False, lambda world: world.post("Task", task(), SYSTEM)),
    "case malformed": (COORDINATOR, False, False, lambda world: world.post("Task", task(code=None), COORDINATOR)),
    "case unknown": (COORDINATOR, False, False, lambda world: world.get("Task/case-unknown", COORDINATOR)),
    "consent recorded": (custodian(GP), False, True, lambda world: world.post("Consent", privacy(GP), custodian(GP))),
    "consent refused": (PHYSICIAN, False, True, lambda world: world.post("Consent", privacy(GP), PHYSICIAN)),
    "registered": (custodian(GP), False, True, lambda world: world.post("List", registration(), custodian(GP))),
    "registered for another": (custodian(GP), False, False, lambda world: world.post(
        "List", registration(HOSPITAL), custodian(GP))),
    "registration withdrawn": (custodian(GP), False, False, _withdrawn),
    "registration unknown": (custodian(GP), False, False, lambda world: world.request(
        "DELETE", "List/list-unknown", custodian(GP))),
    "log searched": (AUDITOR, False, False, lambda world: world.get(f"AuditEvent?{TODAY}", AUDITOR)),
    "log of the patient": (AUDITOR, False, True, lambda world: world.get(
        f"AuditEvent?{TODAY}&patient={world.patient}", AUDITOR)),
    "log without dates": (AUDITOR, False, False, lambda world: world.get("AuditEvent", AUDITOR)),
    "log refused": (PHYSICIAN, False, False, lambda world: world.get(f"AuditEvent?{TODAY}")),
    "log event": (AUDITOR, False, False, lambda world: world.get("AuditEvent/1.1.1", AUDITOR)),
    "log event unknown": (AUDITOR, False, False, lambda world: world.get("AuditEvent/9.9.9", AUDITOR)),
}  # fmt: skip


def _broken(world: LogWorld, break_: Callable[[LogWorld], Any]) -> LogWorld:
    break_(world)
    return world


def _down(*names: str) -> Callable[[], LogWorld]:
    def made() -> LogWorld:
        world = LogWorld()
        world.with_source_down(*names)
        return world

    return made


def _store_down(name: str) -> Callable[[], LogWorld]:
    def made() -> LogWorld:
        world = LogWorld()
        getattr(world, name).broken = True
        return world

    return made


# What is broken -> a world in which it is, and whether data is still shown to the physician who searches in it.
FAILURES: Final[dict[str, tuple[Callable[[], LogWorld], bool]]] = {
    "one source down": (_down("gp"), True),
    "every source down": (_down("gp", "hospital", "mental"), False),
    "consents down": (_store_down("consents"), False),
    "index down": (_store_down("index"), False),
    "issued down": (_store_down("index"), False),
    "nothing permitted": (lambda: LogWorld(permits=()), False),
    "one permitted": (lambda: LogWorld(permits=(GP,)), True),
    "a silent refusal": (lambda: LogWorld(permits=(GP, HOSPITAL)), True),
    "an objection": (lambda: _broken(LogWorld(), lambda world: world.says("deny", GP)), True),
    "another birth date": (lambda: LogWorld(charts={
        "gp": [person("g1", birthDate="1950-01-01")], "hospital": [person("h1", birthDate=BIRTH)], "mental": [],
    }), False),
}  # fmt: skip


def drive(name: str) -> tuple[LogWorld, Driven]:
    """Ask one question of a world of its own."""
    caller, shows, patient, ask = QUESTIONS[name]
    world = LogWorld()
    return world, Driven(name, ask(world), caller, shows, patient)


@cache
def driven() -> tuple[tuple[LogWorld, Driven], ...]:
    """Every question, each in a world of its own."""
    return tuple(drive(name) for name in QUESTIONS)


@cache
def failed() -> tuple[tuple[LogWorld, Driven], ...]:
    """A search and a summary in every broken world."""
    found = []
    for name, (made, shows) in FAILURES.items():
        for what in ("search", "summary"):
            world = made()
            reply = world.search() if what == "search" else world.summary()
            found.append((world, Driven(f"{what}: {name}", reply, PHYSICIAN, shows, patient=True)))
    return tuple(found)


__all__ = ["AUDITOR", "BSN", "MENTAL", "OTHER_BSN", "POST", "Json", "driven", "failed"]
