"""Every way in which a question is refused: the documented status and code, and a record of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from gateway.model import Caller
from tests.gateway.charts import BSN, BSN_SYSTEM, OTHER_BSN, person
from tests.gateway.world import COORDINATOR, GP, NUMBER_SYSTEM, OUTSIDER, PHYSICIAN, SYSTEM, World, raw, run


def refused(world: World, reply: Any, status: int, code: str) -> None:
    """The answer is this error, nobody was asked, and there is exactly one record: the refusal."""
    assert (reply.status, reply.code) == (status, code)
    assert world.asked() == []
    assert [(record.kind, record.status, record.error) for record in world.records] == [("refusal", status, code)]
    assert world.records[0].request == reply.header("x-request-id")


def who(**other: Any) -> Caller:
    return replace(PHYSICIAN, requester=replace(PHYSICIAN.requester, **other))


def test_without_a_token() -> None:
    world = World()
    reply = world.search(caller=None)
    refused(world, reply, 401, "token-missing")
    assert reply.header("www-authenticate").startswith("Bearer")


@pytest.mark.parametrize(
    "value", ["Bearer", "Bearer x", "Basic eDp5", "Bearer a.b.c", "bearer  x", "Bearer " + "x" * 9000]
)
def test_with_something_that_is_no_token(value: str) -> None:
    world = World()
    refused(world, world.search(caller=None, authorization=value), 401, "token-invalid")


def test_with_a_token_that_expired() -> None:
    world = World()
    token = world.token(PHYSICIAN)
    world.clock.advance(timedelta(minutes=15))
    refused(world, world.search(caller=None, authorization=f"Bearer {token}"), 401, "token-invalid")


@pytest.mark.parametrize(
    ("caller", "code"),
    [
        (replace(PHYSICIAN, scopes=frozenset({"system/Condition.rs"})), "scope-insufficient"),
        (replace(PHYSICIAN, scopes=frozenset({"system/AllergyIntolerance.r"})), "scope-insufficient"),
        (replace(PHYSICIAN, scopes=frozenset({"patient/*.rs"})), "scope-insufficient"),
        (replace(PHYSICIAN, scopes=frozenset()), "scope-insufficient"),
        (replace(PHYSICIAN, purpose=""), "purpose-missing"),
        (replace(PHYSICIAN, purpose="HRESCH"), "purpose-refused"),
        (replace(PHYSICIAN, purpose="beheer"), "purpose-refused"),
        (replace(PHYSICIAN, purpose="spoed-noodtoegang"), "purpose-refused"),
        (OUTSIDER, "agreement-missing"),
        (replace(PHYSICIAN, purpose="verwijzing"), "agreement-missing"),
        (who(role="wizard"), "role-refused"),
        (who(role=None), "role-refused"),
        (who(person=None, role=None), "person-required"),
        (who(assurance="low"), "assurance-insufficient"),
        (who(assurance=None), "assurance-insufficient"),
        (COORDINATOR, "case-required"),
    ],
)  # fmt: skip
def test_a_caller_who_may_not_ask(caller: Caller, code: str) -> None:
    world = World()
    refused(world, world.search(caller=caller), 403, code)
    world = World()
    if code != "scope-insufficient":
        refused(world, world.summary(caller), 403, code)


def test_control_the_same_question_by_one_who_may() -> None:
    world = World()
    assert world.search().status == 200
    assert world.search(caller=SYSTEM).status == 200


def test_a_system_only_where_the_agreement_says_so() -> None:
    agreements = [{"id": "pull", "requesters": ["*"], "custodians": ["*"], "purposes": ["behandeling"],
                   "start": "2026-01-01", "end": "2026-12-31"}]  # fmt: skip
    world = World(settings={"agreements": agreements})
    refused(world, world.search(caller=SYSTEM), 403, "agreement-missing")
    assert world.search().status == 200


@pytest.mark.parametrize(("start", "end"), [("2025-01-01", "2026-03-01"), ("2026-03-03", "2026-12-31")])
def test_an_agreement_that_is_not_in_force(start: str, end: str) -> None:
    agreements = [{"id": "pull", "requesters": ["*"], "custodians": ["*"], "purposes": ["behandeling"], "start": start,
                   "end": end}]  # fmt: skip
    world = World(settings={"agreements": agreements})
    refused(world, world.search(), 403, "agreement-missing")


@pytest.mark.parametrize(
    ("path", "code", "status"),
    [
        ("AllergyIntolerance", "patient-required", 400),
        ("AllergyIntolerance?code=x", "patient-required", 400),
        ("AllergyIntolerance?patient={p}&patient={q}", "patient-conflict", 400),
        ("AllergyIntolerance?patient={p},{q}", "patient-conflict", 400),
        ("AllergyIntolerance?patient={p}&subject={q}", "patient-conflict", 400),
        ("AllergyIntolerance?patient=p1-unknown", "not-found", 404),
        ("AllergyIntolerance?patient=Group/1", "not-found", 404),
        ("Patient/p1-unknown/$summary", "not-found", 404),
        ("AllergyIntolerance?patient=" + BSN, "bsn-in-url", 400),
        ("AllergyIntolerance?patient={p}&code=" + BSN, "bsn-in-url", 400),
        ("Patient?identifier=" + BSN, "bsn-in-url", 400),
        (f"Patient?identifier={BSN_SYSTEM}|{BSN}", "bsn-in-url", 400),
        (f"Patient?identifier={BSN_SYSTEM}|", "bsn-in-url", 400),
        ("Patient?identifier=http%253A%252F%252Ffhir.nl%252Ffhir%252FNamingSystem%252Fbsn%257C1", "bsn-in-url", 400),
        ("Patient?identifier=urn:oid:2.16.840.1.113883.2.4.6.3|1", "bsn-in-url", 400),
        ("Patient/" + BSN, "bsn-in-url", 400),
        (f"Patient/{BSN}/$summary", "bsn-in-url", 400),
        ("Observation/" + BSN, "bsn-in-url", 400),
        (f"AllergyIntolerance?subject:Patient.identifier={BSN}", "bsn-in-url", 400),
        ("AllergyIntolerance?patient={p}&frobnicate=1", "unknown-parameter", 400),
        ("AllergyIntolerance?patient={p}&code:above=1", "invalid-parameter", 400),
        ("AllergyIntolerance?patient={p}&code:nothing=1", "unknown-parameter", 400),
        ("AllergyIntolerance?patient={p}&_include=AllergyIntolerance:nothing", "unknown-parameter", 400),
        ("AllergyIntolerance?patient={p}&_has:Observation:patient:code=1", "unknown-parameter", 400),
        ("AllergyIntolerance?patient={p}&_has:Nothing:patient:code=1", "unknown-parameter", 400),
        ("AllergyIntolerance?patient={p}&_summary=some", "invalid-parameter", 400),
        ("AllergyIntolerance?patient={p}&_elements=nothing", "invalid-parameter", 400),
        ("AllergyIntolerance?patient={p}&_count=many", "invalid-parameter", 400),
        ("AllergyIntolerance?patient={p}&_count=-1", "invalid-parameter", 400),
        ("AllergyIntolerance?patient={p}&_count=1&_count=2", "invalid-parameter", 400),
        ("AllergyIntolerance?patient={p}&_sort=nothing", "invalid-parameter", 400),
        ("AllergyIntolerance?patient={p}&_cursor=AAAA", "invalid-parameter", 400),
        ("AllergyIntolerance?patient={p}&date=yesterday", "invalid-parameter", 400),
        ("AllergyIntolerance?patient={p}&date=2026-13-01", "invalid-parameter", 400),
        ("AllergyIntolerance?patient={p}&code=", "invalid-parameter", 400),
        ("AllergyIntolerance?patient={p}&code:missing=maybe", "invalid-parameter", 400),
        ("Patient/{p}/$summary?frobnicate=1", "unknown-parameter", 400),
        ("Patient/{p}/$summary?profile=http://example.org/other", "invalid-parameter", 400),
        ("AllergyIntolerance?patient={p}&_format=xml2", "not-acceptable", 406),
        ("AllergyIntolerance?patient={p}&_format=text/turtle", "not-acceptable", 406),
        ("Unknown?patient={p}", "not-found", 404),
        ("Slot?patient={p}", "not-found", 404),
        ("Patient/{p}/$nothing", "not-found", 404),
        ("Observation/o1/_history/1", "not-found", 404),
        ("_history", "not-found", 404),
        ("AllergyIntolerance/i1-nothere", "item-expired", 404),
        ("allergyintolerance?patient={p}", "not-found", 404),
    ],
)
def test_a_question_that_cannot_be_asked(path: str, code: str, status: int) -> None:
    world = World()
    reply = world.get(path.format(p=world.patient, q=world.patient_id(OTHER_BSN)))
    assert (reply.status, reply.code) == (status, code)
    assert world.records[-1].kind == "refusal"
    assert world.asked() == [] or code == "item-expired" or "_cursor" in path
    assert not any(BSN.encode() in line for line in world.audit.records)
    assert BSN.encode() not in reply.body


@pytest.mark.parametrize(
    "path", ["Patient/_search?identifier={s}|{b}", "AllergyIntolerance/_search?patient.identifier={b}"]
)
def test_a_bsn_in_the_url_of_a_post(path: str) -> None:
    world = World()
    reply = world.post(path.format(s=BSN_SYSTEM, b=BSN), "birthdate=1980-02-29")
    refused(world, reply, 400, "bsn-in-url")
    assert world.post("AllergyIntolerance/_search", f"patient.identifier={BSN_SYSTEM}|{BSN}").status == 200


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (f"{BSN_SYSTEM}|999990018", "identifier-invalid"),
        (f"{BSN_SYSTEM}|99999001", "identifier-invalid"),
        (f"{BSN_SYSTEM}|", "identifier-invalid"),
        ("|" + BSN, "identifier-invalid"),
        ("http://example.org/other|1", "identifier-invalid"),
        (f"{NUMBER_SYSTEM}|42", "identifier-invalid"),
        (BSN, "invalid-parameter"),
        ("９９９９９００１９", "invalid-parameter"),
        (f"{BSN_SYSTEM}|９９９９９００１９", "identifier-invalid"),
        (f"{BSN_SYSTEM}|{BSN}\u200b", "identifier-invalid"),
        (f"{BSN_SYSTEM}|{BSN},{BSN_SYSTEM}|{OTHER_BSN}", "patient-conflict"),
    ],
)
def test_an_identifier_that_is_none(value: str, code: str) -> None:
    world = World()
    reply = world.post("AllergyIntolerance/_search", f"patient.identifier={value}")
    refused(world, reply, 400, code)
    assert BSN.encode() not in reply.body


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "AllergyIntolerance/x", "GET"),
        ("PATCH", "Observation/x", "GET"),
        ("DELETE", "Patient/x", "GET"),
        ("POST", "Observation", "GET"),
        ("GET", "Patient/$match", ""),
        ("TRACE", "Patient", "GET"),
        ("POST", "metadata", "GET"),
    ],
)
def test_a_method_that_is_not_offered(method: str, path: str, allowed: str) -> None:
    world = World()
    reply = world.request(method, path, body={})
    assert reply.status == 405 if allowed else reply.status in {404, 405}
    assert allowed in reply.header("allow")
    assert [record.kind for record in world.records] == ["refusal"]


@pytest.mark.parametrize(
    ("path", "kind", "status"),
    [
        ("AllergyIntolerance/_search", "application/fhir+json", 415),
        ("Patient/$match", "text/plain", 415),
        ("Patient/$summary", "", 415),
        ("Patient/$summary", "application/fhir+turtle", 415),
        ("Task", "application/x-www-form-urlencoded", 415),
    ],
)
def test_a_body_of_a_kind_that_is_not_read(path: str, kind: str, status: int) -> None:
    world = World()
    refused(world, world.post(path, b"{}", content_type=kind), status, "unsupported-media-type")


DEEP = b'{"a":' * 2_000 + b"1" + b"}" * 2_000
BODIES = {
    "cut": b'{"resourceType":"Parameters"',
    "not JSON": b"<Parameters/>",
    "a list": b"[]",
    "empty": b"",
    "deep": DEEP,
    "very deep": b"[" * 90_000,
    "twice": b'{"resourceType":"Parameters","parameter":[],"parameter":[]}',
    "twice inside": b'{"resourceType":"Parameters","parameter":[{"name":"identifier","name":"profile"}]}',
    "NaN": b'{"resourceType":"Parameters","x":NaN}',
    "infinite": b'{"resourceType":"Parameters","x":Infinity}',
    "NUL": b'{"resourceType":"Parameters","id":"\\u0000"}',
    "surrogate": b'{"resourceType":"Parameters","id":"\\ud800"}',
    "latin": '{"resourceType":"Parameters","id":"é"}'.encode("latin-1"),
    "utf-16": '{"resourceType":"Parameters"}'.encode("utf-16"),
    "mark": b'\xef\xbb\xbf{"resourceType":"Parameters"}',
    "overlong": b'{"resourceType":"Parameters","id":"\xc0\xaf"}',
}  # fmt: skip


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("path", ["Patient/$summary", "Patient/$match"])
def test_101_103_104_105_a_body_that_is_not_one_exact_json_object(path: str, name: str) -> None:
    world = World()
    refused(world, world.post(path, BODIES[name], content_type="application/fhir+json"), 400, "malformed-json")


@pytest.mark.slow
@pytest.mark.parametrize("number", ["1e400", "-1e400", "9" * 5_000, "1e999999999"])
def test_102_a_huge_number_does_not_break_the_door(number: str) -> None:
    body = f'{{"resourceType":"Parameters","parameter":[{{"name":"x","valueDecimal":{number}}}]}}'
    world = World()
    assert world.post("Patient/$summary", body.encode(), content_type="application/fhir+json").status in {400, 422}


def test_a_body_that_is_too_large() -> None:
    world = World()
    refused(world, world.post("Patient/$summary", b"{" * 100_001), 413, "too-large")


@pytest.mark.parametrize(
    "parameter",
    [
        {},
        {"parameter": {}},
        {"parameter": ["x"]},
        {"parameter": [{"name": "identifier"}]},
        {"parameter": [{"name": "identifier", "valueIdentifier": "x"}]},
        {"parameter": [{"name": "identifier", "valueIdentifier": {"system": BSN_SYSTEM, "value": 999990019}}]},
        {"parameter": [{"name": "identifier", "valueIdentifier": {"system": BSN_SYSTEM, "value": ["x"]}}]},
        {"parameter": [{"name": "identifier", "valueString": f"{BSN_SYSTEM}|1"}]},
        {"parameter": [{"name": "resource", "resource": "x"}]},
        {"parameter": [{"name": "resource", "resource": {"resourceType": "Group"}}]},
        {"parameter": [{"name": "resource", "resource": person(identifier="x")}]},
        {"parameter": [{"name": "resource", "resource": person(identifier=[{"system": ["x"]}])}]},
        {"parameter": [{"name": "resource", "resource": person(birthDate=["x"])}]},
    ],
)
@pytest.mark.parametrize("path", ["Patient/$summary", "Patient/$match"])
def test_parameters_of_any_other_shape(path: str, parameter: dict[str, Any]) -> None:
    world = World()
    reply = world.post(path, {"resourceType": "Parameters", **parameter})
    assert reply.status in {400, 422} or (path == "Patient/$summary" and "999990019" in str(parameter))
    assert world.records[-1].kind == "refusal" or reply.status == 200


def test_head_is_get_without_a_body() -> None:
    world = World()
    plain = {"accept-encoding": "identity"}
    whole, head = world.search(), world.request("HEAD", f"AllergyIntolerance?patient={world.patient}", headers=plain)
    assert (head.status, head.body) == (200, b"")
    assert head.header("content-length") == str(len(whole.body))
    assert [record.kind for record in world.records] == ["intent", "outcome"] * 2


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"host", b"a"), (b"authorization", b"Bearer a"), (b"authorization", b"Bearer b")],
        [(b"host", b"a"), (b"host", b"b")],
        [(b"host", b"a"), (b"content-length", b"1"), (b"content-length", b"2")],
        [(b"host", b"a"), (b"content-length", b"-1")],
        [(b"host", b"a"), (b"x", b"y" * 40_000)],
    ],
)
def test_headers_that_mean_two_things_or_too_much(headers: list[tuple[bytes, bytes]]) -> None:
    world = World()
    reply = run(raw(world.app, {"path": "/fhir/Patient", "headers": headers}))
    assert reply is not None
    large = any(len(value) > 32_768 for _, value in headers)
    assert (reply.status, reply.code) == ((431, "headers-too-large") if large else (400, "bad-request"))


def test_errors_speak_the_language_of_the_caller() -> None:
    world = World()
    english, dutch = world.get("Observation"), world.get("Observation", accept_language="nl-NL,en;q=0.5")
    assert "exactly one patient" in english.json["issue"][0]["details"]["text"]
    assert "precies één patiënt" in dutch.json["issue"][0]["details"]["text"]
    assert dutch.header("x-request-id") in dutch.json["issue"][0]["diagnostics"]


def test_refusals_of_unknown_callers_are_summed_beyond_a_bound() -> None:
    world = World()
    for _ in range(40):
        assert world.search(caller=None).status == 401
    assert len(world.records) == 30
    world.clock.advance(timedelta(minutes=1))
    world.search(caller=None)
    assert [(one.kind, one.count) for one in world.records[30:]] == [("sum", 10), ("refusal", 0)]


def test_a_known_caller_is_never_summed() -> None:
    world = World()
    for _ in range(40):
        world.search(caller=OUTSIDER)
    assert len(world.records) == 40
    assert GP not in str(world.records)
