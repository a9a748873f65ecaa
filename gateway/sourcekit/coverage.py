"""The coverage table: for every section of the summary and every national category that feeds it, is it found, and how."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from consent.categories import category_of, types_of_category
from gateway.model import Json
from gateway.sourcekit.support import Found, Verdict
from gateway.summary.sections import SECTIONS, Section

# Not a section of the document, yet without it nothing of the rest can be asked.
_PERSON: Final = Section("patient", "", "", {}, categories=("Patient",), entries=frozenset({"Patient"}))
_SECTIONS_OF: Final = Counter(category for section in (_PERSON, *SECTIONS) for category in section.categories)


@dataclass(frozen=True, slots=True)
class Element:
    """One row: a guideline element and whether it was found."""

    section: str
    category: str
    found: Found
    how: str
    query: str = ""


def of_queries(verdicts: Sequence[Verdict], dialect: str) -> list[Element]:
    """The table of a server: one row per section, category and query of the dialect."""
    return [element for section, category in _elements() for element in _asked(section, category, verdicts, dialect)]


def of_resources(resources: Sequence[Json], mapped: frozenset[str], format: str) -> list[Element]:  # noqa: A002 - the word of the line
    """The table of a file: what its resources are, and for the rest whether a map could make it at all."""
    counts = Counter((category_of(resource), str(resource.get("resourceType"))) for resource in resources)
    return [_held(section, category, counts, mapped, format) for section, category in _elements()]


def missing(verdicts: Sequence[Verdict]) -> frozenset[str]:
    """The categories of which every query came out as no."""
    answered = {category for one in verdicts if one.found != "no" for category in one.query.categories}
    return frozenset(category for one in verdicts for category in one.query.categories) - answered


def _elements() -> Iterator[tuple[Section, str]]:
    return ((section, category) for section in (_PERSON, *SECTIONS) for category in section.categories)


def _asked(section: Section, category: str, verdicts: Sequence[Verdict], dialect: str) -> Iterator[Element]:
    serving = [
        one for one in verdicts if category in one.query.categories and _feeds(section, category, one.query.gives)
    ]
    for one in serving:
        yield Element(section.key, category, one.found, one.how, one.query.name)
    if not serving:
        yield Element(section.key, category, "no", f"{dialect} has no query for it")


def _held(
    section: Section, category: str, counts: Counter[tuple[str, str]], mapped: frozenset[str], format_: str
) -> Element:
    number = sum(
        count for (of, type_), count in counts.items() if of == category and _feeds(section, category, {type_})
    )
    if number:
        return Element(section.key, category, "yes", f"{number} in this file")
    possible = {type_ for type_ in types_of_category(category) & mapped if _feeds(section, category, {type_})}
    if possible:
        return Element(
            section.key, category, "unknown", f"not in this file; can be made: {', '.join(sorted(possible))}"
        )
    return Element(section.key, category, "no", f"no map from {format_} makes it")


def _feeds(section: Section, category: str, types: frozenset[str] | set[str]) -> bool:
    """Claim that items of these types and this category belong in the section.

    A category that feeds one section only goes there whole: what is no entry of it is told in its narrative.
    """
    return _SECTIONS_OF[category] == 1 or not section.entries or any(section.accepts(type_) for type_ in types)
