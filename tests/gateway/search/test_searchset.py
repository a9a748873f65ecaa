"""Searchsets through the whole line: what comes along, parts, pages under change, cursors, and what a token covers."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any, Final
from urllib.parse import quote

import pytest

from tests.gateway.charts import (
    BSN,
    BSN_SYSTEM,
    CHARTS,
    OTHER_BSN,
    Json,
    allergy,
    coded,
    condition,
    medication,
    observation,
    person,
)
from tests.gateway.world import COLLEAGUE, GP, HOSPITAL, PHYSICIAN, Reply, World

SUBSETTED: Final = "SUBSETTED"


def encounter(id_: str = "e1", of: str = "h1", **other: Any) -> Json:
    return {
        "resourceType": "Encounter", "id": id_, "status": "finished", "subject": {"reference": f"Patient/{of}"},
        "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "IMP"}, **other,
    }  # fmt: skip


def practitioner(id_: str, family: str) -> Json:
    return {"resourceType": "Practitioner", "id": id_, "name": [{"family": family}]}


def product(id_: str = "med1") -> Json:
    return {"resourceType": "Medication", "id": id_, "code": coded("387207008", "Ibuprofen")}


NUMBER: Final = {"system": "http://lab.example/number", "value": "R-1"}
CONNECTED: Final = {
    "hospital": [
        person("h1"),
        encounter("e1"),
        encounter("e2", status="planned"),
        observation("o1", "h1", encounter={"reference": "Encounter/e1"}, performer=[{"reference": "Practitioner/d1"}], identifier=[NUMBER],
                    effectiveDateTime="2026-02-03T10:00:00+01:00"),
        observation("o2", "h1", "8310-5", encounter={"reference": "Encounter/e2"}, effectiveDateTime="2026-02-02"),
        observation("o3", "h1", "718-7", "laboratory", hasMember=[{"reference": "Observation/o1"}], effectiveDateTime="2026-02-01"),
        condition("c1", "h1", encounter={"reference": "Encounter/e1"}),
        practitioner("d1", "Bakker"),
    ],
    "gp": [
        person("g1"),
        observation("g1o", "g1", identifier=[NUMBER], effectiveDateTime="2026-02-04"),
        {key: value for key, value in medication("m1", "g1", medicationReference={"reference": "Medication/med1"}).items()
         if key != "medicationCodeableConcept"},
        product(),
    ],
    "mental": [],
}  # fmt: skip


@cache
def connected() -> World:
    """One world for the questions that change nothing."""
    return World(charts=CONNECTED)


def search(type_: str, more: str, caller: Any = PHYSICIAN, **headers: str) -> Reply:
    return connected().search(type_, caller, more, **headers)


def natives(reply: Reply, mode: str = "match") -> list[str]:
    found = [one["resource"] for one in reply.json.get("entry", ()) if one["search"]["mode"] == mode]
    return [
        one.get("meta", {}).get("source", one["resourceType"]).partition("#")[2] or one["resourceType"] for one in found
    ]


@pytest.mark.parametrize(
    ("type_", "more", "matches", "along"),
    [
        ("Observation", "&_sort=-date", "Observation/g1o Observation/o1 Observation/o2 Observation/o3", ""),
        ("Observation", "&encounter.class=IMP", "Observation/o1 Observation/o2", ""),
        ("Observation", "&encounter.status=planned", "Observation/o2", ""),
        ("Observation", "&performer:Practitioner.name=bakker", "Observation/o1", ""),
        ("Observation", "&patient.gender=female", "Observation/g1o Observation/o1 Observation/o2 Observation/o3", ""),
        ("Observation", "&patient.gender=male", "", ""),
        ("Encounter", "&_has:Observation:encounter:code=8310-5", "Encounter/e2", ""),
        ("Encounter", "&_has:Observation:encounter:performer:Practitioner.name=bakker", "Encounter/e1", ""),
        ("Encounter", "&_id:missing=false&_revinclude=Condition:encounter", "Encounter/e1 Encounter/e2", "Condition/c1"),
        ("Observation", "&code=8310-5&_include=Observation:encounter", "Observation/o2", "Encounter/e2"),
        ("Observation", "&code=718-7&_include:iterate=Observation:has-member&_include:iterate=Observation:encounter", "Observation/o3",
         "Observation/o1 Encounter/e1"),
        ("Observation", "&code=8310-5&_include=Observation:subject", "Observation/o2", "Patient"),
        ("MedicationStatement", "&_include=MedicationStatement:medication", "MedicationStatement/m1", "Medication/med1"),
        ("MedicationStatement", "&medication.code=387207008", "MedicationStatement/m1", ""),
        ("MedicationStatement", "&medication.code=1", "", ""),
        ("Medication", "", "Medication/med1", ""),
        ("Medication", "&code=387207008&_revinclude=MedicationStatement:medication", "Medication/med1", "MedicationStatement/m1"),
        ("Practitioner", "&name=bakker", "Practitioner/d1", ""),
        ("Condition", "&_revinclude=Provenance:target", "Condition/c1", "Provenance"),
    ],
)  # fmt: skip
def test_a_question_over_several_types(type_: str, more: str, matches: str, along: str) -> None:
    reply = search(type_, more)
    assert reply.status == 200, reply.body
    assert sorted(natives(reply)) == sorted(matches.split())
    assert sorted(natives(reply, "include")) == sorted(along.split())
    assert reply.json["total"] == len(matches.split()), "what comes along is never counted"


def several(more: str, **headers: str) -> Reply:
    return connected().get(f"?patient={connected().patient}{more}", PHYSICIAN, **headers)


def test_several_types_are_searched_at_once_by_what_they_have_in_common() -> None:
    each = {type_: set(natives(search(type_, ""))) for type_ in ("Condition", "Observation", "Encounter")}
    reply = several("&_type=Condition,Observation,Encounter")
    assert set(natives(reply)) == set().union(*each.values())
    assert reply.json["total"] == 7
    assert reply.link("self").startswith(f"?patient={connected().patient}&_type=Condition,Observation,Encounter")
    by_body = connected().post("_search", f"patient={connected().patient}&_type=Condition,Observation,Encounter")
    assert natives(by_body) == natives(reply), "URL and body are one question"
    for more, matches, along in (
        ("Condition,Observation&code=718-7,44054006", "Condition/c1 Observation/o3", ""),
        ("Observation,Encounter&_sort=-date&_id:missing=false", "o1 o2 o3 g1o e1 e2", ""),
        ("Observation,Condition&code=8310-5&_include=Observation:encounter", "Observation/o2", "Encounter/e2"),
        ("Condition,Encounter&_revinclude=Observation:encounter", "c1 e1 e2", "Observation/o1 Observation/o2"),
        ("Patient", "Patient", ""),
    ):
        reply = several(f"&_type={more}")
        assert reply.status == 200, reply.body
        assert sorted(one.rpartition("/")[2] for one in natives(reply)) == sorted(
            one.rpartition("/")[2] for one in matches.split()
        ), more
        assert sorted(natives(reply, "include")) == along.split(), more
    dates = [one.rpartition("/")[2] for one in natives(several("&_type=Observation,Encounter&_sort=-date"))]
    assert dates[:4] == ["g1o", "o1", "o2", "o3"], "one order over all types, what has no date last"


def test_without_a_type_everything_is_searched_and_pages_of_several_types_are_the_whole() -> None:
    whole = natives(several(""))
    assert {"Patient", "Condition/c1", "Encounter/e1", "Observation/g1o", "MedicationStatement/m1"} <= set(whole)
    reply, found = several("&_count=2&_sort=-_lastUpdated"), []
    while True:
        found += natives(reply)
        assert reply.json["total"] == len(whole)
        if not reply.link("next"):
            break
        reply = connected().get(reply.link("next"))
    assert sorted(found) == sorted(whole)


def test_whatever_comes_along_nobody_is_asked_for_the_log() -> None:
    reply = search("Observation", "&_include=*")
    assert (reply.status, b"Logging" in reply.body, b"AuditEvent" in reply.body) == (200, False, False)


def test_what_several_types_do_not_share_is_refused_before_anybody_is_asked() -> None:
    world = World(charts=CONNECTED)
    for more, code in (
        ("&_type=Condition,Observation&value-quantity=5", "unknown-parameter"),
        ("&value-quantity=5", "unknown-parameter"),
        ("&_type=Condition,Slot", "invalid-parameter"),
        ("&_type=", "invalid-parameter"),
        ("&_type=Condition,Observation&_include=Encounter:part-of", "unknown-parameter"),
        ("&_type=AuditEvent", "invalid-parameter"),
    ):
        assert world.get(f"?patient={world.patient}{more}").code == code, more
    other = world.patient_id(OTHER_BSN)
    for query, code in (
        ("?_type=Condition", "patient-required"),
        ("", "patient-required"),
        (f"?patient={world.patient}&patient={other}", "patient-conflict"),
        (f"?patient={world.patient},{other}&_type=Condition", "patient-conflict"),
        (f"?patient.identifier={BSN_SYSTEM}|{BSN}&_type=Condition", "bsn-in-url"),
        (f"?patient={world.patient}&_type=Condition&_cursor=x", "invalid-parameter"),
    ):
        assert world.get(query).code == code, query
    narrow = scoped("system/Condition.rs")
    assert world.get(f"?patient={world.patient}&_type=Condition,Observation", narrow).status == 403
    assert world.asked() == []
    reply = several("&_type=Condition,Observation&value-quantity=5", prefer="handling=lenient")
    assert reply.json["total"] == 5, "left out for every type, or the link would not be true"
    assert "value-quantity" not in reply.link("self")
    assert world.get(f"?patient={world.patient}&_type=Condition", narrow).json["total"] == 1
    assert natives(world.get(f"?patient={world.patient}", narrow)) == ["Condition/c1"], "all types the token covers"
    assert world.get(f"?patient={world.patient}&_has:Observation:patient:code=x", narrow).status in (400, 403)
    assert world.get(f"?patient={world.patient}", scoped("system/Task.rs")).status == 403


def test_the_patient_is_found_by_what_is_known_of_the_person() -> None:
    world = connected()
    for more, count in (("family=jansen", 1), ("gender=male", 0), ("_has:Condition:patient:code=44054006", 1),
                        ("_has:Condition:patient:code=1", 0), ("given=ada&birthdate=1980-02-29", 1)):  # fmt: skip
        reply = world.post("Patient/_search", f"identifier={BSN_SYSTEM}|{BSN}&{more}")
        assert (reply.status, reply.json["total"]) == (200, count), more
    reply = world.post("Patient/_search", f"identifier={BSN_SYSTEM}|{BSN}&_revinclude=Condition:patient")
    assert natives(reply, "include") == ["Condition/c1"]


def test_a_record_that_came_twice_is_kept_and_linked() -> None:
    entries = {
        one["resource"]["meta"]["source"]: one
        for one in search("Observation", "&identifier=R-1").json["entry"]
        if "link" in one
    }
    assert set(entries) == {"urn:roaz:hospital#Observation/o1", "urn:roaz:gp#Observation/g1o"}
    for source, one in entries.items():
        other = next(entry for name, entry in entries.items() if name != source)
        assert one["link"] == [{"relation": "duplicate", "url": other["fullUrl"]}]


@pytest.mark.parametrize(
    ("more", "kept", "gone"),
    [
        (
            "&_summary=true",
            {"status", "code", "subject", "effectiveDateTime", "valueQuantity", "encounter"},
            {"category"},
        ),
        ("&_summary=text", {"status", "code"}, {"subject", "valueQuantity"}),
        ("&_summary=data", {"status", "code", "category", "valueQuantity"}, {"text"}),
        ("&_elements=valueQuantity", {"status", "code", "valueQuantity"}, {"subject", "category"}),
        ("&_elements=value,category", {"status", "code", "valueQuantity", "category"}, {"subject"}),
        ("&_elements=Observation.subject", {"status", "code", "subject"}, {"category"}),
    ],
)
def test_a_part_says_that_it_is_one(more: str, kept: set[str], gone: set[str]) -> None:
    reply = search("Observation", f"&code=8310-5{more}")
    one = reply.items[0]
    assert kept <= one.keys()
    assert not gone & one.keys()
    assert SUBSETTED in {tag["code"] for tag in one["meta"]["tag"]}
    assert one["meta"]["source"], "where it comes from is always said"
    assert {one["id"]} == {entry["resource"]["id"] for entry in search("Observation", "&code=8310-5").json["entry"][:1]}


def test_what_is_whole_does_not_say_it_is_a_part() -> None:
    for more in ("", "&_summary=false"):
        assert SUBSETTED.encode() not in search("Observation", more).body


def test_only_a_number_is_given_when_only_that_is_asked() -> None:
    for more in ("&_summary=count", "&_count=0"):
        reply = search("Observation", more)
        assert (reply.items, reply.json["total"]) == ([], 4)
        assert f"{more[1:]}" in reply.link("self")


def test_a_total_nobody_wants_is_left_out() -> None:
    assert "total" not in search("Observation", "&_total=none").json
    assert search("Observation", "&_total=estimate").json["total"] == 4


def test_the_self_link_says_what_was_applied() -> None:
    reply = search("Observation", "&code=8310-5&colour=red&_sort=-date,colour&_count=900", prefer="handling=lenient")
    link = reply.link("self")
    assert "code=8310-5" in link
    assert "colour" not in link
    assert "_sort=-date" in link
    assert "_count=500" in link
    assert "unknown-parameter" in reply.remarks
    strict = search("Observation", "&code=8310-5&colour=red")
    assert (strict.status, strict.code) == (400, "unknown-parameter")
    assert search("Observation", "&date=soon", prefer="handling=lenient").code == "invalid-parameter"


def test_url_and_body_are_one_question() -> None:
    world = connected()
    one = world.post(f"Observation/_search?patient={world.patient}&code=8310-5", "_sort=-date")
    other = world.post("Observation/_search", f"patient={world.patient}&code=8310-5&_sort=-date")
    assert one.body == other.body
    assert one.json["total"] == 1
    twice = world.post(f"Observation/_search?patient={world.patient}&_count=1", "_count=2")
    assert twice.code == "invalid-parameter"


# --- pages ---------------------------------------------------------------------------------------


def many(count: int = 12) -> dict[str, list[Json]]:
    rows = [allergy(f"a{number:02}", "h1", recordedDate=f"2026-01-{number + 1:02}") for number in range(count)]
    return {"gp": [person("g1")], "hospital": [person("h1"), *rows], "mental": []}


@pytest.mark.slow
@pytest.mark.parametrize("sort", ["", "&_sort=date", "&_sort=-date", "&_sort=code,-date", "&_sort=_id"])
def test_pages_stay_whole_while_items_come_and_go(sort: str) -> None:
    world = World(charts=many())
    first = world.search(more=f"&_count=4{sort}")
    shown = natives(first)
    held = world.charts["hospital"].resources
    gone = {shown[-1], natives(world.search(more=sort))[6]}  # the last that was shown, and one that was not yet
    held[:] = [one for one in held if f"{one['resourceType']}/{one['id']}" not in gone]
    held.append(allergy("new", "h1", recordedDate="2025-06-01", code=coded("1")))
    page = first
    while page.link("next"):
        page = world.get(page.link("next"))
        shown += natives(page)
    assert len(shown) == len(set(shown)), "nothing twice"
    still = {f"AllergyIntolerance/{one['id']}" for one in held if one["resourceType"] != "Patient"} - {
        "AllergyIntolerance/new"
    }
    assert still <= set(shown), "nothing skipped"


def test_pages_together_are_the_whole() -> None:
    world = World(charts=many())
    for sort in ("", "&_sort=-date", "&_sort=code"):
        whole = natives(world.search(more=sort))
        page = world.search(more=f"&_count=5{sort}")
        found = natives(page)
        while page.link("next"):
            page = world.get(page.link("next"))
            found += natives(page)
        assert found == whole


def test_a_page_stands_alone_with_what_belongs_to_it() -> None:
    reply = search("Observation", "&_sort=-date&_count=2&_include=Observation:encounter")
    assert natives(reply) == ["Observation/g1o", "Observation/o1"]
    assert natives(reply, "include") == ["Encounter/e1"]
    following = connected().get(reply.link("next"))
    assert natives(following) == ["Observation/o2", "Observation/o3"]
    assert natives(following, "include") == ["Encounter/e2"]


@pytest.mark.parametrize("cursor", ["AAAA", "!", "%00", "x" * 300, ""])
def test_a_wrong_cursor_is_refused_before_anybody_is_asked(cursor: str) -> None:
    world = World()
    reply = world.search(more=f"&_count=1&_cursor={quote(cursor)}")
    if cursor:
        assert (reply.status, reply.code) == (400, "invalid-parameter")
        assert world.asked() == []
        assert world.records[-1].kind == "refusal"
    else:
        assert reply.status == 200


def test_a_cursor_belongs_to_client_patient_and_question() -> None:
    world = World(charts=many())
    following = world.search(more="&_count=4&_sort=-date").link("next")
    asked = len(world.asked())
    wrong = [
        (following.replace("_sort=-date", "_sort=date"), PHYSICIAN),
        (following.replace("_count=4", "_count=5"), PHYSICIAN),
        (following.replace("AllergyIntolerance", "Condition"), PHYSICIAN),
        (following.replace(world.patient, world.patient_id(OTHER_BSN)), PHYSICIAN),
        (following, COLLEAGUE),
    ]
    for path, caller in wrong:
        assert world.get(path, caller).code == "invalid-parameter"
    assert len(world.asked()) == asked
    assert world.get(following).status == 200


# --- what a token covers, and who may be asked -----------------------------------------------------


def scoped(*scopes: str) -> Any:
    return replace(PHYSICIAN, scopes=frozenset(scopes), token_id="+".join(scopes))


@pytest.mark.parametrize(
    "more",
    [
        "&encounter.class=IMP",
        "&_has:Condition:encounter:code=44054006",
        "&encounter:Encounter._id=x",
        "&patient.gender=female",
    ],
)
def test_a_type_a_question_goes_over_needs_its_scope(more: str) -> None:
    type_ = "Encounter" if "_has" in more else "Observation"
    only = scoped(f"system/{type_}.rs", f"user/{type_}.rs")
    refused = search(type_, more, only)
    assert (refused.status, refused.code) == (403, "scope-insufficient")
    other = {"&encounter": "Encounter", "&_has": "Condition", "&patient": "Patient"}[
        more.partition(".")[0].partition(":")[0]
    ]
    both = scoped(f"system/{type_}.rs", f"user/{type_}.rs", f"system/{other}.rs", f"user/{other}.rs")
    assert search(type_, more, both).status == 200


def test_what_a_token_does_not_cover_does_not_come_along_and_that_is_said() -> None:
    only = scoped("system/Observation.rs", "user/Observation.rs")
    reply = search("Observation", "&code=8867-4&_include=Observation:encounter&_include=Observation:performer", only)
    assert reply.status == 200
    assert natives(reply, "include") == []
    assert "include-left-out" in reply.remarks
    assert b"Bakker" not in reply.body


def test_a_chain_over_several_types_uses_those_the_token_covers() -> None:
    only = scoped("system/Observation.rs", "user/Observation.rs", "system/Organization.rs", "user/Organization.rs")
    assert natives(search("Observation", "&performer.name=bakker", only)) == []
    assert natives(search("Observation", "&performer.name=bakker")) == ["Observation/o1"]


def test_what_may_not_be_shared_is_not_found_by_a_chain_or_brought_along() -> None:
    world = World(charts=CONNECTED)
    world.says("deny", HOSPITAL, categories=frozenset({"Encounter"}))
    for more in ("&encounter.class=IMP", "&encounter.class:not=IMP"):
        assert natives(world.search("Observation", more=more)) == []
    assert natives(world.search("Observation", more="&_include=Observation:encounter"), "include") == []
    assert natives(world.search("Condition", more="&_revinclude=Encounter:diagnosis"), "include") == []
    asked = [one for one in world.charts["hospital"].asked if "Encounter" in one.categories]
    assert asked == [], "what is refused is not asked for either"


def test_references_that_lead_nowhere_are_said() -> None:
    world = World(
        charts={**CONNECTED, "gp": [person("g1"), observation("x", "g1", encounter={"reference": "Encounter/gone"})]}
    )
    assert "reference-not-followed" in world.search("Observation", more="&encounter.class=IMP").remarks
    assert "reference-not-followed" not in search("Observation", "&encounter.class=IMP").remarks


def test_a_source_that_is_down_is_said_for_what_comes_along_too() -> None:
    world = World(charts=CONNECTED).with_source_down("gp")
    reply = world.search("Observation", more="&_include=Observation:encounter")
    assert natives(reply, "include")
    assert reply.remarks == ["source-failed"]


def test_a_bsn_names_the_patient_and_nobody_else() -> None:
    world = World()
    for name in ("patient:identifier", "subject:identifier", "patient.identifier"):
        assert world.post("Observation/_search", f"{name}={BSN_SYSTEM}|{BSN}").status == 200
    reply = world.post("Observation/_search", f"patient={world.patient}&performer:identifier={BSN_SYSTEM}|{OTHER_BSN}")
    assert reply.code == "invalid-parameter"
    assert OTHER_BSN.encode() not in reply.body


def test_the_record_names_what_came_along() -> None:
    world = World(charts=CONNECTED)
    world.search("Observation", more="&code=8310-5&_include=Observation:encounter")
    shown = [one for custodian in world.records[-1].custodians for one in custodian.shown]
    assert len(shown) == 2
    assert GP not in {custodian.custodian for custodian in world.records[-1].custodians if custodian.shown}


def test_control_the_charts_of_all_tests_are_as_they_were() -> None:
    assert [one["id"] for one in CHARTS["gp"]] == ["g1", "a1", "m1", "c1", "d1"]
