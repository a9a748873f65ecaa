"""Attacks by those who ask, on the whole line; numbered as in the list of attacks; each has a positive control beside it."""

from __future__ import annotations

import logging

import pytest

from tests.attacks.lies import at_hospital, incidents, natives
from tests.gateway.charts import (
    BIRTH,
    BSN,
    BSN_SYSTEM,
    OTHER_BSN,
    TERMS,
    Json,
    condition,
    flag,
    observation,
    person,
)
from tests.gateway.test_answers import MANY, identified
from tests.gateway.test_silence import comparable
from tests.gateway.world import COLLEAGUE, GP, HOSPITAL, MENTAL, PHYSICIAN, World, raw, run

HOSTS = (b"gp.example", b"hospital.example", b"mental.example", b"169.254")


# --- B. what is asked ----------------------------------------------------------------------------

INCLUDES = [
    "_include=Observation:subject", "_include=*", "_include:iterate=Observation:subject", "_include%3Aiterate=Observation:subject",
    "_include:recurse=Observation:subject", "_INCLUDE=Observation:subject", "_include=Observation:subject&_include=Observation:focus",
    "_revinclude=DiagnosticReport:result", "_revinclude:iterate=Provenance:target", "_revinclude=*", "_contained=true", "_list=x",
    "_filter=subject%20eq%20x", "_query=x", "_text=x", "_content=x", "_type=Patient", "_summary=count", "_summary=true", "_elements=code",
    "_has:Observation:patient:code=1", "_has%3AObservation%3Apatient%3Acode=1", "_has:Group:member:_id=1",
    "_has:Observation:patient:_has:AuditEvent:entity:agent=1", "_HAS:Observation:patient:code=1",
    "patient.name=Jansen", "subject:Patient.name=Jansen", "subject.name=Jansen", "recorder.name=x", "subject:Patient.organization.name=x",
    "performer=Practitioner/1", "encounter.subject=x", "code:in=http://x", "code:not-in=http://x", "code:above=1", "code:below=1",
    "date:approx=2026", "_id:exact=x", "patient:missing=false", "subject:identifier=1|2", "_tag=x|y", "_security=x", "_profile:above=x",
    "_source=urn:x", "_since=2020-01-01",
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("parameter", INCLUDES)
def test_033_034_035_037_038_051_no_way_around_the_patient(parameter: str) -> None:
    world = World()
    reply = world.search("Observation", more=f"&{parameter}")
    if reply.status == 200:  # a parameter that is offered may narrow, never widen
        assert {item["id"] for item in reply.items} <= {item["id"] for item in World().search("Observation").items}
    else:
        assert (reply.status, reply.code) in {
            (400, "unknown-parameter"),
            (400, "invalid-parameter"),
            (400, "identifier-invalid"),
            (404, "not-found"),
        }
        assert world.records[-1].kind == "refusal"
    lenient = World().search("Observation", more=f"&{parameter}", prefer="handling=lenient")
    assert lenient.status in {200, 400, 404}
    if lenient.status == 200:
        assert len(lenient.items) <= 1


def test_033_control_a_known_parameter_is_carried_out() -> None:
    assert len(World().search("Observation", more="&code=8867-4").items) == 1


def test_036_membership_comes_from_the_subject_only() -> None:
    stranger = {"reference": "Patient/h2"}
    world = at_hospital(
        person("h1"), observation("mine", "h1"), observation("theirs", "h2", focus=[{"reference": "Patient/h1"}]),
        observation("performed", "h2", performer=[{"reference": "Patient/h1"}]), observation("none", "h1") | {"subject": None},
        observation("about-another", "h1", focus=[stranger]),
    )  # fmt: skip
    world.charts["hospital"].resources[4].pop("subject")
    assert natives(world.search("Observation")) == ["Observation/about-another", "Observation/mine"]
    assert (
        sorted(incidents(world))
        == ["no-patient Observation Observation.subject"] + ["wrong-patient Observation Observation.subject"] * 2
    )
    assert b"Patient/h2" not in world.search("Observation").body


def test_039_040_hidden_rows_count_for_nothing() -> None:
    shown = [condition(f"c{number}", "h1", recordedDate=f"2025-01-{number:02}") for number in range(1, 6)]
    hidden = [condition(f"x{number}", "h1", recordedDate=f"2025-01-{number:02}", meta={"security": [
        {"system": f"{TERMS}/v3-Confidentiality", "code": "V"}]}) for number in range(1, 6)]  # fmt: skip
    mixed = [row for both in zip(hidden, shown, strict=True) for row in both]
    for more in ("", "&_count=2", "&_count=0", "&_sort=recorded-date", "&_sort=-recorded-date&_count=3"):
        with_hidden, without = at_hospital(person("h1"), *mixed), at_hospital(person("h1"), *shown)
        one, two = with_hidden.search("Condition", more=more), without.search("Condition", more=more)
        assert [item["id"] for item in one.items] == [item["id"] for item in two.items]
        assert one.json["total"] == two.json["total"] == 5


def test_041_the_next_page_is_decided_again() -> None:
    world = World(charts=MANY)
    following = world.search(more="&_count=10").link("next")
    assert len(world.get(following).items) == 10
    world.says("deny", GP)
    assert GP not in {item["meta"]["tag"][-1]["code"] for item in world.get(following).items}
    assert world.get(following, COLLEAGUE).code == "invalid-parameter"


@pytest.mark.parametrize("operation", ["graphql", "meta", "expand", "evaluate", "process-message", "x", "document", "translate", "export",
                                       "summary/", "SUMMARY", "match"])  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_042_only_named_operations_exist(method: str, operation: str) -> None:
    world = World()
    for path in (f"Patient/{world.patient}/${operation}", f"Observation/${operation}", f"${operation}"):
        reply = world.request(method, path, body={"resourceType": "Parameters"} if method == "POST" else b"")
        assert reply.status in {404, 405}
    assert world.asked() == []


def test_043_a_batch_opens_no_door_that_is_closed() -> None:
    entries = [{"request": {"method": "GET", "url": f"Patient/{BSN}"}}] * 100
    world = World()
    reply = world.post("", {"resourceType": "Bundle", "type": "batch", "entry": entries})
    assert {entry["response"]["status"][:3] for entry in reply.json["entry"]} == {"400"}
    assert world.post("", {"resourceType": "Bundle", "type": "batch", "entry": [*entries, entries[0]]}).status == 422
    for path, kind in (("", "transaction"), ("Bundle", "batch"), ("Patient", "batch")):
        assert world.post(path, {"resourceType": "Bundle", "type": kind, "entry": entries}).status in {
            400,
            404,
            405,
            501,
        }
    assert world.asked() == []


@pytest.mark.parametrize("form", ["patient={q}", "subject={q}", "patient.identifier={s}|{b}", "patient={p}&patient={q}",
                                  "patient={p};patient={q}", "patient=&patient={q}", "patient[]={q}", "PATIENT={q}"])  # fmt: skip
def test_044_045_url_and_body_together_name_one_patient(form: str) -> None:
    world = World()
    words = {"p": world.patient, "q": world.patient_id(OTHER_BSN), "s": BSN_SYSTEM, "b": OTHER_BSN}
    reply = world.post(f"AllergyIntolerance/_search?patient={world.patient}", form.format(**words))
    assert reply.status in {400, 404}
    assert world.asked() == []
    control = world.post(
        f"AllergyIntolerance/_search?patient={world.patient}", f"patient={world.patient}&criticality=high"
    )
    assert len(control.items) == 2


@pytest.mark.parametrize("value", ["urn:uuid:{p}", "Patient/{p}/_history/1", "http://other.example/fhir/Patient/{p}", "{p}%23x",
                                   "Patient/{p}?x=1", "../Patient/{p}", "{p}%00", "Patient/{p},Patient/{q}"])  # fmt: skip
def test_045_a_patient_is_named_one_way(value: str) -> None:
    world = World()
    reply = world.get("AllergyIntolerance?patient=" + value.format(p=world.patient, q=world.patient_id(OTHER_BSN)))
    assert reply.status in {400, 404}
    assert world.asked() == []


@pytest.mark.parametrize("type_", ["List", "Group", "Composition", "Binary", "Bundle", "Provenance", "Basic", "Person",
                                   "Questionnaire", "Subscription", "Linkage", "MolecularSequence"])  # fmt: skip
def test_046_047_documents_and_meta_resources_are_not_read_directly(type_: str) -> None:
    world = World()
    for path in (f"{type_}/1", f"{type_}?patient={world.patient}", f"{type_}/{world.patient}"):
        assert world.get(path).status in {404, 405}
    assert world.asked() == []


def test_048_a_contained_stranger_keeps_the_item_out() -> None:
    stranger = person("p", OTHER_BSN)
    mine = person("p", BSN)
    world = at_hospital(
        person("h1"), observation("o1", "h1", contained=[stranger], focus=[{"reference": "#p"}]),
        observation("o2", "h1", contained=[mine], focus=[{"reference": "#p"}]), observation("o3", "h1"),
    )  # fmt: skip
    reply = world.search("Observation")
    assert natives(reply) == ["Observation/o2", "Observation/o3"]
    assert OTHER_BSN.encode() not in reply.body
    assert incidents(world) == ["wrong-patient Observation Observation.contained"]


@pytest.mark.parametrize("path", ["_history", "Observation/_history", "Observation/{id}/_history", "Observation/{id}/_history/1",
                                  "Patient/{p}/_history/1", "Patient/{p}/Observation"])  # fmt: skip
def test_049_there_is_no_history_to_slip_through(path: str) -> None:
    world = World()
    item = world.search("Observation").items[0]["id"]
    assert world.get(path.format(id=item, p=world.patient)).status in {404, 405}


def test_050_118_no_address_of_a_source_and_no_number_in_what_is_shown() -> None:
    far = {"reference": "http://169.254.169.254/latest/meta-data"}
    world = at_hospital(
        person("h1"), observation("o1", "h1", performer=[far, {"reference": "https://hospital.example/fhir/Practitioner/7"}],
                                  derivedFrom=[{"reference": "https://other.example/fhir/Observation/9"}],
                                  hasMember=[{"reference": "Observation/o2"}, {"reference": "urn:uuid:1"}]),
        meta_source := observation("o2", "h1", meta={"source": "https://hospital.example/secret", "versionId": "7"}),
    )  # fmt: skip
    assert meta_source
    for reply in (world.search("Observation"), world.summary(), world.search("Nothing"), world.get("Observation/x")):
        everything = reply.body + str(reply.headers).encode()
        assert not any(host in everything for host in HOSTS)
        assert b"other.example" not in everything
        assert b"server" not in [name.lower().encode() for name in reply.headers]
    shown = next(item for item in world.search("Observation").items if item["meta"]["source"].endswith("o1"))
    other = next(item for item in world.search("Observation").items if item["meta"]["source"].endswith("o2"))
    assert [one.get("reference") for one in shown["hasMember"]] == [f"Observation/{other['id']}", None]
    assert BSN.encode() not in world.search("Observation").body


@pytest.mark.parametrize(("system", "code", "count"), [
    (f"{TERMS}/v3-Confidentiality", "N", 1), (f"{TERMS}/v3-Confidentiality", "V", 0), (f"{TERMS}/v3-Confidentiality", "R", 0),
    ("http://nobody.example/labels", "whatever", 0), (f"{TERMS}/v3-ActCode", "HIV", 0)])  # fmt: skip
def test_052_a_label_closes_and_an_unknown_one_too(system: str, code: str, count: int) -> None:
    world = at_hospital(person("h1"), observation("o1", "h1", meta={"security": [{"system": system, "code": code}]}))
    assert len(world.search("Observation").items) == count


def test_053_ids_of_two_sources_never_meet() -> None:
    linked = [{"reference": "Condition/c1"}]
    world = World(charts={
        "gp": [person("1"), condition("c1", "1"), flag("f1", "1", author={"reference": "Practitioner/1"})],
        "hospital": [person("1"), condition("c1", "1"), observation("o1", "1", focus=linked)], "mental": [],
    })  # fmt: skip
    by_source = {item["meta"]["source"]: item["id"] for item in world.search("Condition").items}
    assert len(set(by_source.values())) == 2
    focus = world.search("Observation").items[0]["focus"][0]["reference"]
    assert focus == f"Condition/{by_source['urn:roaz:hospital#Condition/c1']}"


def test_054_a_linked_person_is_another_person() -> None:
    linked = person("h1", link=[{"other": {"reference": "Patient/h2"}, "type": "seealso"}])
    world = at_hospital(linked, person("h2", OTHER_BSN), observation("o1", "h1"), observation("o2", "h2"))
    reply = world.search("Observation")
    assert "Observation/o2" not in natives(reply)
    assert OTHER_BSN.encode() not in reply.body + world.summary().body


@pytest.mark.parametrize("header", [{"if_none_match": 'W/"1"'}, {"if_none_match": "*"}, {"if_modified_since": "Mon, 01 Jan 2024 00:00:00 GMT"},
                                    {"range": "bytes=0-1"}, {"if_match": "*"}])  # fmt: skip
def test_055_conditions_tell_nothing(header: dict[str, str]) -> None:
    plain, conditional = World().search(), World().search(caller=PHYSICIAN, **header)
    assert comparable(plain) == comparable(conditional)
    denied, absent = World(permits=()), World(known_at=())
    for world in (denied, absent):
        assert world.get("Condition/i1-x", PHYSICIAN, **header).status == 404


def test_056_a_denied_item_and_no_item_look_the_same() -> None:
    known = World()
    item = known.search("Condition").items[0]["id"]
    for ura in (GP, HOSPITAL, MENTAL):
        known.says("deny", ura)
    one, other = known.get(f"Condition/{item}"), known.get("Condition/" + "i1-" + "a" * 32)
    assert comparable(one)[0] == comparable(other)[0] == 404
    assert one.json["issue"][0]["details"] == other.json["issue"][0]["details"]
    assert len(one.body) == len(other.body)


CANARY = "CANARY-7f3a"


@pytest.mark.parametrize("body", [
    {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "exception", "diagnostics": CANARY}]},
    {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": {"resourceType": "OperationOutcome", "issue": [
        {"severity": "warning", "code": "exception", "details": {"text": CANARY}}]}, "search": {"mode": "outcome"}}]},
    {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": person("h1")}, {"resource": {
        "resourceType": "Observation", "id": CANARY, "status": CANARY, "subject": {"reference": "Patient/h1"}}}]},
    {"resourceType": CANARY},
    {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": {"resourceType": CANARY, "id": "1"}}]},
])  # fmt: skip
def test_058_words_of_a_source_about_its_troubles_go_nowhere(body: Json, caplog: pytest.LogCaptureFixture) -> None:
    from profiles import exact

    world = at_hospital()
    world.charts["hospital"].body = exact.encode(body)
    with caplog.at_level(logging.DEBUG):
        for reply in (world.search("Observation"), world.summary()):
            assert CANARY.encode() not in reply.body
    assert CANARY not in str(world.records) + caplog.text


