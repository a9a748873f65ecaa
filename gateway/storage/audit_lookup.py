"""Questions about the log, answered from a table that is filled behind it and may be emptied at any time."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from gateway.audit.record import Record, decode, outcome_of
from gateway.audit.tally import marks
from gateway.logged import AuditQuery, Logged, RecordId
from gateway.storage import audit_tally
from gateway.storage.database import Database
from gateway.storage.instants import from_micros, to_micros
from gateway.storage.log_names import logs_in
from gateway.storage.writer import Cursor, Log

AT_ONCE: Final = 256  # records in one commit: requests wait for it

_NEWEST: Final = "SELECT COALESCE(MAX(seq), 0) FROM audit_log WHERE log = ? AND epoch = ?"
_FILLED: Final = "SELECT log, epoch, seq FROM audit_filled"
_REACHED: Final = "SELECT seq FROM audit_filled WHERE log = ? AND epoch = ?"
_ROWS: Final = (
    f"SELECT seq, at, body FROM audit_log WHERE log = ? AND epoch = ? AND seq > ? ORDER BY seq LIMIT {AT_ONCE}"  # noqa: S608 - a constant
)
_LOOKUP: Final = (
    "INSERT INTO audit_lookup (log, epoch, seq, at, patient, organization, kind, action, outcome, interaction, "
    "purpose, policy, request) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_ABOUT: Final = "INSERT INTO audit_about (value, at, log, epoch, seq) VALUES (?, ?, ?, ?, ?)"
_FILL: Final = (
    "INSERT INTO audit_filled (log, epoch, seq) VALUES (?, ?, ?) "
    "ON CONFLICT (log, epoch) DO UPDATE SET seq = excluded.seq"
)
_ONE: Final = "SELECT at, body FROM audit_log WHERE log = ? AND epoch = ? AND seq = ?"
_HOUR: Final = 3_600_000_000
_OPEN: Final = (
    "SELECT seq FROM audit_lookup WHERE log = ? AND epoch = ? AND seq <= ? AND at >= ? AND kind = 'intent' "
    "AND interaction <> 'command' AND NOT EXISTS (SELECT 1 FROM audit_lookup ended WHERE ended.request = "
    "audit_lookup.request AND ended.kind IN ('outcome', 'refusal')) ORDER BY seq"
)
_FRAGMENTS: Final = (
    "SELECT log, epoch, seq FROM audit_lookup WHERE request = ? AND kind = 'fragment' ORDER BY at, log, epoch, seq"
)
_CURSOR: Final = re.compile(r"(\d{1,18})-(\d{1,9})-(\d{1,9})-(\d{1,18})")
_EMPTY: Final = ("DELETE FROM audit_lookup", "DELETE FROM audit_about", "DELETE FROM audit_filled", audit_tally.EMPTY)


class AuditLookup:
    """The table beside the log. INVARIANT: a question sees every record that was durable when it was asked."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, query: AuditQuery, limit: int, after: str = "") -> tuple[list[Logged], str]:
        """A page of records, newest first, and the cursor of the next page: empty when there is none.

        Raises:
            ValueError: `after` is no cursor.
            Unavailable: `store-unavailable`.
        """
        place = _place(after) if after else None
        while await self.fill():
            pass
        sql, parameters = _question(query, place)
        rows = await self._database.rows(sql, (*parameters, limit + 1))
        named = {row[:4]: row[4] for row in rows[:limit]}  # a record that is marked for two parties is one record
        found = [
            Logged(RecordId(log, epoch, seq), from_micros(at), body) for (at, log, epoch, seq), body in named.items()
        ]
        if len(rows) <= limit:
            return found, ""
        at, log, epoch, seq, _ = rows[limit - 1]
        return found, f"{at}-{log}-{epoch}-{seq}"

    async def get(self, record: RecordId) -> Logged | None:
        """One record, None when there is none (any more)."""
        row = await self._database.row(_ONE, (record.log, record.epoch, record.sequence))
        return Logged(record, from_micros(row[0]), row[1]) if row else None

    async def open_intents(self, until: Mapping[Log, int]) -> list[Logged]:
        """Intents without an outcome among the records of each log up to a number: a process died in between.

        Whatever was open ends within the hour before the last of these records.
        """
        while await self.fill():
            pass
        found: list[Logged] = []
        for log, last in sorted(until.items()):
            newest = await self._database.row(_ONE, (*log, last))
            if newest:
                rows = await self._database.rows(_OPEN, (*log, last, newest[0] - _HOUR))
                found += [one for (seq,) in rows if (one := await self.get(RecordId(*log, seq)))]
        return found

    async def fragments(self, request: str) -> list[Logged]:
        """What was sent of a page before its outcome, in order."""
        rows = await self._database.rows(_FRAGMENTS, (request,))
        ids = [RecordId(*row) for row in rows]
        return [one for id_ in ids if (one := await self.get(id_))]

    async def fill(self) -> int:
        """Take a batch of records of every log into the table; give how many."""
        filled = {(log, epoch): seq for log, epoch, seq in await self._database.rows(_FILLED)}
        count = 0
        for log in await logs_in(self._database, "audit_log"):
            newest = await self._database.row(_NEWEST, log)
            if newest and newest[0] > filled.get(log, 0):
                count += await self._fill(log)
        return count

    async def rebuild(self) -> int:
        """Empty the table and fill it again; give the number of records."""

        def empty(cursor: Cursor) -> None:
            for statement in _EMPTY:
                cursor.execute(statement)

        await self._database.write(empty)
        total = 0
        while count := await self.fill():
            total += count
        return total

    async def _fill(self, log: Log) -> int:
        def write(cursor: Cursor) -> int:
            # Read where it is written, so that two processes never take the same record in twice.
            reached = cursor.execute(_REACHED, log).fetchone()
            rows = cursor.execute(_ROWS, (*log, reached[0] if reached else 0)).fetchall()
            if not rows:
                return 0
            lookups: list[tuple[Any, ...]] = []
            abouts: list[tuple[Any, ...]] = []
            records: list[tuple[int, Record]] = []
            for seq, at, body in rows:
                record = _read(body)
                if record is not None:
                    lookups.append((*log, seq, at, *_columns(record)))
                    abouts += [(value, at, *log, seq) for value in values_of(record)]
                    records.append((at, record))
            for statement, many in ((_LOOKUP, lookups), (_ABOUT, sorted(abouts))):
                if many:
                    cursor.executemany(statement, many)
            audit_tally.add(cursor, records)
            cursor.execute(_FILL, (*log, rows[-1][0]))
            return len(rows)

        return await self._database.write(write)


