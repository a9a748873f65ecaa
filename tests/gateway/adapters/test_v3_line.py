"""What an HL7 v3 source answers goes through the same line as any other: proven, screened, stamped, and no less."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from dataclasses import replace

import pytest

from gateway.metrics import Metrics
from gateway.model import Failure, Payload, SourceQuestion, instant
from gateway.routes.fhir import FhirApp
from tests.attacks.faulty_source import Seen, joined
from tests.fakes import NOON, BrokenTranslators
from tests.gateway.adapters.v3 import answering, content, told
from tests.gateway.charts import BSN, OTHER_BSN, Json
from tests.gateway.world import GP, HOSPITAL, SETTINGS, World

ASKED = '<MCCI_IN200101 xmlns="urn:hl7-org:v3"><id root="00000000-0000-0000-0000-000000000000"/>'
ALLERGY = (
    '<component><act classCode="ACT" moodCode="EVN"><code code="CONC" codeSystem="2.16.840.1.113883.5.6"/><statusCode code="active"/>'
    '<entryRelationship typeCode="SUBJ"><observation classCode="OBS" moodCode="EVN">'
    '<templateId root="2.16.840.1.113883.2.4.3.11.60.66.10.216"/><id root="1.2.3.9" extension="a-1"/>'
    '<participant typeCode="CSM"><participantRole><playingEntity><code code="764146007" codeSystem="2.16.840.1.113883.6.96" '
    'displayName="penicilline"/></playingEntity></participantRole></participant></observation></entryRelationship></act></component>'
)


def organizer(bsn: str = BSN, *, more: str = "") -> Callable[[str], str]:
    inside = content(bsn).replace("<organizer>", '<organizer><code code="48765-2" codeSystem="2.16.840.1.113883.6.1"/>')
    return told(inside.replace("</organizer>", f"{ALLERGY}{more}</organizer>").replace("19560312", "19800229"))


class Post:
    """A source that sends these bytes as HL7 v3."""

    def __init__(self, answer: Callable[[str], str]) -> None:
        seen = Seen(
            "POST", "/", {}, (ASKED + '<REPC_IN990130NL><id root="00000000-0000-0000-0000-000000000001"/>').encode()
        )
        self._body = joined(answering({"REPC_IN990130NL": answer})(seen)).partition(b"\r\n\r\n")[2]

    async def fetch(self, question: SourceQuestion) -> AsyncGenerator[Payload | Failure]:
        yield Payload("hl7v3", self._body, "saz@1.0", question.categories, instant(NOON))


def world(answer: Callable[[str], str], **more: object) -> World:
    rows = [one | {"kind": "hl7v3", "dialect": "saz@1.0"} if one["id"] == "gp" else one for one in SETTINGS["sources"]]
    return World(settings={"sources": rows}, sources={"gp": Post(answer)}, known_at=(GP, HOSPITAL), **more)  # type: ignore[arg-type]


def of_post(made: World) -> list[Json]:
    """What the post's items are; those of the hospital are there too, whatever the post does."""
    found = made.search().items
    assert HOSPITAL in {item["meta"]["tag"][-1]["code"] for item in found}
    return [item for item in found if item["meta"]["tag"][-1]["code"] == GP]


def test_it_is_shown_as_the_custodians_own() -> None:
    (item,) = of_post(world(organizer()))
    assert item["code"]["coding"][0]["code"] == "764146007"
    assert item["meta"]["tag"][-1]["code"] == GP
    assert item["meta"]["source"].startswith("urn:roaz:gp#")
    assert BSN not in str(item)


@pytest.mark.parametrize("more", ["", "<component><observation><code code='x'/></observation></component>"])
def test_077_somebody_elses_answer_shows_nothing(more: str) -> None:
    made = world(organizer(OTHER_BSN, more=more))
    assert of_post(made) == []
    assert "source-failed" in made.search().remarks


def test_an_objection_to_the_category_holds_for_messages_too() -> None:
    made = world(organizer())
    made.says("deny", GP, categories=frozenset({"AllergyIntolerance"}))
    assert of_post(made) == []


def test_098_what_cannot_be_read_costs_this_source_only() -> None:
    made = world(lambda _: "<!DOCTYPE a><a/>")
    assert of_post(made) == []
    assert "source-failed" in made.search().remarks
    assert made.summary().status == 200


@pytest.mark.parametrize("error", [TimeoutError(), RuntimeError("a process ended")])
def test_an_answer_that_takes_too_long_to_read_is_a_source_that_did_not_answer(error: Exception) -> None:
    made = world(organizer())
    made.app = FhirApp(replace(made.ports, translators=BrokenTranslators(error)), Metrics())
    assert of_post(made) == []
    assert "source-failed" in made.search().remarks
    assert made.summary().status == 200
