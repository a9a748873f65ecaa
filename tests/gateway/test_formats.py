"""The FHIR API in XML: the same facts as in JSON, by what the caller prefers; JSON for everybody else."""

from __future__ import annotations

from typing import Final

import pytest

from gateway.fhir.formats import preferred
from profiles import exact
from profiles.identifiers import BSN_SYSTEM
from profiles.xml import to_json, to_xml
from tests.gateway.charts import BSN, Json, privacy
from tests.gateway.world import COORDINATOR, GP, PHYSICIAN, Reply, World, custodian
from tests.profiles.test_xml import facts

XML: Final = "application/fhir+xml"
PARAMETERS: Final[Json] = {
    "resourceType": "Parameters",
    "parameter": [{"name": "identifier", "valueIdentifier": {"system": BSN_SYSTEM, "value": BSN}}],
}


def read(reply: Reply) -> Json:
    """The resource of an answer in XML."""
    assert reply.header("content-type") == "application/fhir+xml; charset=utf-8"
    assert reply.header("x-content-type-options") == "nosniff"
    return to_json(reply.body)


def test_a_summary_in_xml_says_what_the_one_in_json_says() -> None:
    world = World()
    in_json = world.summary(x_request_id="r1")
    for asked in (
        world.summary(x_request_id="r1", accept=XML),
        world.summary(x_request_id="r1", accept="text/xml, */*"),
    ):
        assert asked.status == 200
        assert facts(read(asked)) == facts(in_json.json)
    assert in_json.json["type"] == "document"
    assert in_json.header("content-type").startswith("application/fhir+json")
    assert world.records[-1].status == 200


def test_a_search_and_a_read_in_xml_equal_those_in_json() -> None:
    world = World()
    in_json, in_xml = world.search(), world.search(accept=XML)
    assert facts([entry["resource"] for entry in read(in_xml)["entry"]]) == facts(in_json.resources)
    item = in_json.items[0]
    found = world.get(f"AllergyIntolerance/{item['id']}?_format=xml")
    assert facts(read(found)) == facts(item)


def test_errors_are_in_xml_as_well() -> None:
    world = World()
    for reply in (
        world.search(caller=None, accept=XML),
        world.get("Unknown/x?_format=xml"),
        world.search(more="&code=", accept="text/xml"),
    ):
        assert reply.status in {400, 401, 404}
        assert read(reply)["resourceType"] == "OperationOutcome"


def test_a_capability_statement_in_xml_lists_both_formats() -> None:
    reply = World().get("metadata", None, accept=XML)
    assert read(reply)["format"] == ["application/fhir+json", "application/fhir+xml"]
    assert reply.header("vary") == "Accept, Accept-Encoding"


@pytest.mark.parametrize("kind", ["application/fhir+xml", "application/xml; charset=utf-8", "text/xml"])
def test_a_summary_is_asked_with_parameters_in_xml(kind: str) -> None:
    reply = World().post("Patient/$summary", to_xml(PARAMETERS), content_type=kind)
    assert reply.status == 200
    assert reply.json["type"] == "document"


def test_a_form_may_ask_for_xml() -> None:
    reply = World().post("AllergyIntolerance/_search", f"patient.identifier={BSN_SYSTEM}|{BSN}&_format=xml")
    assert read(reply)["type"] == "searchset"
    other = World().post("AllergyIntolerance/_search", f"patient.identifier={BSN_SYSTEM}|{BSN}&_format=turtle")
    assert (other.status, other.code) == (406, "not-acceptable")


def test_a_consent_in_xml_is_kept_and_comes_back_in_either_form() -> None:
    world = World(permits=())
    written = world.post("Consent", to_xml(privacy(GP)), custodian(GP), content_type=XML, accept=XML)
    assert written.status == 201
    kept = read(written)
    again = world.get(f"Consent/{kept['id']}", custodian(GP))
    assert facts(again.json) == facts(kept)
    assert world.search().items


@pytest.mark.parametrize(
    ("body", "code", "status"),
    [
        (b"<Parameters", "malformed-xml", 400),
        (b"<!DOCTYPE a><Parameters xmlns='http://hl7.org/fhir'/>", "malformed-xml", 400),
        (b"<Parameters xmlns='http://hl7.org/fhir'><name value='Jansen'/></Parameters>", "malformed-xml", 400),
        (b"<Patient xmlns='http://hl7.org/fhir'/>", "invalid-resource", 422),
        (b"<Parameters xmlns='http://hl7.org/fhir'>" + b"<parameter>" * 5000, "malformed-xml", 400),
    ],
)
@pytest.mark.parametrize("caller", [PHYSICIAN, COORDINATOR])
def test_a_body_in_xml_that_cannot_be_read(body: bytes, code: str, status: int, caller: object) -> None:
    path = "Patient/$match" if caller is PHYSICIAN else "Task"
    reply = World().post(path, body, caller, content_type=XML)  # type: ignore[arg-type]
    assert (reply.status, reply.code) == (status, code)
    assert b"Jansen" not in reply.body


@pytest.mark.parametrize(
    ("accept", "html", "chosen"),
    [
        ("application/fhir+json, application/fhir+xml", False, "json"),
        ("application/fhir+xml, application/fhir+json", False, "xml"),
        ("application/fhir+json;q=0.5, application/xml;q=0.9", False, "xml"),
        ("application/fhir+xml; q=0, */*", False, "json"),
        ("*/*, text/xml", False, "xml"),
        ("application/fhir+xml;q=0.1, */*;q=0.8", False, "json"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", True, "html"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", False, "xml"),
        ("application/fhir xml", False, "xml"),
        ("xml", False, "xml"),
        ("application/fhir+xml;q=nan", False, None),
        ("application/fhir+xml;q=2", False, None),
        ("application/fhir+xml;q=x", False, None),
        ("text/turtle", True, None),
        ("text/html", False, None),
        ("," * 10_000, True, None),
    ],
)
def test_the_preferred_representation(accept: str, html: bool, chosen: str | None) -> None:
    assert preferred(accept, html=html) == chosen


def test_json_is_untouched_where_xml_is_not_asked() -> None:
    world = World()
    plain, wild = world.search(), world.search(accept="*/*")
    assert exact.decode(plain.body)["entry"] == exact.decode(wild.body)["entry"]
    page = world.summary(accept="text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")
    assert page.header("content-type").startswith("text/html")