def _read(body: bytes) -> Record | None:
    try:
        return decode(body)
    except (msgspec.DecodeError, ValueError):  # not of this program: it stays in the log, and is found by its id
        return None


def _columns(record: Record) -> tuple[str, ...]:
    return (
        record.patient,
        record.organization,
        record.kind,
        record.action,
        outcome_of(record),
        record.interaction,
        record.purpose,
        record.policy,
        record.request,
    )


def values_of(record: Record) -> list[str]:
    """Under what a record is looked up, beside its columns."""
    return sorted(set(_values(record)))


def _values(record: Record) -> Iterator[str]:
    """What a record may have several of."""
    yield f"party/{record.organization}"  # "party/" is the operator's: start, stop, commands, unknown callers
    for agent in (record.person, record.responsible, record.client):
        if agent:
            yield f"agent/{agent}"
            yield f"agent/{agent.rpartition('|')[2]}"  # whoever asks may know the number and not its system
    if record.case:
        yield f"entity/Task/{record.case}"
    if record.object:
        yield f"entity/{record.object.partition('/_history/')[0]}"
    for asked in record.custodians:
        yield f"party/{asked.custodian}"
        yield f"custodian/{asked.custodian}"
        yield f"site/{asked.source}"
        for shown in asked.shown:
            yield f"entity/{shown.type}/{shown.id}"
    yield from marks(record)


