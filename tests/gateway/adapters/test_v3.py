"""One HL7 v3 source: what is asked of it, what comes of each part of its answer, and what is not believed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import pytest

from gateway.adapters import v3_query
from gateway.adapters.dialects import dialect, known
from gateway.adapters.kinds import ASKED, source_of
from gateway.adapters.searchset import EMPTY
from gateway.adapters.v3 import V3Source
from gateway.errors import StartError
from gateway.model import Failure, Patient, Payload, SourceQuestion
from gateway.settings import Duration
from mappings.formats import xml_tree
from tests.attacks.faulty_source import HANG, FaultySource, Script, Seen, cut, endless, gzip_bomb, response
from tests.gateway.adapters.region import BASE, BSN, OTHER_BSN, HandClock, PlainSigner, claims_of, http, question
from tests.gateway.adapters.v3 import (
    ANSWERS,
    FAILED,
    FOUND,
    NOTHING,
    XML,
    answering,
    batch,
    content,
    interactions,
    single,
    source,
    table,
    told,
)  # fmt: skip
from tests.slack import slack

pytestmark = pytest.mark.network

EPISODES, LABORATORY, ALERTS, ALLERGIES = "REPC_IN990110NL", "POLB_IN354001NL", "REPC_IN990120NL", "REPC_IN990130NL"
EVERYTHING = sorted(dialect("saz@1.0").categories)


async def heard(asked: V3Source, about: SourceQuestion) -> tuple[list[Payload], dict[str, str]]:
    """Payloads, and the code of each failure by the query that failed."""
    payloads, failures = [], {}
    async for part in asked.fetch(about):
        if isinstance(part, Failure):
            failures[part.query] = part.code
        else:
            payloads.append(part)
    return payloads, failures


def asking(
    answer: Callable[[Seen], Script], *categories: str, dialect: str = "saz@1.0", seconds: float = 4.0, **more: Any
) -> tuple[list[Payload], dict[str, str], list[Seen]]:
    """Ask a source that answers so."""

    async def main() -> tuple[list[Payload], dict[str, str], list[Seen]]:
        async with FaultySource(answer) as server, http() as client:
            asked = source(client, server.url, dialect)
            found = await heard(asked, question(*(categories or EVERYTHING), seconds=seconds, **more))
            return (*found, server.seen)

    return asyncio.run(main())


def test_a_question_names_the_patient_and_the_asker_in_the_body_only() -> None:
    _, _, seen = asking(answering({}), "Patient", "AllergyIntolerance", "Alert")
    (one,) = seen
    assert (one.method, interactions(one)) == ("POST", [ALERTS, ALLERGIES])
    assert BSN not in one.target
    assert BSN not in str(dict(one.headers))
    text = one.body.decode()
    assert text.count(f'<value root="2.16.840.1.113883.2.4.6.3" extension="{BSN}"/>') == 2
    assert '<id root="2.16.528.1.1007.3.1" extension="900001"/><code code="01.015"' in text
    assert '<id root="2.16.528.1.1007.3.3" extension="90000001"/><name>Ziekenhuis Oost</name>' in text
    context = claims_of({name.lower(): value for name, value in one.headers.items()}["x-zv-context"])
    assert (context["aud"], context["subject_organization_id"], context["case"]) == ("gp-post", "90000001", "case-1")


def test_what_is_written_is_one_well_formed_message_whatever_people_are_called() -> None:
    async def main() -> None:
        about = question("Alert")
        sly = Patient("p1", "urn:oid:1.2.3", '1"/><value extension="2')
        written = v3_query.write(
            dialect("saz@1.0").queries, "MCCI_IN200101", sly, about.context, '9"<', HandClock().now()
        )
        root = xml_tree.read(written.body)["MCCI_IN200101"][0]
        asked = [root[name][0] for name in ANSWERS if name in root]
        assert len(asked) == 8 == int(root["transmissionQuantity"][0]["value"])
        for one in asked:
            (named,) = one["ControlActProcess"][0]["queryByParameter"][0]["patientID"][0]["value"]
            assert named["extension"] == '1"/><value extension="2'
        assert len({one["id"][0]["root"] for one in asked}) == 8

    asyncio.run(main())


def test_every_part_of_an_answer_serves_its_own_categories() -> None:
    parts = {EPISODES: FOUND, LABORATORY: FAILED, ALERTS: NOTHING}

    def answer(seen: Seen) -> Script:
        return response(batch(seen, parts, otherwise=None), content_type=XML)

    (payload,), failures, _ = asking(answer, "Patient", *EVERYTHING)
    assert payload.format == "hl7v3"
    assert payload.categories == {"Patient", "Condition", "Episode", "Alert"}
    assert failures["laboratory"] == "status"
    assert {failures.pop(name) for name in ("contacts", "allergies", "determinations", "medication-agreements")} == {
        "incomplete"
    }


def test_nobody_of_that_number_is_an_empty_answer() -> None:
    (payload,), failures, _ = asking(answering({}), "Patient", "Alert")
    assert (payload.body, sorted(payload.categories), failures) == (EMPTY, ["Alert", "Patient"], {})


def test_who_the_person_is_takes_the_shortest_question() -> None:
    (payload,), _, (seen,) = asking(answering({ALERTS: FOUND}), "Patient")
    assert (interactions(seen), sorted(payload.categories)) == ([ALERTS], ["Alert", "Patient"])


def test_what_the_dialect_cannot_ask_is_not_asked() -> None:
    assert asking(answering({}), "Procedure") == ([], {}, [])


def test_the_older_question_is_one_message_for_all() -> None:
    (payload,), failures, (seen,) = asking(single, "Patient", "Condition", dialect="waarneming@1.0")
    assert (interactions(seen), failures) == (["QUPC_IN990001NL"], {})
    assert payload.categories == {"Patient", "Condition"}


def test_a_number_without_an_oid_cannot_be_asked_for() -> None:
    async def main() -> None:
        async with FaultySource(answering({})) as server, http() as client:
            about = question("Alert")
            local = Patient("p1", "https://hospital.example/number", "42")
            changed = SourceQuestion(local, about.categories, about.types, about.context, about.deadline)
            _, failures = await heard(source(client, server.url), changed)
            assert (failures, server.seen) == ({"*": "no-identifier"}, [])

    asyncio.run(main())


WRONG: Mapping[str, Callable[[Seen], Script]] = {
    "another person": answering({ALERTS: told(content(OTHER_BSN))}),
    "two persons": answering({ALERTS: told(content() + content(OTHER_BSN))}),
}
MALFORMED: Mapping[str, Callable[[Seen], Script]] = {
    "another question": answering({ALERTS: told(content(), target="7F000001-0000-0000-0000-000000000000")}),
    "no XML": lambda _: response(b"MSH|^~\\&|", content_type=XML),
    "a page": lambda _: response(b"<html/>", content_type="text/html"),
    "JSON": lambda _: response(b"{}", content_type="application/json"),
    "another message": lambda _: response(b'<PRPA_IN900350NL xmlns="urn:hl7-org:v3"/>', content_type=XML),
    "half of it": lambda seen: response(batch(seen, {ALERTS: FOUND})[:-40], content_type=XML),
    "098 file": lambda _: response(b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>', content_type=XML),
    "098 parameter entity": lambda _: response(b'<!DOCTYPE a [<!ENTITY % b SYSTEM "http://127.0.0.1/">%b;]><a/>', content_type=XML),
    "099 bomb": lambda _: response(b'<!DOCTYPE a [<!ENTITY b "' + b"x" * 9999 + b'">]><a>' + b"&b;" * 9999 + b"</a>", content_type=XML),
    "100 depth": lambda _: response(b"<a>" * 100_000 + b"</a>" * 100_000, content_type=XML),
    "104 charset": lambda seen: response(b'<?xml version="1.0" encoding="UTF-16"?>' + batch(seen, {ALERTS: FOUND}), content_type=XML),
    "104 bytes": lambda seen: response(batch(seen, {ALERTS: FOUND}).replace(b"Vries", b"Vr\xff\xfees"), content_type=XML),
    "105 NUL": lambda seen: response(batch(seen, {ALERTS: FOUND}).replace(b"Vries", b"Vr\x00es"), content_type=XML),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_an_answer_about_somebody_else_is_not_believed_in_anything(name: str) -> None:
    payloads, failures, _ = asking(WRONG[name], "Patient", "Alert", "Condition")
    assert (payloads, failures) == ([], {"*": "wrong-patient"})


@pytest.mark.parametrize("name", MALFORMED)
def test_what_is_no_answer_to_the_question_is_malformed_and_soon_said(name: str) -> None:
    began = time.monotonic()
    payloads, failures, _ = asking(MALFORMED[name], "Patient", "Alert")
    assert (payloads, failures) == ([], {"*": "malformed"})
    assert time.monotonic() - began < 1.0 * slack()


BROKEN: Mapping[str, tuple[Callable[[Seen], Script], str]] = {
    "500": (lambda _: response(b"", status=500), "status"),
    "403": (lambda _: response(b"", status=403), "refused"),
    "404": (lambda _: response(b"", status=404), "refused"),
    "302": (lambda _: response(b"", status=302, headers={"Location": "http://127.0.0.1/"}), "redirect"),
    "nothing more": (lambda _: [HANG], "timeout"),
    "cut off": (lambda seen: cut(answering({})(seen), 120), "truncated"),
    "too long": (lambda _: endless(20), "too-large"),
    "gzip bomb": (lambda _: gzip_bomb(60), "encoding"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_source_costs_its_own_part_only(name: str) -> None:
    answer, code = BROKEN[name]
    payloads, failures, _ = asking(answer, "Patient", "Alert", seconds=0.4 if code == "timeout" else 4.0)
    assert (payloads, failures) == ([], {"*": code})


def test_097_a_failing_source_is_left_alone() -> None:
    async def main() -> None:
        async with FaultySource(lambda _: response(b"", status=503)) as server, http() as client:
            asked = source(client, server.url)
            codes = [(await heard(asked, question("Alert")))[1]["*"] for _ in range(8)]
            assert codes == ["status"] * 5 + ["circuit-open"] * 3
            assert len(server.seen) == 5

    asyncio.run(main())


def test_the_deadline_of_the_source_is_kept() -> None:
    async def main() -> None:
        async with FaultySource(lambda _: [HANG]) as server, http() as client:
            asked = source(client, server.url, deadline=Duration(milliseconds=200))
            began = time.monotonic()
            assert (await heard(asked, question("Alert", seconds=30)))[1] == {"*": "timeout"}
            assert time.monotonic() - began < 2.0 * slack()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"dialect": "360@1.0"}, "is for kind 'fhir-r4'"),
        ({"url": "http://gp-post.example/hl7v3"}, "https"),
        ({"dialect": "saz@9"}, "known are"),
        ({"kind": "hl7"}, "kind 'hl7' is not known; known are: fhir-r4, fhir-stu3, hl7v3, inbox, mllp"),
    ],
)
def test_what_cannot_work_is_said_at_the_start(changes: dict[str, str], said: str) -> None:
    row = msgspec.structs.replace(table("http://127.0.0.1:1/hl7v3"), **changes)

    async def main() -> None:
        async with http() as client:
            with pytest.raises(StartError, match=said):
                source_of(row, client, PlainSigner(), BASE, HandClock())

    asyncio.run(main())


def test_a_kind_that_pushes_is_asked_by_nobody_and_each_that_is_asked_has_a_dialect() -> None:
    async def main() -> None:
        async with http() as client:
            row = msgspec.structs.replace(table(""), kind="inbox")
            assert source_of(row, client, PlainSigner(), BASE, HandClock()) is None

    asyncio.run(main())
    assert {dialect(name).format for name in known()} == set(ASKED)
