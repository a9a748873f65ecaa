"""The duty to look at a part of the accesses (rule F6): a sample drawn by chance, and what was made of it on the record."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from gateway.audit.reading import Line, lines
from gateway.audit.record import Record
from gateway.audit.view import Viewer
from gateway.logged import AuditQueries, AuditQuery

DUE: Final = timedelta(days=31)  # a review is overdue after this
OUTCOMES: Final = ("in-order", "question", "breach")
LARGEST: Final = 1_000
DRAWN: Final = "audit-sample"  # interactions of the pages; the commands have a kind of their own
REVIEWED: Final = "audit-review"
_COMMANDS: Final = {DRAWN: "audit sample", REVIEWED: "audit review"}
_ACCESSES: Final = frozenset({"outcome", "refusal", "emergency"})


@dataclass(frozen=True, slots=True)
class Sample:
    """Accesses drawn by chance, oldest first, and of how many."""

    number: str
    drawn: tuple[Line, ...]
    count: int

    def reasons(self, organization: str) -> tuple[str, ...]:
        """What stands on the record about it."""
        names = " ".join(one.id for one in self.drawn)
        return (f"sample={self.number}", f"organization={organization}", f"size={len(self.drawn)}",
                f"of={self.count}", f"records={names}")  # fmt: skip


async def draw(queries: AuditQueries, query: AuditQuery, by: Viewer, size: int) -> Sample:
    """Draw accesses to patients' data; each has the same chance, and the whole log is never held.

    Raises:
        Unavailable: `store-unavailable`.
    """
    size = max(1, min(size, LARGEST))
    drawn: list[Line] = []
    count = 0
    async for one in lines(queries, query, by):
        if isinstance(one, str) or not is_access(one.seen.record):
            continue
        count += 1
        # Reservoir: the n-th access takes a place with chance size/n.
        if len(drawn) < size:
            drawn.append(one)
        elif (place := secrets.randbelow(count)) < size:
            drawn[place] = one
    drawn.sort(key=lambda one: one.seen.record.at)
    return Sample(secrets.token_hex(4), tuple(drawn), count)


def is_access(record: Record) -> bool:
    """Claim that a record is a look at data of a patient, or an attempt at one."""
    return record.kind in _ACCESSES and bool(record.patient) and record.type != "AuditEvent"


async def newest(
    queries: AuditQueries, by: Viewer, organization: str, interaction: str, now: datetime, sample: str = ""
) -> Record | None:
    """The newest record of a draw or a review for an organization within a year, made by a page or by a command.

    `by` sees what is looked for: commands are the operator's.
    """
    year = AuditQuery(start=now - timedelta(days=366), end=now + timedelta(minutes=1))
    found = [
        await _first(queries, replace(year, kinds=("outcome",), interactions=(interaction,)), by, organization, sample),
        await _first(queries, replace(year, kinds=("command",)), by, organization, sample, _COMMANDS[interaction]),
    ]
    known = [one for one in found if one is not None]
    return max(known, key=lambda one: one.at) if known else None


async def _first(
    queries: AuditQueries, query: AuditQuery, by: Viewer, organization: str, sample: str, command: str = ""
) -> Record | None:
    async for one in lines(queries, query, by):
        if isinstance(one, str):
            continue
        record = one.seen.record
        if record.status == 200 and (not command or record.type == command):
            said = set(record.reasons)
            if f"organization={organization}" in said and (not sample or f"sample={sample}" in said):
                return record
    return None


def told(reasons: Iterable[str], name: str) -> str:
    """One thing a record of a draw or a review says, empty when it does not."""
    return next((word.partition("=")[2] for word in reasons if word.startswith(f"{name}=")), "")