def test_059_a_sweep_of_numbers_finds_no_difference() -> None:
    world = World(permits=(), known_at=(MENTAL,))
    hit, miss = world.find(BSN), world.find(OTHER_BSN)
    one, other = (
        reply.body.replace(world.patient_id(bsn).encode(), b"*") for reply, bsn in ((hit, BSN), (miss, OTHER_BSN))
    )
    assert (hit.status, one) == (miss.status, other)


def test_060_the_number_is_in_no_log_record_url_or_error(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    world.charts["hospital"].raises = RuntimeError("defect")
    with caplog.at_level(logging.DEBUG):
        world.find()
        world.post("Patient/$summary", identified())
        world.get(f"Patient?identifier={BSN_SYSTEM}|{BSN}")
        world.get(f"Patient/{BSN}", user_agent=BSN, referer=f"http://x/?bsn={BSN}", x_request_id=BSN)
        world.post("Patient/$match", f'{{"x":"{BSN}"'.encode(), content_type="application/fhir+json")
        world.search(authorization=f"Bearer {BSN}")
    own = [record for record in caplog.records if record.name.startswith(("gateway", "asyncio"))]
    assert own, "the defect of the source is logged"
    assert not any(BSN in record.getMessage() + (record.exc_text or "") for record in own)
    assert BSN.encode() not in b"".join(world.audit.records)
    assert BIRTH.encode() not in b"".join(world.audit.records)


# --- routing and representation ------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/fhir//AllergyIntolerance", "/fhir/./AllergyIntolerance", "/fhir/x/../AllergyIntolerance",
                                  "/fhir/AllergyIntolerance/", "/fhir/AllergyIntolerance;x=1", "/fhir/ALLERGYINTOLERANCE",
                                  "/fhir/AllergyIntolerance\x00", "/fhir/metadata/../AllergyIntolerance", "/fhir/AllergyIntolerance%2Fx",
                                  "/fhir\\AllergyIntolerance", "/fhir/metadata/AllergyIntolerance"])  # fmt: skip
