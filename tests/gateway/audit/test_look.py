"""ITI-81: the log is asked by date, by who, whom and what; bound to one organization; every look is itself on the record."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import cache
from typing import Any
from urllib.parse import quote

import pytest

from gateway.audit.record import Record, encode
from gateway.model import Caller
from tests.gateway.audit.balp import claimed
from tests.gateway.audit.driving import AUDITOR, TODAY, Json, auditor
from tests.gateway.audit.memory import LogWorld
from tests.gateway.charts import BSN, BSN_SYSTEM, OTHER_BSN
from tests.gateway.test_answers import identified
from tests.gateway.world import (
    BASE,
    COORDINATOR,
    GP,
    HOSPITAL,
    MENTAL,
    OUTSIDER,
    POST,
    STRANGER,
    Reply,
    run,
)


@cache
def lived() -> LogWorld:
    """A world in which something happened: a search, a summary, a refusal of another organization, a case, a stranger."""
    world = LogWorld()
    world.search()
    world.summary()
    world.search(caller=OUTSIDER)
    world.opens_case()
    world.search("Condition", caller=COORDINATOR)
    world.search(caller=None)
    world.post("Patient/$summary", identified(OTHER_BSN))
    return world


def look(world: LogWorld, more: str = "", caller: Caller = AUDITOR) -> list[Json]:
    reply = world.get(f"AuditEvent?{TODAY}&_count=500{more}", caller)
    assert reply.status == 200, reply.body
    return [
        event
        for event in reply.items
        if event["agent"][0]["who"].get("identifier", {}).get("value") != caller.requester.client
    ]


def words(events: list[Json]) -> list[str]:
    """The gateway's own word for each event."""
    return [event["subtype"][-1]["code"] for event in events]


def test_an_auditor_sees_what_its_organization_asked_newest_first() -> None:
    found = look(lived.__wrapped__())  # a world nobody else has looked at
    asked = [word for word, event in zip(words(found), found, strict=True) if "-" not in event["id"]]
    assert asked == ["summary", "summary", "search-type"]
    assert [event["id"] for event in found if "-" in event["id"]] == ["1.1.4-1", "1.1.4-2", "1.1.4-3"]
    recorded = [event["recorded"] for event in found]
    assert recorded == sorted(recorded, reverse=True)
    assert all(claimed(event) for event in found)


def test_links_have_the_base_a_listed_proxy_tells_and_events_keep_the_name_of_the_gateway() -> None:
    world = LogWorld(settings={"gateway": {"base": BASE, "deadline": "300ms", "trusted_proxies": ["127.0.0.1"]}})
    world.search()
    world.search()
    path, told = (
        "AuditEvent?date=ge2026-01-01&date=le2026-12-31",
        {"x_forwarded_host": "fhir.example", "x_forwarded_proto": "https"},
    )
    plain, reached = world.get(f"{path}&_count=1", auditor(POST)), world.get(f"{path}&_count=1", auditor(POST), **told)
    assert BASE not in "".join(link["url"] for link in reached.json["link"])
    assert reached.json["entry"][0]["fullUrl"].startswith("https://fhir.example/fhir/AuditEvent/")
    assert reached.link("next").startswith("https://fhir.example/fhir/AuditEvent?")
    sources = [reply.json["entry"][0]["resource"]["source"] for reply in (plain, reached)]
    assert sources[0] == sources[1]
    about = f"{path}&patient=https://fhir.example/fhir/Patient/{world.patient}"
    assert world.get(about, auditor(POST), **told).json["total"] > 0


def test_f1_nobody_sees_what_is_of_another_organization() -> None:
    world = lived()
    for ura in (GP, HOSPITAL, MENTAL, POST, STRANGER):
        for event in look(world, caller=auditor(ura)):
            uras = {
                agent["who"]["identifier"]["value"]
                for agent in event["agent"]
                if agent["who"].get("identifier", {}).get("system") == "http://fhir.nl/fhir/NamingSystem/ura"
            }
            parties = uras - {""}
            assert ura in parties, event
            others = parties - {ura}
            assert len(others) <= 1, "of all others, at most the one that asked is named"
    assert words(look(world, caller=auditor(STRANGER))) == ["search-type"]
    assert look(world, caller=auditor(STRANGER))[0]["outcome"] == "4"


