"""Profile sets: named, pinned lists of packages, compiled to one file of facts without texts."""

from __future__ import annotations

import lzma
import tomllib
from collections.abc import Iterable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import msgspec

from profiles.exact import Json
from profiles.expansion import Expansions
from profiles.overlay import profile_facts, type_facts
from profiles.packages import Package, PackageUnreadable, read_package
from profiles.snapshot import NoSnapshot, Snapshots

# What a definition needs to be compiled again with other packages; texts, mappings and examples are left out.
_STRUCTURE: Final = (
    *("resourceType", "id", "url", "version", "kind", "abstract", "type", "baseDefinition", "derivation", "context"),
    "contextInvariant",
)
_ELEMENT: Final = (
    *("id", "path", "sliceName", "slicing", "min", "max", "type", "contentReference", "isModifier"),
    *("maxLength", "binding", "constraint"),
)
_PREFIXES: Final = ("fixed", "pattern", "minValue", "maxValue")


class Definitions:
    """The definitions of several packages together, by canonical URL; a later package wins."""

    def __init__(self) -> None:
        self.structures: dict[str, Json] = {}
        self.value_sets: dict[str, Json] = {}
        self.code_systems: dict[str, Json] = {}
        self.packages: list[dict[str, str]] = []

    def add(self, package: Package) -> None:
        """Add what one package defines."""
        for kind, found in (
            ("StructureDefinition", self.structures),
            ("ValueSet", self.value_sets),
            ("CodeSystem", self.code_systems),
        ):
            for resource in package.of(kind):
                if "url" in resource:
                    found[resource["url"]] = resource
        self.packages.append({"name": package.name, "version": package.version, "license": package.license})

    def structure(self, canonical: str) -> Json | None:
        """Give a StructureDefinition by its canonical URL, with the version when one is asked."""
        url, _, version = canonical.partition("|")
        found = self.structures.get(url)
        return found if found and version in ("", found.get("version"), found.get("fhirVersion")) else None


def compiled(name: str, definitions: Definitions, only: frozenset[str] = frozenset()) -> Json:
    """Compile a profile set; of its definitions these only, where some are named.

    Raises:
        NoSnapshot: a profile rests on something that is in none of the packages, and names both.
    """
    snapshots = Snapshots(definitions.structure)
    profiles: Json = {}
    types: Json = {}
    for url, structure in sorted(definitions.structures.items()):
        if structure["kind"] == "logical" or structure.get("fhirVersion", "4.0.1")[:3] != "4.0":
            continue
        if only and url not in only:
            continue
        try:
            if structure.get("derivation") == "constraint":
                profiles[url] = profile_facts(structure, snapshots)
            elif structure["kind"] != "primitive-type":
                types.update(type_facts(structure, snapshots))
        except NoSnapshot as error:
            message = f"{url}: {error}"
            raise NoSnapshot(message) from None
    expansions = Expansions(definitions.value_sets, definitions.code_systems)
    wanted = sorted(
        {url.partition("|")[0] for url in _value_sets((profiles, types))} | only & definitions.value_sets.keys()
    )
    return {
        "name": name,
        "packages": definitions.packages,
        "types": types,
        "profiles": profiles,
        "value_sets": {url: expansions.expansion(url) for url in wanted},
    }


def _value_sets(facts: Any) -> Iterator[str]:  # noqa: ANN401 - JSON
    """Find the value sets that facts name: in bindings, conditions of slices and memberOf of invariants."""
    stack = [facts]
    while stack:
        node = stack.pop()
        if isinstance(node, dict):
            if "bind" in node:
                yield node["bind"][1]
            yield from (node[name] for name in ("codes", "widest") if isinstance(node.get(name), str))
            stack.extend(node.values())
        elif isinstance(node, list | tuple):
            stack.extend(node)
        elif isinstance(node, str) and "memberOf(" in node:
            yield from (part.partition("'")[0] for part in node.split("memberOf('")[1:])


def packed(facts: Json, preset: int = 9 | lzma.PRESET_EXTREME) -> bytes:
    """Write facts as reproducible compressed JSON."""
    return lzma.compress(msgspec.json.encode(facts), format=lzma.FORMAT_XZ, check=lzma.CHECK_SHA256, preset=preset)


def pruned(definitions: Definitions) -> Json:
    """Give the definitions without texts: what `add` compiles other packages against, offline."""
    return {
        "packages": definitions.packages,
        "structures": [_structure(s) for _, s in sorted(definitions.structures.items())],
        "value_sets": [_value_set(v) for _, v in sorted(definitions.value_sets.items())],
        "code_systems": [_system(c) for _, c in sorted(definitions.code_systems.items())],
    }