def test_069_odd_paths_do_not_pass_the_gates(path: str) -> None:
    world = World(permits=())
    headers = [(b"host", b"gateway.test"), (b"x-original-url", b"/fhir/metadata"), (b"x-http-method-override", b"GET"),
               (b"x-forwarded-host", b"evil")]  # fmt: skip
    reply = run(raw(world.app, {"path": path, "query_string": f"patient={world.patient}".encode(), "headers": headers}))
    assert reply is not None
    assert reply.status in {401, 404}
    assert world.asked() == []
    assert [record.kind for record in world.records] == ["refusal"]


@pytest.mark.parametrize(
    "host", [b"evil.example", b"gateway.test:1@evil", b"", b"gateway.test/fhir/metadata?", b"[::1"]
)
def test_069_the_host_header_decides_nothing(host: bytes) -> None:
    world = World()
    headers = [(b"host", host), (b"authorization", f"Bearer {world.token(PHYSICIAN)}".encode())]
    query = f"patient={world.patient}".encode()
    reply = run(raw(world.app, {"path": "/fhir/AllergyIntolerance", "query_string": query, "headers": headers}))
    assert reply is not None
    assert len(reply.items) == 2
    assert b"evil" not in reply.body


@pytest.mark.slow
@pytest.mark.parametrize(
    "wanted",
    ["application/fhir+xml2", "text/turtle", "application/pdf", "text/plain", "application/fhir+ndjson", "text/html"],
)
def test_070_another_representation_is_refused_not_unfiltered(wanted: str) -> None:
    world = World()
    for reply in (world.search(accept=wanted), world.search(more=f"&_format={wanted}")):
        assert (reply.status, reply.code) == (406, "not-acceptable")
    assert world.asked() == []
    for fine in (
        "application/fhir+json",
        "application/json",
        "*/*",
        "",
        "application/fhir+json; fhirVersion=4.0",
        "application/fhir+xml",
    ):
        assert World().search(accept=fine).status == 200


