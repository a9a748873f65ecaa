"""What was and what was not on screen: the disclosure manifest of a record, read back (rule F5)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from gateway.audit.record import Asked, Record, Shown, unknown
from gateway.audit.view import UNKNOWN_OUTCOME

_NOT: Final = {
    "refused": "not shown: refused",
    "failed": "not shown: the source could not",
    "held": "shown from what the source sent earlier",
}


@dataclass(frozen=True, slots=True)
class SourceReplay:
    """One source as the person saw it: what was given, and per category why nothing or not all was."""

    custodian: str
    source: str
    shown: tuple[Shown, ...]
    states: Mapping[str, str]
    rule: str
    consent: str
    incidents: tuple[str, ...]
    losses: int


@dataclass(frozen=True, slots=True)
class Replay:
    """One answer as it was given."""

    record: Record
    given: bool  # false: it was refused or broke off, so nothing of it was on screen
    unknown: bool  # the sources were asked, and what became of it was never recorded
    sources: tuple[SourceReplay, ...]


def replay(records: Iterable[Record]) -> Replay | None:
    """What the records of one request say was on screen; None when they are about no answer."""
    ended: Record | None = None
    begun: Record | None = None
    sent: list[Record] = []
    for record in records:
        if record.kind in {"outcome", "refusal"}:
            ended = record
        elif record.kind == "intent":
            begun = record
        elif record.kind == "fragment":
            sent.append(record)
    last = ended or (unknown(begun, datetime.fromisoformat(begun.at), sent) if begun else None)
    if last is None:
        return None
    given = ended is not None and ended.kind == "outcome" and ended.status < 400
    died = ended is None or ended.error == UNKNOWN_OUTCOME
    return Replay(last, given, died, tuple(_source(asked) for asked in last.custodians))


def state_text(state: str) -> str:
    """A state of a category in words."""
    kind, _, why = state.partition(":")
    text = _NOT.get(kind, kind)
    return f"{text} ({why})" if why else text


def counted(shown: Iterable[Shown]) -> list[tuple[str, int]]:
    """How many items of each type."""
    return sorted(Counter(item.type for item in shown).items())


def as_tree(found: Replay) -> dict[str, Any]:
    """The replay for a program."""
    record = found.record
    return {
        "request": record.request,
        "at": record.at,
        "interaction": record.interaction,
        "status": record.status,
        "error": record.error,
        "reasons": list(record.reasons),
        "given": found.given,
        "unknown": found.unknown,
        "person": record.person,
        "role": record.role,
        "organization": record.organization,
        "purpose": record.purpose,
        "patient": record.patient,
        "policy": record.policy,
        "query": record.query,
        "sources": [
            {
                "custodian": one.custodian,
                "source": one.source,
                "shown": [
                    {"type": item.type, "id": item.id, "version": item.version}
                    | ({"digest": item.digest} if item.digest else {})
                    for item in one.shown
                ],
                "states": dict(one.states),
                "rule": one.rule,
                "consent": one.consent,
                "incidents": list(one.incidents),
                "losses": one.losses,
            }
            for one in found.sources
        ],
    }


def _source(asked: Asked) -> SourceReplay:
    return SourceReplay(
        asked.custodian,
        asked.source,
        asked.shown,
        asked.states,
        asked.rule,
        asked.consent,
        asked.incidents,
        asked.losses,
    )
