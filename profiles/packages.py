"""FHIR NPM packages as values: a folder or a .tgz in, the conformance resources it holds out."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from profiles.exact import Json

# Spec: FHIR R4 structure; a package with more or larger files than these is no package of definitions.
MOST_FILES: Final = 20_000
LARGEST_FILE_BYTES: Final = 32 * 1024 * 1024
LARGEST_PACKAGE_BYTES: Final = 512 * 1024 * 1024
KINDS: Final = ("StructureDefinition", "ValueSet", "CodeSystem", "SearchParameter", "NamingSystem", "ConceptMap")


class PackageUnreadable(ValueError):
    """The package cannot be used; the text says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Package:
    """One package: what it is called, whose it is, and its conformance resources by kind."""

    name: str
    version: str
    license: str = ""
    fhir_version: str = ""
    resources: dict[str, list[Json]] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """Give the name as packages are pinned: `name#version`."""
        return f"{self.name}#{self.version}"

    def of(self, kind: str) -> list[Json]:
        """Give the resources of one type."""
        return self.resources.get(kind, [])


def read_package(*places: Path, name: str = "", version: str = "", license_: str = "") -> Package:
    """Read one package from a folder, several folders or a .tgz; what `package.json` does not say is given.

    Raises:
        PackageUnreadable: no such place, not a package, too large, or for another version of FHIR.
    """
    manifest: Json = {}
    resources: dict[str, list[Json]] = {}
    for place in places:
        for label, raw in _files(place):
            found = _decoded(label, raw)
            if label == "package.json":
                manifest = found
            elif found.get("resourceType") in KINDS:
                resources.setdefault(found["resourceType"], []).append(found)
    if not resources:
        message = f"{places[0].name}: no StructureDefinition, ValueSet or CodeSystem in it"
        raise PackageUnreadable(message)
    versions = manifest.get("fhirVersions") or _fhir_versions(resources)
    made = Package(
        str(manifest.get("name") or name),
        str(manifest.get("version") or version),
        str(manifest.get("license") or license_),
        str(versions[0]) if versions else "",
        resources,
    )
    if not made.name or not made.version:
        message = f"{places[0].name}: package.json with a name and a version is missing; give them"
        raise PackageUnreadable(message)
    if made.fhir_version and not made.fhir_version.startswith("4.0"):
        message = f"{made.label} is for FHIR {made.fhir_version}; this validator is for R4 (4.0)"
        raise PackageUnreadable(message)
    return made


def _fhir_versions(resources: dict[str, list[Json]]) -> list[str]:
    return sorted({str(s["fhirVersion"]) for s in resources.get("StructureDefinition", ()) if "fhirVersion" in s})[:1]


def _decoded(label: str, raw: bytes) -> Json:
    try:
        found = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        message = f"{label} in the package is not JSON"
        raise PackageUnreadable(message) from None
    return found if isinstance(found, dict) else {}


def _files(place: Path) -> Iterator[tuple[str, bytes]]:
    """Give the JSON files at the top of the package, or one file; examples and other folders are not definitions."""
    try:
        if place.is_dir():
            folder = place / "package" if (place / "package").is_dir() else place
            for path in sorted(folder.glob("*.json")):
                yield path.name, path.read_bytes()
        elif place.suffix == ".json":
            yield place.name, place.read_bytes()
        else:
            yield from _packed(place)
    except (OSError, tarfile.TarError, EOFError) as error:
        message = f"{place.name}: {error.strerror if isinstance(error, OSError) and error.strerror else 'not a .tgz'}"
        raise PackageUnreadable(message) from None


def _packed(place: Path) -> Iterator[tuple[str, bytes]]:
    files = size = 0
    with tarfile.open(place, "r:gz") as archive:
        for member in archive:
            files, size = files + 1, size + member.size
            if files > MOST_FILES or member.size > LARGEST_FILE_BYTES or size > LARGEST_PACKAGE_BYTES:
                message = f"{place.name}: larger than a package of definitions is"
                raise PackageUnreadable(message)
            parts = member.name.removeprefix("./").split("/")
            if not member.isfile() or len(parts) != 2 or parts[0] != "package" or not parts[1].endswith(".json"):
                continue
            opened = archive.extractfile(member)
            if opened is not None:
                yield parts[1], opened.read()
