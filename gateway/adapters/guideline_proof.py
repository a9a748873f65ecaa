"""Proves a guideline that is in use: its maps and tables are well formed and of one mind, and its examples come out as written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import msgspec

from gateway.adapters.guidelines import Example, Guideline
from gateway.clock import SystemClock
from gateway.errors import StartError
from gateway.model import Item, Json
from mappings.linting import check_maps
from mappings.model import NotMappable, Origin
from mappings.translation import translate
from profiles import exact

if TYPE_CHECKING:
    from profiles.library import Library

_ORIGIN: Final = Origin("90000001", "example", "2026-01-05T10:16:00+01:00")
_SHARED: Final = frozenset({"Observation", "Consent"})  # their category is in their codes
_BROKEN: Final = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, StartError, msgspec.MsgspecError)


def findings_of(guideline: Guideline) -> list[str]:
    """Say what is wrong with a guideline, one sentence each; an empty list when nothing is."""
    found = check_maps()
    for name, check in (("tables", _tables), ("profiles", _profiles)):
        try:
            found += check()
        except _BROKEN as error:  # a table is data: whatever is wrong with it, its writer is told
            found.append(f"{name}: {type(error).__name__}: {error}")
    return found or [finding for one in guideline.examples for finding in _example(one, _judging(guideline))]


def _tables() -> Iterator[str]:
    """Hold the tables against each other, as they are with everything laid over them."""
    categories, roles = import_module("consent.categories"), import_module("consent.roles")
    sections, dialects = import_module("gateway.summary.sections"), import_module("gateway.adapters.dialects")
    known: frozenset[str] = categories.CATEGORIES
    held = Counter(kind for name in known for kind in categories.types_of_category(name))
    yield from (
        f"categories: {kind} is of several categories"
        for kind in sorted(held)
        if held[kind] > 1 and kind not in _SHARED
    )
    uses: list[tuple[str, frozenset[str]]] = [(f"roles: view {name}", view) for name, view in roles.VIEWS.items()]
    uses += [(f"sections: {one.key}", frozenset(one.categories)) for one in sections.SECTIONS]
    for name in dialects.known():
        uses += [(f"dialects: {name} {one.name}", one.categories) for one in dialects.dialect(name).queries]
    for where, named in uses:
        yield from (f"{where}: unknown category '{one}'" for one in sorted(named - known))


def _profiles() -> Iterator[str]:
    """The profiles compile, and so do those of the release beside them."""
    import_module("profiles.library").shipped()
    return iter(())


def _judging(guideline: Guideline) -> Callable[[Json], list[str]]:
    """Judge what examples become by the profiles it claims, where the guideline brings profiles."""
    if not any(path.startswith("profiles/") for path in guideline.files):
        return lambda _: []
    library: Library = import_module("profiles.library").shipped()
    judge = import_module("profiles.judgement").judge
    now = SystemClock().now()
    return lambda resource: [str(one) for one in judge(resource, library, (), {}, now).issues if one.is_error]


def _example(example: Example, judged: Callable[[Json], list[str]]) -> list[str]:
    where = f"examples/{example.name}"
    try:
        made = translate(example.source.read_bytes(), example.format, _ORIGIN)
        expected = exact.decode(example.expected.read_bytes())
    except (NotMappable, exact.NotExact, OSError) as error:
        return [f"{where}: {error}"]
    resources = list(made.resources)
    found = [f"{where}: {issue}" for one in resources for issue in judged(one)]
    if resources != expected.get("resources"):
        found.append(f"{where}: other resources than expected")
    if [[loss.path, loss.kind] for loss in made.losses] != expected.get("losses"):
        found.append(f"{where}: other losses than expected")
    for word, names in (("categories", _category), ("sections", _section)):
        if word in expected and [names(one) for one in resources] != expected[word]:
            found.append(f"{where}: other {word} than expected")
    return found


def _category(resource: Json) -> str:
    return str(import_module("consent.categories").category_of(resource))


def _section(resource: Json) -> str:
    """Name the section of the summary a resource belongs to; empty for one that only explains others."""
    item = Item(exact.encode(resource), "", str(resource["resourceType"]), "", "", "", _category(resource), "")
    section: Any = import_module("gateway.summary.sections").section_of(item)
    return "" if section is None else str(section.key)
