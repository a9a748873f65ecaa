"""The summary itself, between the answers and its two forms: sections with their lines, remarks and entries."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import msgspec

from consent.disclosure import sentence
from gateway.model import Answer, Item, Json
from gateway.summary.completeness import SectionState, SourceState, State, complete
from gateway.summary.conflicts import Conflicts, find_conflicts
from gateway.summary.directives import cautions
from gateway.summary.identity import Identity, identify
from gateway.summary.material import Material
from gateway.summary.render import Find, Line, line, provider
from gateway.summary.sections import DocumentProfile, document_profile
from gateway.summary.texts import Note, Words, words_of
from gateway.summary.values import concept, moment, person_name

_WEIGHT: Final[Mapping[State, int]] = {"data": 0, "none": 1, "unknown": 2, "withheld": 3, "unavailable": 4}
_PROVIDERS: Final = frozenset({"PractitionerRole", "Practitioner", "Organization"})


@dataclass(frozen=True, slots=True)
class SectionView:
    """One section as it is shown."""

    state: SectionState
    lines: tuple[Line, ...]
    remarks: tuple[str, ...]  # what the reader must know first: contradictions, stubs, unconfirmed "none", gaps
    entries: tuple[Item, ...]  # what the section of the document points to
    sources: tuple[str, ...] = ()  # every source with its state, in words

    @property
    def key(self) -> str:
        """The key of the section."""
        return self.state.section.key


@dataclass(frozen=True, slots=True)
class SourceView:
    """One source in the strip on top."""

    best: SourceState
    worst: State
    missing: int  # sections it did not answer, as far as that may be known

    def text(self, words: Words) -> str:
        """The source in words."""
        told = source_text(self.best, words)
        return f"{told}; {words.say('parts_missing', count=self.missing)}" if self.missing else told


@dataclass(frozen=True, slots=True)
class Summary:
    """One patient summary, ready to be written as document or page."""

    material: Material
    words: Words
    profile: DocumentProfile
    identity: Identity
    sections: tuple[SectionView, ...]
    items: Mapping[str, Item]  # everything that came along, by "Type/id"
    fixed: str  # the sentence that stands on every summary (A2)

    @property
    def more(self) -> bool:
        """Claim that something is withheld whose holder may not be named."""
        return any(view.state.more for view in self.sections)


def assemble(material: Material, language: str) -> Summary:
    """Sort, compare and word everything the sources said.

    Raises:
        Invalid: `patient-ambiguous` for birth dates of two persons; `invalid-parameter` for an unknown profile.
    """
    words = words_of(language)
    profile = document_profile(material.profile)
    identity = identify(material.patient, material.answers)
    states = complete(material.answers, material.policy.disclosure)
    names = {answer.custodian.organization: answer.custodian_name for answer in material.answers}
    items = {f"{item.type}/{item.id}": item for answer in material.answers for item in answer.items
             if item.type != "Patient"}  # fmt: skip

    def find(reference: str) -> Json | None:
        item = items.get(reference)
        return item.resource if item is not None else None

    states = tuple(_heard(state, identity, words, find) for state in states)
    conflicts = find_conflicts(states, names, words)
    _caution(conflicts, states, material)
    fixed = sentence(material.caller.requester.role, words.language)
    told: dict[SourceState, str] = {}
    views = [_view(state, conflicts, names, words, find, told) for state in states if profile.holds(state.section)]
    views = [_with_people(view, identity, items, words, find) for view in views]
    _move_foreign_entries(views, words)
    return Summary(
        material, words, profile, identity, tuple(view for view in views if _is_shown(view, profile)), items,
        words.say("fixed", sentence=fixed[0].lower() + fixed[1:]) if fixed else "",
    )  # fmt: skip


def visible_sources(summary: Summary) -> tuple[SourceView, ...]:
    """Every source that may be named, with what it told at best and how many sections it did not answer.

    INVARIANT: how many it was asked is not told: that would point out who refused anonymously.
    """
    by_source: dict[tuple[str, str], list[SourceState]] = {}
    for view in summary.sections:
        for row in view.state.states:
            if row.custodian:
                by_source.setdefault((row.custodian, row.source), []).append(row)
    result = []
    for rows in by_source.values():
        best = min(rows, key=lambda row: _WEIGHT[row.state])
        missing = [row for row in rows if _WEIGHT[row.state] > 2]
        reason = next((row.reason for row in rows if row.reason == "stale"), best.reason if best in missing else "")
        worst = max(missing, key=lambda row: _WEIGHT[row.state]).state if missing else best.state
        result.append(SourceView(replace(best, reason=reason), worst, len(missing)))
    return tuple(result)


def _is_shown(view: SectionView, profile: DocumentProfile) -> bool:
    present = bool(view.lines or view.remarks or view.entries)
    if view.key in profile.forbids and not present:
        return False
    return present or not view.state.section.when_present


def _entries(items: Iterable[Item]) -> Iterator[Item]:
    """What a section may point to: a report is told in words, because a document has one Composition (IPS bdl-ips-1)."""
    return (item for item in items if item.type != "Composition")


def _move_foreign_entries(views: list[SectionView], words: Words) -> None:
    """Let the last section, "other", point to items whose own section may not point to their type (IPS)."""
    moved: list[Item] = []
    for position, view in enumerate(views):
        foreign = [item for item in view.entries if not view.state.section.accepts(item.type)]
        if foreign:
            moved += foreign
            kept = tuple(item for item in view.entries if item not in foreign)
            views[position] = replace(view, entries=kept, remarks=(*view.remarks, words["entries_elsewhere"]))
    if moved:
        views[-1] = replace(views[-1], entries=(*views[-1].entries, *moved))


def _caution(conflicts: Conflicts, states: Sequence[SectionState], material: Material) -> None:
    """Put beside every item of an overdue feed that it may be old, and beside every directive what must be verified."""
    for given in material.answers:
        for item in given.items if given.stale else ():
            conflicts.of_item[item.id].append(Note.of("stale", urgent=True))
    by_key = {state.section.key: state for state in states}
    encounters = [item for item in by_key["contacts"].items if item.type == "Encounter"]
    kinds = {answer.custodian.organization: answer for answer in material.answers}
    for item in by_key["directives"].items:
        answer = kinds.get(item.custodian)
        kind, name = (answer.custodian.facility_type, answer.custodian_name) if answer else ("", item.custodian)
        conflicts.of_item[item.id].extend(cautions(item, kind, encounters, name, material.now.date()))


def _view(state: SectionState, conflicts: Conflicts, names: Mapping[str, str], words: Words, find: Find,
          told: dict[SourceState, str]) -> SectionView:  # fmt: skip
    negative = {item.id for item in state.negatives}

    def lined(item: Item) -> Line:
        beside = tuple(conflicts.of_item.get(item.id, ()))
        return line(item, names.get(item.custodian, item.custodian), words, find, beside, negative=item.id in negative)

    # "None known" of one source stays out of the entries while the others are silent: an entry alone reads as the truth.
    shown = bool(state.items) or state.overall == "none"
    lines = [lined(item) for item in (*state.items, *(state.negatives if shown else ()))]
    remarks = [note.text(words) for note in conflicts.of_section.get(state.section.key, ())]
    if not shown:
        remarks += [words.say("unconfirmed_none", source=one.source, text=one.text)
                    for one in map(lined, state.negatives)]  # fmt: skip
    for stub in state.stubs:
        many = "_many" if stub.count > 1 else ""
        remarks.append(words.say(f"stub_{stub.kind}{many}", count=stub.count, source=stub.name))
    return SectionView(
        state, tuple(_ordered(lines, words)), tuple(remarks),
        tuple(_entries((*state.items, *(state.negatives if shown else ())))),
        tuple(told.get(row) or told.setdefault(row, source_text(row, words)) for row in state.states),
    )  # fmt: skip


def _ordered(lines: list[Line], words: Words) -> Iterable[Line]:
    """The most urgent first, the newest first among equals, building blocks of one treatment together."""
    lines.sort(key=lambda one: one.date, reverse=True)
    lines.sort(key=lambda one: one.rank)
    groups: dict[str, int] = {}
    for one in lines:
        if one.group:
            groups[one.group] = groups.get(one.group, 0) + 1
    numbers = {group: number for number, group in enumerate((g for g, count in groups.items() if count > 1), 1)}
    if not numbers:
        return lines
    first: dict[str, int] = {}
    for position, one in enumerate(lines):
        first.setdefault(one.group or one.id, position)
    lines.sort(key=lambda one: first[one.group or one.id])
    return [
        msgspec.structs.replace(one, details=(*one.details, words.say("treatment", number=numbers[one.group])))
        if one.group in numbers
        else one
        for one in lines
    ]


def _heard(state: SectionState, identity: Identity, words: Words, find: Find) -> SectionState:
    """A source whose own Patient names a GP or somebody to call has told something: it is not "not recorded"."""
    if state.section.key != "care-team":
        return state
    told = {name for name, patient in identity.sources if any(_people(name, patient, words, find))}
    rows = tuple(replace(row, state="data") if row.state in ("none", "unknown") and row.name in told else row
                 for row in state.states)  # fmt: skip
    return replace(state, states=rows, overall="data" if told else state.overall)


def _with_people(
    view: SectionView, identity: Identity, items: Mapping[str, Item], words: Words, find: Find
) -> SectionView:
    """Add the GP and the contact persons that stand in the sources' own Patient resources."""
    if view.key != "care-team":
        return view
    lines = [one for name, patient in identity.sources for one in _people(name, patient, words, find)]
    known = [items[reference["reference"]] for reference in identity.resource.get("generalPractitioner", ())
             if reference.get("reference") in items]  # fmt: skip
    entries = [item for item in known if item.type in _PROVIDERS and item not in view.entries]
    return replace(view, lines=(*lines, *view.lines), entries=(*view.entries, *entries))


