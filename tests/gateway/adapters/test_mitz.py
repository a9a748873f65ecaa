"""The national consent register: the closed question and answer, and what the line makes of them (rules C2, C5, A3; attack 65)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from consent.model import Custodian, Requester
from gateway.adapters.http import HttpAnswer, HttpClient, HttpError
from gateway.adapters.mitz import MitzRegister, SimulatedRegister, closed
from gateway.ports import NationalQuestion
from mappings.formats.xacml import (
    ClosedQuestion,
    Decision,
    NotXacml,
    closed_answer,
    closed_question,
    read_answer,
    read_question,
)
from tests.gateway.charts import BSN
from tests.gateway.world import GP, HOSPITAL, MENTAL, PHYSICIAN, SYSTEM, World

CORE = "urn:oasis:names:tc:xacml:3.0:core:schema:wd-17"
ASKED = ClosedQuestion(
    "999990019", "00000659", "Z3", ("GGC002", "GGC013"), "01.015", "000095254", "00000666", "V4", "TREAT"
)


def answer(*decisions: Decision) -> bytes:
    return closed_answer(ASKED, decisions, "1")


def test_the_question_holds_every_attribute_of_the_guide() -> None:
    root = etree.fromstring(closed_question(replace(ASKED, mandated="000000012"), "id-1", "https://mitz.example/x"))
    request = next(root.iter(f"{{{CORE}}}Request"))
    assert (request.get("CombinedDecision"), request.get("ReturnPolicyIdList")) == ("false", "false")
    ids = [one.get("{http://www.w3.org/XML/1998/namespace}id") for one in request.iter(f"{{{CORE}}}Attributes")]
    assert ids == ["resource", "action0", "action1", "subject", "environment"]
    values = {
        (one.get("root") or one.get("codeSystem"), one.get("extension") or one.get("code"))
        for one in request.iter("{urn:hl7-org:v3}InstanceIdentifier", "{urn:hl7-org:v3}CodedValue")
    }
    assert values == {
        ("2.16.840.1.113883.2.4.6.3", "999990019"), ("2.16.840.1.113883.2.4.15.1060", "Z3"),
        ("2.16.528.1.1007.3.3", "00000659"), ("2.16.840.1.113883.2.4.3.111.5.10.1", "GGC002"),
        ("2.16.840.1.113883.2.4.3.111.5.10.1", "GGC013"), ("2.16.840.1.113883.2.4.15.111", "01.015"),
        ("2.16.528.1.1007.3.1", "000000012"), ("2.16.528.1.1007.3.1", "000095254"), ("2.16.528.1.1007.3.3", "00000666"),
        ("2.16.840.1.113883.2.4.15.1060", "V4"), ("2.16.840.1.113883.1.11.20448", "TREAT"),
    }  # fmt: skip
    assert root.findtext(".//{http://www.w3.org/2005/08/addressing}Action") == "XACMLAuthorizationDecisionQueryRequest"


@pytest.mark.slow
@given(
    st.builds(
        ClosedQuestion,
        bsn=st.just("999990019"),
        holder=st.from_regex(r"[0-9]{8}", fullmatch=True),
        holder_type=st.sampled_from(["Z3", "V4"]),
        categories=st.lists(st.sampled_from(["GGC002", "GGC012", "GGC013"]), min_size=1, unique=True).map(tuple),
        role=st.sampled_from(["01.015", "30.000"]),
        user=st.from_regex(r"[0-9]{9}", fullmatch=True),
        organization=st.from_regex(r"[0-9]{8}", fullmatch=True),
        organization_type=st.sampled_from(["N6", "V4"]),
        purpose=st.sampled_from(["TREAT", "COC"]),
        mandated=st.sampled_from(["", "000000012"]),
    )
)
def test_a_question_is_read_as_it_was_written(asked: ClosedQuestion) -> None:
    assert read_question(closed_question(asked, "1", "x")) == asked


def test_a_question_never_prints_the_number() -> None:
    assert "999990019" not in repr(ASKED)
    assert "999990019" not in repr(
        NationalQuestion("999990019", Custodian("1", "Z3"), PHYSICIAN.requester, (), "TREAT")
    )


@pytest.mark.parametrize("decision", ["Permit", "Deny", "NotApplicable", "Indeterminate"])
def test_an_answer_is_read_as_it_was_written(decision: Decision) -> None:
    assert read_answer(answer(decision, "Permit"), ASKED) == {"GGC002": decision, "GGC013": "Permit"}


def test_65_what_is_not_a_clear_yes_is_none() -> None:
    permit = answer("Permit", "Permit")
    for wrong in (
        permit.replace(b">Permit<", b">permit<"),
        permit.replace(b">Permit<", b">PermitAll<"),
        permit.replace(b"999990019", b"999990020"),
        permit.replace(b'code="GGC', b'code="XXX'),
    ):
        assert set(read_answer(wrong, ASKED).values()) == {"Indeterminate"}
    both = permit.replace(b"GGC013", b"GGC002")
    assert read_answer(both, ASKED) == {"GGC002": "Permit", "GGC013": "Indeterminate"}
    contradiction = answer("Permit", "Deny").replace(b"GGC013", b"GGC002")
    assert read_answer(contradiction, ASKED)["GGC002"] == "Deny"


@pytest.mark.parametrize(
    "raw",
    [b"", b"<x/>", b"<!DOCTYPE x><x/>", b"x" * 300_000, closed_question(ASKED, "1", "x"),
     b'<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"><s:Body><s:Fault/></s:Body></s:Envelope>'],
    ids=["nothing", "not SOAP", "doctype", "too large", "a question", "fault"],
)  # fmt: skip
def test_65_what_is_no_answer(raw: bytes) -> None:
    with pytest.raises(NotXacml) as caught:
        read_answer(raw, ASKED)
    assert "999990019" not in str(caught.value)


class Http:
    """An HTTP client that answers what it is told."""

    def __init__(self, status: int = 200, body: bytes = b"", error: str = "") -> None:
        self.status, self.body, self.error = status, body, error
        self.sent: list[dict[str, Any]] = []

    async def request(self, method: str, url: str, **more: Any) -> HttpAnswer:
        self.sent.append({"method": method, "url": url, **more})
        if self.error:
            raise HttpError(cast("Any", self.error))
        return HttpAnswer(self.status, {}, self.body)


QUESTION = NationalQuestion(
    "999990019", Custodian("00000659", "Z3"), Requester("c", "00000666", "V4", "01.015", "uzi|000095254"), ("GGC002", "GGC013"), "TREAT"
)  # fmt: skip


def asked_of(http: Http) -> Mapping[str, str] | None:
    return asyncio.run(MitzRegister(cast("HttpClient", http), "https://mitz.example/mitz/").decisions(QUESTION))


def test_the_register_is_asked_by_soap_and_its_answer_read() -> None:
    http = Http(body=answer("Permit", "NotApplicable"))
    assert asked_of(http) == {"GGC002": "Permit", "GGC013": "NotApplicable"}
    (sent,) = http.sent
    assert (sent["method"], sent["url"]) == ("POST", "https://mitz.example/mitz/geslotenautorisatievraag/xacml3")
    assert "999990019" not in sent["url"]
    assert read_question(sent["body"]) == ASKED


@pytest.mark.parametrize("http", [Http(500), Http(302), Http(200, b"<html>"), Http(error="timeout"), Http(error="tls")])
def test_65_a_register_that_fails_gives_no_answer(http: Http) -> None:
    assert asked_of(http) is None


def test_a_mandate_asks_as_the_one_who_is_responsible() -> None:
    acting = replace(QUESTION.requester, person="uzi|1", mandated_by="uzi|2", mandated_role="01.071")
    found = closed(replace(QUESTION, requester=acting))
    assert (found.user, found.role, found.mandated) == ("2", "01.071", "1")


# --- on the line -----------------------------------------------------------------------------------


slow = pytest.mark.slow


def region(register: SimulatedRegister, *, regime: str = "opt-in-2026", permits: tuple[str, ...] = ()) -> World:
    world = World(permits=permits, settings={"consent": {"basis_regime": regime}})
    world.ports = replace(world.ports, national=register)
    world.app = replace(world.app, ports=world.ports)
    return world


def shown(world: World) -> set[str]:
    return {one["meta"]["tag"][0]["code"] for one in world.search("AllergyIntolerance").items}


@slow
def test_a_national_yes_opens_one_custodian_and_is_asked_each_time() -> None:
    register = SimulatedRegister({(BSN, GP, "GGC002"): "Permit"})
    world = region(register)
    assert shown(world) == {GP}
    before = len(register.asked)
    register.said[(BSN, GP, "GGC002")] = "Deny"
    assert shown(world) == set(), "no answer of the register is remembered"
    assert len(register.asked) == 2 * before
    assert {one.holder for one in register.asked} == {GP, HOSPITAL, MENTAL}
    assert {one.purpose for one in register.asked} == {"TREAT"}


@slow
def test_a_local_yes_never_beats_a_national_no() -> None:
    assert shown(region(SimulatedRegister({(BSN, GP, "GGC002"): "Deny"}), permits=(GP, HOSPITAL))) == {HOSPITAL}


@slow
def test_where_the_regime_wants_the_national_yes_a_local_one_is_none() -> None:
    register = SimulatedRegister({(BSN, HOSPITAL, "GGC002"): "Permit"})
    assert shown(region(register, permits=(GP, HOSPITAL))) == {GP, HOSPITAL}
    assert shown(region(register, permits=(GP, HOSPITAL), regime="mitz-required")) == {HOSPITAL}


@slow
def test_a_local_objection_stands_beside_a_national_yes() -> None:
    world = region(SimulatedRegister(otherwise="Permit"))
    world.says("deny", GP)
    assert shown(world) == {HOSPITAL}


@slow
def test_65_a_register_that_is_down_closes_what_asks_it_and_says_so() -> None:
    register = SimulatedRegister(otherwise="Permit")
    world = region(register, permits=(GP, HOSPITAL))
    register.down = True
    assert world.search("AllergyIntolerance").status == 503
    assert world.asked() == []


@slow
def test_65_undecided_is_not_available() -> None:
    world = region(SimulatedRegister({(BSN, GP, "GGC013"): "Indeterminate"}, otherwise="Permit"))
    assert shown(world) == {HOSPITAL}


@slow
def test_without_a_person_no_question_is_possible() -> None:
    world = region(SimulatedRegister(otherwise="Permit"), permits=(GP, HOSPITAL))
    assert world.search("AllergyIntolerance", SYSTEM).status == 503


@slow
def test_a_push_does_not_ask_it() -> None:
    register = SimulatedRegister(otherwise="Deny")
    world = region(register)
    world.search("AllergyIntolerance", PHYSICIAN)
    assert "90000003" not in {one.holder for one in register.asked}
