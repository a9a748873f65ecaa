"""The citizen's overview as a page in plain Dutch: readable without styles or scripts, the same things of one day on one line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Any, Final

from jinja2 import Environment, StrictUndefined, Template

from gateway.audit.citizen import Available, Event, Report, Who, words
from gateway.policy import ZONE

_MONTHS: Final = [
    "januari",
    "februari",
    "maart",
    "april",
    "mei",
    "juni",
    "juli",
    "augustus",
    "september",
    "oktober",
    "november",
    "december",
]


@dataclass(frozen=True, slots=True)
class Frame:
    """What stands around the lines: who made it, when, and about which period."""

    name: str
    since: datetime
    until: datetime
    made: datetime


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the page: what happened once or more on one day."""

    when: str
    count: int
    event: Event


def html(report: Report, frame: Frame) -> str:
    """The page. Every text of a record is escaped."""
    texts = words()
    page: dict[str, Any] = texts["page"]
    return _template().render(
        t=page, intro=page["intro"].format(name=frame.name),
        period=page["period"].format(since=day(frame.since), until=day(frame.until), made=day(frame.made)),
        rows=_rows([one for one in report.events if not _is_said(one)]),
        said=_rows([one for one in report.events if _is_said(one)]),
        available=report.available, did=texts["did"], how=texts["how"], who=_who, moment=_moment, why=_why, what=_what,
        basis=_basis,
    )  # fmt: skip


def day(moment: datetime) -> str:
    """A day as people write it."""
    local = moment.astimezone(ZONE)
    return f"{local.day} {_MONTHS[local.month - 1]} {local.year}"


def _rows(events: Sequence[Event]) -> list[Row]:
    """Lines of one day that say the same are one, with how often. Spec: NEN 7513, overview for the person concerned."""
    merged: dict[tuple[Any, ...], list[Event]] = {}
    for one in events:
        key = (
            day(_read(one.when)),
            one.who,
            one.did,
            one.purpose,
            one.categories,
            one.gave,
            one.withheld,
            one.emergency,
        )
        merged.setdefault(key, []).append(one)
    return [Row(_moments(same), len(same), same[0]) for same in merged.values()]


def _moments(same: Sequence[Event]) -> str:
    first, last = _read(same[0].when).astimezone(ZONE), _read(same[-1].when).astimezone(ZONE)
    text = f"{day(first)}, {first:%H:%M}"
    return text if f"{first:%H:%M}" == f"{last:%H:%M}" else f"{text} tot {last:%H:%M}"


def _moment(instant: str) -> str:
    if not instant:
        return str(words()["page"]["open"])
    return f"{day(_read(instant))}, {_read(instant).astimezone(ZONE):%H:%M}"


def _is_said(event: Event) -> bool:
    return event.did.startswith(("consent-", "case-"))


def _who(who: Who) -> str:
    texts = words()
    table: dict[str, str] = texts["facility"]
    kind = table.get(who.facility, table["other"])
    if not who.organization:
        return str(texts["page"]["nobody"])
    named = who.organization if kind in who.organization.lower() else f"{who.organization} ({kind})"
    person = ", ".join(word for word in (who.person, who.role) if word) or texts["page"]["system"]
    return f"{named}: {person}"


def _why(event: Event) -> str:
    table: dict[str, str] = words()["purpose"]
    return table.get(event.purpose, event.purpose)


def _what(event: Event) -> str:
    table: dict[str, str] = words()["category"]
    return ", ".join(dict.fromkeys(table.get(category, category) for category in event.categories))


def _basis(available: Available) -> str:
    table: dict[str, str] = words()["basis"]
    return table.get(available.basis, "")


def _read(instant: str) -> datetime:
    return datetime.fromisoformat(instant)


@cache
def _template() -> Template:
    text = files("gateway.audit").joinpath("report.html").read_text("utf-8")
    return Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True).from_string(
        text
    )
