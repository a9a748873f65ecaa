"""Each record is an AuditEvent of IHE BALP with everything NEN 7513 asks, and holds nothing of the patient."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import cache
from typing import Any, get_args

import msgspec
import pytest

from gateway.audit import vocabulary as words
from gateway.audit.citizen import Telling, report
from gateway.audit.participants import Recorder
from gateway.audit.record import Asked, Kind, Record, Shown, unknown
from gateway.audit.rendering import events
from gateway.audit.view import Seen, Side
from profiles import exact
from profiles.validation import validate
from tests.gateway.audit import balp
from tests.gateway.audit.driving import Json, driven, failed
from tests.gateway.charts import BIRTH, BSN
from tests.gateway.world import GP, HOSPITAL, MENTAL, POST, World

WORLD = World()
RECORDER = Recorder("http://gateway.test", "gateway", "90000006", WORLD.policy)
ANSWERED = Asked(
    GP, "gp", {"Condition": "answered"}, "pull", "consent-1/2", (Shown("Condition", "i1-a", "v1"),), losses=2
)
WITHHELD = Asked(HOSPITAL, "hospital", {"Condition": "refused:consent-objection"}, consent="consent-2/1")
FAILED = Asked(MENTAL, "mental", {"Condition": "failed:timeout"}, "pull", "consent-3/1")
SUMMARY = Record(
    kind="outcome", at="2026-03-02T12:00:00.000Z", request="r1", correlation="c1", interaction="summary", action="R",
    type="Patient", query="identifier=***", client="post-app", organization=POST, facility="N6",
    person="http://fhir.nl/fhir/NamingSystem/uzi-nr-pers|900000001", person_name="A. de Vries", role="01.015",
    responsible="uzi|900000002", assurance="high", token="t1", purpose="behandeling", case="case-1",
    patient=WORLD.patient, policy="abc", address="10.0.0.1", status=200, custodians=(ANSWERED, WITHHELD, FAILED),
)  # fmt: skip
INTERACTIONS = (*sorted({name.partition(" ")[0] for name in words._table()["interaction"]}), "unknown")  # fmt: skip


def rendered(record: Record, side: Side = "all") -> list[Json]:
    return events("1.1.1", Seen(record, side), RECORDER)


def with_(**deviation: Any) -> Record:
    return msgspec.structs.replace(SUMMARY, **deviation)


def wrong(event: Json) -> list[str]:
    return [*balp.breaches(event), *(f"{one.rule} {one.expression}" for one in validate(event) if one.is_error)]


@cache
def all_driven() -> tuple[Record, ...]:
    """Every record of everything that can happen to the API."""
    return tuple(record for world, _ in (*driven(), *failed()) for record in world.records)


def kinds() -> Iterator[Record]:
    """Every interaction and kind there is, with much and with little known."""
    for interaction in INTERACTIONS:
        yield with_(interaction=interaction)
        yield with_(interaction=interaction, status=403, error="consent-refused", kind="refusal", custodians=())
        yield with_(interaction=interaction, type="Condition", patient="", token="", client="", custodians=())
        yield with_(interaction=interaction, type="AuditEvent", patient="", custodians=(), query="page=accesses")
    for kind in get_args(Kind):
        yield with_(kind=kind, interaction="")
        yield Record(kind=kind, at="2026-03-02T12:00:00.000Z", request="gateway", reasons=("restored-from abc",))
    for command in ("audit report", "keys rotate", "client add", "db upgrade", "source test", "backup", "other thing"):
        yield Record(
            kind="command", at="2026-03-02T12:00:00.000Z", request="c", type=command, client="gateway", status=200
        )


@pytest.mark.parametrize("side", ["requester", "custodian", "all"])
def test_balp_and_base_r4_hold_for_every_kind_of_event(side: Side) -> None:
    claims: set[str] = set()
    for record in kinds():
        for event in rendered(record, side):
            assert wrong(event) == [], (record, exact.encode(event))
            claims |= set(balp.claimed(event))
    if side == "all":
        assert claims == {*balp.PROFILES, "OAUTHaccessTokenUse.Comprehensive"} - {"PrivacyDisclosure.Source"}
    elif side == "custodian":
        assert "PrivacyDisclosure.Source" in claims


@pytest.mark.slow
def test_balp_and_base_r4_hold_for_everything_that_was_driven() -> None:
    for record in all_driven():
        for event in rendered(record):
            assert wrong(event) == [], (record, exact.encode(event))


def test_the_constraints_see_what_is_wrong() -> None:
    """A check that finds nothing proves nothing: each of these must be found."""
    event = rendered(with_(interaction="read", type="Condition"))[0]
    assert wrong(event) == []
    changes: list[Json] = [
        {"action": "E"}, {"type": {"system": "x", "code": "y"}}, {"subtype": []}, {"agent": event["agent"][1:]},
        {"agent": [agent for agent in event["agent"] if not agent.get("name")]}, {"outcome": "8"},
        {"entity": event["entity"][1:][:1]}, {"source": {"observer": {"display": "x"}}}, {"recorded": "yesterday"},
        {"entity": [*event["entity"], *event["entity"][:1]]},
    ]  # fmt: skip
    assert [bool(wrong(event | change)) for change in changes] == [True] * len(changes)


def test_the_client_is_the_destination_of_a_read_and_the_source_of_a_query() -> None:
    read, query = rendered(with_(interaction="read", type="Condition"))[0], rendered(SUMMARY)[0]
    assert [agent["type"]["coding"][0]["code"] for agent in read["agent"][:2]] == ["110152", "110153"]
    assert [agent["type"]["coding"][0]["code"] for agent in query["agent"][:2]] == ["110153", "110152"]


def test_nen_7513_every_field_is_there() -> None:
    event = rendered(with_(interaction="match"))[0]
    client, server, person, responsible, organization = event["agent"]
    assert (event["type"]["code"], event["action"], event["recorded"], event["outcome"]) == (
        "rest", "E", "2026-03-02T12:00:00.000Z", "0")  # fmt: skip
    assert [one["code"] for one in event["subtype"]] == ["search", "operation", "match"]
    assert event["purposeOfEvent"][0]["coding"][0]["code"] == "TREAT"
    assert client["who"]["identifier"]["value"] == "post-app"
    assert client["network"] == {"address": "10.0.0.1", "type": "2"}
    assert server["who"]["identifier"]["value"] == "90000006"
    assert person["who"]["identifier"] == {
        "system": "http://fhir.nl/fhir/NamingSystem/uzi-nr-pers",
        "value": "900000001",
    }
    assert (person["name"], person["requestor"]) == ("A. de Vries", True)
    assert person["role"][0]["coding"][0] == {
        "system": "http://fhir.nl/fhir/NamingSystem/uzi-rolcode", "code": "01.015", "display": "huisarts"}  # fmt: skip
    assert person["extension"][0]["valueCodeableConcept"]["coding"][0]["code"] == "high"
    assert person["policy"] == ["urn:ietf:params:oauth:jti:t1"]
    assert responsible["who"]["identifier"]["value"] == "900000002"
    assert organization["who"] == {
        "identifier": {"system": "http://fhir.nl/fhir/NamingSystem/ura", "value": POST}, "display": "Huisartsenpost Oost"}  # fmt: skip
    assert organization["role"][0]["coding"][0]["code"] == "N6"
    assert organization["policy"] == ["urn:roaz:policy:abc", "urn:roaz:agreement:pull"]
    whats = [entity["what"].get("reference", "") for entity in event["entity"] if "what" in entity]
    assert {f"Patient/{WORLD.patient}", "Task/case-1", "Consent/consent-1/_history/2", "Condition/i1-a"} <= set(whats)
    (query,) = [entity["query"] for entity in event["entity"] if "query" in entity]
    assert base64.b64decode(query) == b"Patient?identifier=***"


def agent(event: Json, code: str) -> Json:
    """The agent of a kind: the person who asks, who is responsible, the organization, the client."""
    return next(one for one in event["agent"] if code in {coding["code"] for coding in one["type"]["coding"]})


def entity(event: Json, display: str) -> Json:
    """The entity that plays a role."""
    return next(one for one in event["entity"] if one.get("role", {}).get("display") == display)


# Field of NEN 7513 (2018), whether every record of care has it (m) or one that knows it (c), and where it is.
NEN_7513: tuple[tuple[str, str, Callable[[Json], Any]], ...] = (
    ("7.2 event code", "m", lambda event: event["type"]["code"] and event["subtype"]),
    ("7.2 action code", "m", lambda event: event["action"] in set("CRUDE")),
    ("7.2 date and time", "m", lambda event: event["recorded"]),
    ("7.2 result", "m", lambda event: event["outcome"]),
    ("7.2 nature: the request", "m", lambda event: event["entity"][0]["what"]["identifier"]["value"]),
    ("7.3 user id", "m", lambda event: agent(event, "IRCP")["who"]["identifier"]["value"]),
    ("7.3 kind of user id", "m", lambda event: agent(event, "IRCP")["who"]["identifier"]["system"]),
    ("7.3 role", "m", lambda event: agent(event, "IRCP")["role"][0]["coding"][0]["code"]),
    ("7.3 name", "c", lambda event: agent(event, "IRCP")["name"]),
    ("7.3 initiator", "m", lambda event: agent(event, "IRCP")["requestor"] is True),
    ("7.3 level of assurance", "c", lambda event: agent(event, "IRCP")["extension"]),
    ("7.3 responsible user", "c", lambda event: agent(event, "RESP")["who"]["identifier"]["value"]),
    ("7.3 organization (URA)", "m", lambda event: agent(event, "PROV")["who"]["identifier"]["value"]),
    ("7.3 type of organization", "m", lambda event: agent(event, "PROV")["role"]),
    ("7.3 point of access", "m", lambda event: agent(event, "110150")["network"]),
    ("7.4 kind of identifier", "m", lambda event: entity(event, "Patient")["type"]["code"]),
    ("7.4 identifier of the patient", "m", lambda event: entity(event, "Patient")["what"]["reference"]),
    ("7.4 authorization protocol", "m", lambda event: agent(event, "PROV")["policy"]),
    ("7.4 treatment relation protocol", "c", lambda event: entity(event, "Job")["what"]["reference"]),
    ("7.4 consent profile", "m", lambda event: entity(event, "Security Resource")["what"]),
    ("7.4 category", "m", lambda event: [one for kept in event["entity"] for one in kept.get("detail", ())
                                        if one["type"].startswith("category")]),
    ("7.4 question", "c", lambda event: entity(event, "Query")["query"]),
    ("7.4 purpose", "m", lambda event: event["purposeOfEvent"] and agent(event, "IRCP")["purposeOfUse"]),
    ("7.5 source id", "m", lambda event: event["source"]["observer"]["identifier"]["value"]),
    ("7.5 location", "m", lambda event: event["source"]["site"]),
    ("7.5 type of source", "m", lambda event: event["source"]["type"]),
)  # fmt: skip


def test_nen_7513_field_by_field() -> None:
    little = with_(person_name="", assurance="", responsible="", case="", query="")
    for interaction in ("search-type", "match", "read", "summary", "everything", "print", "page"):
        for record, knows in (
            (with_(interaction=interaction), "mc"),
            (msgspec.structs.replace(little, interaction=interaction), "m"),
        ):
            event = rendered(record)[0]
            family = words.kind_of(record).family
            for name, need, found in NEN_7513:
                if (
                    need in knows
                    and (family == "Query" or name != "7.4 question")
                    and not (name == "7.2 action code" and not family)
                ):
                    assert found(event), (interaction, name)


def test_a_summary_is_an_event_for_each_custodian() -> None:
    request, answered, withheld, failed_ = rendered(SUMMARY)
    assert [one["id"] for one in (request, answered, withheld, failed_)] == ["1.1.1", "1.1.1-1", "1.1.1-2", "1.1.1-3"]
    state = {"answered": answered, "withheld": withheld, "failed": failed_}
    for word, event in state.items():
        details = [one for entity in event["entity"] for one in entity.get("detail", ())]
        assert {"type": "state", "valueString": word} in details
    assert [one["outcome"] for one in (request, answered, withheld, failed_)] == ["0", "0", "4", "8"]
    assert balp.claimed(answered)[0] == "PrivacyDisclosure.Recipient"
    assert balp.claimed(withheld) == ["AuthZconsent"]
    assert [one["source"]["site"] for one in (answered, withheld, failed_)] == ["gp", "hospital", "mental"]
    intent = rendered(with_(kind="intent", custodians=(Asked(GP, "gp"),), status=0))
    assert {"type": "state", "valueString": "asked"} in [
        one for entity in intent[1]["entity"] for one in entity.get("detail", ())
    ]


def test_a_custodian_sees_who_got_what_of_its_own_data() -> None:
    (event,) = rendered(with_(custodians=(ANSWERED,)), "custodian")
    assert balp.claimed(event) == ["PrivacyDisclosure.Source", "OAUTHaccessTokenUse.Comprehensive"]
    assert (event["type"]["code"], event["action"]) == ("110106", "R")
    source, recipient, person = event["agent"][:3]
    assert source["who"]["identifier"]["value"] == GP
    assert recipient["who"]["identifier"]["value"] == POST
    assert person["name"] == "A. de Vries"
    assert "Condition/i1-a" in [entity["what"].get("reference") for entity in event["entity"] if "what" in entity]


def test_what_was_fetched_for_a_refused_answer_was_not_disclosed() -> None:
    event = rendered(with_(kind="refusal", status=409, error="patient-ambiguous"), "custodian")[0]
    assert event["outcome"] == "4"
    assert "Condition/i1-a" not in exact.encode(event).decode()


def test_an_outcome_nobody_knows_is_no_outcome() -> None:
    event = rendered(with_(kind="refusal", status=0, error="unknown", custodians=()))[0]
    assert "outcome" not in event
    assert "unknown" in event["outcomeDesc"]


def test_a_request_that_died_is_told_as_asked_with_an_outcome_nobody_knows() -> None:
    asked = (Asked(GP, "gp"), Asked(HOSPITAL, "hospital"))
    died = unknown(with_(kind="intent", status=0, custodians=asked), datetime(2026, 3, 2, 13, tzinfo=UTC))
    for side in get_args(Side):
        for event in rendered(died, side):
            assert wrong(event) == []
            assert "outcome" not in event
            assert "stopped before the outcome" in event["outcomeDesc"]
            assert "PrivacyDisclosure" not in str(balp.claimed(event)), "nobody may say that it was given"
    made = report([died], [], Telling(WORLD.policy))
    assert [(one.did, one.gave) for one in made.events] == [("unknown", ())]


@pytest.mark.slow
def test_nothing_of_the_patient_is_in_an_event() -> None:
    for record in all_driven():
        text = exact.encode(rendered(record)).decode()
        for sentinel in (BSN, BIRTH, "Jansen", "Penicilline", "Hartfrequentie", "Diabetes", "44054006"):
            assert sentinel not in text, record.interaction
