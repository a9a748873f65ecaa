"""The section table: which section an item belongs to, and what its codes claim."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Literal

from gateway.errors import Invalid
from gateway.model import Item, Json
from profiles.layers import toml

Claim = Literal["data", "none", "part-none", "not-told"]

_TABLE: Final[dict[str, Any]] = toml("gateway.summary", "sections.toml")
_SYSTEMS: Final[dict[str, str]] = _TABLE["systems"]


@dataclass(frozen=True, slots=True)
class Section:
    """One section of the summary, a row of `sections.toml`."""

    key: str
    system: str
    code: str
    titles: Mapping[str, str]
    categories: tuple[str, ...] = ()  # national data categories that feed it
    entries: frozenset[str] = frozenset()  # resource types the section accepts as entries; "*" = all
    band: bool = False
    required: bool = False
    when_present: bool = False  # left out when there is nothing to say
    of_set: bool = False  # only in a document of a set that names it
    none: frozenset[str] = frozenset()  # codings that say "none known" for the whole section
    part_none: frozenset[str] = frozenset()  # "none known" for a part of it
    not_told: frozenset[str] = frozenset()  # codings by which a source says "no information"
    gaps: tuple[Mapping[str, Any], ...] = ()

    def accepts(self, type_: str) -> bool:
        """Claim that a resource of this type may be an entry of the section."""
        return type_ in self.entries or "*" in self.entries


@dataclass(frozen=True, slots=True)
class DocumentProfile:
    """A composition profile a caller can ask for: a document with every section, or a national set of sections."""

    name: str
    composition: str
    bundle: str
    requires: frozenset[str]
    forbids: frozenset[str]
    canonicals: Mapping[str, str]  # what it calls a profile that a source claims
    aliases: frozenset[str]  # what else it is called
    title: str
    claims: tuple[str, ...]  # the profiles of the Composition
    sections: Mapping[
        str, tuple[Json, ...]
    ]  # of a set: its sections, each with what the set calls it; empty = every section

    @property
    def categories(self) -> frozenset[str]:
        """The categories a set is made of: what it does not hold is not asked. Empty = every category."""
        fed = (section.categories for section in SECTIONS if section.key in self.sections)
        return frozenset[str]({"Patient"} if self.sections else ()).union(*fed)

    def answers_to(self, wanted: str) -> bool:
        """Claim that a caller means this profile: by canonical of its Composition or Bundle, or by name."""
        return wanted in (self.composition, self.bundle) or wanted.casefold() in self.aliases

    def holds(self, section: Section) -> bool:
        """Claim that a document of this profile has this section."""
        return section.key in self.sections if self.sections else not section.of_set


@dataclass(frozen=True, slots=True)
class _Choice:
    """The rules for one resource type: by code in an element, else by national category, else the usual section."""

    coded: Mapping[str, Mapping[str, Section]]
    national: Mapping[str, Section]
    usual: Section | None

    def of(self, item: Item) -> Section | None:
        resource = item.resource
        for element, sections in self.coded.items():
            for key in codings(resource.get(element)):
                if key in sections:
                    return sections[key]
        return self.national.get(item.category, self.usual)


def _expand(code: str) -> str:
    """Write "sct|1234" as "http://snomed.info/sct|1234"; a bare code stays bare."""
    system, bar, value = code.partition("|")
    return f"{_SYSTEMS[system]}|{value}" if bar else code


def _codes(codes: list[str]) -> frozenset[str]:
    return frozenset(_expand(code) for code in codes)


def _section(row: Mapping[str, Any]) -> Section:
    system, _, code = _expand(row["code"]).rpartition("|")
    return Section(
        key=row["key"], system=system, code=code, titles={"nl": row["nl"], "en": row["en"]},
        categories=tuple(row["categories"]), entries=frozenset(row["entries"]),
        band=row.get("band", False), required=row.get("required", False),
        when_present=row.get("when_present", False), of_set=row.get("of_set", False),
        none=_codes(row.get("none", [])), part_none=_codes(row.get("part_none", [])),
        not_told=_codes(row.get("not_told", [])),
        gaps=tuple(gap for gap in _TABLE["gaps"] if gap["section"] == row["key"]),
    )  # fmt: skip


SECTIONS: Final[tuple[Section, ...]] = tuple(_section(row) for row in _TABLE["sections"])
COMPLETENESS: Final = _section({"key": "completeness", "categories": [], "entries": ["*"], **_TABLE["completeness"]})
SUPPORT: Final[frozenset[str]] = frozenset(_TABLE["support"]["types"])
PANELS: Final = _codes(_TABLE["support"]["panels"])
_FILLED: Final[frozenset[str]] = frozenset(_TABLE["support"]["filled"])
_OWN_WORDS: Final[frozenset[str]] = frozenset(_TABLE["support"]["own_words"])
UNDERSTOOD_MODIFIERS: Final[frozenset[str]] = frozenset(_TABLE["modifiers"]["understood"])
MASKED: Final = _codes(_TABLE["masked"]["codes"])
MASKED_TYPES: Final[frozenset[str]] = frozenset(_TABLE["masked"]["types"])
_MASKED_BYTES: Final = tuple(code.rpartition("|")[2].encode() for code in sorted(MASKED))
ONCE: Final = _codes(_TABLE["once"]["codes"])
RESUSCITATION: Final = _codes(_TABLE["directives"]["resuscitation"])
ADMISSION_BOUND: Final[frozenset[str]] = frozenset(_TABLE["directives"]["admission_bound_types"])
INPATIENT: Final[frozenset[str]] = frozenset(_TABLE["directives"]["inpatient"])
OLD_AFTER_DAYS: Final[int] = _TABLE["directives"]["old_after_days"]
ABSENT_SYSTEM: Final[str] = _TABLE["absent_system"]
_BY_KEY: Final = {section.key: section for section in SECTIONS}
FED_BY: Final = {
    category: frozenset(section.key for section in SECTIONS if category in section.categories)
    for category in dict.fromkeys(category for section in SECTIONS for category in section.categories)
}


def _profile(row: Mapping[str, Any]) -> DocumentProfile:
    sections = {key: tuple(_coding(code) for code in codes) for key, codes in row.get("sections", {}).items()}
    return DocumentProfile(
        name=row["name"], composition=row["composition"], bundle=row["bundle"], requires=frozenset(row["requires"]),
        forbids=frozenset(row.get("forbids", [])), canonicals=row.get("canonicals", {}),
        aliases=frozenset({row["name"].casefold(), *row.get("aliases", [])}), title=row.get("title", ""),
        claims=(row["composition"], *row.get("based_on", [])), sections=sections,
    )  # fmt: skip


def _coding(code: str) -> Json:
    system, _, value = _expand(code).rpartition("|")
    return {"system": system, "code": value}


PROFILES: Final[tuple[DocumentProfile, ...]] = tuple(_profile(row) for row in _TABLE["profiles"])


@cache
def _choice(type_: str) -> _Choice:
    coded: dict[str, dict[str, Section]] = {}
    national: dict[str, Section] = {}
    usual = None if type_ == "Consent" or type_ in SUPPORT else _BY_KEY["other"]
    for row in reversed(_TABLE["sections"]):  # so that of two rules the first of the table stays
        section = _BY_KEY[row["key"]]
        for rule in reversed(row["rules"]):
            if rule["type"] != type_:
                continue
            if "codes" in rule:
                coded.setdefault(rule["element"], {}).update(dict.fromkeys(_codes(rule["codes"]), section))
            elif "national" in rule:
                national.update(dict.fromkeys(rule["national"], section))
            else:
                usual = section
    return _Choice(coded, national, usual)


def section_of(item: Item) -> Section | None:
    """The one section an item belongs to; None for resources that only explain others.

    A Consent that is about sharing (scope patient-privacy) is no clinical item and has no section (rule C1).
    """
    return None if _is_panel(item) or _is_filled(item) or _is_listing(item) else _choice(item.type).of(item)


def _is_panel(item: Item) -> bool:
    """Claim that a report says nothing its results do not say themselves."""
    report = item.resource
    if item.type != "DiagnosticReport" or not report.get("result") or report.keys() & _OWN_WORDS:
        return False
    return any(code in PANELS for code in codings(report.get("code")))


def _is_filled(item: Item) -> bool:
    """Claim that an order is the filler's own record of what it answers with results."""
    return item.type == "ServiceRequest" and item.resource.get("intent") in _FILLED


