"""The log of a running region: everything that was done over HTTP is found back by ITI-81, bound to one organization."""

from __future__ import annotations

import base64
import json
import sqlite3
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest

from gateway.audit.record import Record, decode
from profiles.validation import validate
from tests.e2e.running import Demo, parameters, token
from tests.gateway.audit import balp

pytestmark = [pytest.mark.slow, pytest.mark.network]

Json = dict[str, Any]


def today() -> str:
    now = datetime.now(UTC)
    return f"date=ge{(now - timedelta(days=1)).date()}&date=le{(now + timedelta(days=1)).date()}"


def look(demo: Demo, more: str = "", role: str = "auditor") -> list[Json]:
    """Every event, over all pages."""
    found, path = [], f"AuditEvent?{today()}&_count=100{more}"
    while path:
        answer = demo.get(path, role)
        assert answer.status_code == 200, answer.text
        bundle = answer.json()
        found += [entry["resource"] for entry in bundle.get("entry", ()) if entry["search"]["mode"] == "match"]
        following = [link["url"] for link in bundle["link"] if link["relation"] == "next"]
        path = following[0].partition("/fhir/")[2] if following else ""
    return found


def of_request(events: list[Json], request: str) -> list[Json]:
    """The events of one request, by the id the client was told."""
    return [
        event
        for event in events
        if any(one.get("what", {}).get("identifier", {}).get("value") == request for one in event["entity"])
    ]


def test_a_summary_is_found_back_with_an_event_for_each_custodian(demo: Demo) -> None:
    person = demo.said["patients"][0]
    answer = demo.summary(person)
    assert answer.status_code == 200
    events = of_request(look(demo), answer.headers["x-request-id"])
    (request,) = [event for event in events if "-" not in event["id"]]
    assert "PatientQuery" in str(balp.claimed(request))
    user = next(agent for agent in request["agent"] if agent.get("name"))
    assert user["name"] == "dr. Emma Spoedeisend"
    states = [
        detail["valueString"] for event in events[1:] for one in event["entity"] for detail in one.get("detail", ())
        if detail["type"] == "state"
    ]  # fmt: skip
    assert len(states) >= 2
    assert set(states) <= {"answered", "partly", "withheld", "failed"}
    assert person["bsn"] not in str(events)


def test_every_event_is_valid_r4_and_balp(demo: Demo) -> None:
    demo.search("Condition", {"patient.identifier": token(demo.said["patients"][0])})
    for event in look(demo):
        assert [issue for issue in validate(event) if issue.is_error] == []
        assert balp.breaches(event) == []


@pytest.mark.parametrize(
    ("ask", "status", "outcome"),
    [("Condition/unknown", 404, "4"), ("Nothing", 404, ""), ("Condition", 400, "4")],
)
def test_what_was_refused_is_found_back(demo: Demo, ask: str, status: int, outcome: str) -> None:
    answer = demo.get(ask, "physician")
    assert answer.status_code == status
    found = of_request(look(demo), answer.headers["x-request-id"])
    assert [event["outcome"] for event in found] == ([outcome] if outcome else []), (
        "what nobody asked is the operator's"
    )


def test_tokens_are_in_the_log(demo: Demo) -> None:
    found = look(demo, "&subtype=token&agent=demo-physician")
    assert found
    assert all(event["type"]["code"] == "110114" for event in found)


def test_a_patient_is_asked_by_identifier_in_the_body(demo: Demo) -> None:
    person = demo.said["patients"][0]
    demo.search("Condition", {"patient.identifier": token(person)})
    days = datetime.now(UTC) - timedelta(days=1), datetime.now(UTC) + timedelta(days=1)
    form = {"date": [f"ge{days[0].date()}", f"le{days[1].date()}"], "patient.identifier": token(person), "_count": "5"}
    answer = demo.search("AuditEvent", form, "auditor")  # type: ignore[arg-type]
    assert answer.status_code == 200, answer.text
    assert answer.json()["entry"]
    assert person["bsn"] not in answer.text
    queries = [base64.b64decode(one["query"]).decode() for entry in answer.json()["entry"]
               for one in entry["resource"]["entity"] if "query" in one]  # fmt: skip
    assert all("***" in query or "?" not in query for query in queries)


@pytest.mark.parametrize("role", ["physician", "coordinator", "ambulance", "system"])
def test_nobody_else_reads_the_log(demo: Demo, role: str) -> None:
    assert demo.get(f"AuditEvent?{today()}", role).status_code == 403


def test_the_look_is_in_the_log(demo: Demo) -> None:
    answer = demo.get(f"AuditEvent?{today()}&_count=1", "auditor")
    found = of_request(look(demo), answer.headers["x-request-id"])
    assert [event["subtype"][-1]["code"] for event in found] == ["search-type"]
    assert "demo-auditor" in str(found)


