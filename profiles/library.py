"""A profile set at hand: its profiles, extensions and value sets, each read and compiled when it is first asked for."""

from __future__ import annotations

import lzma
import tomllib
from functools import cache
from importlib.resources import files
from pathlib import Path as FilePath
from typing import Any, Final

import msgspec

from profiles import layers
from profiles.definitions import definitions
from profiles.duties import NATIVE, Duties
from profiles.elements import Compiler
from profiles.exact import Json
from profiles.expansion import ANY
from profiles.extensions import Definition, Place
from profiles.instances import Instance
from profiles.review import Check, Review
from profiles.snapshot import CORE
from profiles.terminology import ValueSet

SHIPPED: Final = "roaz-2026.1"
SUFFIX: Final = ".json.xz"
DEFINITIONS: Final = f"-definitions{SUFFIX}"


class _Contents(msgspec.Struct):
    """The file of a profile set; what is in it stays bytes until it is asked for."""

    name: str
    packages: list[dict[str, str]]
    types: dict[str, Any]
    profiles: dict[str, msgspec.Raw]
    value_sets: dict[str, msgspec.Raw]


class SetUnreadable(ValueError):
    """The file is not a profile set; the text says what to do."""


class Library:
    """The compiled form of one profile set."""

    def __init__(self, packed: bytes) -> None:
        try:
            self._contents = msgspec.json.decode(lzma.decompress(packed), type=_Contents)
        except (lzma.LZMAError, msgspec.MsgspecError, EOFError) as error:
            message = f"not a profile set; build it with `gateway profiles build` or `add` ({type(error).__name__})"
            raise SetUnreadable(message) from None
        self.name = self._contents.name
        self.packages = self._contents.packages
        self.contexts: dict[tuple[str, Place], bool] = {}
        self._ruled: dict[str, bool] = {}
        self._facts: dict[str, Json] = {}
        self._checks: dict[str, Check | None] = {}
        self._extensions: dict[str, Definition | None] = {}
        self._value_sets: dict[str, ValueSet] = {}
        self.duties = {
            errors_only: Duties(self, self._contents.types, errors_only=errors_only) for errors_only in (False, True)
        }

    def add(self, facts: Json) -> None:
        """Take in what was compiled beside the set, before anything of it is asked for."""
        for name, rows in (("profiles", self._contents.profiles), ("value_sets", self._contents.value_sets)):
            rows.update({url: msgspec.Raw(msgspec.json.encode(row)) for url, row in facts[name].items()})

    @property
    def profiles(self) -> tuple[str, ...]:
        """Give the canonical URLs of all profiles and extensions of the set."""
        return tuple(self._contents.profiles)

    def facts(self, canonical: str) -> Json | None:
        """Give what a profile asks, as built; nothing when this version of it is not in the set."""
        url, _, version = canonical.partition("|")
        if url not in self._facts:
            raw = self._contents.profiles.get(url)
            if raw is None:
                return None
            self._facts[url] = msgspec.json.decode(raw)
        found = self._facts[url]
        return found if not version or not found["version"] or version == found["version"] else None

    def type_of(self, canonical: str) -> str | None:
        """Give the type a profile is about; nothing when the profile is not known."""
        name = canonical.removeprefix(CORE)
        if name in definitions().types or name in ("Resource", "DomainResource") or name in definitions().primitives:
            return "Resource" if name == "DomainResource" else name
        facts = self.facts(canonical)
        return str(facts["type"]) if facts else None

    def profile_check(self, canonical: str) -> Check | None:
        """Give the check of a profile; nothing when it is not known."""
        if canonical not in self._checks:
            self._checks[canonical] = self._compiled(canonical)
        return self._checks[canonical]

    def _compiled(self, canonical: str) -> Check | None:
        kind = self.type_of(canonical)
        if kind is None:
            return None
        facts = self.facts(canonical)
        check = Compiler(self, canonical.partition("|")[0]).check(facts["tree"], kind) if facts else None

        def run(instance: Instance, review: Review) -> None:
            _value, _beside, at, found = instance
            if kind not in (found, "Resource") and _BASES.get(found) != kind:
                review.add("profile-of-another-type", at, kind, canonical)
            elif check is not None:
                check(instance, review)

        return run

    def type_facts(self, kind: str) -> Json:
        """Give what the base specification asks of the elements of a type beyond structure."""
        found: Json = self._contents.types.get(kind, {}).get("children", {})
        return {name: {k: v for k, v in row.items() if k != "rules"} for name, row in found.items()}

    def type_rules(self, kind: str) -> Json:
        """Give the invariants of a type and of its elements."""
        found: Json = self._contents.types.get(kind, {})
        return found

    def has_rules(self, kind: str) -> bool:
        """Claim that a type, or what is in it, has invariants that only FHIRPath says."""
        if kind not in self._ruled:
            self._ruled[kind] = False
            type_ = definitions().types.get(kind)
            row = self._contents.types.get(kind, {})
            own = [*row.get("rules", ()), *(r for c in row.get("children", {}).values() for r in c.get("rules", ()))]
            self._ruled[kind] = type_ is not None and (
                any(rule[0] not in NATIVE and rule[1] == "error" for rule in own)
                or any(
                    self.has_rules(m.type)
                    for e in type_.elements
                    for m in e.members
                    if m.type not in ("Extension", "Resource", "Reference")
                )
            )
        return self._ruled[kind]

    def value_set(self, canonical: str) -> ValueSet:
        """Give a value set; of one that is not in the set nothing is known."""
        url = canonical.partition("|")[0]
        if url not in self._value_sets:
            raw = self._contents.value_sets.get(url)
            found: Json = msgspec.json.decode(raw) if raw is not None else {"codes": {}, "open": [ANY]}
            for system, code in _errata()["codes"].get(url, ()):
                found["codes"].setdefault(system, []).append(code)
            self._value_sets[url] = ValueSet.of(url, found)
        return self._value_sets[url]

    def extension(self, url: str) -> Definition | None:
        """Give the definition of an extension; nothing when it is not known."""
        if url not in self._extensions:
            self._extensions[url] = self._defined(url)
        return self._extensions[url]

    def _defined(self, url: str) -> Definition | None:
        facts = self.facts(url)
        if facts is None or facts["type"] != "Extension":
            return None
        check = self.profile_check(url)
        if check is None:
            return None
        contexts = tuple(
            (kind, expression) for kind, expression in [*facts["context"], *_errata()["contexts"].get(url, ())]
        )
        return Definition(url, check, contexts, tuple(facts.get("invariants", ())), bool(facts.get("modifier")))


