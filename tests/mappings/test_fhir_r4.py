"""R4 sources pass nearly untouched, and a broken entry costs only itself."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from mappings.model import NotMappable, Origin
from mappings.translation import formats, guess, translate
from profiles.exact import encode

ORIGIN = Origin(custodian="90000001", source="gp-a", received="2026-01-05T10:00:00+01:00")
NL = "http://nictiz.nl/fhir/StructureDefinition/"


def r4(root: Any) -> Any:
    return translate(json.dumps(root).encode(), "fhir-r4", ORIGIN)


def searchset(*entries: Any, **more: Any) -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": "searchset", "entry": list(entries), **more}


def test_resources_keep_every_digit_and_their_native_keys() -> None:
    body = b"""{"resourceType":"Bundle","type":"searchset","entry":[
      {"resource":{"resourceType":"Observation","id":"o1","code":{"coding":[{"system":"http://loinc.org","code":"29463-7"}]},
       "valueQuantity":{"value":1.50}},"search":{"mode":"match"}},
      {"resource":{"resourceType":"Patient","id":"p1"},"search":{"mode":"include"}}]}"""
    result = translate(body, "fhir-r4", ORIGIN)
    assert result.keys == ("Observation/o1", "Patient/p1")
    assert result.resources[0]["valueQuantity"]["value"] == Decimal("1.50")
    assert b"1.50" in encode(result.resources[0])
    assert result.resources[0]["meta"]["profile"] == [NL + "nl-core-BodyWeight"]
    assert result.losses == ()


def test_a_claimed_profile_is_left_alone() -> None:
    result = r4({"resourceType": "Patient", "id": "p", "meta": {"profile": ["http://example.org/p"]}})
    assert result.resources[0]["meta"]["profile"] == ["http://example.org/p"]


def test_a_laboratory_result_is_known_by_either_category() -> None:
    for system, code in (
        ("http://snomed.info/sct", "49581000146104"),
        ("http://terminology.hl7.org/CodeSystem/observation-category", "laboratory"),
    ):
        kind = {"coding": [{"system": system, "code": code}]}
        result = r4({"resourceType": "Observation", "id": "o", "category": [kind], "code": {"text": "Hb"}})
        assert result.resources[0]["meta"]["profile"] == [NL + "nl-core-LaboratoryTestResult"]


def test_no_profile_where_type_and_code_leave_doubt() -> None:
    assert "meta" not in r4({"resourceType": "Condition", "id": "c"}).resources[0]


@pytest.mark.parametrize(
    "entry",
    [
        {},
        "text",
        None,
        {"resource": None},
        {"resource": "x"},
        {"resource": {"id": "a"}},
        {"resource": {"resourceType": 7}},
        {"resource": {"resourceType": "Patient/../x", "id": "a"}},
        {"resource": {"resourceType": "Patient", "id": 7}},
        {"resource": {"resourceType": "Patient", "meta": "x"}},
    ],
)
def test_a_broken_entry_costs_only_itself(entry: Any) -> None:
    result = r4(searchset(entry, {"resource": {"resourceType": "Patient", "id": "ok"}}))
    assert result.keys == ("Patient/ok",)
    assert [(loss.path, loss.kind) for loss in result.losses] == [("entry[0]", "invalid")]


def test_an_outcome_becomes_a_loss_without_its_text() -> None:
    issue = {"severity": "error", "code": "timeout", "diagnostics": "mevrouw Jansen"}
    result = r4(searchset({"resource": {"resourceType": "OperationOutcome", "issue": [issue]}}))
    assert result.resources == ()
    assert result.facts["outcome"] == "timeout"
    assert [loss.kind for loss in result.losses] == ["dropped"]
    assert "Jansen" not in result.losses[0].reason


def test_the_next_page_is_named() -> None:
    links = [{"relation": "self", "url": "https://s/a"}, {"relation": "next", "url": "https://s/b"}]
    assert r4(searchset(link=links)).next == "https://s/b"


def test_references_inside_the_bundle_become_relative() -> None:
    result = r4(
        searchset(
            {"fullUrl": "urn:uuid:8b2c", "resource": {"resourceType": "Patient"}},
            {
                "fullUrl": "https://s/fhir/Flag/f",
                "resource": {"resourceType": "Flag", "id": "f", "subject": {"reference": "urn:uuid:8b2c"}},
            },
            {
                "resource": {
                    "resourceType": "List",
                    "id": "l",
                    "entry": [{"item": {"reference": "https://s/fhir/Flag/f"}}],
                }
            },
            {"resource": {"resourceType": "Basic", "id": "b", "subject": {"reference": "https://t/fhir/Patient/zz"}}},
        )
    )
    assert result.keys == ("Patient/8b2c", "Flag/f", "List/l", "Basic/b")
    assert result.resources[1]["subject"]["reference"] == "Patient/8b2c"
    assert result.resources[2]["entry"][0]["item"]["reference"] == "Flag/f"
    assert result.resources[3]["subject"]["reference"] == "https://t/fhir/Patient/zz"


def test_a_resource_without_id_gets_the_same_key_each_time_whatever_its_order_and_meta() -> None:
    one = r4({"resourceType": "Flag", "status": "active", "code": {"text": "a"}, "meta": {"lastUpdated": "2026-01-01"}})
    two = r4({"code": {"text": "a"}, "status": "active", "resourceType": "Flag"})
    other = r4({"code": {"text": "b"}, "status": "active", "resourceType": "Flag"})
    assert one.keys == two.keys != other.keys
    assert one.resources[0]["id"] == one.keys[0].partition("/")[2]


def test_an_id_that_is_no_fhir_id_is_replaced_everywhere() -> None:
    result = r4(
        searchset(
            {"resource": {"resourceType": "Patient", "id": "a_b/../c"}},
            {"resource": {"resourceType": "Flag", "id": "f", "subject": {"reference": "Patient/a_b/../c"}}},
        )
    )
    assert result.resources[1]["subject"]["reference"] == result.keys[0]
    assert "a_b" not in result.keys[0]
    assert [loss.kind for loss in result.losses] == ["note"]


def test_twins_are_given_once_and_contradicting_twins_are_reported() -> None:
    patient = {"resourceType": "Patient", "id": "p"}
    assert r4(searchset({"resource": patient}, {"resource": patient})).losses == ()
    result = r4(searchset({"resource": patient}, {"resource": {**patient, "gender": "male"}}))
    assert len(result.resources) == 1
    assert [loss.kind for loss in result.losses] == ["dropped"]


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b'{"resourceType":"Bundle"}', b'{"resourceType":"Bundle","type":"history"}', b"\xff", b"null",
     b'{"resourceType":"Bundle","type":"searchset","entry":{}}', b'{"resourceType":"Patient","resourceType":"Flag"}'],
)  # fmt: skip
def test_what_is_not_fhir_is_refused(body: bytes) -> None:
    with pytest.raises(NotMappable):
        translate(body, "fhir-r4", ORIGIN)


def test_an_unknown_format_names_the_possible_ones() -> None:
    with pytest.raises(NotMappable, match="fhir-r4"):
        translate(b"", "pdf", ORIGIN)


def test_guess_names_the_format() -> None:
    assert guess(b'\n {"resourceType":"Patient"}') == "fhir-r4"
    assert guess(b"\x0bMSH|^~\\&|") == "hl7v2"
    assert "fhir-r4" in formats()
    with pytest.raises(NotMappable):
        guess(b"a;b;c")


def test_an_outcome_alone_is_content_only_in_a_whole_translation() -> None:
    body = b'{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"invalid"}]}'
    for format_ in ("fhir-r4", "fhir-stu3"):
        assert translate(body, format_, ORIGIN).resources == ()
        (outcome,) = translate(body, format_, ORIGIN, whole=True).resources
        assert outcome["issue"][0]["code"] == "invalid"
