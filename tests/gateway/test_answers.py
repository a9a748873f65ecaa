"""What a caller who may ask gets: searchsets, pages, single items, summaries, and the states when somebody is silent."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from consent.model import Reason
from gateway.model import CANONICAL
from tests.gateway.charts import (
    BIRTH,
    BSN,
    BSN_SYSTEM,
    CHARTS,
    OTHER_BSN,
    Json,
    allergy,
    directive,
    flag,
    observation,
    person,
    privacy,
)
from tests.gateway.world import (
    AMBULANCE,
    BASE,
    COLLEAGUE,
    GP,
    HOSPITAL,
    MENTAL,
    NUMBER_SYSTEM,
    PHYSICIAN,
    World,
    custodian,
)

STATE = f"{CANONICAL}/StructureDefinition/section-source"


def identified(bsn: str = BSN, birth: str = "", **more: Any) -> Json:
    parameters: list[Json] = [{"name": "identifier", "valueIdentifier": {"system": BSN_SYSTEM, "value": bsn}}]
    if birth:
        parameters.append({"name": "birthDate", "valueDate": birth})
    return {"resourceType": "Parameters", "parameter": [*parameters, *({"name": k, **v} for k, v in more.items())]}


def matching(bsn: str = BSN, birth: str = BIRTH) -> Json:
    return {
        "resourceType": "Parameters",
        "parameter": [{"name": "resource", "resource": person(bsn=bsn, birthDate=birth)}],
    }


def states(document: Json) -> set[str]:
    """Every state of every section and source."""
    sections = document["entry"][0]["resource"]["section"]
    found = [one for section in sections for one in section.get("extension", ()) if one["url"] == STATE]
    return {part["valueCode"] for one in found for part in one["extension"] if part["url"] == "state"}


def test_a_search_gives_the_items_of_every_custodian_with_their_origin() -> None:
    world = World()
    reply = world.search()
    assert (reply.status, reply.json["total"], reply.remarks) == (200, 2, [])
    assert {item["meta"]["source"] for item in reply.items} == {
        "urn:roaz:gp#AllergyIntolerance/a1", "urn:roaz:hospital#AllergyIntolerance/a1"}  # fmt: skip
    for item in reply.items:
        assert item["patient"] == {"reference": f"Patient/{world.patient}"}
        assert item["meta"]["tag"][-1]["code"] in {GP, HOSPITAL}
        assert item["meta"]["lastUpdated"]
        assert item["meta"]["extension"][0]["url"].endswith("/fetched-at")
    assert len({item["id"] for item in reply.items}) == 2
    assert reply.header("cache-control") == "no-store"


def test_all_ways_of_naming_one_patient_give_the_same() -> None:
    world = World()
    p = world.patient
    ways = [f"patient={p}", f"patient=Patient/{p}", f"subject={p}", f"patient={BASE}/fhir/Patient/{p}", f"patient={p}&subject={p}",
            f"patient:Patient={p}"]  # fmt: skip
    by_url = [world.get(f"AllergyIntolerance?{way}") for way in ways]
    forms = [f"patient.identifier={BSN_SYSTEM}|{BSN}", f"subject:Patient.identifier={BSN_SYSTEM}|{BSN}", f"patient={p}"]
    by_form = [world.post("AllergyIntolerance/_search", form) for form in forms]
    answers = {reply.body for reply in (*by_url, *by_form)}
    assert len(answers) == 1, "the self link names the patient by id, whichever way was used"
    assert BSN.encode() not in answers.pop()


def test_an_unknown_patient_is_an_empty_list_and_nobody_is_asked() -> None:
    world = World()
    reply = world.get(f"AllergyIntolerance?patient={world.patient_id(OTHER_BSN)}")
    assert (reply.status, reply.items, reply.remarks) == (200, [], [])
    assert world.asked() == []
    assert world.post("Patient/$match", matching(OTHER_BSN)).json["total"] == 0
    assert world.find(OTHER_BSN).items == []
    summary = world.post("Patient/$summary", identified(OTHER_BSN))
    assert summary.status == 200
    assert states(summary.json) <= {"unknown"}


def test_consent_refused_everywhere_is_an_answer_with_states() -> None:
    world = World(permits=())
    reply = world.search()
    assert (reply.status, reply.items, reply.remarks) == (200, [], ["consent-refused"])
    assert world.asked() == []
    assert [record.kind for record in world.records] == ["outcome"]
    summary = world.summary()
    assert summary.status == 200
    assert states(summary.json) == {"withheld"}
    for ura in (GP, HOSPITAL, MENTAL):
        assert ura.encode() not in summary.body
        assert ura.encode() not in reply.body


def test_every_source_down_is_504_for_a_search_and_states_for_a_summary() -> None:
    world = World()
    for chart in world.charts.values():
        chart.fails = "connection"
    assert (world.search().status, world.search().code) == (504, "sources-unavailable")
    summary = world.summary()
    assert summary.status == 200
    assert states(summary.json) == {"unavailable"}
    assert world.records[-1].status == 200


def test_a_slow_source_costs_only_its_own_part() -> None:
    world = World()
    world.charts["hospital"].seconds = 30
    reply = world.search()
    assert (len(reply.items), reply.remarks) == (1, ["source-failed"])
    assert world.charts["hospital"].cancelled == 1


def test_an_adapter_that_breaks_costs_only_its_own_part() -> None:
    world = World()
    world.charts["hospital"].raises = RuntimeError(f"defect about {BSN}")
    reply = world.search()
    assert (len(reply.items), reply.remarks) == (1, ["source-failed"])
    assert BSN.encode() not in reply.body


def test_nothing_could_be_decided_is_503(monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.proofs.variants import undecidable

    register_down = Reason("consent-unknown", "register down", "patient")
    monkeypatch.setattr("gateway.standing.decide", undecidable(register_down))
    world = World()
    for reply in (world.search(), world.summary()):
        assert (reply.status, reply.code) == (503, "decision-unavailable")
        assert int(reply.header("retry-after")) > 0
    assert world.asked() == []


def test_one_number_with_two_birth_dates_is_shown_to_nobody() -> None:
    charts = CHARTS | {"hospital": [person("h1", birthDate="1999-01-01"), allergy("a1", "h1")]}
    world = World(charts=charts)
    for reply in (world.search(), world.summary(), world.find(birth=BIRTH), world.post("Patient/$match", matching())):
        assert (reply.status, reply.code) == (409, "patient-ambiguous")
        assert b"Penicilline" not in reply.body
        assert world.records[-1].error == "patient-ambiguous"


@pytest.mark.parametrize("partial", ["1980", "1980-02"])
def test_a_partial_birth_date_is_no_conflict(partial: str) -> None:
    charts = CHARTS | {"hospital": [person("h1", birthDate=partial), allergy("a1", "h1")]}
    assert len(World(charts=charts).search().items) == 2


def test_a_match_is_certain_or_nothing() -> None:
    world = World()
    found = world.post("Patient/$match", matching())
    assert found.json["total"] == 1
    assert found.json["entry"][0]["search"]["score"] == 1
    assert world.post("Patient/$match", matching(birth="1980-02-28")).json["total"] == 0
    partial = World(charts=CHARTS | {name: [person("x", birthDate="1980")] for name in CHARTS})
    assert partial.post("Patient/$match", matching()).json["total"] == 0


def test_163_the_fifth_wrong_birth_date_locks_the_number_for_everybody() -> None:
    world = World()
    for day in range(1, 6):
        reply = world.find(birth=f"1980-01-0{day}")
        assert (reply.status, reply.items) == (200, [])
    for caller in (PHYSICIAN, COLLEAGUE):
        locked = world.post("Patient/_search", f"identifier={BSN_SYSTEM}|{BSN}&birthdate={BIRTH}", caller)
        assert (locked.status, locked.code) == (429, "too-many-requests")
        assert int(locked.header("retry-after")) > 0
    assert world.find(OTHER_BSN).status == 200
    world.clock.advance(timedelta(minutes=15))
    assert len(world.find().items) == 1


def test_a_wrong_birth_date_answers_exactly_as_an_unknown_person() -> None:
    world, empty = World(), World(known_at=())
    one, other = world.find(birth="1980-01-01"), empty.find(birth="1980-01-01")
    assert (one.status, one.body) == (other.status, other.body)
    assert not any(record.custodians and record.custodians[0].shown for record in world.records)


def test_a_number_of_a_custodian_is_looked_up_there_only() -> None:
    charts = {
        name: [person(bsn=BSN, identifier=[{"system": NUMBER_SYSTEM, "value": "42"}]), allergy()] for name in CHARTS
    }
    world = World(charts=charts, permits=())
    patient = world.keys.patient_id(NUMBER_SYSTEM, "42")
    assert (
        world.post("AllergyIntolerance/_search", f"patient.identifier={NUMBER_SYSTEM}|42").code == "identifier-invalid"
    )
    found = world.post("Patient/_search", f"identifier={NUMBER_SYSTEM}|42&birthdate={BIRTH}")
    assert (found.status, found.remarks) == (200, ["consent-refused"])
    assert patient in found.link("self")


@pytest.mark.parametrize(
    "type_", ["AllergyIntolerance", "Observation", "Condition", "Flag", "MedicationStatement", "Consent"]
)
def test_an_item_can_be_read_again_by_its_id(type_: str) -> None:
    world = World()
    found = world.search(type_).items
    assert found
    for item in found:
        again = world.get(f"{type_}/{item['id']}")
        assert (again.status, again.json) == (200, item)
        assert world.get(f"{type_}/{item['id']}", COLLEAGUE).status == 200


def test_an_id_that_was_handed_out_is_forgotten_after_a_day() -> None:
    world = World()
    item = world.search().items[0]
    world.clock.advance(timedelta(hours=23, minutes=59))
    assert world.get(f"AllergyIntolerance/{item['id']}").status == 200
    world = World()
    item = world.search().items[0]
    world.clock.advance(timedelta(hours=24))
    assert world.get(f"AllergyIntolerance/{item['id']}").code == "item-expired"


def test_56_what_may_not_be_seen_answers_as_what_does_not_exist() -> None:
    world = World()
    item = world.search().items[0]
    for ura in (GP, HOSPITAL, MENTAL):
        world.says("deny", ura)
    hidden, absent = world.get(f"AllergyIntolerance/{item['id']}"), world.get("AllergyIntolerance/i1-nothere")
    asked_as_other = world.get(f"Condition/{item['id']}")
    assert (hidden.status, hidden.code) == (absent.status, absent.code) == (404, "item-expired")
    assert asked_as_other.code == "item-expired"
    strip = [reply.json["issue"][0] | {"diagnostics": ""} for reply in (hidden, absent, asked_as_other)]
    assert strip[0] == strip[1] == strip[2]


def test_a_patient_can_be_read_by_id() -> None:
    world = World()
    reply = world.get(f"Patient/{world.patient}")
    assert (reply.status, reply.json["id"], reply.json["birthDate"]) == (200, world.patient, BIRTH)


MANY = CHARTS | {"gp": [person("g1"), *(allergy(f"a{number:03}", "g1", recordedDate=f"2025-01-{number % 28 + 1:02}")
                                         for number in range(120))]}  # fmt: skip


def test_pages_give_every_item_once_and_tell_the_total() -> None:
    world = World(charts=MANY)
    reply = world.search(more="&_count=50")
    seen, pages = [item["id"] for item in reply.items], 1
    while reply.link("next"):
        cursor = parse_qs(urlsplit(reply.link("next")).query)["_cursor"][0]
        assert len(cursor) <= 200
        reply = world.get(reply.link("next"))
        seen += [item["id"] for item in reply.items]
        pages += 1
        assert reply.json["total"] == 121
    assert (len(seen), len(set(seen)), pages) == (121, 121, 3)
    assert len(world.search(more="&_count=9999").items) == 121


def test_a_search_without_count_is_not_paged() -> None:
    reply = World(charts=MANY).search()
    assert (len(reply.items), reply.json["total"], reply.link("next")) == (121, 121, "")


def test_count_zero_counts() -> None:
    reply = World().search(more="&_count=0")
    assert (reply.items, reply.json["total"]) == ([], 2)


def test_41_a_cursor_serves_its_own_client_and_search_only() -> None:
    world = World(charts=MANY)
    following = world.search(more="&_count=10").link("next")
    assert world.get(following).status == 200
    for path, caller in (
        (following, COLLEAGUE),
        (following.replace("AllergyIntolerance", "Condition"), PHYSICIAN),
        (following.replace(world.patient, world.patient_id(OTHER_BSN)), PHYSICIAN),
        (following.replace("_count=10", "_count=20"), PHYSICIAN),
        (following[:-4] + "AAAA", PHYSICIAN),
    ):
        assert world.get(path, caller).code == "invalid-parameter"
    for ura in (GP, HOSPITAL, MENTAL):
        world.says("deny", ura)
    assert world.get(following).items == [], "a cursor is no permission"


def test_lenient_handling_ignores_says_so_and_links_truthfully() -> None:
    world = World()
    reply = world.search(more="&frobnicate=1&code=764146007", prefer="handling=lenient")
    assert (reply.status, len(reply.items), reply.remarks) == (200, 2, ["unknown-parameter"])
    assert "frobnicate" not in reply.link("self")
    assert "code=764146007" in reply.link("self")
    assert b"frobnicate" in reply.body
    assert world.search(more="&date=yesterday", prefer="handling=lenient").code == "invalid-parameter"


def test_a_search_narrows_by_its_parameters() -> None:
    world = World(charts=CHARTS | {"gp": [person("g1"), allergy("a1", "g1"), allergy("a2", "g1", criticality="low")]})
    assert len(world.search(more="&criticality=low").items) == 1
    assert len(world.search(more="&criticality=low,high").items) == 3
    assert len(world.search(more="&criticality=low&criticality=high").items) == 0
    assert len(world.search(more="&criticality:not=low").items) == 2


def test_c1_a_directive_is_a_clinical_item_and_a_privacy_consent_is_none() -> None:
    stray = privacy(GP) | {"id": "p1", "patient": {"reference": "Patient/g1"}}
    world = World(charts=CHARTS | {"gp": [person("g1"), directive("d1", "g1"), stray]})
    world.charts["gp"].lies = True
    shown = world.search("Consent").items
    assert [item["scope"]["coding"][0]["code"] for item in shown] == ["adr"]
    assert b"was not asked" not in world.search("Consent").body, "what was said about sharing is read here"
    assert (
        world.post("Consent", directive() | {"organization": privacy(GP)["organization"]}, custodian(GP)).status == 422
    )
    assert b"patient-privacy" not in world.summary().body


def test_a_summary_by_identifier_and_by_id_say_the_same_sections() -> None:
    world = World()
    by_id, by_identifier = world.summary(), world.post("Patient/$summary", identified())
    titles = [
        [section["title"] for section in reply.json["entry"][0]["resource"]["section"]]
        for reply in (by_id, by_identifier)
    ]
    assert titles[0] == titles[1]
    assert by_id.json["type"] == "document"
    assert world.post("Patient/$summary", identified(birth="1980-01-01")).status == 200
    assert b"Penicilline" not in world.post("Patient/$summary", identified(birth="1980-01-01")).body


def test_a_summary_as_a_page() -> None:
    world = World()
    page = world.summary(accept="text/html")
    assert page.header("content-type").startswith("text/html")
    assert "default-src 'none'" in page.header("content-security-policy")
    assert page.header("cache-control") == "no-store"
    assert b"Penicilline" in page.body
    assert BSN.encode() not in page.header("content-security-policy").encode()


def test_withdrawn_consent_holds_from_the_next_request() -> None:
    world = World(permits=())
    permit = privacy(GP)
    written = world.post("Consent", permit, custodian(GP))
    assert written.status == 201
    assert len(world.search().items) == 1
    withdrawn = permit | {"status": "inactive", "id": written.json["id"]}
    path = f"Consent/{written.json['id']}"
    headers = {"if-match": written.header("etag")}
    assert world.request("PUT", path, custodian(GP), body=withdrawn, headers=headers).status == 200
    assert world.search().items == []


def test_an_objection_to_one_category_leaves_the_rest() -> None:
    world = World()
    world.says("deny", HOSPITAL, categories=frozenset({"AllergyIntolerance"}))
    assert [item["meta"]["tag"][-1]["code"] for item in world.search().items] == [GP]
    assert len(world.search("Observation").items) == 1
    assert world.summary().status == 200
    assert "AllergyIntolerance" not in world.charts["hospital"].asked[-1].categories
    assert "ObservationVitalSigns" in world.charts["hospital"].asked[-1].categories


def test_an_index_entry_for_some_categories_asks_those_only() -> None:
    world = World(known_at=(), permits=(GP,))
    world.knows(GP, "Condition")
    assert world.search().items == []
    assert len(world.search("Condition").items) == 1


def test_sources_learn_who_asks_and_cannot_be_linked() -> None:
    world = World()
    world.search()
    contexts = [chart.asked[0].context for chart in world.charts.values()]
    assert {context.requester for context in contexts} == {PHYSICIAN.requester}
    ids = [context.request_id for context in contexts]
    assert len(set(ids)) == len(ids)
    assert not set(ids) & {record.request for record in world.records}


def test_a_custodian_without_an_address_is_told_as_unavailable() -> None:
    sources = [{"id": "gp", "custodian": GP, "kind": "fhir-r4", "url": "https://gp.example/fhir"}]
    world = World(settings={"sources": sources})
    assert world.search().remarks == ["source-failed", "source-failed"]


def test_numbers_and_dates_leave_as_they_came() -> None:
    exactly = b'"valueQuantity":{"value":1.10,"unit":"mmol/L"}'
    body = world_body(exactly, b'"effectiveDateTime":"2026-02"')
    world = World()
    world.charts["hospital"].body = body
    assert exactly in world.search("Observation").body
    assert b'"effectiveDateTime":"2026-02"' in world.search("Observation").body


def world_body(*parts: bytes) -> bytes:
    from profiles import exact
    from tests.gateway.world import bundle

    resource = observation("o1", "h1")
    del resource["valueQuantity"], resource["effectiveDateTime"]
    whole = bundle([person("h1"), resource])
    marker = exact.encode(resource)
    return whole.replace(marker, marker[:-1] + b"," + b",".join(parts) + b"}")


def test_ids_are_the_same_at_every_request_and_hide_the_native_ones() -> None:
    world = World()
    one, other = world.search().items, World().search().items
    assert [item["id"] for item in one] == [item["id"] for item in other]
    assert all(item["id"] != "a1" for item in one)


def test_a_flag_follows_its_own_category() -> None:
    world = World(charts=CHARTS | {"hospital": [person("h1"), flag("f1", "h1"), observation("o1", "h1")]})
    world.says("deny", HOSPITAL, categories=frozenset({"Alert"}))
    assert world.search("Flag").items == []
    assert len(world.search("Observation").items) == 1


@pytest.mark.parametrize("given", ["", "x y", "a" * 65, BSN, f"case-{BSN}", "${jndi:ldap://x}"])
def test_172_request_ids_that_are_odd_or_hold_a_number_are_replaced(given: str) -> None:
    world = World()
    reply = world.search(x_request_id=given, x_correlation_id=given)
    assert reply.header("x-request-id") != given or not given
    assert given not in str(world.records) or not given
    control = world.search(x_request_id="req-1", traceparent="00-" + "ab" * 16 + "-" + "cd" * 8 + "-01")
    assert (control.header("x-request-id"), control.header("x-correlation-id")) == ("req-1", "ab" * 16)


def test_an_ambulance_nobody_pushed_from_is_not_asked() -> None:
    world = World()
    world.knows(AMBULANCE)
    reply = world.search("Observation")
    assert len(reply.items) == 1
    assert "source-stale" in reply.remarks


def test_scopes_that_narrow_a_type_are_carried_out() -> None:
    narrow = frozenset({"system/Observation.rs?category=laboratory"})
    world = World(
        charts=CHARTS
        | {"hospital": [person("h1"), observation("o1", "h1"), observation("o2", "h1", kind="laboratory")]}
    )
    reply = world.search("Observation", replace(PHYSICIAN, scopes=narrow))
    assert [item["category"][0]["coding"][0]["code"] for item in reply.items] == ["laboratory"]
