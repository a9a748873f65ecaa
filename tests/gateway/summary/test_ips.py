"""The section table against the published IPS profile, and the published examples as items."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.model import Item, Json
from gateway.summary.document import document
from gateway.summary.sections import SECTIONS
from gateway.summary.view import page
from profiles import exact
from profiles.validation import validate
from tests.gateway.summary.region import answer, item, material

EXAMPLES = Path(__file__).resolve().parents[3] / "../shared/data/ips-examples"
pytestmark = [
    pytest.mark.real_inputs,
    pytest.mark.skipif(not EXAMPLES.is_dir(), reason="the IPS examples are not beside the project"),
]
PROFILE = "StructureDefinition-Composition-uv-ips.json"


def slices() -> dict[str, tuple[str, set[str]]]:
    """Section code to (slice, resource types an entry may point to)."""
    elements = exact.decode((EXAMPLES / "profiles" / PROFILE).read_bytes())["snapshot"]["element"]
    codes: dict[str, str] = {}
    types: dict[str, set[str]] = {}
    for element in elements:
        name, _, rest = element["id"].removeprefix("Composition.section:").partition(".")
        if rest == "code" and "patternCodeableConcept" in element:
            codes[name] = element["patternCodeableConcept"]["coding"][0]["code"]
        if rest == "entry":
            targets = (target for kind in element["type"] for target in kind.get("targetProfile", ()))
            types[name] = {target.rpartition("/")[2].removesuffix("-uv-ips") for target in targets}
    return {code: (name, types.get(name, set())) for name, code in codes.items()}


def test_every_ips_section_of_the_table_accepts_what_ips_accepts() -> None:
    known = slices()
    ours = {section.code: section for section in SECTIONS}
    assert set(known) - set(ours) <= {"81338-6"}  # patient story: no source tells one
    for code, (name, types) in known.items():
        if code in ours and types - {"Resource"}:
            assert ours[code].entries <= types, name


def test_the_required_sections_are_the_required_ones() -> None:
    elements = exact.decode((EXAMPLES / "profiles" / PROFILE).read_bytes())["snapshot"]["element"]
    required = {element["sliceName"] for element in elements
                if element["id"].count(":") == 1 and element.get("sliceName") and element["min"] == 1
                and element["path"] == "Composition.section"}  # fmt: skip
    assert required == {"sectionProblems", "sectionAllergies", "sectionMedications"}
    assert {section.key for section in SECTIONS if section.required} == {"problems", "allergies", "medication"}


def example_items() -> list[Item]:
    found: dict[tuple[str, str], Item] = {}
    for path in sorted(EXAMPLES.glob("*.json")):
        resource = exact.decode(path.read_bytes())
        bundled = [entry["resource"] for entry in resource.get("entry", ())] or [resource]
        for one in bundled:
            if one["resourceType"] not in ("Composition", "Bundle", "Patient", "ImagingStudy"):
                found[one["resourceType"], one["id"]] = _as_item(one)
    return list(found.values())


def _as_item(resource: Json) -> Item:
    return item(resource["resourceType"], resource["id"], resource, raw=exact.encode(resource))


def test_the_published_examples_make_a_summary() -> None:
    items = example_items()
    assert len(items) > 15
    made = material(answer("hospital", *items))
    raw = document(made)
    whole = exact.decode(raw)
    ours = [entry["resource"] for entry in whole["entry"]]
    assert not [issue for issue in validate(whole) if not issue.expression.startswith("Bundle.entry[")]
    assert validate(ours[0]) == ()
    shown = {(one["resourceType"], one["id"]) for one in ours}
    missing = [
        one for one in items if (one.type, one.id) not in shown and one.type not in ("Organization", "Practitioner")
    ]
    assert {one.type for one in missing} <= {
        "Device",
        "PractitionerRole",
        "Medication",
        "Specimen",
    }  # nothing refers to them
    assert b"<script" not in page(made)