def _is_listing(item: Item) -> bool:
    """Claim that a document only says that a report exists, which is told itself."""
    if item.type != "DocumentReference":
        return False
    held = [one.get("attachment") or {} for one in item.resource.get("content") or ()]
    related = (item.resource.get("context") or {}).get("related") or ()
    told = any(str(one.get("reference", "")).startswith("Composition/") for one in related)
    return told and not any("data" in one or "url" in one for one in held)


def section_of_type(type_: str) -> Section | None:
    """The section most items of a type belong to, for what cannot be read well enough to choose."""
    choice = _choice(type_)
    return choice.usual or next((section for by in choice.coded.values() for section in by.values()), None)


def claim(section: Section, item: Item) -> Claim:
    """What an item says: a fact, "none known" for all or a part of the section, or "no information"."""
    if not (section.none or item.negative):
        return "data"
    codes = set(codings(_code_element(item.resource)))
    if codes & section.none:
        return "none"
    if codes & section.part_none:
        return "part-none"
    if codes & section.not_told:
        return "not-told"
    return "none" if item.negative else "data"


def is_masked(item: Item) -> bool:
    """Claim that an item is of a category that is masked by default (rule E11)."""
    if item.type not in MASKED_TYPES:
        return False
    for code in _MASKED_BYTES:  # the byte search spares nearly every item the look inside
        if code in item.raw:
            found = {*codings(item.resource.get("code")), *codings(item.resource.get("category"))}
            return not MASKED.isdisjoint(found)
    return False


def document_profile(wanted: str) -> DocumentProfile:
    """The profile a caller asks for, by canonical or name; empty = IPS.

    Raises:
        Invalid: `invalid-parameter`: no such profile here.
    """
    bare = wanted.partition("|")[0]
    for profile in PROFILES:
        if not bare or profile.answers_to(bare):
            return profile
    known = ", ".join(f"{profile.composition} ({profile.name})" for profile in PROFILES)
    raise Invalid("invalid-parameter", name="profile", why=f"known are: {known}")


def codings(concept: Any) -> list[str]:  # noqa: ANN401 - any JSON value of a foreign resource
    """Every coding of a CodeableConcept or a list of them, as "system|code" and as bare code."""
    found: list[str] = []
    for one in concept if concept.__class__ is list else (concept,):
        if one.__class__ is dict:
            for coding in one.get("coding") or ():
                code = coding.get("code")
                if code:
                    found += (f"{coding.get('system', '')}|{code}", code)
    return found


def _code_element(resource: Json) -> Any:  # noqa: ANN401 - any JSON value
    for name in ("code", "medicationCodeableConcept", "vaccineCode"):
        if name in resource:
            return resource[name]
    return None
