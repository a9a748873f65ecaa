"""What each section holds and what is missing: the state of every section at every source (rule A1)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from consent.disclosure import visibility
from consent.model import Visibility
from gateway.model import Answer, Item, Told
from gateway.summary.safety import unsafe
from gateway.summary.sections import FED_BY, SECTIONS, Section, claim, is_masked, section_of, section_of_type

State = Literal["data", "none", "unknown", "withheld", "unavailable"]

_UNSHOWABLE: Final = frozenset({"unknown-modifier", "malformed-item"})  # incidents that leave a stub (E10)
_MASKED: Final = frozenset({"masked"})  # and those of items masked by their label (E11)


@dataclass(frozen=True, slots=True)
class SourceState:
    """The state of one section at one source; a source that may not be named has no custodian."""

    state: State
    custodian: str = ""  # URA
    name: str = ""
    source: str = ""
    as_of: str = ""  # FHIR instant of the fetch
    reason: str = ""  # "not-checkable" | "partial" | "stale"


@dataclass(frozen=True, slots=True)
class Stub:
    """Something of a source that cannot be shown safely, or is masked by default."""

    name: str  # of the custodian
    count: int
    kind: Literal["unsafe", "masked"]


@dataclass(frozen=True, slots=True)
class SectionState:
    """One section with its items, its state at every source that may be named, and what that adds up to.

    INVARIANT: a refusal that must stay silent is nowhere in here, not even in a count (rule A2).
    """

    section: Section
    items: tuple[Item, ...]  # facts
    negatives: tuple[Item, ...]  # "none known", for the whole section or a part of it
    states: tuple[SourceState, ...]
    overall: State
    answered: int  # n: custodians that answered fully
    asked: int  # m: custodians in scope that may be counted
    more: bool  # a refusal that may not be named or counted: "er kan meer zijn"
    stubs: tuple[Stub, ...] = ()

    @property
    def complete(self) -> bool:
        """Claim that every custodian in scope answered fully and nothing is hidden."""
        return 0 < self.asked == self.answered and not self.more


@dataclass(slots=True)
class _Witness:
    """One answer, with the states already made of it: sections share them."""

    answer: Answer
    asked: frozenset[str]  # keys of the sections it was asked anything for
    calm: bool  # every question was answered: the usual case needs no closer look
    made: dict[tuple[State, str], SourceState] = field(default_factory=dict)

    def row(self, state: State, reason: str) -> SourceState:
        found = self.made.get((state, reason))
        if found is None:
            one = self.answer
            found = SourceState(state, one.custodian.organization, one.custodian_name, one.source, one.fetched, reason)
            self.made[state, reason] = found
        return found


def _witness(answer: Answer) -> _Witness:
    asked = frozenset[str]().union(*[FED_BY[category] for category in answer.told if category in FED_BY])
    return _Witness(answer, asked, all(told.state == "answered" for told in answer.told.values()))


@dataclass(slots=True)
class _Part:
    """What one answer brings to one section."""

    data: list[Item] = field(default_factory=list)
    negatives: list[Item] = field(default_factory=list)
    says_none: bool = False
    unsafe: int = 0
    masked: int = 0

    @property
    def empty(self) -> bool:
        return not (self.data or self.negatives or self.unsafe or self.masked)


@dataclass(slots=True)
class _Sight:
    """What may be seen of the questions one source got for one section."""

    answered: int = 0
    withheld: bool = False
    unavailable: bool = False
    reason: str = ""
    hidden: set[State] = field(default_factory=set)  # states that may be seen, but not whose

    @property
    def visible(self) -> bool:
        return bool(self.answered) or self.withheld or self.unavailable


_NOTHING: Final = _Part()
_ANSWERED: Final = _Sight(answered=1)


def complete(answers: Sequence[Answer], overrides: Mapping[str, Visibility]) -> tuple[SectionState, ...]:
    """Sort everything the sources said into sections, and say per section and source what is missing.

    `overrides` is the disclosure table of the region: facility type to visibility of a refusal.
    """
    parts = _sort(answers)
    witnesses = [_witness(answer) for answer in answers]
    return tuple(
        _section_state(section, witnesses, parts[section.key], overrides)
        for section in SECTIONS
    )  # fmt: skip


def _sort(answers: Iterable[Answer]) -> dict[str, dict[int, _Part]]:
    """Every item in its section, by section key and position of the answer."""
    parts: dict[str, dict[int, _Part]] = {section.key: defaultdict(_Part) for section in SECTIONS}

    for position, answer in enumerate(answers):
        for item in answer.items:
            section = section_of(item)
            if section is not None:
                _put(parts[section.key][position], section, item)
        for incident in answer.incidents:
            section = section_of_type(incident.type) if incident.code in _UNSHOWABLE | _MASKED else None
            if section is None:
                continue
            if incident.code in _MASKED:
                parts[section.key][position].masked += 1
            else:
                parts[section.key][position].unsafe += 1
    return parts


def _put(part: _Part, section: Section, item: Item) -> None:
    if unsafe(item):
        part.unsafe += 1
        return
    if is_masked(item):
        part.masked += 1
        return
    said = claim(section, item)
    if said == "data":
        part.data.append(item)
    elif said != "not-told":
        part.negatives.append(item)
        part.says_none = part.says_none or said == "none"


def _section_state(section: Section, witnesses: Sequence[_Witness], parts: Mapping[int, _Part],
                   overrides: Mapping[str, Visibility]) -> SectionState:  # fmt: skip
    states: list[SourceState] = []
    hidden: set[State] = set()
    full: dict[str, bool] = {}  # by custodian
    for position, witness in enumerate(witnesses):
        asked = section.key in witness.asked
        if not asked and position not in parts:
            continue
        part = parts.get(position, _NOTHING)
        sight = _ANSWERED if asked and witness.calm else _sight(section, witness.answer, overrides)
        hidden |= sight.hidden
        if not sight.visible and part.empty:
            continue
        weak = _weakness(section, witness.answer)
        states += [witness.row(state, reason) for state, reason in _told(part, sight, weak)]
        whole = not (weak or sight.withheld or sight.unavailable or part.unsafe or part.masked)
        ura = witness.answer.custodian.organization
        full[ura] = full.get(ura, True) and whole
    says_none = any(row.state == "none" for row in states)
    states.extend(SourceState(state) for state in sorted(hidden))
    data = tuple(item for part in parts.values() for item in part.data)
    confirmed = says_none and all(full.values()) and not hidden
    return SectionState(
        section=section,
        items=data,
        negatives=tuple(item for part in parts.values() for item in part.negatives),
        states=tuple(states),
        overall="data" if data else "none" if confirmed else _missing(states),
        answered=sum(full.values()),
        asked=len(full),
        more=bool(hidden),
        stubs=tuple(_stubs(parts, witnesses)),
    )


def _sight(section: Section, answer: Answer, overrides: Mapping[str, Visibility]) -> _Sight:
    """Look at the questions of one source through the disclosure function."""
    sight = _Sight()
    for category in section.categories:
        told = answer.told.get(category)
        if told is None:
            continue
        if told.state == "answered":
            sight.answered += 1
            continue
        seen = _seen(told, answer, overrides)
        if seen == "silent":
            continue
        checked = told.state == "refused" and (told.decision is None or told.decision.outcome == "deny")
        if seen == "anonymous":
            sight.hidden.add("withheld" if checked else "unavailable")
        elif checked:
            sight.withheld = True
        else:
            sight.unavailable = True
            if told.decision is not None and told.decision.outcome == "unavailable":
                sight.reason = "not-checkable"
    return sight


def _seen(told: Told, answer: Answer, overrides: Mapping[str, Visibility]) -> Visibility:
    """How much of a question without answer may be seen; a source that failed though permitted is named."""
    if told.decision is None or told.decision.permitted:
        return "named"
    return visibility(told.decision, answer.custodian.facility_type, overrides)


def _told(part: _Part, sight: _Sight, weak: str) -> Iterator[tuple[State, str]]:
    """The states of one section at one source: what it told, and beside it what it did not."""
    # What cannot be shown is not "not recorded": it is there, and the reader must know.
    withheld, unavailable = sight.withheld or bool(part.masked), sight.unavailable or bool(part.unsafe)
    if part.data:
        yield "data", weak
    elif part.negatives or (sight.answered and not part.unsafe and not part.masked):
        whole = not (weak or withheld or unavailable or sight.hidden)
        yield ("none" if part.says_none and whole else "unknown"), weak
    if withheld:
        yield "withheld", ""
    if unavailable:
        yield "unavailable", sight.reason


def _weakness(section: Section, answer: Answer) -> str:
    """Why the source's list cannot count as whole: an overdue feed, or partial by design.

    A source is declared partial by section key, section code or national category.
    """
    if answer.stale:
        return "stale"
    partial = answer.partial and not answer.partial.isdisjoint((section.key, section.code, *section.categories))
    return "partial" if partial else ""


def _missing(states: Sequence[SourceState]) -> State:
    """The state of a section without facts: what could still come first, then what is kept back."""
    found = {row.state for row in states}
    return "unavailable" if "unavailable" in found else "withheld" if "withheld" in found else "unknown"


def _stubs(parts: Mapping[int, _Part], witnesses: Sequence[_Witness]) -> Iterator[Stub]:
    for position, part in sorted(parts.items()):
        name = witnesses[position].answer.custodian_name
        if part.unsafe:
            yield Stub(name, part.unsafe, "unsafe")
        if part.masked:
            yield Stub(name, part.masked, "masked")
