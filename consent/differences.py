"""Two versions of the agreements, and in words who could newly see what, or no longer (rule C8)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal

from consent.categories import DIRECTORY
from consent.model import ANY, Agreement

Name = Callable[[str], str]
Effect = Literal["opens", "closes", "changes"]
Say = Callable[[Effect, str], None]

_LEVELS: Final = {"none": 0, "absent_only": 1, "override_objection": 2}
_HIDDEN: Final = {None: 0, "named": 0, "anonymous": 1, "silent": 2}


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that becomes possible or impossible, or changes otherwise."""

    agreement: str
    effect: Effect
    text: str


def differences(before: Iterable[Agreement], after: Iterable[Agreement], name: Name = str) -> tuple[Difference, ...]:
    """List what changes between two sets of agreements, agreement by agreement; openings first.

    INVARIANT: equal agreements give nothing; whatever differs in an agreement gives at least one line.
    """
    old, new = {one.id: one for one in before}, {one.id: one for one in after}
    found: list[Difference] = []
    for id_ in sorted(old.keys() | new.keys()):
        if id_ not in old:
            found.append(Difference(id_, "opens", _whole(new[id_], name)))
        elif id_ not in new:
            found.append(Difference(id_, "closes", f"no longer: {_whole(old[id_], name)}"))
        elif old[id_] != new[id_]:
            found += _changed(old[id_], new[id_], name)
    rank = {"opens": 0, "closes": 1, "changes": 2}
    return tuple(sorted(found, key=lambda one: (rank[one.effect], one.agreement)))


def _changed(old: Agreement, new: Agreement, name: Name) -> list[Difference]:
    found: list[Difference] = []

    def say(effect: Effect, text: str) -> None:
        found.append(Difference(new.id, effect, text))

    who = _names(new.requesters, name)
    for field, words in _SETS.items():
        was, now = getattr(old, field), getattr(new, field)
        call: Name = name if field in ("requesters", "custodians") else str
        if now - was:
            say("opens", words[0].format(what=_names(now - was, call), who=who, data=_data(new, name)))
        if was - now:
            say("closes", words[1].format(what=_names(was - now, call), who=who, data=_data(new, name)))
    for field, text in _NEEDS.items():
        was, now = getattr(old, field), getattr(new, field)
        if was != now:
            say(_tighter(field, was, now), text.format(what=_names(now, str)))
    _period(old, new, say)
    _switches(old, new, say)
    return found


def _tighter(field: str, was: frozenset[str], now: frozenset[str]) -> Effect:
    """More left out closes; of relations one is enough, so more of them open, unless none was asked before."""
    if field == "excluded":
        return "closes" if now > was else "opens" if now < was else "changes"
    if not was or not now:
        return "closes" if now else "opens"
    return "opens" if now > was else "closes" if now < was else "changes"


_SETS: Final[Mapping[str, tuple[str, str]]] = {
    "requesters": ("{what} could newly see {data}", "{what} could no longer see {data}"),
    "custodians": ("{who} could newly see data of {what}", "{who} could no longer see data of {what}"),
    "purposes": ("{who} could newly look for purpose {what}", "{who} could no longer look for purpose {what}"),
    "categories": ("{who} could newly see {what}", "{who} could no longer see {what}"),
    "roles": ("role {what} at {who} could newly look", "role {what} at {who} could no longer look"),
    "facility_types": (
        "organizations of type {what} could newly look",
        "organizations of type {what} could no longer look",
    ),
}
_NEEDS: Final[Mapping[str, str]] = {
    "excluded": "left out, whatever else it says: {what}",
    "relations": "a treatment relation that is asked for, one of: {what}",
}


def _period(old: Agreement, new: Agreement, say: Say) -> None:
    if old.start != new.start:
        say(
            "opens" if new.start < old.start else "closes",
            f"in force from {_day(new.start)} instead of {_day(old.start)}",
        )
    if old.end != new.end:
        say("opens" if new.end > old.end else "closes", f"in force until {_day(new.end)} instead of {_day(old.end)}")


def _switches(old: Agreement, new: Agreement, say: Say) -> None:
    if old.basis != new.basis:
        say("changes", f"shared on basis {new.basis} instead of {old.basis}: other permits are needed")
    if old.emergency != new.emergency:
        wider = _LEVELS.get(new.emergency, 0) > _LEVELS.get(old.emergency, 0)
        say("opens" if wider else "closes", f"emergency access {new.emergency} instead of {old.emergency}")
    for field, words in (
        ("system_access", "systems without a person"),
        ("patient_asked", "a coordinator with the spoken yes of a patient"),
    ):
        if getattr(old, field) != getattr(new, field):
            opened = getattr(new, field)
            say("opens" if opened else "closes", f"{words} could {'newly' if opened else 'no longer'} look")
    if old.disclosure != new.disclosure:
        wider = _HIDDEN[new.disclosure] < _HIDDEN[old.disclosure]
        say("opens" if wider else "closes", f"a refusal is {new.disclosure or 'as visible as the region says'}")


def _whole(one: Agreement, name: Name) -> str:
    emergency = "" if one.emergency == "none" else f", emergency access {one.emergency}"
    system = ", also systems without a person" if one.system_access else ""
    return (
        f"{_names(one.requesters, name)} could see {_data(one, name)} "
        f"for {_names(one.purposes, str)}, as {_roles(one)}, from {_day(one.start)} until {_day(one.end)}, "
        f"on basis {one.basis}{emergency}{system}"
    )


def _data(one: Agreement, name: Name) -> str:
    left_out = f" except {_names(one.excluded, str)}" if one.excluded else ""
    public = f" ({', '.join(sorted(DIRECTORY))} go along)" if ANY not in one.categories else ""
    return f"{_names(one.categories, str, 'everything')}{left_out}{public} of {_names(one.custodians, name, 'every custodian')}"


def _roles(one: Agreement) -> str:
    return _names(one.roles, str, "any role")


def _names(names: frozenset[str], call: Name, every: str = "everybody") -> str:
    return every if ANY in names else ", ".join(sorted(call(one) for one in names)) or "nothing"


def _day(moment: datetime) -> str:
    return moment.astimezone(UTC).date().isoformat()
