"""One record as an auditor has it explained: what was decided on which rules and bases, which sources, and what was given."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from gateway.audit.record import Asked, Record, Shown
from gateway.audit.view import Fate, Seen, Side, fate


@dataclass(frozen=True, slots=True)
class CategoryState:
    """What became of one category at one source."""

    category: str
    state: str  # answered, refused, failed, held
    reasons: tuple[str, ...]  # codes


@dataclass(frozen=True, slots=True)
class SourceAccount:
    """One source of one custodian: on which agreement and basis it was asked, and what it gave."""

    organization: str  # URA, empty = not named to this reader
    facility: str
    source: str
    fate: Fate
    agreement: str
    basis: str  # statement and version, or the ground
    states: tuple[CategoryState, ...]
    given: tuple[tuple[str, int], ...]  # how many items of each type
    shown: tuple[Shown, ...]
    incidents: tuple[str, ...]
    losses: int
    told: bool  # it was told who asked


@dataclass(frozen=True, slots=True)
class Account:
    """A record with everything in it said apart."""

    id: str
    record: Record
    side: Side
    sources: tuple[SourceAccount, ...]
    given: bool  # something was on screen
    unknown: bool  # what became of it was never recorded

    @property
    def items(self) -> int:
        """How many items were given."""
        return sum(len(one.shown) for one in self.sources)


def account(id_: str, seen: Seen) -> Account:
    """Explain a record, as far as the reader may see it."""
    record = seen.record
    sources = tuple(_source(one, record) for one in record.custodians)
    given = record.kind == "outcome" and 0 < record.status < 400
    return Account(id_, record, seen.side, sources, given, record.error == "unknown")


def counted(shown: Iterable[Shown]) -> tuple[tuple[str, int], ...]:
    """How many items of each type."""
    return tuple(sorted(Counter(one.type for one in shown).items()))


def _source(asked: Asked, record: Record) -> SourceAccount:
    states = tuple(_state(category, state) for category, state in sorted(asked.states.items()))
    return SourceAccount(
        asked.custodian, asked.facility, asked.source, fate(asked, record), asked.rule, asked.consent, states,
        counted(asked.shown), asked.shown, asked.incidents, asked.losses, asked.told,
    )  # fmt: skip


def _state(category: str, state: str) -> CategoryState:
    word, _, why = state.partition(":")
    return CategoryState(category, word, tuple(code for code in why.split(",") if code))
