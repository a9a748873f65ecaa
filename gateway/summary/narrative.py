"""The generated narrative of the document: well-formed XHTML in Dutch, complete without any extension (rule A1)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from gateway.model import Json
from gateway.summary.assembly import (
    SectionView,
    Summary,
    completeness_text,
    gaps,
    state_text,
    visible_sources,
)
from gateway.summary.render import Line
from gateway.summary.texts import Words
from gateway.summary.values import moment
from profiles.narrative import escape

_OPEN: Final = '<div xmlns="http://www.w3.org/1999/xhtml" lang="{0}" xml:lang="{0}">'


def generated(parts: Iterable[str], words: Words) -> Json:
    """A Narrative of XHTML parts."""
    return {"status": "generated", "div": _OPEN.format(words.language) + "".join(parts) + "</div>"}


def section_text(view: SectionView, summary: Summary) -> Json:
    """What one section says: completeness, remarks, every item with source and dates, every source with its state."""
    words = summary.words
    parts = [_paragraph(completeness_text(view, words))]
    said = state_text(view, words)
    if said:
        parts.append(_paragraph(said))
    parts += [f"<p><b>{escape(remark)}</b></p>" for remark in view.remarks]
    if view.lines:
        parts.append(_table((words["item"], words["source"], words["date"], words["recorded"], words["fetched"]),
                            (_line_cells(line, words) for line in view.lines)))  # fmt: skip
    parts += [_paragraph(gap) for gap in gaps(view, summary.material.answers, words)]
    if view.sources:
        # One escape for all: a line break inside a name becomes another list item and nothing else.
        parts.append("<ul><li>" + escape("\n".join(view.sources)).replace("\n", "</li><li>") + "</li></ul>")
    return generated(parts, words)


def completeness_section(summary: Summary) -> Json:
    """The first section, "Volledigheid": every section with n of m and the state at each source."""
    words = summary.words
    rows = []
    for view in summary.sections:
        states = "; ".join(view.sources) or words["none_asked"]
        rows.append((view.state.section.titles[words.language], words[f"state_{view.state.overall}"],
                     completeness_text(view, words), states))  # fmt: skip
    stubs = [remark for view in summary.sections for remark in view.remarks if view.state.stubs]
    return generated(
        (
            f"<p><b>{escape(summary.fixed)}</b></p>" if summary.fixed else "",
            _paragraph(words["more"]) if summary.more else "",
            *map(_paragraph, stubs),
            _table((words["section"], words["state"], words["title_completeness"], words["source"]), rows),
        ),
        words,
    )


def document_text(summary: Summary) -> Json:
    """The narrative of the whole document: who, when, which sources, and what to watch for."""
    words = summary.words
    sources = visible_sources(summary)
    parts = [_paragraph(words.say("moment", when=moment(summary.material.now.isoformat(timespec="seconds"))))]
    parts.append(_paragraph(words.say("document_intro", count=len(sources)) if sources else words["no_source"]))
    if summary.fixed:
        parts.append(f"<p><b>{escape(summary.fixed)}</b></p>")
    parts += [f"<p><b>{escape(banner.text(words))}</b></p>" for banner in summary.identity.banners]
    if sources:
        parts += ["<ul>", *(f"<li>{escape(source.text(words))}</li>" for source in sources), "</ul>"]
    return generated(parts, words)


def _line_cells(line: Line, words: Words) -> tuple[str, str, str, str, str]:
    told = "; ".join((line.sentence, *(note.text(words) for note in line.notes))) if line.notes else line.sentence
    return told, line.source, line.date or words["no_date"], line.recorded, line.fetched


def _paragraph(text: str) -> str:
    return f"<p>{escape(text)}</p>"


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    parts = ["<table><thead><tr>", *(f"<th>{escape(head)}</th>" for head in heads), "</tr></thead><tbody>"]
    cell_of: dict[str, str] = {}  # sources and moments repeat from row to row
    for cells in rows:
        parts.append("<tr>")
        for cell in cells:
            told = cell_of.get(cell)
            if told is None:
                told = cell_of[cell] = f"<td>{escape(cell)}</td>"
            parts.append(told)
        parts.append("</tr>")
    parts.append("</tbody></table>")
    return "".join(parts)