def _question(query: AuditQuery, after: tuple[int, int, int, int] | None) -> tuple[str, tuple[Any, ...]]:
    """The statement: the narrowest of what is asked leads, the rest is looked at for each record it finds."""
    patients = query.patients
    # The last leads: it is the one that few records have.
    values = [[f"party/{one}" for one in query.parties]] if query.parties else []
    singles = (
        ("party", query.organization),
        ("custodian", query.custodian),
        ("site", query.site),
        ("agent", query.agent),
    )
    values += [[f"{kind}/{text}"] for kind, text in singles if text]
    if query.mark:
        values.append([f"{query.mark}/{one}" for one in query.parties or ("",)])
    if query.entity.startswith("Patient/"):
        named = query.entity.removeprefix("Patient/")
        patients = (named,) if not patients or named in patients else ("-",)
    elif query.entity:
        values.append([f"entity/{query.entity}"])
    parts, parameters = _conditions(query, patients)
    leading = "audit_lookup"
    if values and not patients and not query.request:
        first = values.pop()
        if len(first) == 1 or query.mark:
            leading = "audit_about"
            marks = ", ".join("?" for _ in first)
            parts.insert(0, f"audit_about.value IN ({marks})" if len(first) > 1 else "audit_about.value = ?")
            parameters[:0] = first
        else:
            values.append(first)
    for some in values:
        marks = ", ".join("?" for _ in some)
        parts.append(
            f"EXISTS (SELECT 1 FROM audit_about other WHERE other.value IN ({marks}) AND other.at = audit_lookup.at "  # noqa: S608 - marks only
            "AND other.log = audit_lookup.log AND other.epoch = audit_lookup.epoch AND other.seq = audit_lookup.seq)"
        )
        parameters += some
    table = leading
    join = (
        "audit_about JOIN audit_lookup ON audit_lookup.log = audit_about.log AND audit_lookup.epoch = audit_about.epoch "
        "AND audit_lookup.seq = audit_about.seq"
        if leading == "audit_about"
        else leading
    )
    moments, bounds = _moments(query, after, table)
    sql = (
        f"SELECT audit_lookup.at, audit_lookup.log, audit_lookup.epoch, audit_lookup.seq, audit_log.body FROM {join} "  # noqa: S608 - texts of this module
        "JOIN audit_log ON audit_log.log = audit_lookup.log AND audit_log.epoch = audit_lookup.epoch "
        f"AND audit_log.seq = audit_lookup.seq WHERE {' AND '.join([*parts, *moments])} "
        f"ORDER BY {', '.join(f'{table}.{column} DESC' for column in ('at', 'log', 'epoch', 'seq'))} LIMIT ?"
    )
    return sql, (*parameters, *bounds)


def _moments(
    query: AuditQuery, after: tuple[int, int, int, int] | None, table: str
) -> tuple[list[str], tuple[int, ...]]:
    start, end = to_micros(query.start), to_micros(query.end)
    if after is None:
        return [f"{table}.at >= ?", f"{table}.at < ?"], (start, end)
    row = f"({table}.at, {table}.log, {table}.epoch, {table}.seq) < (?, ?, ?, ?)"
    return [f"{table}.at >= ?", f"{table}.at < ?", f"{table}.at <= ?", row], (start, end, after[0], *after)


def _conditions(query: AuditQuery, patients: Sequence[str]) -> tuple[list[str], list[Any]]:
    columns = (
        ("patient", patients),
        ("organization", (query.requester,) if query.requester else ()),
        ("action", query.actions),
        ("outcome", query.outcomes),
        ("kind", query.kinds),
        ("interaction", query.interactions),
        ("purpose", query.purposes),
        ("policy", (query.policy,) if query.policy else ()),
        ("request", (query.request,) if query.request else ()),
    )
    parts, parameters = [], []
    for column, wanted in columns:
        if wanted:
            marks = ", ".join("?" for _ in wanted)
            parts.append(f"audit_lookup.{column} IN ({marks})" if len(wanted) > 1 else f"audit_lookup.{column} = ?")
            parameters += list(wanted)
    return parts, parameters


def _place(cursor: str) -> tuple[int, int, int, int]:
    found = _CURSOR.fullmatch(cursor)
    if found is None:
        message = "not a cursor of this log"
        raise ValueError(message)
    return int(found[1]), int(found[2]), int(found[3]), int(found[4])
