"""Figures about sources that survive the process: how each answered, and what profiles have against its items."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from gateway.office import Findings, SourceQuality, SourceState
from gateway.storage.database import Database
from gateway.storage.instants import from_micros, to_micros
from gateway.storage.writer import Cursor

_STATE: Final = (
    "INSERT INTO source_state (source, answered, failed, losses, incidents, last_answer, last_failure, failure) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (source) DO UPDATE SET "
    "answered = source_state.answered + excluded.answered, failed = source_state.failed + excluded.failed, "
    "losses = source_state.losses + excluded.losses, incidents = source_state.incidents + excluded.incidents, "
    "last_answer = CASE WHEN excluded.last_answer > source_state.last_answer "
    "THEN excluded.last_answer ELSE source_state.last_answer END, "
    "failure = CASE WHEN excluded.last_failure > source_state.last_failure "
    "THEN excluded.failure ELSE source_state.failure END, "
    "last_failure = CASE WHEN excluded.last_failure > source_state.last_failure "
    "THEN excluded.last_failure ELSE source_state.last_failure END"
)
_LATENCY: Final = (
    "INSERT INTO source_latency (source, bound, answers) VALUES (?, ?, ?) ON CONFLICT (source, bound) "
    "DO UPDATE SET answers = source_latency.answers + excluded.answers"
)
_QUALITY: Final = (
    "INSERT INTO source_quality (source, custodian, checked, invalid, not_judged, not_looked_at, since) "
    "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (source) DO UPDATE SET custodian = excluded.custodian, "
    "checked = source_quality.checked + excluded.checked, invalid = source_quality.invalid + excluded.invalid, "
    "not_judged = source_quality.not_judged + excluded.not_judged, "
    "not_looked_at = source_quality.not_looked_at + excluded.not_looked_at"
)
_FINDING: Final = (
    "INSERT INTO source_finding (source, type, rule, expression, definition, severity, count, last) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (source, type, rule, expression, definition) DO UPDATE SET "
    "severity = excluded.severity, count = source_finding.count + excluded.count, "
    "last = CASE WHEN excluded.last > source_finding.last THEN excluded.last ELSE source_finding.last END"
)
_STATES: Final = (
    "SELECT source, answered, failed, losses, incidents, last_answer, last_failure, failure FROM source_state"
)
_LATENCIES: Final = "SELECT source, bound, answers FROM source_latency"
_QUALITIES: Final = (
    "SELECT source, custodian, checked, invalid, not_judged, not_looked_at, since FROM source_quality "
    "WHERE custodian IN (?, '') OR ? = '' ORDER BY source"
)
_FINDINGS: Final = (
    "SELECT source, type, rule, expression, definition, severity, count, last FROM source_finding "
    "ORDER BY count DESC, source, type, rule, expression, definition"
)


class SourceStore:
    """Counts only grow, by what each process adds (port `SourceBook`)."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add_states(self, states: Mapping[str, SourceState]) -> None:
        """Add what one process saw since it last did.

        Raises:
            Unavailable: `store-unavailable`; nothing was added.
        """
        rows = [
            (name, one.answered, one.failed, one.losses, one.incidents,
             _micros(one.last_answer), _micros(one.last_failure), one.failure)
            for name, one in sorted(states.items())
        ]  # fmt: skip
        latencies = [(name, *pair) for name, one in sorted(states.items()) for pair in sorted(one.latencies.items())]
        await self._add((_STATE, rows), (_LATENCY, latencies))

    async def add_quality(self, found: Mapping[str, SourceQuality]) -> None:
        """Add what one process found since it last did.

        Raises:
            Unavailable: `store-unavailable`; nothing was added.
        """
        sources = [
            (name, one.custodian, one.checked, one.invalid, one.not_judged, one.not_looked_at, _micros(one.since))
            for name, one in sorted(found.items())
        ]
        rows = [(name, *row) for name, one in sorted(found.items()) for row in _rows(one)]
        await self._add((_QUALITY, sources), (_FINDING, rows))

    async def states(self) -> dict[str, SourceState]:
        """How every source did."""
        found: dict[str, SourceState] = {}
        for source, answered, failed, losses, incidents, answer, failure, code in await self._database.rows(_STATES):
            found[source] = SourceState(answered, failed, losses, incidents, _moment(answer), _moment(failure), code)
        for source, bound, answers in await self._database.rows(_LATENCIES):
            if source in found:
                found[source].latencies[bound] = answers
        return found

    async def quality(self, custodian: str = "") -> dict[str, SourceQuality]:
        """What was found of every source, of one custodian when that is named."""
        found: dict[str, SourceQuality] = {}
        for source, holder, checked, invalid, open_, left, since in await self._database.rows(
            _QUALITIES, (custodian, custodian)
        ):
            found[source] = SourceQuality(holder, checked, invalid, open_, left, _moment(since))
        for source, *key, severity, count, last in await self._database.rows(_FINDINGS):
            if source in found:
                type_, rule, expression, definition = key
                found[source].rows[type_, rule, expression, definition] = Findings(severity, count, _moment(last))
        return found

    async def _add(self, *many: tuple[str, list[tuple[Any, ...]]]) -> None:
        def add(cursor: Cursor) -> None:
            for statement, rows in many:
                if rows:
                    cursor.executemany(statement, rows)

        if any(rows for _, rows in many):
            await self._database.write(add)


def _rows(quality: SourceQuality) -> Iterator[tuple[str, str, str, str, str, int, int]]:
    for key, row in sorted(quality.rows.items()):
        yield (*key, row.severity, row.count, _micros(row.last))


def _micros(moment: datetime | None) -> int:
    return to_micros(moment) if moment else 0


def _moment(micros: int) -> datetime | None:
    return from_micros(micros) if micros else None
