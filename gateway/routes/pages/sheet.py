"""What the page of one patient says, made of the summary: the band, the conflicts side by side, the rest, what changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Final

from gateway.model import Answer, Json
from gateway.routes.pages.plots import Plot, plots
from gateway.summary.assembly import (
    SectionView,
    SourceView,
    Summary,
    completeness_text,
    gaps,
    state_text,
    visible_sources,
)
from gateway.summary.render import Line
from gateway.summary.texts import Words
from gateway.summary.values import moment, person_name
from gateway.summary.view import age_text
from profiles.dates import parse

RECENT: Final = timedelta(hours=72)
MARKS: Final = {"data": "●", "none": "○", "unknown": "?", "withheld": "◐", "unavailable": "✕"}  # never color alone
OVER: Final = 10  # rank of what is over, see gateway.summary.render
_FLEETING: Final = frozenset({"medication", "problems"})
_CONFLICTS: Final = ("conflict-directive", "conflict-allergy", "conflict-problem", "conflict-value")


@dataclass(frozen=True, slots=True)
class Row:
    """One item as a person reads it."""

    line: Line
    notes: tuple[str, ...] = ()
    changed: str = ""  # "new" | "other" since the last look


@dataclass(frozen=True, slots=True)
class Conflict:
    """What sources say against each other, to be read side by side; nobody is right here."""

    what: str
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """One section of the page."""

    key: str
    title: str
    state: str
    mark: str
    state_word: str
    complete: bool
    completeness: str
    text: str
    remarks: tuple[str, ...]
    conflicts: tuple[Conflict, ...]
    rows: tuple[Row, ...]
    gaps: tuple[str, ...]
    sources: tuple[str, ...]
    moved: int = 0  # items that are over and stand below


@dataclass(frozen=True, slots=True)
class Shown:
    """One item that was on the screen."""

    version: str
    section: str
    title: str  # of the section
    sentence: str
    custodian: str  # URA


@dataclass(frozen=True, slots=True)
class Seen:
    """What was on the screen at one look: enough to say later what changed."""

    at: str
    items: Mapping[str, Shown]  # by "Type/id"
    band: Mapping[str, str]  # key of a section of the band -> all it said
    states: Mapping[str, str] = field(default_factory=dict)  # source -> state


@dataclass(frozen=True, slots=True)
class Sheet:
    """The page of one patient."""

    name: str
    sex: str
    age: str
    born: str
    last: str
    fixed: str
    banners: tuple[str, ...]
    moment: str
    more: bool
    sources: tuple[tuple[str, str, str], ...]  # mark, state, words
    whole: str
    band: tuple[Part, ...]
    recent: tuple[Row, ...]
    over: tuple[Row, ...]  # medication and problems that are over: not in the band
    rest: tuple[Part, ...]
    plots: tuple[Plot, ...]
    late: bool  # a source was not waited for
    before: str  # when this case was looked at before; empty = never
    changed: tuple[dict[str, object], ...]  # by section: how many items are new, other, gone since then
    band_changed: bool
    seen: Seen


def sheet(summary: Summary, answers: Sequence[Answer], before: Seen | None, page: Seen | None, *, late: bool) -> Sheet:
    """Make the page; `before` is what the last view of this case showed, `page` what this view showed so far."""
    words, material = summary.words, summary.material
    versions = {f"{item.type}/{item.id}": item.version for answer in answers for item in answer.items}
    seen = _seen(summary, versions)
    parts = {view.key: _part(view, summary, before, versions) for view in summary.sections}
    sources = visible_sources(summary)
    resource = summary.identity.resource
    born = str(resource.get("birthDate", ""))
    band, over = _current(parts[view.key] for view in summary.sections if view.state.section.band)
    return Sheet(
        name=person_name(resource["name"]) or words["no_name"],
        sex=words.code("gender", str(resource.get("gender", "unknown"))),
        age=age_text(parse(born), material.now.date(), words),
        born=born or words["unknown"],
        last=material.patient.value[-3:],
        fixed=summary.fixed,
        banners=tuple(banner.text(words) for banner in summary.identity.banners),
        moment=moment(material.now.isoformat(timespec="seconds")),
        more=summary.more,
        sources=tuple((MARKS[one.worst], one.worst, one.text(words)) for one in sources),
        whole=_whole(sources, words),
        band=band,
        recent=_recent(parts.get("contacts"), summary),
        over=over,
        rest=tuple(parts[view.key] for view in summary.sections if not view.state.section.band),
        plots=tuple(_plots(summary)),
        late=late,
        before=before.at if before else "",
        changed=tuple(_changed(seen, before, summary)) if before else (),
        band_changed=bool(page and page.band != seen.band),
        seen=seen,
    )


def _current(band: Iterable[Part]) -> tuple[tuple[Part, ...], tuple[Row, ...]]:
    """The band with what is current, and apart what is over; what carries a caution stays in sight (rule E6)."""
    kept: list[Part] = []
    over: list[Row] = []
    for part in band:
        gone = [row for row in part.rows if part.key in _FLEETING and row.line.rank >= OVER and not row.notes]
        over += gone
        kept.append(replace(part, rows=tuple(row for row in part.rows if row not in gone), moved=len(gone)))
    return tuple(kept), tuple(over)


def _whole(sources: Sequence[SourceView], words: Words) -> str:
    return words.say("sources_whole", whole=sum(not one.missing for one in sources), all=len(sources))


def _part(view: SectionView, summary: Summary, before: Seen | None, versions: Mapping[str, str]) -> Part:
    words, state = summary.words, view.state
    conflicts, alone = _apart(view.lines, words, before, versions)
    return Part(
        key=view.key,
        title=state.section.titles[words.language],
        state=state.overall,
        mark=MARKS[state.overall],
        state_word=words[f"state_{state.overall}"],
        complete=state.complete,
        completeness=completeness_text(view, words),
        text=state_text(view, words),
        remarks=_beside(view, conflicts),
        conflicts=conflicts,
        rows=alone,
        gaps=tuple(gaps(view, summary.material.answers, words)),
        sources=view.sources,
    )


def _beside(view: SectionView, conflicts: Sequence[Conflict]) -> tuple[str, ...]:
    """The remarks of a section, without those that stand side by side below."""
    told = {conflict.what for conflict in conflicts}
    return tuple(remark for remark in view.remarks if remark not in told)


def _apart(
    lines: Iterable[Line], words: Words, before: Seen | None, versions: Mapping[str, str]
) -> tuple[tuple[Conflict, ...], tuple[Row, ...]]:
    """The lines that contradict each other, together; and the others."""
    groups: dict[str, list[Row]] = {}
    alone: list[Row] = []
    for line in lines:
        against = next((note for note in line.notes if note.key in _CONFLICTS), None)
        told = tuple(note.text(words) for note in line.notes if note is not against)
        row = Row(line, told, _since(line, before, versions))
        if against is None:
            alone.append(row)
        else:
            groups.setdefault(against.text(words), []).append(row)
    return tuple(Conflict(what, tuple(rows)) for what, rows in groups.items()), tuple(alone)


def _since(line: Line, before: Seen | None, versions: Mapping[str, str]) -> str:
    if before is None or not line.id:
        return ""
    key = f"{line.type}/{line.id}"
    known = before.items.get(key)
    if known is None:
        return "new"
    return "other" if known.version != versions.get(key, "") else ""


def _seen(summary: Summary, versions: Mapping[str, str]) -> Seen:
    items: dict[str, Shown] = {}
    band: dict[str, str] = {}
    for view in summary.sections:
        for line in view.lines:
            if line.id:
                key = f"{line.type}/{line.id}"
                title = view.state.section.titles[summary.words.language]
                items[key] = Shown(versions.get(key, ""), view.key, title, line.sentence, line.custodian)
        if view.state.section.band:
            said = (f"{line.type}/{line.id} {versions.get(f'{line.type}/{line.id}', '')}" for line in view.lines)
            band[view.key] = "\n".join((completeness_text(view, summary.words), *view.remarks, *said))
    states = {row.best.source: row.worst for row in visible_sources(summary)}
    return Seen(moment(summary.material.now.isoformat(timespec="seconds")), items, band, states)


def _changed(seen: Seen, before: Seen, summary: Summary) -> Iterable[dict[str, object]]:
    """How many items of each section are new, other or gone since the last look."""
    counts: dict[str, list[int]] = {}
    for key, one in seen.items.items():
        known = before.items.get(key)
        if known is None or known.version != one.version:
            counts.setdefault(one.section, [0, 0, 0])[known is not None] += 1
    for key, one in before.items.items():
        if key not in seen.items:
            counts.setdefault(one.section, [0, 0, 0])[2] += 1
    titles = {view.key: view.state.section.titles[summary.words.language] for view in summary.sections}
    for section, (new, other, gone) in counts.items():
        yield {"section": titles.get(section, section), "new": new, "other": other, "gone": gone}


def _recent(contacts: Part | None, summary: Summary) -> tuple[Row, ...]:
    """Contacts of the last 72 hours, and triage at other posts; one whose date is not known to the day is not recent."""
    since = summary.material.now - RECENT
    rows = contacts.rows if contacts else ()
    return tuple(
        row for row in rows if (when := parse(row.line.date)) is not None and when.local_day and when.upper >= since
    )


def _plots(summary: Summary) -> list[Plot]:
    view = next((view for view in summary.sections if view.key == "vital-signs"), None)
    names = {answer.custodian.organization: answer.custodian_name for answer in summary.material.answers}
    return plots(view.state.items, names) if view else []


def facts(page: Sheet) -> Json:
    """Who the page is about, for templates and paper alike."""
    return {"name": page.name, "sex": page.sex, "age": page.age, "born": page.born, "last": page.last}
