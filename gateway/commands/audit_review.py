"""`gateway audit sample|review`: the duty to look at a part of the accesses, on record with who, how many and what came of it."""

from __future__ import annotations

import argparse
import asyncio
import sys
from datetime import datetime
from pathlib import Path

from gateway.audit.sampling import DRAWN, DUE, OUTCOMES, REVIEWED, draw, newest
from gateway.audit.view import Viewer
from gateway.commands.audit_at import At, bounds, opened_at, query_of, viewer_of
from gateway.commands.audit_reports import as_text
from gateway.commands.opening import runner
from gateway.errors import StartError


def sample_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `gateway audit sample`."""
    bounds(parser, "default: the last 31 days")
    parser.add_argument("--organization", default="", metavar="URA", help="whose accesses; default: gateway.ura")
    parser.add_argument("--size", type=int, default=20, help="how many accesses, drawn by chance (default 20)")
    parser.set_defaults(run=runner(opened_at, _sample))


def review_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `gateway audit review`."""
    parser.add_argument("sample", help="number of the sample, as `gateway audit sample` told it")
    parser.add_argument("--outcome", choices=OUTCOMES, required=True, help="what came of looking")
    parser.add_argument("--findings", type=int, default=0, help="how many accesses need an answer")
    parser.add_argument("--config", type=Path, default=Path("region.toml"))
    parser.add_argument("--organization", default="", metavar="URA", help="whose accesses; default: gateway.ura")
    parser.set_defaults(run=runner(opened_at, _review))


async def last_review(at: At, organization: str) -> datetime | None:
    """When an organization last reviewed accesses to its data, None when never within a year."""
    found = await newest(at.queries, _whole(at), organization, REVIEWED, at.now)
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
    sample = await draw(at.queries, query, by, options.size)
    options.noted = sample.reasons(by.organization)
    options.answer = "".join(as_text(one, at) for one in sample.drawn)
    print(
        f"gateway: sample {sample.number}: {len(sample.drawn)} of {sample.count} access(es); "
        f"then 'gateway audit review {sample.number}'",
        file=sys.stderr,
    )
    return 0


async def _review(options: argparse.Namespace, at: At) -> int:
    """Put on record what came of a sample; who reviewed is who runs this."""
    organization = viewer_of(options, at).organization
    drawn = await newest(at.queries, _whole(at), organization, DRAWN, at.now, options.sample)
    if drawn is None:
        message = f"there is no sample '{options.sample}' of {organization}; draw one with 'gateway audit sample'"
        raise StartError(message, 1)
    options.noted = (f"sample={options.sample}", f"organization={organization}", f"outcome={options.outcome}",
                     f"findings={options.findings}", *(word for word in drawn.reasons if word.startswith("size=")))  # fmt: skip
    print(f"gateway: review of sample {options.sample} is on record", file=sys.stderr)
    return 0


def _whole(at: At) -> Viewer:
    """Commands are the operator's, whoever they were run for."""
    return Viewer("", operates=True, policy=at.policy, keys=at.keys, whole=True)