def read_pruned(raw: bytes) -> Definitions:
    """Read definitions as `pruned` gave them."""
    found = msgspec.json.decode(lzma.decompress(raw))
    made = Definitions()
    for kind, target in (
        ("structures", made.structures),
        ("value_sets", made.value_sets),
        ("code_systems", made.code_systems),
    ):
        target.update({row["url"]: row for row in found[kind]})
    made.packages = found["packages"]
    return made


def _kept(resource: Json, names: Iterable[str]) -> Json:
    return {name: resource[name] for name in names if name in resource}


def _structure(structure: Json) -> Json:
    whole = "snapshot" if structure.get("derivation") != "constraint" else "differential"
    made = _kept(structure, _STRUCTURE)
    if whole in structure:
        made[whole] = {"element": [_element(e) for e in structure[whole]["element"]]}
    return made


def _element(element: Json) -> Json:
    made = {k: v for k, v in element.items() if k in _ELEMENT or k.startswith(_PREFIXES)}
    if "constraint" in made:
        made["constraint"] = [_kept(c, ("key", "severity", "expression")) for c in made["constraint"]]
    if "binding" in made:
        made["binding"] = _kept(made["binding"], ("extension", "strength", "valueSet"))
    if "slicing" in made:
        made["slicing"] = _kept(made["slicing"], ("discriminator", "ordered", "rules"))
    return made


def _value_set(value_set: Json) -> Json:
    made = _kept(value_set, ("url", "version"))
    if "compose" in value_set:
        rows = {name: value_set["compose"].get(name) for name in ("include", "exclude")}
        made["compose"] = {name: [_codes(row) for row in found] for name, found in rows.items() if found}
    return made


def _codes(row: Json) -> Json:
    made = _kept(row, ("system", "version", "valueSet", "filter"))
    if "concept" in row:
        made["concept"] = [{"code": concept["code"]} for concept in row["concept"]]
    return made


def _system(system: Json) -> Json:
    made = _kept(system, ("url", "content"))
    if system.get("content") == "complete":
        made["concept"] = [_concept(c) for c in system.get("concept", ())]
    return made


def _concept(concept: Json) -> Json:
    made = _kept(concept, ("code",))
    properties = [row for row in concept.get("property", ()) if "valueString" not in row]  # these are texts
    if properties:
        made["property"] = properties
    if "concept" in concept:
        made["concept"] = [_concept(c) for c in concept["concept"]]
    return made


def write(raw: bytes, place: Path) -> int:
    """Write a file; give its size in bytes."""
    place.write_bytes(raw)
    return len(raw)


def recipes() -> dict[str, list[Json]]:
    """Give the packages of each shipped set, as pinned."""
    table = tomllib.loads(files("profiles.definitions").joinpath("sets.toml").read_text(encoding="utf-8"))
    return {name: row["packages"] for name, row in table.items()}


def gathered(name: str, folder: Path) -> Definitions:
    """Read the packages of a shipped set from a directory that holds them.

    Raises:
        PackageUnreadable: one is not there, or is of another version than is pinned.
    """
    made = Definitions()
    for row in recipes()[name]:
        places = [folder / place for place in row["places"]]
        package = read_package(*places, name=row["name"], version=row["version"], license_=row["license"])
        if (package.name, package.version) != (row["name"], row["version"]):
            message = f"{places[0].name} is {package.label}; the set {name} is pinned to {row['name']}#{row['version']}"
            raise PackageUnreadable(message)
        made.add(package)
    return made


def differences(old: Json, new: Json) -> Iterator[str]:
    """Say what one compiled set asks that another does not: a line for each profile and element."""
    packages = [{f"{p['name']}#{p['version']}" for p in one["packages"]} for one in (old, new)]
    yield from (f"- package {label}" for label in sorted(packages[0] - packages[1]))
    yield from (f"+ package {label}" for label in sorted(packages[1] - packages[0]))
    for kind in ("profiles", "value_sets", "types"):
        before, after = old[kind], new[kind]
        noun = kind.removesuffix("s").replace("_", " ")
        yield from (f"- {noun} {url}" for url in sorted(before.keys() - after.keys()))
        yield from (f"+ {noun} {url}" for url in sorted(after.keys() - before.keys()))
        for url in sorted(before.keys() & after.keys()):
            yield from _changed(f"{noun} {url}", before[url], after[url])


def _changed(label: str, before: Any, after: Any) -> Iterator[str]:  # noqa: ANN401 - JSON
    if before == after:
        return
    if not isinstance(before, dict) or not isinstance(after, dict):
        yield f"~ {label}: {_short(before)} -> {_short(after)}"
        return
    for name in sorted(before.keys() | after.keys()):
        step = label if name in ("children", "tree", "slices") else f"{label} {name}"
        yield from _changed(step, before.get(name, {}), after.get(name, {}))


def _short(value: Any) -> str:  # noqa: ANN401 - JSON
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 120 else text[:119] + "…"
