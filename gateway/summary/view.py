"""The summary as a page for people: one glance for what matters first, no script, nothing in a fold."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib.resources import files
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from gateway.model import Json
from gateway.summary.assembly import (
    SectionView,
    Summary,
    assemble,
    completeness_text,
    gaps,
    state_text,
    visible_sources,
)
from gateway.summary.material import Material
from gateway.summary.texts import Words
from gateway.summary.values import moment, person_name
from profiles.dates import PartialDate, age_on, parse

_MARKS: Final = {"data": "●", "none": "○", "unknown": "?", "withheld": "◐", "unavailable": "✕"}  # never color alone


@dataclass(frozen=True, slots=True)
class Person:
    """Who the page is about, so that the reader can check."""

    name: str
    born: str
    age: str
    sex: str
    identifier: str  # the last digits only


def page(material: Material, language: str = "", nonce: str = "") -> bytes:
    """Write the summary as one HTML page.

    `language` is "nl" or "en", empty for that of the material; `nonce` goes on the only style element (CSP
    `style-src 'nonce-…'`).
    The narrative of a source is never shown; every text is escaped.

    Raises:
        Invalid: `patient-ambiguous`; `invalid-parameter` for an unknown profile.
    """
    summary = assemble(material, language or material.language)
    words = summary.words
    sources = visible_sources(summary)
    html = _template().render(
        words=words,
        nonce=nonce,
        style=_style(),
        fixed=summary.fixed,
        person=_person(summary),
        banners=[banner.text(words) for banner in summary.identity.banners],
        moment=words.say("moment", when=moment(material.now.isoformat(timespec="seconds"))),
        asked_by=_asked_by(material, words),
        more=summary.more,
        sources=[(_MARKS[one.worst], one.worst, one.text(words)) for one in sources],
        whole=words.say("sources_whole", whole=sum(not one.missing for one in sources), all=len(sources)),
        band=[_section(view, summary) for view in summary.sections if view.state.section.band],
        details=[_section(view, summary) for view in summary.sections if not view.state.section.band],
    )  # fmt: skip
    return html.encode("utf-8")


def _section(view: SectionView, summary: Summary) -> Json:
    words = summary.words
    return {
        "key": view.key,
        "title": view.state.section.titles[words.language],
        "state": view.state.overall,
        "mark": _MARKS[view.state.overall],
        "state_word": words[f"state_{view.state.overall}"],
        "completeness": completeness_text(view, words),
        "text": state_text(view, words),
        "remarks": view.remarks,
        "gaps": list(gaps(view, summary.material.answers, words)),
        "rows": [(line, [note.text(words) for note in line.notes]) for line in view.lines],
        "sources": view.sources,
    }


def _person(summary: Summary) -> Person:
    words, resource = summary.words, summary.identity.resource
    born = str(resource.get("birthDate", ""))
    when = parse(born)
    return Person(
        name=person_name(resource["name"]) or words["no_name"],
        born=words.say("born", date=born or words["unknown"]),
        age=age_text(when, summary.material.now.date(), words),
        sex=words.say("sex", text=words.code("gender", str(resource.get("gender", "unknown")))),
        identifier=words.say("identifier", last=summary.material.patient.value[-3:]),
    )


def age_text(born: PartialDate | None, today: date, words: Words) -> str:
    """How old: in days in the first two months, in months in the first two years."""
    years = age_on(born, today) if born else None
    if years is None:
        return words.say("age", years=words["unknown"])
    day = born.local_day if born else None
    if years >= 2 or day is None:
        return words.say("age", years=years)
    months = (today.year - day.year) * 12 + today.month - day.month - (today.day < day.day)
    return words.say("age_months", months=months) if months >= 2 else words.say("age_days", days=(today - day).days)


def _asked_by(material: Material, words: Words) -> str:
    who = ", ".join(filter(None, (material.caller.person_name, material.caller.organization_name)))
    return words.say("asked_by", who=who) if who else ""


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("gateway.summary"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("summary.html.j2")


@cache
def _style() -> Markup:
    """The page's own style sheet; package data, so it may stand in the page as it is."""
    return Markup(files(__package__).joinpath("style.css").read_text(encoding="utf-8"))  # noqa: S704 - our own file