def test_other_organizations_are_known_by_their_type_only(demo: Demo) -> None:
    demo.summary(demo.said["patients"][0])
    for event in look(demo):
        named = {
            agent["who"]["identifier"]["value"] for agent in event["agent"]
            if agent["who"].get("identifier", {}).get("system", "").endswith("/ura")
        }  # fmt: skip
        assert named <= {"90000202", "90000601"}, "its own, and the gateway that recorded it"


def stored(demo: Demo) -> list[Record]:
    """The records as they stand in the file, read beside the gateway that serves."""
    (file,) = demo.process.temporary.glob("gateway-demo-*/demo.db")
    with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as connection:
        return [decode(body) for (body,) in connection.execute("SELECT body FROM audit_log")]


def test_every_request_over_http_has_exactly_one_outcome(demo: Demo) -> None:
    person = demo.said["patients"][0]
    bsn, form = token(person), {"Content-Type": "application/x-www-form-urlencoded"}
    physician, fhir = demo.headers("physician"), {"Content-Type": "application/fhir+json"}
    pid = demo.patient_id(person)
    asked: list[tuple[str, str, dict[str, str], str | bytes]] = [
        ("GET", f"{demo.base}/Patient/{pid}/$summary", physician, ""),
        ("GET", f"{demo.base}/Patient/{pid}/$summary", {**physician, "Accept": "text/html"}, ""),
        ("POST", f"{demo.base}/Patient/$summary", {**physician, **fhir}, json.dumps(parameters(person))),
        ("GET", f"{demo.base}/Condition?patient={pid}", physician, ""),
        ("POST", f"{demo.base}/Condition/_search", {**physician, **form}, urlencode({"patient.identifier": bsn})),
        ("GET", f"{demo.base}/Condition?patient.identifier={bsn.replace('|', '%7C')}", physician, ""),
        ("GET", f"{demo.base}/Patient/{pid}", physician, ""),
        ("GET", f"{demo.base}/Condition/none", physician, ""),
        ("GET", f"{demo.base}/Condition?patient={pid}", {}, ""),
        ("GET", f"{demo.base}/Condition?patient={pid}", {"Authorization": "Bearer x.y.z"}, ""),
        ("GET", f"{demo.base}/Condition?patient={pid}", demo.headers("auditor"), ""),
        ("GET", f"{demo.base}/Condition?patient={pid}", demo.headers("coordinator"), ""),
        ("DELETE", f"{demo.base}/Patient/{pid}", physician, ""),
        ("GET", f"{demo.base}/Nothing", physician, ""),
        ("POST", f"{demo.base}/Task", {**demo.headers("coordinator"), **fhir}, b"{"),
        ("POST", f"{demo.base}/Consent", {**physician, **fhir}, json.dumps({"resourceType": "Consent"})),
        ("POST", f"{demo.base}/List", {**physician, **fhir}, json.dumps({"resourceType": "List"})),
        ("GET", f"{demo.base}/AuditEvent?{today()}&_count=1", demo.headers("auditor"), ""),
        ("GET", f"{demo.base}/AuditEvent", demo.headers("auditor"), ""),
        ("GET", f"{demo.base}/AuditEvent/1.1.1", demo.headers("auditor"), ""),
        ("POST", f"{demo.root}/oauth/token", form, "grant_type=client_credentials"),
        ("POST", f"{demo.root}/oauth/token", form, "grant_type=password"),
        ("POST", f"{demo.root}/oauth/introspect", form, "token=x"),
        ("POST", f"{demo.root}/oauth/revoke", form, "token=x"),
        ("POST", f"{demo.root}/inbox/ambulance", {**physician, "Content-Type": "text/csv"}, "a,b"),
        ("DELETE", f"{demo.root}/inbox/ambulance/trip-1", physician, ""),
        ("POST", f"{demo.root}/admin/explain", {**demo.headers("auditor"), **fhir}, b"{"),
        ("GET", f"{demo.root}/admin/reviews", physician, ""),
    ]  # fmt: skip
    statuses: dict[str, int] = {}
    for number, (method, url, headers, body) in enumerate(asked):
        id_ = f"complete-{number}"
        answer = demo.http.request(method, url, headers={**headers, "X-Request-Id": id_}, content=body)
        assert answer.headers["x-request-id"] == id_, url
        statuses[id_] = answer.status_code
    ends: dict[str, list[int]] = {}
    records = stored(demo)
    for record in records:
        if record.kind in {"outcome", "refusal", "token"}:
            ends.setdefault(record.request, []).append(record.status)
    for id_, status in statuses.items():
        assert ends.get(id_) == [status], asked[int(id_.partition("-")[2])][:2]
    assert set(statuses.values()) >= {200, 400, 401, 403, 404, 405}
    text = str(records)
    for one in demo.said["patients"]:
        assert not one["bsn"] or one["bsn"] not in text
    assert person["birthDate"] not in text