def test_f1_the_operator_sees_what_nobody_asked_for() -> None:
    world = LogWorld(settings={"gateway": {"base": BASE, "ura": POST}})
    world.search(caller=None)
    found = look(world)
    assert [(one["outcome"], one["outcomeDesc"]) for one in found] == [("4", "401 token-missing")]
    assert look(world, caller=auditor(GP)) == []


def test_a_custodian_sees_who_got_its_data_and_nobody_elses() -> None:
    found = look(lived(), caller=auditor(GP))
    assert {claimed(event)[0].partition(".")[0] for event in found} == {"PrivacyDisclosure"}
    for event in found:
        text = str(event)
        assert GP in text
        assert HOSPITAL not in text
        assert MENTAL not in text
        assert "A. de Vries" in text


def test_180_two_custodians_cannot_join_what_they_see_by_the_id_of_the_request() -> None:
    def requests(ura: str) -> set[str]:
        return {
            entity["what"]["identifier"]["value"]
            for event in look(lived(), caller=auditor(ura))
            for entity in event["entity"]
            if entity["type"]["code"] in {"XrequestId", "correlation-id"}
        }

    assert requests(GP)
    assert not requests(GP) & (requests(HOSPITAL) | requests(POST))


def silent(*, known: bool) -> LogWorld:
    """Mental health did not permit; the patient is known there, or is not."""
    world = LogWorld(permits=(GP, HOSPITAL), known_at=(GP, HOSPITAL, *([MENTAL] if known else [])))
    world.summary(x_request_id="same")
    world.search(x_request_id="same")
    return world


def test_a2_a_silent_custodian_changes_nothing_in_the_log_of_who_asked() -> None:
    here, there = look(silent(known=True)), look(silent(known=False))
    assert here == there
    counts = [
        world.get(f"AuditEvent?{TODAY}&_count=0", AUDITOR).json["total"]
        for world in (silent(known=True), silent(known=False))
    ]
    assert counts[0] == counts[1] > 0
    assert len(look(silent(known=True), caller=auditor(MENTAL))) == 2
    assert look(silent(known=False), caller=auditor(MENTAL)) == []


def test_a4_who_asked_does_not_learn_what_the_patient_said() -> None:
    world = LogWorld(permits=(GP,))
    world.says("deny", HOSPITAL)
    world.summary()
    text = str(look(world))
    assert "consent-objection" not in text
    assert "consent-refused" in text
    assert "consent-objection" in str(look(world, caller=auditor(HOSPITAL)))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("&action=E", True), ("&action=D", False), ("&outcome=0", True), ("&outcome=8", False),
        ("&type=rest", True), ("&type=http://terminology.hl7.org/CodeSystem/audit-event-type|rest", True), ("&type=x", False),
        ("&subtype=summary", True), ("&subtype=http://hl7.org/fhir/restful-interaction|search", True), ("&subtype=x", False),
        ("&purpose=TREAT", True), ("&purpose=behandeling", True), ("&purpose=COC", False),
        ("&agent=uzi-nr-pers", False), ("&agent-name=a. de", True), ("&agent-name=zz", False),
        ("&agent-role=01.015", True), ("&agent-role=triagist", False), ("&agent=post-app", True), ("&agent=other-app", False),
        (f"&organization={POST}", True), (f"&organization={HOSPITAL}", False), (f"&organization={STRANGER}", False),
        ("&site=gateway.test", True), ("&site=gp", False), ("&policy={revision}", True), ("&policy=urn:roaz:policy:x", False),
        ("&entity-type=2", True), ("&entity-type=99", False), ("&patient={patient}", True), ("&patient=Patient/{patient}", True),
        ("&patient={other}", True), ("&entity=Patient/{patient}", True), ("&entity=Condition/x", False),
        ("&address=127.0.0.1", True), ("&address=10.9", False), ("&_id=1.1.2", True), ("&_id=9.9.9", False),
        ("&_profile=https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit.PatientQuery", True),
    ],
)  # fmt: skip
def test_every_parameter_narrows(more: str, expected: bool) -> None:
    world = lived()
    more = more.format(
        revision=f"urn:roaz:policy:{world.policy.revision}", patient=world.patient, other=world.patient_id(OTHER_BSN)
    )
    everything, found = look(world), look(world, more)
    assert bool(found) is expected
    assert [one["id"] for one in found] == [one["id"] for one in everything if one in found]