@pytest.mark.slow
@pytest.mark.parametrize(
    "parameter", ["pateint={p}", "subjct={p}", "Patient={p}", "patient%20={p}", "_patient={p}", "patient:x={p}"]
)
def test_071_leniency_never_loses_the_patient(parameter: str) -> None:
    world = World()
    for prefer in ("handling=lenient", "handling=strict"):
        reply = world.get("AllergyIntolerance?" + parameter.format(p=world.patient), prefer=prefer)
        assert (reply.status, reply.code) == (400, "patient-required")
    assert world.asked() == []


@pytest.mark.parametrize(("method", "path"), [("PUT", "Observation/1"), ("PATCH", "Observation/1"), ("DELETE", "Observation/1"),
                                              ("POST", "Observation"), ("PUT", "Patient/1"), ("POST", "Patient"), ("DELETE", "Task/1"),
                                              ("PATCH", "Consent/1"), ("PUT", "List/1"), ("DELETE", "Consent/1")])  # fmt: skip
def test_072_what_is_not_offered_is_not_done(method: str, path: str) -> None:
    world = World()
    reply = world.request(method, path, body={"resourceType": path.partition("/")[0]}, headers={"if-none-exist": "x=1"})
    assert (reply.status, reply.code) == (405, "method-not-allowed")
