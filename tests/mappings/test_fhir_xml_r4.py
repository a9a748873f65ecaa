"""FHIR R4 in XML is read by the definitions; what looks like STU3 is named STU3."""

from __future__ import annotations

import pytest

from mappings.formats.xml_tree import MAXIMUM_ATTRIBUTES, read
from mappings.model import NotMappable, Origin
from mappings.translation import guess, translate

ORIGIN = Origin("90000101", "gp-a", "2026-11-22T12:00:00.000Z")
FLAG = (
    b'<Flag xmlns="http://hl7.org/fhir"><id value="f1"/><status value="active"/>'
    b'<code><text value="val"/></code><subject><reference value="Patient/1"/></subject></Flag>'
)
STU3 = b'<AllergyIntolerance xmlns="http://hl7.org/fhir"><clinicalStatus value="active"/></AllergyIntolerance>'


def test_r4_in_xml() -> None:
    assert guess(FLAG) == "fhir-r4"
    found = translate(FLAG, "fhir-r4", ORIGIN)
    assert [resource["resourceType"] for resource in found.resources] == ["Flag"]
    assert found.resources[0]["code"] == {"text": "val"}
    assert found.keys == ("Flag/f1",)


def test_stu3_in_xml_is_seen_by_what_r4_does_not_have() -> None:
    assert guess(STU3) == "fhir-stu3"


def test_broken_xml_is_refused() -> None:
    with pytest.raises(NotMappable):
        translate(FLAG[:-9], "fhir-r4", ORIGIN)


def test_an_element_has_a_bounded_number_of_attributes() -> None:
    many = " ".join(f'a{number}="x"' for number in range(MAXIMUM_ATTRIBUTES + 1))
    with pytest.raises(NotMappable, match="attributes"):
        read(f'<ClinicalDocument xmlns="urn:hl7-org:v3" {many}/>'.encode())