def test_a_patient_is_asked_by_identifier_in_a_body_and_never_named_again() -> None:
    world = lived()
    for form in (
        f"patient.identifier={BSN_SYSTEM}|{BSN}",
        f"entity={BSN_SYSTEM}|{BSN}",
        f"entity.identifier={BSN_SYSTEM}|{BSN}",
    ):
        for path in ("AuditEvent/_search", "AuditEvent"):
            reply = world.post(path, f"{TODAY}&{form}", AUDITOR)
            assert reply.status == 200
            assert reply.items
            assert BSN.encode() not in reply.body
            assert f"patient={world.patient}" in reply.link("self")
            assert all(f"Patient/{world.patient}" in str(event) for event in reply.items)
    assert world.records[-1].patient == world.patient
    assert world.get(f"AuditEvent?{TODAY}&patient.identifier={quote(BSN_SYSTEM)}|{BSN}", AUDITOR).code == "bsn-in-url"


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("", "date-required"), ("date=ge2026-03-02", "date-required"), ("date=le2026-03-02", "date-required"),
        ("date=ap2026-03-02", "invalid-parameter"), ("date=x", "invalid-parameter"), (f"{TODAY}&nothing=1", "unknown-parameter"),
        (f"{TODAY}&_sort=date", "invalid-parameter"), (f"{TODAY}&_sort=agent", "invalid-parameter"),
        (f"{TODAY}&patient=p1-unknown", "not-found"), (f"{TODAY}&_cursor=abc", "invalid-parameter"),
        (f"{TODAY}&_count=x", "invalid-parameter"), (f"{TODAY}&agent=", "invalid-parameter"),
        (f"{TODAY}&patient.identifier=123", "invalid-parameter"), (f"{TODAY}&_format=text/csv", "not-acceptable"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked(query: str, code: str) -> None:
    reply = lived().get(f"AuditEvent?{query}", AUDITOR)
    assert (reply.status >= 400, reply.code) == (True, code)


def test_one_whole_day_is_a_range_and_the_bounds_count() -> None:
    world = lived()
    assert world.get("AuditEvent?date=2026-03-02", AUDITOR).items
    assert world.get("AuditEvent?date=2026-03-01", AUDITOR).items == []
    assert world.get("AuditEvent?date=ge2026-03-02T12:00:00Z&date=lt2026-03-02T12:00:00Z", AUDITOR).items == []
    assert world.get("AuditEvent?date=gt2026-03-02&date=le2027", AUDITOR).items == []


@pytest.mark.slow
def test_pages_are_the_whole_and_stay_the_same_while_the_log_grows() -> None:
    world = LogWorld()
    for _ in range(5):
        world.search()
        world.summary()
    everything = [event["id"] for event in look(world)]
    for count in (1, 3, 7):
        seen: list[str] = []
        path = f"AuditEvent?{TODAY}&_count={count}&patient={world.patient}"
        while path:
            reply = world.get(path, AUDITOR)
            assert len(reply.items) <= count
            seen += [event["id"] for event in reply.items]
            path = reply.link("next")
            world.search()  # the log grows at the front
        assert [id_ for id_ in seen if id_ in everything] == everything
        assert len(seen) == len(set(seen))


def test_a_page_that_took_too_long_is_short_and_the_next_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    from gateway.routes import audit_events

    monkeypatch.setattr(audit_events, "_SECONDS", -1.0)
    world = LogWorld()
    world.summary()
    (oldest,) = [event["id"] for event in look(world, "&subtype=summary&action=E")]
    for number in range(120):
        world.audit.records.append(encode(Record(kind="outcome", at=world.records[-1].at, request=str(number),
                                                 organization=POST, interaction="read", status=200)))  # fmt: skip
    path, seen, pages = f"AuditEvent?{TODAY}&_count=1&subtype=summary&action=E", list[str](), 0
    while path and pages < 30:
        reply = world.get(path, AUDITOR)
        seen += [event["id"] for event in reply.items]
        path, pages = reply.link("next"), pages + 1
    assert seen == [oldest]
    assert 2 < pages < 30


def test_a_long_look_lets_others_take_their_turn() -> None:
    world = LogWorld()
    for number in range(200):
        world.audit.records.append(encode(Record(kind="outcome", at="2026-03-02T12:00:00.000Z", request=str(number),
                                                 organization=POST, interaction="read", status=200)))  # fmt: skip

    async def main() -> int:
        asking = asyncio.ensure_future(world.send("GET", f"AuditEvent?{TODAY}&_count=500", AUDITOR))
        turns = 0
        while not asking.done():
            await asyncio.sleep(0)
            turns += 1
        assert (await asking).status == 200
        return turns

    assert run(main()) > 20


def test_a_cursor_is_of_one_client_and_one_search() -> None:
    world = LogWorld()
    for _ in range(3):
        world.search()
    following = world.get(f"AuditEvent?{TODAY}&_count=1", AUDITOR).link("next")
    assert len(following.partition("_cursor=")[2]) <= 200
    assert world.get(following, AUDITOR).status == 200
    assert world.get(following.replace("_count=1", "_count=1&action=E"), AUDITOR).code == "invalid-parameter"
    assert world.get(following, auditor(GP)).code == "invalid-parameter"


def test_a_part_of_an_event_is_marked_as_one_and_a_count_holds_none() -> None:
    world = lived()
    count = world.get(f"AuditEvent?{TODAY}&_summary=count", AUDITOR)
    assert count.items == []
    assert count.json["total"] > 0
    (event, *_) = look(world, "&_elements=recorded")
    assert set(event) >= {"resourceType", "id", "recorded", "agent"}, "never without what is mandatory"
    assert "entity" not in event
    assert event["meta"]["tag"][0]["code"] == "SUBSETTED"
    (short, *_) = look(world, "&_summary=true")
    assert short["meta"]["tag"][0]["code"] == "SUBSETTED"


def test_a_count_of_none_counts() -> None:
    world = LogWorld()
    world.search()
    reply = world.get(f"AuditEvent?{TODAY}&_count=0&subtype=search-type&patient={world.patient}", AUDITOR)
    assert (reply.json["total"], reply.items) == (1, [])


@pytest.mark.parametrize(
    ("deviation", "code"),
    [
        ({"scopes": frozenset({"system/Patient.rs"})}, "scope-insufficient"),
        ({"purpose": "behandeling"}, "purpose-refused"), ({"role": "01.015"}, "role-refused"),
        ({"person": None}, "person-required"), ({"assurance": "low"}, "assurance-insufficient"),
    ],
)  # fmt: skip
def test_only_supervision_reads_the_log(deviation: Json, code: str) -> None:
    world = lived()
    of_requester = {key: value for key, value in deviation.items() if key in {"role", "person", "assurance"}}
    rest: dict[str, Any] = {key: value for key, value in deviation.items() if key not in of_requester}
    caller = replace(AUDITOR, requester=replace(AUDITOR.requester, **of_requester), **rest)
    for path in (f"AuditEvent?{TODAY}", "AuditEvent/1.1.1"):
        reply = world.get(path, caller)
        assert reply.status == 403
        assert reply.code in {code, "role-refused"}
        assert reply.items == [] if "entry" in reply.json else True


def test_a_token_with_only_user_scopes_of_the_log_reads_it() -> None:
    caller = replace(AUDITOR, scopes=frozenset({"user/AuditEvent.rs"}))
    assert look(lived(), caller=caller)


def test_an_event_is_read_by_its_id_and_only_by_who_may_see_it() -> None:
    world = lived()
    for event in look(world):
        reply = world.get(f"AuditEvent/{event['id']}", AUDITOR)
        assert (reply.status, reply.json) == (200, event)
    of_stranger = look(world, caller=auditor(STRANGER))[0]["id"]
    assert world.get(f"AuditEvent/{of_stranger}", AUDITOR).code == "not-found"
    for id_ in ("1.1.2-99", "1.1.2-x", "1.1.2-", "x", "1.1.999"):
        assert world.get(f"AuditEvent/{id_}", AUDITOR).code == "not-found"


def test_142_every_look_is_on_the_record() -> None:
    world = LogWorld()
    world.search()
    before = len(world.records)
    event = look(world)[0]["id"]
    world.get(f"AuditEvent/{event}", AUDITOR)
    world.get("AuditEvent", AUDITOR)
    looks = world.records[before:]
    assert [(one.kind, one.interaction, one.action, one.type, one.status) for one in looks] == [
        ("outcome", "search-type", "E", "AuditEvent", 200), ("outcome", "read", "R", "AuditEvent", 200),
        ("refusal", "search-type", "E", "AuditEvent", 400)]  # fmt: skip
    assert looks[0].query == "date=***&date=***&_count=***"
    assert looks[1].query == f"_id={event}"
    own = [one for one in world.get(f"AuditEvent?{TODAY}", AUDITOR).items if "AuditEvent" in str(one)]
    assert len(own) >= 3


def test_a_log_that_cannot_be_written_shows_nothing_of_itself() -> None:
    world = LogWorld()
    world.search()
    world.audit.broken = True
    reply = world.get(f"AuditEvent?{TODAY}", AUDITOR)
    assert (reply.status, reply.code) == (503, "audit-unavailable")
    assert b"de Vries" not in reply.body


def test_a_log_that_cannot_be_asked_says_so() -> None:
    world = LogWorld()
    world.app = replace(world.app, ports=replace(world.ports, queries=None))
    assert world.get(f"AuditEvent?{TODAY}", AUDITOR).code == "store-unavailable"


def test_the_log_in_xml() -> None:
    reply: Reply = lived().get(f"AuditEvent?{TODAY}", AUDITOR, accept="application/fhir+xml")
    assert (reply.status, reply.header("content-type")) == (200, "application/fhir+xml; charset=utf-8")
    assert b"<AuditEvent" in reply.body


def test_leniency_is_said() -> None:
    reply = lived().get(f"AuditEvent?{TODAY}&nothing=1", AUDITOR, prefer="handling=lenient")
    assert reply.remarks == ["unknown-parameter"]
    assert "nothing" not in reply.link("self")


@pytest.mark.slow
def test_what_can_be_asked_stands_in_the_capability_statement() -> None:
    rest = lived().get("metadata", None).json["rest"][0]
    (log,) = [one for one in rest["resource"] if one["type"] == "AuditEvent"]
    assert [one["code"] for one in log["interaction"]] == ["read", "search-type"]
    named = {one["name"]: one["type"] for one in log["searchParam"]}
    assert named.items() >= {
        "date": "date", "agent": "reference", "patient": "reference", "entity": "reference", "action": "token",
        "outcome": "token", "type": "token", "subtype": "token", "purpose": "token", "policy": "uri", "site": "token",
        "organization": "token"}.items()  # fmt: skip
    asked = [
        name for name in named if name not in {"_lastUpdated", "_tag", "_security", "_source", "patient.identifier"}
    ]
    for name in asked:
        text = {"date": "2026-03-02", "patient": lived().patient}.get(name, "x")
        assert lived().get(f"AuditEvent?{TODAY}&{name}={text}", AUDITOR).status == 200, name
