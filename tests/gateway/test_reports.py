"""Reports of a contact or a stay: their words are read within a summary, and only by who may read everything they can say."""

from __future__ import annotations

from typing import Any

import pytest

from tests.gateway.charts import BSN, CHARTS, Json, person
from tests.gateway.world import GP, HOSPITAL, MENTAL, Reply, World

WORDS = "COPD, beterend"


def report(**more: Any) -> Json:
    """The report of a contact, in the lines of the GP."""
    section = {
        "title": "Evaluation note",
        "code": {"coding": [{"system": "http://loinc.org", "code": "51848-0"}]},
        "text": {"status": "additional", "div": f'<div xmlns="http://www.w3.org/1999/xhtml"><p>{WORDS}</p></div>'},
    }
    return {
        "resourceType": "Composition",
        "id": "c1",
        "status": "final",
        "type": {"coding": [{"system": "http://snomed.info/sct", "code": "11591000146107"}]},
        "subject": {"reference": "Patient/h1"},
        "date": "2026-02-01T10:00:00+01:00",
        "author": [{"display": "huisarts"}],
        "title": "SOEP-verslag",
        "section": [section],
        **more,
    }


def world(**more: Any) -> World:
    return World(charts=CHARTS | {"hospital": [person("h1", BSN), report(**more)]})


def section(reply: Reply, code: str) -> str:
    (composition,) = [one for one in reply.resources if one.get("meta", {}).get("profile", [""])[0].endswith("-uv-ips")]
    (found,) = [one for one in composition["section"] if one["code"]["coding"][0]["code"] == code]
    return str(found["text"]["div"])


def test_the_words_of_a_report_stand_with_the_contacts() -> None:
    reply = world().summary()
    assert f"SOEP-verslag; Evaluation note: {WORDS}" in section(reply, "46240-8")
    assert [one["resourceType"] for one in reply.resources].count("Composition") == 1, "IPS: one a document"


def test_another_document_stands_with_the_other_data() -> None:
    letter = {"coding": [{"system": "http://loinc.org", "code": "18761-7"}]}
    assert WORDS in section(world(type=letter, title="Overdracht").summary(), "other")


def test_an_objection_to_one_category_takes_the_report_along() -> None:
    denied = world()
    denied.says("deny", HOSPITAL, categories=frozenset({"MedicationUse"}))
    assert WORDS.encode() not in denied.summary().body


def test_what_is_confidential_as_a_whole_is_masked() -> None:
    reply = world(confidentiality="R").summary()
    assert WORDS.encode() not in reply.body


def test_words_that_coded_items_say_as_well_are_not_said_twice() -> None:
    coded = report()["section"][0] | {"entry": [{"display": "COPD"}]}
    assert WORDS not in section(world(section=[coded]).summary(), "46240-8")


@pytest.mark.parametrize("ura", [GP, MENTAL])
def test_one_custodian_says_nothing_about_the_report_of_another(ura: str) -> None:
    other = world()
    other.says("deny", ura)
    assert WORDS in section(other.summary(), "46240-8")