_BASES: Final = {
    **dict.fromkeys(("SimpleQuantity", "MoneyQuantity", "Age", "Count", "Distance", "Duration"), "Quantity"),
    **dict.fromkeys(("code", "id", "markdown"), "string"),
    **dict.fromkeys(("url", "canonical", "uuid", "oid"), "uri"),
    **dict.fromkeys(("positiveInt", "unsignedInt"), "integer"),
}


@cache
def _errata() -> dict[str, Any]:
    """Read where published definitions are known to be narrower than care or the specification itself."""
    text = files("profiles.definitions").joinpath("errata.toml").read_text(encoding="utf-8")
    contexts: dict[str, list[tuple[str, str]]] = {}
    codes: dict[str, list[tuple[str, str]]] = {}
    table = tomllib.loads(text)
    for row in table["contexts"]:
        contexts.setdefault(row["extension"], []).append((row["type"], row["expression"]))
    for row in table["codes"]:
        codes.setdefault(row["value_set"], []).append((row["system"], row["code"]))
    return {"contexts": contexts, "codes": codes}


@cache
def shipped() -> Library:
    """Read the profile set of this release with what the region adds to it, once."""
    found = Library(files("profiles.definitions").joinpath(SHIPPED + SUFFIX).read_bytes())
    texts = [text for path in layers.paths("profiles") for text in layers.texts(path)]
    if texts:
        from profiles.additions import added  # noqa: PLC0415 - only who adds profiles loads the compiler of them

        found.add(added("region", texts))
    return found


def read_library(place: FilePath) -> Library:
    """Read a profile set from a file.

    Raises:
        SetUnreadable: it is not one. OSError: it cannot be read.
    """
    return Library(place.read_bytes())
