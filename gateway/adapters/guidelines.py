"""A guideline: one folder with maps, code maps and the examples that prove them, read from disk."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway.errors import StartError
from mappings.library import use

_FOLDERS: Final = ("maps", "concept_maps")
_FORMATS: Final = {".hl7": "hl7v2", ".xml": "cda", ".csv": "csv", ".json": "fhir-stu3"}
MANIFEST: Final = "guideline.toml"


@dataclass(frozen=True, slots=True)
class Example:
    """A source file of a guideline and what must come of it."""

    name: str
    format: str
    source: Path
    expected: Path


@dataclass(frozen=True, slots=True)
class Guideline:
    """What one folder holds."""

    name: str
    version: str
    folder: Path
    files: dict[str, str]  # by path in the package of maps
    examples: tuple[Example, ...]


def read_guideline(folder: Path) -> Guideline:
    """Read one folder.

    Raises:
        StartError: it is no guideline; says what is missing.
    """
    try:
        manifest = tomllib.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        name, version = str(manifest["name"]), str(manifest["version"])
        paths = sorted(path for part in _FOLDERS for path in (folder / part).rglob("*.yaml"))
        files = {path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8") for path in paths}
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        message = f"{folder}: no guideline: {getattr(error, 'strerror', None) or error}"
        raise StartError(message, 1) from None
    except KeyError as error:
        message = f"{folder / MANIFEST}: {error.args[0]} is missing"
        raise StartError(message, 1) from None
    return Guideline(name, version, folder, files, tuple(_examples(folder, manifest)))


def _examples(folder: Path, manifest: dict[str, object]) -> list[Example]:
    formats = manifest.get("formats", {})
    named = formats if isinstance(formats, dict) else {}
    found = []
    for source in sorted((folder / "examples").glob("*.input.*")):
        name = source.name.partition(".input.")[0]
        format_ = str(named.get(name, _FORMATS.get(source.suffix, "")))
        found.append(Example(name, format_, source, source.with_name(f"{name}.expected.json")))
    return found


def use_guidelines(store: Path) -> tuple[Guideline, ...]:
    """Lay the maps of every guideline in a directory over ours, by name; none when there is no such directory.

    Raises:
        StartError: a folder in it is no guideline.
    """
    found = (
        tuple(read_guideline(one) for one in sorted(store.iterdir()) if one.is_dir() and not one.name.startswith("."))
        if store.is_dir()
        else ()
    )
    for one in found:
        use(one.files)
    return found
