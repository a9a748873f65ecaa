"""Operations: what they give, in pages and parts, and what they refuse."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Final

import pytest

from gateway.fhir.everything import in_order
from gateway.fhir.lastn import newest
from gateway.model import Item
from profiles import exact
from profiles.judgement import judge
from profiles.library import shipped
from tests.fakes import NOON
from tests.gateway.charts import BIRTH, BSN, BSN_SYSTEM, Json
from tests.gateway.test_cases import task
from tests.gateway.world import COORDINATOR, GP, PHYSICIAN, POST, Reply, World

IPS: Final = "http://hl7.org/fhir/uv/ips/StructureDefinition"
TYPES: Final = [
    "Patient", "AllergyIntolerance", "AllergyIntolerance", "Condition", "Condition", "Consent", "Flag",
    "MedicationStatement", "Observation",
]  # fmt: skip


@pytest.fixture(scope="module")
def world() -> World:
    return World()


def everything(world: World, query: str = "") -> Reply:
    return world.get(f"Patient/{world.patient}/$everything{query}")


def kinds(reply: Reply) -> list[str]:
    return [item["resourceType"] for item in reply.items]


def observation(id_: str, code: str, date: str, system: str = "http://loinc.org") -> Item:
    resource = {"resourceType": "Observation", "id": id_, "code": {"coding": [{"system": system, "code": code}]}}
    return Item(exact.encode(resource), id_, "Observation", "p", GP, "gp", "x", id_, date=date)


# --- $everything ------------------------------------------------------------------------------------


def test_everything_is_the_patient_and_all_that_a_search_of_each_type_finds(world: World) -> None:
    reply = everything(world)
    assert (reply.status, kinds(reply), reply.json["total"]) == (200, TYPES, len(TYPES))
    for type_ in set(TYPES) - {"Patient"}:
        found = {item["id"] for item in world.search(type_).items}
        assert {item["id"] for item in reply.items if item["resourceType"] == type_} == found, type_
    assert reply.link("self").rstrip("?") == f"Patient/{world.patient}/$everything"


def test_pages_of_everything_put_together_are_everything_and_keep_what_was_asked(world: World) -> None:
    whole = everything(world, "?start=2000").items
    reply, found = everything(world, "?start=2000&_count=2"), []
    while True:
        assert len(reply.items) <= 2
        found += reply.items
        assert "start=2000" in reply.link("self")
        if not reply.link("next"):
            break
        assert "start=2000" in reply.link("next")
        reply = world.get(reply.link("next"))
    assert [item["id"] for item in found] == [item["id"] for item in whole]


def test_a_cursor_of_one_question_or_client_is_none_of_another(world: World) -> None:
    link = everything(world, "?_count=2").link("next")
    assert world.get(link.replace("_count=2", "_count=2&_type=Patient,Observation")).code == "invalid-parameter"
    other = replace(PHYSICIAN, requester=replace(PHYSICIAN.requester, client="other-app"), token_id="t8")
    assert world.get(link, other).code == "invalid-parameter"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("?_type=Condition,Patient", ["Patient", "Condition", "Condition"]),
        ("?_type=Flag&_type=Observation", ["Flag", "Observation"]),
        ("?_since=2999-01-01T00:00:00Z&_type=AllergyIntolerance", []),
        ("?_since=2000-01-01T00:00:00Z&_type=AllergyIntolerance", ["AllergyIntolerance", "AllergyIntolerance"]),
        ("?end=1900&_type=Observation", []),
        ("?end=2999&_type=Observation", ["Observation"]),
    ],
)
def test_parts_of_everything(world: World, query: str, expected: list[str]) -> None:
    assert kinds(everything(world, query)) == expected


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("?nothing=1", "unknown-parameter"), ("?_type=Nothing", "invalid-parameter"), ("?_count=0", "invalid-parameter"),
        ("?_count=x", "invalid-parameter"), ("?start=yesterday", "invalid-parameter"), ("?start=2", "invalid-parameter"),
        ("?start=2021&end=2020", "invalid-parameter"), ("?start=2020&start=2021", "invalid-parameter"),
        ("?_since=", "invalid-parameter"), ("?_cursor=abc&_count=2", "invalid-parameter"),
        (f"?x={BSN}", "bsn-in-url"),
    ],
)  # fmt: skip
def test_what_everything_refuses(world: World, query: str, code: str) -> None:
    reply = everything(world, query)
    assert (reply.status, reply.code) == (400, code)


def test_what_has_no_date_is_never_left_out_and_what_lasts_is_there_until_it_ends() -> None:
    def item(type_: str, **elements: object) -> Item:
        resource = {"resourceType": type_, "id": "x", **{k: v for k, v in elements.items() if k != "date"}}
        return Item(exact.encode(resource), "x", type_, "p", GP, "gp", "x", "x", date=str(elements.get("date", "")))

    from gateway.fhir.everything import wanted
    from gateway.model import Incoming

    asked = wanted(Incoming("GET", "", "start=2020&end=2021", {}, b"", "", "", "", NOON))
    assert asked.covers(item("Observation"))
    assert not asked.covers(item("Observation", date="2019-05-01"))
    assert asked.covers(item("Observation", date="2020-05"))
    assert asked.covers(item("Condition", date="2001"))
    assert not asked.covers(item("Condition", date="2001", abatementDateTime="2002"))
    assert asked.covers(item("Encounter", period={"start": "2019-12-30", "end": "2020-01-02"}))
    assert asked.covers(item("Encounter", period={"start": "2019"}))
    assert not asked.covers(item("Encounter", period={"end": "2019-12-31"}))


def test_what_may_not_be_seen_is_in_none_of_it() -> None:
    world = World(permits=(GP,))
    found = everything(world)
    assert {item["meta"]["source"].split(":")[2].split("#")[0] for item in found.items if "tag" in item["meta"]} == {
        "gp"
    }
    assert everything(World(permits=())).json["total"] == 0


def test_sources_that_do_not_answer_are_said_and_when_none_does_it_is_no_empty_list() -> None:
    assert "source-failed" in everything(World().with_source_down("gp")).remarks
    assert everything(World().with_source_down("gp", "hospital", "mental")).status == 504


def test_the_order_of_everything_does_not_depend_on_the_order_it_came_in() -> None:
    items = [observation(name, "1", "2020") for name in "cab"]
    assert [item.id for item in in_order(items)] == [item.id for item in in_order(items[::-1])] == ["a", "b", "c"]


# --- $lastn -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("most", "expected"),
    [(1, ["g2", "h1", "h0", "u"]), (2, ["g2", "g1", "h1", "h0", "u"]), (9, ["g2", "g1", "g0", "h1", "h0", "u"])],
)
def test_the_newest_of_each_code_with_all_of_the_same_moment(most: int, expected: list[str]) -> None:
    items = [
        observation("g0", "2339-0", "2019"), observation("g1", "2339-0", "2020-01-01"),
        observation("g2", "2339-0", "2021-06-01T10:00:00Z"), observation("h0", "8302-2", "2020-05-01"),
        observation("h1", "8302-2", "2020-05-01"), observation("u", "8302-2", "", system="http://other"),
    ]  # fmt: skip
    found = [item.id for item in newest(items, most)]
    assert sorted(found) == sorted(expected)
    assert found.index("g2") < found.index("h0") < found.index("u")


def test_lastn_needs_a_code_or_a_category_and_a_patient(world: World) -> None:
    patient = f"Observation/$lastn?patient={world.patient}"
    assert world.get(patient).code == "invalid-parameter"
    assert world.get("Observation/$lastn?category=vital-signs").code == "patient-required"
    for wrong in ("&max=0", "&max=x", "&max=1&max=2"):
        assert world.get(f"{patient}&code=8867-4{wrong}").code == "invalid-parameter"
    for wrong in ("&_count=3", "&_sort=date", "&nothing=1"):
        assert world.get(f"{patient}&code=8867-4{wrong}").code == "unknown-parameter"
    found = world.get(f"{patient}&code=8867-4")
    assert kinds(found) == ["Observation"]
    assert world.get(f"{patient}&code=nothing").items == []


def test_lastn_by_identifier_in_the_body(world: World) -> None:
    form = f"patient.identifier={BSN_SYSTEM}|{BSN}&category=vital-signs"
    assert kinds(world.post("Observation/$lastn", form)) == ["Observation"]
    body = parameters(**{"patient.identifier": f"{BSN_SYSTEM}|{BSN}", "category": "vital-signs", "max": 3})
    assert kinds(world.post("Observation/$lastn", body)) == ["Observation"]


def parameters(**values: object) -> Json:
    rows = [
        {"name": name, "valueInteger" if isinstance(value, int) else "valueString": value}
        for name, value in values.items()
    ]
    return {"resourceType": "Parameters", "parameter": rows}


# --- $docref, $document -----------------------------------------------------------------------------


def test_docref_finds_the_summary_and_its_link_gives_the_document(world: World) -> None:
    """Inferno IPS: $docref answers a valid Bundle of DocumentReferences, and what it points to is a document."""
    reply = world.post("DocumentReference/$docref", {"resourceType": "Parameters", "parameter": [
        {"name": "patient", "valueId": world.patient}]})  # fmt: skip
    assert (reply.status, reply.json["type"]) == (200, "searchset")
    (found,) = reply.items
    assert [issue for issue in judge(found, shipped(), (), {}, NOON).issues if issue.is_error] == []
    assert found["type"]["coding"][0]["code"] == "60591-5"
    url = found["content"][0]["attachment"]["url"].removeprefix("http://gateway.test/fhir/")
    document = world.get(url)
    assert (document.status, document.json["type"]) == (200, "document")
    assert document.json["entry"][0]["resource"]["resourceType"] == "Composition"


def test_the_steps_of_the_kit_for_ips(world: World) -> None:
    """Inferno IPS: both operations are declared by their definition, and `$summary` is a valid document of valid parts."""
    offered = {
        (row["type"], one["name"], one["definition"])
        for row in world.get("metadata", None).json["rest"][0]["resource"]
        for one in row.get("operation", ())
    }
    assert ("Patient", "summary", "http://hl7.org/fhir/uv/ips/OperationDefinition/summary") in offered
    assert ("DocumentReference", "docref", "http://hl7.org/fhir/uv/ipa/OperationDefinition/docref") in offered
    reply = world.get(f"Patient/{world.patient}/$summary", accept="application/fhir+json")
    assert reply.status == 200
    assert reply.header("content-type").startswith("application/fhir+json")
    bundle = reply.json
    assert (bundle["resourceType"], bundle["type"]) == ("Bundle", "document")
    assert bundle["identifier"]["value"]
    assert bundle["timestamp"]
    composition = bundle["entry"][0]["resource"]
    assert composition["type"]["coding"][0]["code"] == "60591-5"
    profiles = {
        "Bundle": f"{IPS}/Bundle-uv-ips",
        "Composition": f"{IPS}/Composition-uv-ips",
        "Patient": f"{IPS}/Patient-uv-ips",
    }
    for resource in (bundle, *(entry["resource"] for entry in bundle["entry"])):
        asked = [profiles[resource["resourceType"]]] if resource["resourceType"] in profiles else []
        errors = [issue for issue in judge(resource, shipped(), asked, {}, NOON).issues if issue.is_error]
        assert errors == [], (resource["resourceType"], errors)
    sections = {section["code"]["coding"][0]["code"]: section for section in composition["section"]}
    assert {"48765-2", "11450-4", "10160-0"} <= sections.keys()
    inside = {entry["fullUrl"].rpartition("/fhir/")[2]: entry["resource"]["resourceType"] for entry in bundle["entry"]}
    kinds = {"48765-2": "AllergyIntolerance", "11450-4": "Condition", "10160-0": "MedicationStatement"}
    for code, section in sections.items():
        assert section["title"]
        assert section["text"]["div"]
        assert ("entry" in section) != ("emptyReason" in section) or code not in kinds, code
        for one in section.get("entry", ()):
            assert inside[one["reference"]] == kinds.get(code, inside[one["reference"]])
    assert [inside[one["reference"]] for one in sections["48765-2"]["entry"]]


@pytest.mark.parametrize(
    ("query", "number"),
    [
        ("", 1), ("&type=http://loinc.org|60591-5", 1), ("&type=60591-5", 1), ("&type=http://loinc.org|11488-4", 0),
        ("&end=2020", 0), ("&start=2026-01-01", 1), ("&on-demand=true", 1), ("&profile=http://x.example/y", 0),
        ("&profile=http://hl7.org/fhir/uv/ips/StructureDefinition/Composition-uv-ips", 1),
    ],
)  # fmt: skip
def test_docref_narrows(world: World, query: str, number: int) -> None:
    assert len(world.get(f"DocumentReference/$docref?patient={world.patient}{query}").items) == number


@pytest.mark.parametrize(
    ("query", "code", "status"),
    [
        ("", "patient-required", 400), ("?patient=nobody", "not-found", 404), ("?patient={p}&patient=x", "patient-conflict", 400),
        ("?patient={p}&on-demand=yes", "invalid-parameter", 400), ("?patient={p}&nothing=1", "unknown-parameter", 400),
        ("?patient={p}&start=2021&end=2020", "invalid-parameter", 400),
    ],
)  # fmt: skip
def test_what_docref_refuses(world: World, query: str, code: str, status: int) -> None:
    reply = world.get(f"DocumentReference/$docref{query.replace('{p}', world.patient)}")
    assert (reply.status, reply.code) == (status, code)


def test_a_document_that_is_asked_by_profile_is_of_that_profile(world: World) -> None:
    (found,) = world.get(f"DocumentReference/$docref?patient={world.patient}&profile=BgZ").items
    document = world.get(found["content"][0]["attachment"]["url"].removeprefix("http://gateway.test/fhir/"))
    assert document.json["entry"][0]["resource"]["meta"]["profile"][0].endswith("/Composition-bgz")
    assert world.get(f"Composition/{world.patient}/$document?profile=x").code == "invalid-parameter"


def test_a_document_is_made_anew_and_not_kept(world: World) -> None:
    path = f"Composition/{world.patient}/$document"
    assert world.get(f"{path}?persist=false").status == 200
    assert world.get(f"{path}?persist=true").code == "invalid-parameter"
    assert world.get(path, accept="text/html").status == 406
    made = world.get(path).json["entry"][0]["resource"]["id"]
    assert world.get(f"Composition/{made}/$document").status == 404


# --- batch ------------------------------------------------------------------------------------------


def batch(*entries: Json) -> Json:
    return {"resourceType": "Bundle", "type": "batch", "entry": list(entries)}


def entry(method: str, url: str, resource: Json | None = None, **more: str) -> Json:
    return {"request": {"method": method, "url": url, **more}} | ({"resource": resource} if resource else {})


def test_each_entry_of_a_batch_runs_the_same_line_with_a_record_of_its_own() -> None:
    world = World()
    form = base64.b64encode(f"identifier={BSN_SYSTEM}|{BSN}&birthdate={BIRTH}".encode()).decode()
    reply = world.post("", batch(
        entry("GET", f"/AllergyIntolerance?patient={world.patient}"),
        entry("GET", f"http://gateway.test/fhir/Patient/{world.patient}"),
        entry("POST", "Patient/_search", {"resourceType": "Binary", "data": form,
                                          "contentType": "application/x-www-form-urlencoded"}),
        entry("GET", "Nothing"), entry("DELETE", f"Patient/{world.patient}"), entry("POST", "http://gateway.test/fhir/", batch()),
        entry("GET", f"Condition?patient={world.patient}&nothing=1"), entry("GET", f"Patient?identifier={BSN}"),
        entry("GET", "metadata"),
    ))  # fmt: skip
    assert (reply.status, reply.json["type"]) == (200, "batch-response")
    statuses = [one["response"]["status"][:3] for one in reply.json["entry"]]
    assert statuses == ["200", "200", "200", "404", "405", "501", "400", "400", "200"]
    assert [one["resource"]["resourceType"] for one in reply.json["entry"] if "resource" in one] == [
        "Bundle", "Patient", "Bundle", "CapabilityStatement",
    ]  # fmt: skip
    assert all("outcome" in one["response"] for one in reply.json["entry"] if one["response"]["status"][:1] in "45")
    assert reply.json["entry"][1]["response"]["etag"].startswith('W/"')
    ends = [record for record in world.records if record.kind in ("outcome", "refusal")]
    assert len(ends) == len(statuses) - 1 + 1, "one for each but the public one, and one for the batch"
    assert len({record.request for record in ends}) == len(ends)
    assert len({record.correlation for record in ends}) == 1
    assert (ends[-1].interaction, ends[-1].count) == ("batch", 9)
    assert {issue.rule for issue in judge(reply.json, shipped(), (), {}, NOON).issues if issue.is_error} <= {
        "bundle-full-url"
    }


def test_a_batch_writes_as_its_entries_would() -> None:
    world = World()
    reply = world.post("", batch(entry("POST", "Task", task())), COORDINATOR)
    (made,) = reply.json["entry"]
    assert made["response"]["status"] == "201 Created"
    assert made["response"]["location"].startswith("http://gateway.test/fhir/Task/")
    assert world.get(made["response"]["location"].partition("/fhir/")[2], COORDINATOR).status == 200


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"resourceType": "Bundle", "type": "transaction"}, 501, "not-supported"),
        ({"resourceType": "Bundle", "type": "document"}, 422, "invalid-resource"),
        ({"resourceType": "Bundle", "type": "batch", "entry": [{"request": {"method": "GET", "url": "x"}}] * 101}, 422,
         "invalid-resource"),
        ({"resourceType": "Bundle", "type": "batch", "entry": [{}]}, 422, "invalid-resource"),
        ({"resourceType": "Bundle", "type": "batch", "entry": [entry("GO", "x")]}, 422, "invalid-resource"),
        ({"resourceType": "Patient"}, 422, "invalid-resource"),
    ],
)  # fmt: skip
def test_what_is_no_batch(world: World, body: Json, status: int, code: str) -> None:
    reply = world.post("", body)
    assert (reply.status, reply.code) == (status, code)


def test_a_batch_without_a_token_is_refused_as_a_whole(world: World) -> None:
    assert world.post("", batch(entry("GET", "metadata")), None).status == 401


# --- versions, conditions ---------------------------------------------------------------------------


def test_location_leads_to_what_was_made() -> None:
    world = World()
    made = world.post("Task", task(), COORDINATOR)
    path = made.header("location").partition("/fhir/")[2]
    assert world.get(path, COORDINATOR).json == made.json
    assert world.get(path.replace("_history/1", "_history/7"), COORDINATOR).code == "not-found"
    again = world.post("Task", task(), COORDINATOR, if_none_exist="identifier=x")
    assert (again.status, again.code) == (501, "not-supported")


def test_a_role_that_needs_a_case_needs_one_for_operations_too() -> None:
    world = World()
    for path in (f"Patient/{world.patient}/$everything", f"Composition/{world.patient}/$document",
                 f"Observation/$lastn?patient={world.patient}&category=vital-signs",
                 f"DocumentReference/$docref?patient={world.patient}"):  # fmt: skip
        assert world.get(path, COORDINATOR).code == "case-required", path
    world.opens_case()
    assert everything_of(world).status == 200


def everything_of(world: World) -> Reply:
    return world.get(f"Patient/{world.patient}/$everything", COORDINATOR)


def test_scopes_hold_for_operations() -> None:
    world = World()
    narrow = replace(PHYSICIAN, scopes=frozenset({"system/Observation.rs"}), token_id="t7")
    assert everything(World()).status == 200
    assert world.get(f"Patient/{world.patient}/$everything", narrow).code == "scope-insufficient"
    only = world.get(f"Patient/{world.patient}/$everything?_type=Observation", narrow)
    assert kinds(only) == ["Observation"]
    assert world.get(f"DocumentReference/$docref?patient={world.patient}", narrow).code == "scope-insufficient"
    assert POST


# --- $summary by profile ----------------------------------------------------------------------------


def test_a_set_asks_sources_for_what_it_holds_only_and_an_unknown_profile_asks_nobody() -> None:
    world = World()
    for profile in ("GP", "https://roaz-gateway.example/fhir/StructureDefinition/Composition-gp"):
        reply = world.get(f"Patient/{world.patient}/$summary?profile={profile}")
        assert reply.status == 200
        assert reply.json["entry"][0]["resource"]["meta"]["profile"][0].endswith("Composition-gp")
    asked = [question.categories for chart in world.charts.values() for question in chart.asked]
    assert asked
    for categories in asked:
        assert "AllergyIntolerance" in categories
        assert not categories & {"Procedure", "Device", "Nutrition", "Request"}, (
            "no section of this set is made of these"
        )
    wrong = {"resourceType": "Parameters", "parameter": [{"name": "profile", "valueCanonical": "http://x.example/y"}]}
    for reply in (
        world.get(f"Patient/{world.patient}/$summary?profile=http://x.example/y"),
        world.post(f"Patient/{world.patient}/$summary", wrong),
    ):
        assert (reply.status, reply.code) == (400, "invalid-parameter")
    assert sum(len(chart.asked) for chart in world.charts.values()) == len(asked)


def test_the_capability_statement_names_each_document_that_can_be_asked(world: World) -> None:
    named = {one["documentation"].partition(",")[0]: one for one in world.get("metadata").json["document"]}
    assert set(named) == {"IPS", "EPS", "NL-PS", "BgZ", "GP"}
    for name, one in named.items():
        assert one["mode"] == "producer"
        reply = world.get(f"Patient/{world.patient}/$summary?profile={one['profile']}")
        assert one["profile"] in reply.json["entry"][0]["resource"]["meta"]["profile"], name
