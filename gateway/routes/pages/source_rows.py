"""How each source does, as the administrator reads it: one row a source, with one word for its state. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from gateway.model import HELD_KINDS
from gateway.office import SourceQuality, SourceState
from gateway.settings import SourceTable

Word = Literal["ok", "failing", "late", "never"]


@dataclass(frozen=True, slots=True)
class SourceRow:
    """One source. `fast` and `slow`: the bound in milliseconds half and 95 % of its answers kept; 0 = beyond all."""

    table: SourceTable
    word: Word
    state: SourceState
    quality: SourceQuality | None
    heard: datetime | None  # of a feed
    due: datetime | None  # when a feed should have spoken again
    fast: int | None
    slow: int | None

    @property
    def pushes(self) -> bool:
        """Claim that it is not asked: it sends."""
        return self.table.kind in HELD_KINDS


def source_rows(
    tables: Iterable[SourceTable],
    states: Mapping[str, SourceState],
    quality: Mapping[str, SourceQuality],
    heard: Mapping[str, datetime | None],
    now: datetime,
) -> list[SourceRow]:
    """A row for each source of the configuration; what needs somebody stands first."""
    rows = [_row(table, states.get(table.id, SourceState()), quality.get(table.id), heard.get(table.id), now)
            for table in tables]  # fmt: skip
    rank = {"failing": 0, "late": 1, "never": 2, "ok": 3}
    return sorted(rows, key=lambda one: (rank[one.word], one.table.id))


def _row(
    table: SourceTable, state: SourceState, quality: SourceQuality | None, heard: datetime | None, now: datetime
) -> SourceRow:
    due = heard + table.expected_every if heard and table.expected_every else None
    if table.kind in HELD_KINDS:
        word: Word = "never" if heard is None else "late" if due is not None and now > due else "ok"
    else:
        word = _asked(state)
    return SourceRow(table, word, state, quality, heard, due, state.within(0.5), state.within(0.95))


def _asked(state: SourceState) -> Word:
    """A source fails when the last thing it did was to fail."""
    if not state.asked:
        return "never"
    if state.last_failure and (state.last_answer is None or state.last_failure > state.last_answer):
        return "failing"
    return "ok"
