"""A guideline: one folder with maps, code maps, profiles, queries, sections, categories, roles and the examples that prove them."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway.errors import StartError
from profiles import layers

# What a folder may hold, and which files of it; the same paths are the layers over the tables of the gateway.
_KINDS: Final = {
    "maps": "**/*.yaml",
    "concept_maps": "*.yaml",
    "profiles": "*.json",
    "dialects": "*.toml",
    ".": "[crs]*.toml",
}
_ALONE: Final = frozenset({"categories.toml", "roles.toml", "sections.toml"})
_FORMATS: Final = {".hl7": "hl7v2", ".xml": "cda", ".csv": "csv", ".json": "fhir-stu3"}
MANIFEST: Final = "guideline.toml"
ALLOWED: Final = "allowed.txt"  # which changed rules somebody allowed by name when the guideline was added
STORE: Final = Path("guidelines")


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
    files: dict[str, str]  # by path of the layer
    examples: tuple[Example, ...]


def read_guideline(folder: Path) -> Guideline:
    """Read one folder.

    Raises:
        StartError: it is no guideline; says what is missing.
    """
    try:
        manifest = tomllib.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        name, version = str(manifest["name"]), str(manifest["version"])
        files = {path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8") for path in _files(folder)}
        for path, text in files.items():
            if path.endswith(".toml"):
                _parsed(folder / path, text)
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        message = f"{folder}: no guideline: {getattr(error, 'strerror', None) or error}"
        raise StartError(message, 1) from None
    except KeyError as error:
        message = f"{folder / MANIFEST}: {error.args[0]} is missing"
        raise StartError(message, 1) from None
    return Guideline(name, version, folder, files, tuple(_examples(folder, manifest)))


def _files(folder: Path) -> Iterator[Path]:
    for place, pattern in _KINDS.items():
        yield from sorted(path for path in (folder / place).glob(pattern) if place != "." or path.name in _ALONE)


def _parsed(path: Path, text: str) -> None:
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message = f"{path}: {error}"
        raise StartError(message, 1) from None


def _examples(folder: Path, manifest: dict[str, object]) -> list[Example]:
    formats = manifest.get("formats", {})
    named = formats if isinstance(formats, dict) else {}
    found = []
    for source in sorted((folder / "examples").glob("*.input.*")):
        name = source.name.partition(".input.")[0]
        format_ = str(named.get(name, _FORMATS.get(source.suffix, "")))
        found.append(Example(name, format_, source, source.with_name(f"{name}.expected.json")))
    return found


def use(guideline: Guideline) -> None:
    """Lay a guideline over the tables of this process, in place of an older one of its name.

    Raises:
        StartError: a table it changes was read already.
    """
    try:
        layers.lay(guideline.name, guideline.files)
    except layers.ReadBefore as error:
        message = f"{guideline.folder}: {error} is read once, at start: start anew to use this guideline"
        raise StartError(message, 1) from None
    from mappings.library import forget  # noqa: PLC0415 - only where there are guidelines

    forget()


def use_guidelines(store: Path, *, strict: bool = True) -> tuple[Guideline, ...]:
    """Use every guideline in a directory, by name; none when there is no such directory.

    Args:
        store: the directory.
        strict: refuse one that changes a rule nobody allowed.

    Raises:
        StartError: a folder in it is no guideline, or changes a rule that nobody allowed.
    """
    if not store.is_dir():
        return ()
    folders = sorted(one for one in store.iterdir() if one.is_dir() and not one.name.startswith("."))
    found = tuple(read_guideline(one) for one in folders)
    for one in found:
        refused = refusals(one, allowed(one.folder)) if strict else ()
        if refused:
            message = f"{one.folder}: changes {', '.join(refused)}, which nobody allowed: `gateway guideline add` it"
            raise StartError(message, 1)
        use(one)
    return found


def refusals(guideline: Guideline, allowed: frozenset[str]) -> list[str]:
    """The rules of the gateway a guideline changes without leave."""
    if not any(path.endswith(".toml") or path.startswith("profiles/") for path in guideline.files):
        return []
    from gateway.adapters.guideline_rules import changes  # noqa: PLC0415 - most guidelines hold maps alone

    return sorted({one.rule for one in changes(guideline.files) if not one.allowed} - allowed)


def allowed(folder: Path) -> frozenset[str]:
    """The changed rules that were allowed when a guideline was added to its store."""
    place = folder / ALLOWED
    return frozenset(place.read_text(encoding="utf-8").splitlines()) if place.is_file() else frozenset()


def use_before(given: Sequence[str], environment: Mapping[str, str]) -> None:
    """Use the guidelines of a command line before its command reads a table.

    Raises:
        StartError: one of them cannot be used.
    """
    proving = given[:1] == ["guideline"]
    use_guidelines(_store(given, environment), strict=not proving)
    if proving and given[1:2] != ["diff"] and (folder := _folder(given[2:])):
        use(read_guideline(folder))


def _store(given: Sequence[str], environment: Mapping[str, str]) -> Path:
    named = _said(given, "--store" if given[:1] == ["guideline"] else "--guidelines")
    if named:
        return Path(named)
    config = Path(_said(given, "--config") or "region.toml")
    try:
        gateway = tomllib.loads(config.read_text(encoding="utf-8")).get("gateway", {})
    except (OSError, ValueError):  # a configuration that cannot be read is said by what reads it
        return STORE
    return config.parent / str(environment.get("GATEWAY__GATEWAY__GUIDELINES") or gateway.get("guidelines", STORE))


def _folder(given: Sequence[str]) -> Path | None:
    """The first word that is neither an option nor the value of one: each option here has a value."""
    words = iter(given)
    for word in words:
        if not word.startswith("-"):
            return Path(word)
        if "=" not in word:
            next(words, None)
    return None


def _said(given: Sequence[str], option: str) -> str:
    for number, word in enumerate(given):
        if word == option:
            return next(iter(given[number + 1 :]), "")
        if word.startswith(f"{option}="):
            return word.partition("=")[2]
    return ""
