"""Snapshots made from differentials are the official ones; where they differ it is known why."""

from __future__ import annotations

from typing import Any

import pytest

from profiles.exact import Json
from profiles.snapshot import CORE, NoSnapshot, Snapshots, flattened
from tests.profiles.real_examples import ABSENT, PACKAGES, published, snapshots

# Each official profile that is regenerated differently: what differs, and why it changes no verdict.
EXPLAINED = {
    "bp": ("elements", "valueQuantity in a slice is merged into value[x] there; here it is the same as elsewhere, a slice of the one type left"),
    "elementdefinition-de": ("elements", "the official snapshot repeats the elements of extensions it says nothing about"),
    "provenance-relevant-history": ("binding", "the official slice keeps the binding from before it was narrowed on what is sliced"),
    "catalog": ("elements", "the official snapshot lacks Composition.date, which its base has"),
    "familymemberhistory-genetic": ("elements", "the official snapshot ends after the extensions it adds"),
}  # fmt: skip


def _facts(element: Json) -> Json:
    facts: Json = {
        key: value for key, value in element.items() if key in ("min", "max") or key.startswith(("fixed", "pattern"))
    }
    facts["types"] = sorted(
        (kind["code"], *sorted(kind.get("profile", ())), *sorted(kind.get("targetProfile", ())))
        for kind in element.get("type", ())
    )
    binding = element.get("binding", {})
    facts["binding"] = (binding.get("strength"), binding.get("valueSet"))
    return facts


@pytest.mark.real_inputs
@pytest.mark.slow
@pytest.mark.skipif(not PACKAGES.is_dir(), reason=ABSENT)
def test_official_profiles_are_regenerated_from_their_differentials() -> None:
    core = {
        url: structure
        for url, structure in published().structures.items()
        if url.startswith(CORE) and structure.get("derivation") == "constraint" and "snapshot" in structure
        and structure.get("version") == "4.0.1"
    }  # fmt: skip
    different: dict[str, str] = {}
    for url, structure in core.items():
        official = {element["id"]: _facts(element) for element in structure["snapshot"]["element"]}
        mine = {label: _facts(element) for label, element in flattened(snapshots().tree(url))}
        if official.keys() != mine.keys():
            different[structure["id"]] = "elements"
        elif official != mine:
            at = next(label for label in official if official[label] != mine[label])
            different[structure["id"]] = next(key for key in official[at] if official[at][key] != mine[at].get(key))
    assert len(core) > 400
    assert 1 - len(different) / len(core) >= 0.96
    assert different == {name: what for name, (what, _) in EXPLAINED.items()}


@pytest.mark.proof
@pytest.mark.real_inputs
@pytest.mark.skipif(not PACKAGES.is_dir(), reason=ABSENT)
def test_every_profile_of_every_package_has_a_snapshot() -> None:
    for url, structure in published().structures.items():
        if structure["kind"] != "logical":
            assert snapshots().tree(url).definition["path"]


def _type(name: str, *elements: Json) -> Json:
    root = {"id": name, "path": name, "min": 0, "max": "*"}
    return {"url": CORE + name, "type": name, "kind": "resource", "snapshot": {"element": [root, *elements]}}


def _element(path: str, types: tuple[str, ...] = (), **more: Any) -> Json:
    return {"id": path, "path": path, "min": 0, "max": "1", "type": [{"code": code} for code in types]} | more


THING = _type(
    "Thing",
    _element("Thing.part", ("BackboneElement",), max="*"),
    _element("Thing.part.name", ("string",)),
    _element("Thing.part.part", contentReference="#Thing.part", max="*"),
    _element("Thing.value[x]", ("string", "boolean")),
    _element("Thing.extension", ("Extension",), max="*"),
)  # fmt: skip
PLAIN = {
    name: _type(name, _element(f"{name}.id", ("string",))) for name in ("string", "boolean", "Element", "Extension")
}


def _profile(*elements: Json, base: str = CORE + "Thing", url: str = "urn:p") -> Json:
    made = {"url": url, "type": "Thing", "kind": "resource", "derivation": "constraint", "baseDefinition": base}
    return made | {"differential": {"element": list(elements)}}


def _tree(*profiles: Json) -> dict[str, Json]:
    known = {one["url"]: one for one in (THING, *PLAIN.values(), *profiles)}
    return dict(flattened(Snapshots(lambda url: known.get(url.partition("|")[0])).tree(profiles[-1]["url"])))


def test_a_new_slice_is_optional_and_keeps_what_is_said_of_the_whole() -> None:
    slicing = {"discriminator": [{"type": "value", "path": "name"}], "rules": "open"}
    made = _tree(
        _profile(
            {"path": "Thing.part", "id": "Thing.part", "min": 2, "slicing": slicing},
            {"path": "Thing.part.name", "id": "Thing.part.name", "min": 1},
            {"path": "Thing.part", "id": "Thing.part:a", "sliceName": "a", "max": "1"},
            {"path": "Thing.part.name", "id": "Thing.part:a.name", "fixedString": "A"},
        )
    )
    assert (made["Thing.part:a"]["min"], made["Thing.part:a"]["max"]) == (0, "1")
    assert (made["Thing.part:a.name"]["min"], made["Thing.part:a.name"]["fixedString"]) == (1, "A")
    assert "fixedString" not in made["Thing.part.name"]


def test_a_reslice_and_a_slice_of_the_base_profile() -> None:
    slicing = {"discriminator": [{"type": "value", "path": "name"}], "rules": "open"}
    base = _profile(
        {"path": "Thing.part", "id": "Thing.part", "slicing": slicing},
        {"path": "Thing.part", "id": "Thing.part:a", "sliceName": "a", "min": 1},
    )
    child = _profile(
        {"path": "Thing.part", "id": "Thing.part:a", "sliceName": "a", "max": "3"},
        {"path": "Thing.part", "id": "Thing.part:a/b", "sliceName": "a/b", "max": "1"},
        base="urn:p", url="urn:q",
    )  # fmt: skip
    made = _tree(base, child)
    assert (made["Thing.part:a"]["min"], made["Thing.part:a"]["max"]) == (1, "3")
    assert (made["Thing.part:a/b"]["min"], made["Thing.part:a/b"]["max"]) == (0, "1")


def test_a_typed_name_narrows_the_choice_and_a_content_reference_is_followed() -> None:
    made = _tree(
        _profile(
            {"path": "Thing.valueString", "id": "Thing.valueString", "min": 1},
            {"path": "Thing.part.part.part.name", "id": "Thing.part.part.part.name", "max": "0"},
        )
    )
    assert made["Thing.value[x]"]["type"] == [{"code": "string"}]
    assert made["Thing.value[x]:valueString"]["min"] == 1
    assert made["Thing.part.part.part.name"]["max"] == "0"
    assert made["Thing.part.name"]["max"] == "1"


@pytest.mark.parametrize(
    ("profiles", "says"),
    [
        ([_profile(base="urn:nowhere")], "urn:nowhere is not in the packages"),
        ([_profile(base="urn:p")], "urn:p rests on itself"),
        ([_profile({"path": "Thing.nothing", "id": "Thing.nothing"})], "no element nothing in Thing"),
    ],
)
def test_what_cannot_be_made_says_what_is_missing(profiles: list[Json], says: str) -> None:
    with pytest.raises(NoSnapshot, match=says):
        _tree(*profiles)
