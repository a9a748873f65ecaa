"""The gateway's own adapters against the simulated organizations: every query is understood, and both know who asked (B6)."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from consent.model import Requester
from gateway import settings
from gateway.adapters.address import LOOPBACK, AddressPolicy
from gateway.adapters.dialects import dialect
from gateway.adapters.http import HttpClient
from gateway.adapters.kinds import source_of
from gateway.clock import SystemClock
from gateway.demo.context import Asker
from gateway.model import Context, Failure, Patient, Payload, SourceQuestion
from mappings.model import Origin
from mappings.translation import translate
from profiles import exact
from profiles.identifiers import BSN_SYSTEM
from tests.gateway.demo.stand import Asked, Stand

pytestmark = [pytest.mark.anyio, pytest.mark.network]

REQUESTER = Requester("demo-physician", "90000202", "V4", role="01.071", person="900009011")
CONTEXT = Context(REQUESTER, "Acuutziekenhuis", "dr. Emma Spoedeisend", "900009012", "spoed", "case-9", "request-9")


class Signing:
    """A key ring's signature, by the gateway whose keys the organizations fetch."""

    def __init__(self, gateway: Stand) -> None:
        self.gateway = gateway

    def sign_jwt(self, claims: dict[str, Any], *, typ: str) -> str:
        return self.gateway.sign(claims, typ=typ)


async def ask(asked: Asked, source_id: str, bsn: str) -> list[Payload | Failure]:
    """Everything a source says about a person when asked for everything it can be asked for."""
    read = settings.parse(asked.region.settings_tree())
    (table,) = [one for one in read.sources if one.id == source_id]
    async with HttpClient(AddressPolicy.of(LOOPBACK)) as http:
        source = source_of(table, http, Signing(asked.gateway), asked.gateway.base, SystemClock())
        assert source is not None
        patient, categories = Patient("p1-x", BSN_SYSTEM, bsn), dialect(table.dialect).categories | {"Patient"}
        deadline = asyncio.get_running_loop().time() + 30
        return [
            part async for part in source.fetch(SourceQuestion(patient, categories, frozenset(), CONTEXT, deadline))
        ]


def told(parts: list[Payload | Failure]) -> Counter[str]:
    """How many of each type came."""
    assert not [part for part in parts if isinstance(part, Failure)]
    return Counter(
        entry["resource"]["resourceType"]
        for part in parts
        if isinstance(part, Payload)
        for entry in exact.decode(part.body).get("entry", ())
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "types"),
    [
        (
            "gp-a",
            {
                "Patient": 1,
                "AllergyIntolerance": 2,
                "Condition": 3,
                "MedicationStatement": 3,
                "Medication": 3,
                "Consent": 1,
                "Observation": 16,
                "Encounter": 2,
            },
        ),
        (
            "hospital",
            {
                "Patient": 1,
                "AllergyIntolerance": 2,
                "Condition": 2,
                "MedicationStatement": 1,
                "MedicationRequest": 1,
                "Medication": 2,
                "Flag": 1,
                "Consent": 2,
                "Observation": 5,
                "Encounter": 2,
            },
        ),
    ],
)
async def test_every_query_of_the_dialect_is_answered_and_logged(
    asked: Asked, source: str, types: dict[str, int]
) -> None:
    assert told(await ask(asked, source, "999990019")) == types
    log = asked.region.organizations[source].access_log
    assert len(log) > 20
    assert {entry.asker for entry in log} == {Asker("90000202", "900009011", "01.071", "spoed", "case-9")}
    assert {(entry.responsible, entry.request_id, entry.person_name) for entry in log} == {
        ("900009012", "request-9", "dr. Emma Spoedeisend")
    }


@pytest.mark.parametrize("source", ["gp-a", "gp-b", "hospital", "mental-health"])
async def test_an_unknown_person_is_an_empty_answer(asked: Asked, source: str) -> None:
    assert told(await ask(asked, source, "999990081")) == {}


async def test_the_gp_post_answers_messages_and_knows_who_asked(asked: Asked) -> None:
    parts = await ask(asked, "gp-post", "999990226")
    (payload,) = [part for part in parts if isinstance(part, Payload)]
    assert {(part.code, part.query) for part in parts if isinstance(part, Failure)} == {("status", "laboratory")}
    made = translate(payload.body, payload.format, Origin("90000501", "gp-post", payload.fetched))
    assert Counter(one["resourceType"] for one in made.resources) == {
        "Patient": 1, "Practitioner": 1, "Organization": 1, "EpisodeOfCare": 1, "Condition": 1, "Encounter": 1,
        "Observation": 2, "MedicationRequest": 1, "Medication": 1, "Flag": 1, "AllergyIntolerance": 1, "PractitionerRole": 1,
    }  # fmt: skip
    (entry,) = asked.region.organizations["gp-post"].access_log
    assert entry.asker == Asker("90000202", "900009011", "01.071", "spoed", "case-9")
    assert (entry.responsible, entry.request_id, entry.path) == ("900009012", "request-9", "/hl7v3")


async def test_nobody_of_that_number_at_the_gp_post_is_an_empty_answer(asked: Asked) -> None:
    parts = await ask(asked, "gp-post", "999990081")
    assert [part.format for part in parts if isinstance(part, Payload)] == ["fhir-r4"]
    assert told([part for part in parts if isinstance(part, Payload)]) == {}
