"""The GP post of the region: who asks is checked twice, and nothing is answered to whom did not prove it."""

from __future__ import annotations

from datetime import UTC, datetime

import httpx2
import pytest

from consent.model import Requester
from gateway.adapters import v3_query
from gateway.adapters.dialects import dialect
from gateway.model import Context, Patient
from mappings.model import Origin
from mappings.translation import translate
from profiles.identifiers import BSN_SYSTEM
from tests.gateway.demo.stand import WHO, Asked

pytestmark = [pytest.mark.anyio, pytest.mark.network]

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
PERSON = "999990226"


def message(organization: str = WHO["subject_organization_id"], bsn: str = PERSON) -> bytes:
    requester = Requester("demo", organization, "V4", role="01.071", person=WHO["subject_id"])
    context = Context(requester, "Streekziekenhuis", "dr. Emma", "", "behandeling", "", "request-1")
    queries = dialect("saz@1.0").queries
    return v3_query.write(queries, "MCCI_IN200101", Patient("p1", BSN_SYSTEM, bsn), context, "90000501", NOW).body


async def sent(
    asked: Asked,
    body: bytes,
    *,
    token: bool = True,
    signed: bool = True,
    media: str = "application/xml",
    to: str = "gp-post",
) -> httpx2.Response:
    url = asked.base(to)
    headers = {"Content-Type": media}
    if token:
        endpoint = url.removesuffix("/hl7v3") + "/oauth/token"
        form = {
            "grant_type": "client_credentials",
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": asked.gateway.assertion(endpoint),
        }
        headers["Authorization"] = f"Bearer {(await asked.http.post(endpoint, data=form)).json()['access_token']}"
    if signed:
        headers |= asked.gateway.headers(to)
    return await asked.http.post(url, content=body, headers=headers)


async def test_a_batch_is_answered_with_a_batch(asked: Asked) -> None:
    answer = await sent(asked, message())
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/xml")
    assert answer.text.count('<queryResponseCode code="OK"/>') == 6
    assert answer.text.count('<queryResponseCode code="AE"/>') == answer.text.count('typeCode="AE"') == 1
    assert "pyelonefritis" in answer.text


async def test_a_pharmacy_answers_one_question_with_one_answer(asked: Asked) -> None:
    requester = Requester("demo", WHO["subject_organization_id"], "V4", role="01.071", person=WHO["subject_id"])
    context = Context(requester, "Streekziekenhuis", "dr. Emma", "", "behandeling", "", "request-1")
    patient = Patient("p1", BSN_SYSTEM, "999990251")
    body = v3_query.write(dialect("mp9@3.0").queries, "", patient, context, "90000801", NOW).body
    answer = await sent(asked, body, to="pharmacy")
    made = translate(answer.content, "hl7v3", Origin("90000801", "pharmacy", NOW.isoformat()))
    assert made.map == "hl7v3/QUMA_IN991203NL02"
    blocks = [one for one in made.resources if one["resourceType"] == "MedicationDispense"]
    assert len(blocks) == 5
    assert (
        len([one for one in blocks if any("StopType" in mark["url"] for mark in one.get("modifierExtension", []))]) == 1
    )
    assert [len(one["dosageInstruction"]) for one in blocks if "dosageInstruction" in one] == [3, 1, 1]


@pytest.mark.parametrize(("token", "signed"), [(False, True), (True, False), (False, False)])
async def test_who_asks_must_be_proven_by_token_and_signature(asked: Asked, token: bool, signed: bool) -> None:
    answer = await sent(asked, message(), token=token, signed=signed)
    assert answer.status_code == 401
    assert PERSON not in answer.text
    assert asked.region.organizations["gp-post"].access_log == ()


async def test_the_message_may_not_name_another_asker_than_the_signature(asked: Asked) -> None:
    answer = await sent(asked, message(organization="90000101"))
    assert answer.status_code == 400
    assert "authorOrPerformer" in answer.text


@pytest.mark.parametrize(
    ("body", "media", "status"),
    [
        (b"<MCCI_IN200101 xmlns='urn:hl7-org:v3'/>", "application/xml", 400),
        (b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>', "application/xml", 400),
        (message().replace(b"patientID>", b"patient>"), "application/xml", 400),
        (message(), "application/json", 415),
    ],
)
async def test_what_is_no_question_is_refused(asked: Asked, body: bytes, media: str, status: int) -> None:
    assert (await sent(asked, body, media=media)).status_code == status


async def test_there_is_no_other_way_to_ask(asked: Asked) -> None:
    assert (await asked.http.get(asked.base("gp-post"))).status_code == 405
