"""`gateway audit sample|review`: the duty to look at a part of the accesses, on record with who, how many and what came of it."""

from __future__ import annotations

import argparse
import asyncio
import secrets
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from gateway.audit.reading import Line, lines
from gateway.audit.record import Record
from gateway.audit.view import Viewer
from gateway.commands.audit_at import At, bounds, opened_at, query_of, runner, viewer_of, within
from gateway.commands.audit_reports import as_text
from gateway.errors import StartError
from gateway.logged import AuditQuery

DUE: Final = timedelta(days=31)  # a review is overdue after this
_OUTCOMES: Final = ("in-order", "question", "breach")
_LARGEST: Final = 1_000
_ACCESSES: Final = frozenset({"outcome", "refusal", "emergency"})


def sample_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `gateway audit sample`."""
    bounds(parser, "default: the last 31 days")
    parser.add_argument("--organization", default="", metavar="URA", help="whose accesses; default: gateway.ura")
    parser.add_argument("--size", type=int, default=20, help="how many accesses, drawn by chance (default 20)")
    parser.set_defaults(run=runner(_sample))


def review_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `gateway audit review`."""
    parser.add_argument("sample", help="number of the sample, as `gateway audit sample` told it")
    parser.add_argument("--outcome", choices=_OUTCOMES, required=True, help="what came of looking")
    parser.add_argument("--findings", type=int, default=0, help="how many accesses need an answer")
    parser.add_argument("--config", type=Path, default=Path("region.toml"))
    parser.add_argument("--organization", default="", metavar="URA", help="whose accesses; default: gateway.ura")
    parser.set_defaults(run=runner(_review))


async def last_review(at: At, organization: str) -> datetime | None:
    """When an organization last reviewed accesses to its data, None when never within a year."""
    found = await _newest(at, "audit review", organization)
    return datetime.fromisoformat(found.at) if found is not None else None


def overdue(options: argparse.Namespace) -> str:
    """When the operator last reviewed accesses, in words for `gateway check`.

    Raises:
        StartError: the log cannot be read.
    """

    async def last() -> str:
        async with opened_at(options) as at:
            found = await last_review(at, at.read.gateway.ura)
            if found is None:
                return "overdue: none in a year; see 'gateway audit sample'"
            late = "overdue: " if at.now - found > DUE else ""
            return f"{late}the last was on {found:%Y-%m-%d}"

    return asyncio.run(last())


async def _sample(options: argparse.Namespace, at: At) -> int:
    """Draw accesses to patients' data by chance; each has the same chance."""
    query, by = query_of(options, at, DUE), viewer_of(options, at)
    size = max(1, min(options.size, _LARGEST))
    drawn: list[Line] = []
    count = 0
    async for one in lines(at.queries, query, by):
        if isinstance(one, str) or not _is_access(one.seen.record) or not within(one.seen.record, query):
            continue
        count += 1
        # Reservoir: the n-th access takes a place with chance size/n, so the whole log is never held.
        if len(drawn) < size:
            drawn.append(one)
        elif (place := secrets.randbelow(count)) < size:
            drawn[place] = one
    number = secrets.token_hex(4)
    drawn.sort(key=lambda one: one.seen.record.at)
    options.noted = (f"sample={number}", f"organization={by.organization}", f"size={len(drawn)}", f"of={count}",
                     f"records={' '.join(one.id for one in drawn)}")  # fmt: skip
    options.answer = "".join(as_text(one, at) for one in drawn)
    print(
        f"gateway: sample {number}: {len(drawn)} of {count} access(es); then 'gateway audit review {number}'",
        file=sys.stderr,
    )
    return 0


async def _review(options: argparse.Namespace, at: At) -> int:
    """Put on record what came of a sample; who reviewed is who runs this."""
    organization = viewer_of(options, at).organization
    drawn = await _newest(at, "audit sample", organization, options.sample)
    if drawn is None:
        message = f"there is no sample '{options.sample}' of {organization}; draw one with 'gateway audit sample'"
        raise StartError(message, 1)
    options.noted = (f"sample={options.sample}", f"organization={organization}", f"outcome={options.outcome}",
                     f"findings={options.findings}", *(word for word in drawn.reasons if word.startswith("size=")))  # fmt: skip
    print(f"gateway: review of sample {options.sample} is on record", file=sys.stderr)
    return 0


async def _newest(at: At, command: str, organization: str, sample: str = "") -> Record | None:
    """The newest record of a command for an organization, within a year."""
    query = AuditQuery(start=at.now - timedelta(days=366), end=at.now + timedelta(minutes=1), kinds=("command",))
    async for one in lines(at.queries, query, _whole(at)):
        if not isinstance(one, str) and _is_of(one.seen.record, command, organization, sample):
            return one.seen.record
    return None


def _is_access(record: Record) -> bool:
    return record.kind in _ACCESSES and bool(record.patient) and record.type != "AuditEvent"


def _is_of(record: Record, command: str, organization: str, sample: str = "") -> bool:
    """Claim that a command of this name ended well for this organization, and this sample."""
    return (
        record.kind == "command"
        and (record.type, record.status) == (command, 200)
        and f"organization={organization}" in record.reasons
        and (not sample or f"sample={sample}" in record.reasons)
    )


def _whole(at: At) -> Viewer:
    """Commands are the operator's, whoever they were run for."""
    return Viewer("", operates=True, policy=at.policy, keys=at.keys, whole=True)
