"""Where sources contradict or repeat each other: said beside both, nothing merged away (rules E5, E6)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from gateway.model import Item, Json
from gateway.summary import directives, medication
from gateway.summary.completeness import SectionState
from gateway.summary.render import status
from gateway.summary.sections import ONCE, RESUSCITATION, claim, codings
from gateway.summary.texts import Note, Words
from gateway.summary.values import code, concept, value_of

_REFUTED: Final = frozenset({"refuted", "entered-in-error"})
_OVER: Final = frozenset({"inactive", "resolved"})


@dataclass(slots=True)
class Conflicts:
    """What must be said beside which item, and over which section."""

    of_item: dict[str, list[Note]] = field(default_factory=lambda: defaultdict(list))
    of_section: dict[str, list[Note]] = field(default_factory=lambda: defaultdict(list))

    def put(self, section: str, items: Iterable[Item], note: Note) -> None:
        """Say a note over the section and beside each item."""
        if note not in self.of_section[section]:
            self.of_section[section].append(note)
        for item in items:
            if note not in self.of_item[item.id]:
                self.of_item[item.id].append(note)


def find_conflicts(states: Sequence[SectionState], names: Mapping[str, str], words: Words) -> Conflicts:
    """Compare what the custodians say; `names` gives the name of a custodian by URA."""
    found = Conflicts()
    by_key = {state.section.key: state for state in states}
    allergies, problems = by_key["allergies"].items, (*by_key["problems"].items, *by_key["past-problems"].items)
    _opposed(found, "allergies", "conflict-allergy", allergies, _allergy_holds, names, words)
    _opposed(found, "problems", "conflict-problem", problems, _problem_holds, names, words)
    _directives(found, by_key["directives"].items, names, words)
    _stops(found, by_key["medication"].items, names)
    for state in states:
        _none_against_data(found, state, names)
        _only_once(found, state, names, words)
        _duplicates(found, state.items, names)
    return found


def _allergy_holds(resource: Json) -> bool:
    return (
        code(resource.get("verificationStatus")) not in _REFUTED and code(resource.get("clinicalStatus")) not in _OVER
    )


def _problem_holds(resource: Json) -> bool:
    # Active here and resolved there is two moments; only a refutation contradicts.
    return code(resource.get("verificationStatus")) not in _REFUTED


def _same(items: Iterable[Item]) -> Iterator[list[Item]]:
    """Items that share a coding, or the same words where there is no coding."""
    groups: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        concept_ = item.resource.get("code")
        keys = [key for key in codings(concept_) if "|" in key] or [concept(concept_).casefold()]
        for key in dict.fromkeys(filter(None, keys)):
            groups[key].append(item)
    seen: set[frozenset[str]] = set()
    for group in groups.values():
        ids = frozenset(item.id for item in group)
        if len(ids) > 1 and ids not in seen:
            seen.add(ids)
            yield group


def _opposed(found: Conflicts, section: str, key: str, items: Iterable[Item], holds: Callable[[Json], bool],
             names: Mapping[str, str], words: Words) -> None:  # fmt: skip
    for group in _same(items):
        says_yes = {item.custodian for item in group if holds(item.resource)}
        says_no = {item.custodian for item in group if not holds(item.resource)}
        if says_yes and says_no and len(says_yes | says_no) > 1:
            told = "; ".join(f"{_name(item, names)}: {_standing(item.resource, words)}" for item in group)
            found.put(section, group, Note.of(key, urgent=True, what=concept(group[0].resource.get("code")), told=told))


def _standing(resource: Json, words: Words) -> str:
    told = (status(resource, words, "clinicalStatus"), status(resource, words, "verificationStatus"))
    return ", ".join(filter(None, told)) or words.code("status", "confirmed")


def _directives(found: Conflicts, items: Iterable[Item], names: Mapping[str, str], words: Words) -> None:
    """Every directive in force on one treatment must say the same; which one is newer decides nothing."""
    groups: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        resource = item.resource
        coded = (resource.get("provision") or {}).get("code")
        if resource.get("status") != "active":
            continue
        if directives.is_declaration(resource) and directives.outcome(resource) == "deny":
            groups[next(iter(RESUSCITATION))].append(item)
        elif not directives.is_declaration(resource):
            groups[next(iter(codings(coded)), concept(coded))].append(item)
    for key, group in groups.items():
        if key and len({directives.outcome(item.resource) for item in group}) > 1:
            told = "; ".join(
                f"{_name(item, names)}: {directives.decision(item.resource, words) or directives.subject(item.resource, words)}"
                for item in group
            )
            what = next((directives.subject(item.resource, words) for item in group
                         if not directives.is_declaration(item.resource)), "")  # fmt: skip
            found.put("directives", group, Note.of("conflict-directive", urgent=True, what=what, told=told))


def _stops(found: Conflicts, items: Iterable[Item], names: Mapping[str, str]) -> None:
    """A stop beside something that still runs in the same treatment (same id, nothing else is compared)."""
    groups: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        groups[medication.treatment(item.resource)].append(item)
    for treatment, group in groups.items():
        stops = [item for item in group if medication.is_stop(item.resource)]
        running = [item for item in group if medication.is_running(item.resource)]
        if treatment and stops and running:
            told = ", ".join(dict.fromkeys(_name(item, names) for item in stops))
            found.put("medication", (*stops, *running), Note.of("conflict-stop", urgent=True, told=told))


def _none_against_data(found: Conflicts, state: SectionState, names: Mapping[str, str]) -> None:
    none = [item for item in state.negatives if claim(state.section, item) == "none"]
    if state.items and none:
        told = ", ".join(dict.fromkeys(_name(item, names) for item in none))
        found.put(state.section.key, none, Note.of("conflict-none", urgent=True, told=told))


def _only_once(found: Conflicts, state: SectionState, names: Mapping[str, str], words: Words) -> None:
    """Values a person has only one of, such as a blood group."""
    observed = [item for item in state.items if item.type == "Observation"]
    if len(observed) < 2:
        return
    single = [item for item in observed if not ONCE.isdisjoint(codings(item.resource.get("code")))]
    for group in _same(single):
        values = {item.id: value_of(item.resource, words) for item in group}
        if len({value.casefold() for value in values.values() if value}) > 1:
            told = "; ".join(f"{_name(item, names)}: {values[item.id]}" for item in group)
            what = concept(group[0].resource.get("code"))
            found.put(state.section.key, group, Note.of("conflict-value", urgent=True, what=what, told=told))


def _duplicates(found: Conflicts, items: Sequence[Item], names: Mapping[str, str]) -> None:
    """Link what several custodians say alike; every copy stays."""
    for group in _alike(items):
        custodians = dict.fromkeys(item.custodian for item in group)
        # Where they contradict each other that is said; "also reported by" beside it would soften it.
        if len(custodians) < 2 or any(item.id in found.of_item for item in group):
            continue
        notes = {one: Note.of("duplicate", told=", ".join(names.get(other, other) for other in custodians if other != one))
                 for one in custodians}  # fmt: skip
        for item in group:
            found.of_item[item.id].append(notes[item.custodian])


def _alike(items: Iterable[Item]) -> Iterator[list[Item]]:
    """Items of one type and day with one code and one value; the day alone tells most of them apart."""
    days: dict[tuple[str, str], list[Item]] = defaultdict(list)
    for item in items:
        days[item.type, item.date[:10]].append(item)
    for (_, day), together in days.items():
        if not day or len({item.custodian for item in together}) < 2:
            continue
        alike: dict[tuple[str, str], list[Item]] = defaultdict(list)
        for item in together:
            resource = item.resource
            coded = resource.get("code") or resource.get("vaccineCode") or resource.get("medicationCodeableConcept")
            key = next(iter(codings(coded)), concept(coded))
            if key:
                alike[key, str(resource.get("valueQuantity", ""))].append(item)
        yield from alike.values()


def _name(item: Item, names: Mapping[str, str]) -> str:
    return names.get(item.custodian, item.custodian)
