"""Packages in, sets out: small, without texts, the same bytes again, and usable at once."""

from __future__ import annotations

import io
import json
import lzma
import tarfile
from importlib.resources import files
from pathlib import Path

import pytest

from gateway.cli import main
from profiles.exact import Json
from profiles.library import SHIPPED, Library, SetUnreadable, shipped
from profiles.packages import PackageUnreadable, read_package
from profiles.sets import differences, recipes
from tests.profiles.examples import PATIENT, changed
from tests.profiles.real_examples import ABSENT, PACKAGES

DEFINITIONS = files("profiles.definitions")
URL = "https://profiles.example/StructureDefinition/short"
SHORT: Json = {
    "resourceType": "StructureDefinition", "url": URL, "id": "short", "type": "Patient", "kind": "resource", "fhirVersion": "4.0.1",
    "derivation": "constraint", "baseDefinition": "http://hl7.org/fhir/StructureDefinition/Patient",
    "differential": {"element": [{"id": "Patient.birthDate", "path": "Patient.birthDate", "min": 1}]},
}  # fmt: skip
MANIFEST: Json = {"name": "example.short", "version": "1.0.0", "license": "CC0-1.0", "fhirVersions": ["4.0.1"]}


def archive(place: Path, **members: bytes) -> Path:
    with tarfile.open(place, "w:gz") as made:
        for name, raw in members.items():
            entry = tarfile.TarInfo("package/" + name.replace("__", ".").replace("_", "-"))
            entry.size = len(raw)
            made.addfile(entry, io.BytesIO(raw))
    return place


def package(place: Path) -> Path:
    return archive(
        place, package__json=json.dumps(MANIFEST).encode(), StructureDefinition_short__json=json.dumps(SHORT).encode()
    )


def test_a_package_is_read_from_an_archive_and_from_a_folder(tmp_path: Path) -> None:
    packed = read_package(package(tmp_path / "a.tgz"))
    folder = tmp_path / "package"
    folder.mkdir()
    (folder / "package.json").write_text(json.dumps(MANIFEST))
    (folder / "short.json").write_text(json.dumps(SHORT))
    for one in (packed, read_package(folder), read_package(tmp_path / "package" / "..")):
        assert (one.label, one.license, one.fhir_version) == ("example.short#1.0.0", "CC0-1.0", "4.0.1")
        assert one.of("StructureDefinition") == [SHORT]


@pytest.mark.parametrize(
    ("manifest", "says"),
    [
        ({**MANIFEST, "fhirVersions": ["5.0.0"]}, "is for FHIR 5.0.0"),
        ({"fhirVersions": ["4.0.1"]}, "name and a version"),
    ],
)
def test_what_is_no_r4_package_says_why(tmp_path: Path, manifest: Json, says: str) -> None:
    made = archive(
        tmp_path / "a.tgz", package__json=json.dumps(manifest).encode(), short__json=json.dumps(SHORT).encode()
    )
    with pytest.raises(PackageUnreadable, match=says):
        read_package(made)
    (tmp_path / "b.tgz").write_bytes(b"no archive")
    with pytest.raises(PackageUnreadable, match=r"not a \.tgz"):
        read_package(tmp_path / "b.tgz")
    with pytest.raises(PackageUnreadable, match="No such file"):
        read_package(tmp_path / "c.tgz")


def test_what_is_shipped_is_small_has_no_texts_and_says_where_it_is_from() -> None:
    names = ("r4.json.xz", f"{SHIPPED}.json.xz", f"{SHIPPED}-definitions.json.xz")
    assert sum(len(DEFINITIONS.joinpath(name).read_bytes()) for name in names) <= 2_000_000
    pinned = [(row["name"], row["version"], row["license"]) for row in recipes()[SHIPPED]]
    assert [(row["name"], row["version"], row["license"]) for row in shipped().packages] == pinned
    assert ("nictiz.fhir.nl.r4.nl-core", "0.12.1-beta.1", "CC0-1.0") in pinned
    for name in names[1:]:
        text = lzma.decompress(DEFINITIONS.joinpath(name).read_bytes()).decode()
        assert not any(
            f'"{word}":"' in text for word in ("short", "comment", "human", "definition", "narrative", "requirements")
        )


def test_what_is_no_set_is_said() -> None:
    with pytest.raises(SetUnreadable, match="not a profile set"):
        Library(b"nothing")


@pytest.mark.slow
def test_a_set_is_made_listed_compared_and_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made, store = package(tmp_path / "short.tgz"), str(tmp_path / "sets")
    assert main(["profiles", "add", str(made), "--name", "mine", "--store", store], {}) == 0
    assert main(["profiles", "list", "--store", store], {}) == 0
    assert "example.short#1.0.0 (CC0-1.0)" in capsys.readouterr().out
    assert main(["profiles", "diff", SHIPPED, "mine", "--store", store], {}) == 1
    assert f"+ profile {URL}" in capsys.readouterr().out.splitlines()
    assert main(["profiles", "diff", "mine", "mine", "--store", store], {}) == 0
    file = tmp_path / "patient.json"
    file.write_text(json.dumps(changed(PATIENT, birthDate=...)))
    asked = ["validate", str(file), "--profile", URL]
    assert main([*asked, "--set", "mine", "--store", store], {}) == 1
    said = json.loads(capsys.readouterr().out)["issue"]
    assert ["Patient.birthDate"] in [issue.get("expression") for issue in said if issue["severity"] == "error"]
    assert main(["validate", str(file)], {}) == 0
    assert main([*asked, "--format", "text", "--language", "nl"], {}) == 1
    assert "staat niet in de profielset" in capsys.readouterr().out
    assert main(["profiles", "add", str(made), "--name", SHIPPED, "--store", store], {}) == 2
    assert main(["validate", str(file), "--set", "nowhere"], {}) == 3


@pytest.mark.slow
def test_an_invariant_nobody_can_run_is_an_error_at_load(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rule = {"key": "x-1", "severity": "error", "human": "x", "expression": "birthDate.inTheStars()"}
    element = {"id": "Patient", "path": "Patient", "constraint": [rule]}
    file = tmp_path / "stars.json"
    file.write_text(json.dumps(SHORT | {"differential": {"element": [element]}}))
    assert main(["profiles", "add", str(file), "--name", "stars", "--store", str(tmp_path)], {}) == 1
    assert "x-1" in capsys.readouterr().err
    assert not (tmp_path / "stars.json.xz").exists()


def test_differences_are_lines_about_elements() -> None:
    old: Json = {
        "packages": [],
        "types": {},
        "value_sets": {},
        "profiles": {"urn:p": {"tree": {"children": {"a": {"min": 1}}}}},
    }
    new: Json = old | {"profiles": {"urn:p": {"tree": {"children": {"a": {"min": 2}}}}, "urn:q": {}}}
    assert list(differences(old, new)) == ["+ profile urn:q", "~ profile urn:p a min: 1 -> 2"]


@pytest.mark.proof
@pytest.mark.real_inputs
@pytest.mark.timeout(300)
@pytest.mark.skipif(not PACKAGES.is_dir(), reason=ABSENT)
def test_building_again_gives_the_same_bytes(tmp_path: Path) -> None:
    assert main(["profiles", "build", str(PACKAGES), "--out", str(tmp_path)], {}) == 0
    for made in sorted(tmp_path.iterdir()):
        assert made.read_bytes() == DEFINITIONS.joinpath(made.name).read_bytes(), made.name