def _people(source: str, patient: Json, words: Words, find: Find) -> Iterator[Line]:
    for reference in patient.get("generalPractitioner") or ():
        target = find(str(reference.get("reference", ""))) or {}
        name = provider(target, find) or str(reference.get("display", ""))
        if name:
            yield Line("", "Patient", "", source, name, label=words["general_practitioner"])
    for contact in patient.get("contact") or ():
        telecoms = ", ".join(str(one["value"]) for one in contact.get("telecom") or () if one.get("value"))
        details = (concept(contact.get("relationship")), words.say("phone", text=telecoms) if telecoms else "")
        yield Line("", "Patient", "", source, person_name(contact.get("name") or {}) or words["unknown"],
                   details=tuple(filter(None, details)), label=words["contact_person"])  # fmt: skip


def source_text(row: SourceState, words: Words) -> str:
    """One source with its state, the reason and the moment of the fetch."""
    told = f"{row.name or words['source_unnamed']}: {words['state_' + row.state]}"
    if row.reason:
        told += f" ({words['reason_' + row.reason]})"
    return f"{told}, {words['fetched'].lower()} {moment(row.as_of)}" if row.as_of else told


def gaps(view: SectionView, answers: Iterable[Answer], words: Words) -> Iterator[str]:
    """What the kinds of sources that are named here are known not to tell (rule E6)."""
    named = {row.custodian for row in view.state.states if row.custodian}
    kinds = {answer.custodian.facility_type for answer in answers if answer.custodian.organization in named}
    for gap in view.state.section.gaps:
        if kinds.intersection(gap["facility_types"]):
            yield words.say("gap", text=gap[words.language])


def state_text(view: SectionView, words: Words) -> str:
    """The sentence that keeps "none known", "not recorded", "withheld" and "unavailable" apart."""
    if view.state.overall == "data":
        return ""
    absent = view.key == "directives"
    unconfirmed = view.state.overall == "unknown" and view.state.negatives
    told = words["text_unconfirmed"] if unconfirmed else words[f"text_{view.state.overall}"]
    return f"{words['directives_absent']} {told}" if absent else told


def completeness_text(view: SectionView, words: Words) -> str:
    """Say "volledig" or "onvolledig: n van m" (rule A1), with what may not be counted."""
    state = view.state
    if state.complete:
        return words["complete"]
    told = words.say("incomplete", answered=state.answered, asked=state.asked)
    if not state.asked and not state.more:
        told = f"{told} ({words['none_asked']})"
    return f"{told}; {words['more']}" if state.more else told
