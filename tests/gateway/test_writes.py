"""What clients may write: consents (opening is hard, closing is easy) and registrations (own data, with a basis)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.intake.registrations import BASIS, CUSTODIAN
from tests.gateway.charts import BSN, BSN_SYSTEM, OTHER_BSN, TERMS, Json, coded, directive, privacy
from tests.gateway.world import COORDINATOR, GP, HOSPITAL, MENTAL, PHYSICIAN, POST, SYSTEM, Reply, World, custodian

URA = "http://fhir.nl/fhir/NamingSystem/ura"


def registration(ura: str = GP, bsn: str = BSN, basis: str = "explicit", **other: Any) -> Json:
    return {
        "resourceType": "List", "status": "current", "mode": "working",
        "extension": [{"url": CUSTODIAN, "valueReference": {"identifier": {"system": URA, "value": ura}}},
                      {"url": BASIS, "valueCode": basis}],
        "subject": {"identifier": {"system": BSN_SYSTEM, "value": bsn}}, **other,
    }  # fmt: skip


def refused(reply: Reply, code: str) -> bool:
    return (reply.status, reply.code) == (403, code)


# --- consents ------------------------------------------------------------------------------------


def test_c6_only_the_custodian_opens_its_data() -> None:
    world = World(permits=())
    for caller in (PHYSICIAN, COORDINATOR, custodian(HOSPITAL)):
        assert refused(world.post("Consent", privacy(GP), caller), "write-refused")
    assert world.consents.kept == {}
    assert world.search().items == []
    made = world.post("Consent", privacy(GP), custodian(GP))
    assert (made.status, made.header("etag")) == (201, 'W/"1"')
    assert BSN.encode() not in made.body
    assert [item["meta"]["tag"][-1]["code"] for item in world.search().items] == [GP]


def test_c6_a_permit_hidden_in_an_exception_is_a_permit() -> None:
    world = World(permits=())
    nested = privacy(GP, effect="deny")
    nested["provision"]["provision"] = [
        {"type": "permit", "purpose": [{"system": f"{TERMS}/v3-ActReason", "code": "TREAT"}]}
    ]
    assert refused(world.post("Consent", nested, PHYSICIAN), "write-refused")
    two = privacy(GP) | {"organization": [*privacy(GP)["organization"], *privacy(HOSPITAL)["organization"]]}
    assert refused(world.post("Consent", two, custodian(GP)), "write-refused"), "one of the two is not its own"


@pytest.mark.parametrize("caller", [PHYSICIAN, COORDINATOR, custodian(HOSPITAL), custodian(GP)])
def test_c6_anybody_who_treats_may_close(caller: Any) -> None:
    world = World()
    assert world.post("Consent", privacy(GP, effect="deny"), caller).status == 201
    assert [item["meta"]["tag"][-1]["code"] for item in world.search().items] == [HOSPITAL]


def test_c1_a_directive_is_not_a_privacy_consent() -> None:
    world = World()
    body = directive() | {"organization": privacy(GP)["organization"], "patient": privacy(GP)["patient"]}
    reply = world.post("Consent", body, custodian(GP))
    assert (reply.status, reply.json["issue"][0]["expression"]) == (422, ["Consent.scope"])
    both = privacy(GP) | {"scope": {"coding": [*privacy(GP)["scope"]["coding"], *directive()["scope"]["coding"]]}}
    assert world.post("Consent", both, custodian(GP)).status == 422


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "expression"),
    [
        ({"status": None}, "Consent.status"),
        ({"patient": None}, "Consent.patient"),
        ({"patient": {"reference": "Patient/x"}}, "Consent.patient.reference"),
        ({"organization": None}, "Consent.organization"),
        ({"organization": [{"identifier": {"system": "x", "value": GP}}]}, "Consent.organization"),
        ({"provision": None}, "Consent.provision"),
        ({"scope": coded("research", system=f"{TERMS}/consentscope")}, "Consent.scope"),
    ],
)
def test_a_consent_that_does_not_say_enough(change: Json, expression: str) -> None:
    world = World()
    body = {name: value for name, value in (privacy(GP) | change).items() if value is not None}
    reply = world.post("Consent", body, custodian(GP))
    assert (reply.status, reply.json["issue"][0]["expression"]) == (422, [expression])
    assert len(world.consents.kept) == 3, "those of the world itself"


def test_a_change_names_the_version_it_changes() -> None:
    world = World(permits=())
    made = world.post("Consent", privacy(GP), custodian(GP))
    path = f"Consent/{made.json['id']}"

    def change(match: str, status: str = "inactive") -> Reply:
        headers = {"if-match": match} if match else {}
        return world.request("PUT", path, custodian(GP), body=privacy(GP, status=status), headers=headers)

    for wrong in ("", "1", 'W/"2"', 'W/"0"', "*", 'W/"1", W/"2"'):
        assert (change(wrong).status, change(wrong).code) == (409, "conflict")
    assert len(world.search().items) == 1
    assert (change('W/"1"').status, world.search().items) == (200, [])
    assert change('W/"1"', "active").status == 409, "the version that was read is old"
    assert change('W/"2"', "active").status == 200
    assert len(world.search().items) == 1


def test_a_consent_stays_with_its_patient_and_its_recorder() -> None:
    world = World(permits=())
    made = world.post("Consent", privacy(GP), custodian(GP))
    path, headers = f"Consent/{made.json['id']}", {"if-match": 'W/"1"'}
    moved = world.request("PUT", path, custodian(GP), body=privacy(GP, OTHER_BSN), headers=headers)
    assert (moved.status, moved.json["issue"][0]["expression"]) == (422, ["Consent.patient"])
    assert world.get(path, custodian(GP)).status == 200
    assert world.get(path, custodian(HOSPITAL)).status == 404
    assert world.get(path, PHYSICIAN).status == 404
    assert world.get("Consent/consent-000000000000000000000000", custodian(GP)).status == 404


def test_c6_a_restriction_is_not_lifted_by_who_may_not_open() -> None:
    world = World()
    made = world.post("Consent", privacy(GP, effect="deny"), custodian(GP))
    assert len(world.search().items) == 1
    path, headers = f"Consent/{made.json['id']}", {"if-match": made.header("etag")}
    for caller in (PHYSICIAN, COORDINATOR, custodian(HOSPITAL)):
        for body in (privacy(GP, effect="deny", status="inactive"), privacy(HOSPITAL, effect="deny")):
            reply = world.request("PUT", path, caller, body=body, headers=headers)
            assert reply.status in {403, 404}, "an objection of the patient is not ended by another organization"
    assert len(world.search().items) == 1


def test_an_objection_recorded_elsewhere_binds_that_custodian_only() -> None:
    world = World()
    world.post("Consent", privacy(GP, effect="deny"), custodian(HOSPITAL))
    assert [item["meta"]["tag"][-1]["code"] for item in world.search().items] == [HOSPITAL]


@pytest.mark.slow
@pytest.mark.parametrize("scopes", [{"system/*.rs"}, {"system/Task.cruds"}, {"system/Consent.rsud"}])
def test_72_a_reading_scope_does_not_write(scopes: set[str]) -> None:
    world = World()
    reader = replace(custodian(GP), scopes=frozenset(scopes))
    assert refused(world.post("Consent", privacy(GP), reader), "scope-insufficient")
    assert refused(world.post("List", registration(), reader), "scope-insufficient")
    assert world.events == ["refusal", "refusal"]


# --- registrations -------------------------------------------------------------------------------


def test_c3_a_custodian_registers_its_own_data_with_a_basis() -> None:
    world = World(known_at=())
    assert world.search().items == []
    made = world.post("List", registration(), custodian(GP))
    assert made.status == 201
    assert BSN.encode() not in made.body
    assert len(world.search().items) == 1
    gone = world.request("DELETE", f"List/{made.json['id']}", custodian(GP))
    assert (gone.status, gone.body) == (204, b"")
    assert world.search().items == []
    assert world.request("DELETE", f"List/{made.json['id']}", custodian(GP)).status == 404


@pytest.mark.parametrize("caller", [PHYSICIAN, custodian(HOSPITAL), SYSTEM])
def test_c3_nobody_registers_or_withdraws_for_another(caller: Any) -> None:
    world = World(known_at=())
    assert refused(world.post("List", registration(), caller), "write-refused")
    made = world.post("List", registration(), custodian(GP))
    assert world.request("DELETE", f"List/{made.json['id']}", caller).status == 404
    assert len(world.search().items) == 1


@pytest.mark.parametrize(
    ("body", "element"),
    [
        (registration(basis="curiosity"), "registration-basis"),
        (registration(basis=""), "registration-basis"),
        (registration(extension=[]), "custodian"),
        (registration(extension="x"), "List.extension"),
        (registration(extension=[{"url": CUSTODIAN, "valueReference": "x"}]), "List.extension"),
        (registration(bsn="999990018"), "subject"),
        (registration(subject="x"), "subject"),
        (registration(code=coded("no such thing!")), "List.code"),
        (registration(code={"coding": ["x"]}), "List.code"),
        (registration(code={"coding": "x"}), "List.code"),
    ],
)
def test_c3_a_registration_that_does_not_say_enough(body: Json, element: str) -> None:
    world = World(known_at=())
    reply = world.post("List", body, custodian(GP))
    assert reply.status in {400, 422}
    assert element in reply.json["issue"][0]["expression"][0]
    assert world.index.kept == {}


def test_a_registration_of_some_categories() -> None:
    world = World(known_at=())
    world.post("List", registration(code=coded("Condition", system="urn:x")), custodian(GP))
    assert world.search().items == []
    assert len(world.search("Condition").items) == 1


@pytest.mark.parametrize("path", ["Consent", "List", "Task"])
@pytest.mark.parametrize(
    "body", [b"{}", b"[]", b'{"resourceType":"Patient"}', b'{"resourceType":["Consent"]}', b"", b"\x00"]
)
def test_a_body_of_another_kind_writes_nothing(path: str, body: bytes) -> None:
    world = World()
    before = dict(world.consents.kept), dict(world.index.kept)
    reply = world.post(path, body, custodian(GP), content_type="application/fhir+json")
    assert reply.status in {400, 422}
    assert (world.consents.kept, world.index.kept) == before
    assert [record.kind for record in world.records] == ["refusal"]


def test_a_write_has_an_intent_before_it_and_an_outcome_after_it() -> None:
    world = World()
    world.post("Consent", privacy(GP), custodian(GP))
    assert world.events == ["intent", "outcome"]
    assert (world.records[1].action, world.records[1].patient) == ("C", world.patient)
    world = World(permits=())
    world.audit.broken = True
    assert world.post("Consent", privacy(GP), custodian(GP)).code == "audit-unavailable"
    assert world.consents.kept == {}


def test_a_refused_write_names_no_patient_to_others() -> None:
    world = World()
    world.post("Consent", privacy(GP), PHYSICIAN)
    assert world.records[-1].error == "write-refused"
    assert BSN not in str(world.records)
    assert world.records[-1].organization == POST
    assert MENTAL not in str(world.records)
