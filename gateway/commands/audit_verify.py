"""`gateway audit verify`: read the whole log, and say whether it is as it was written or what was done to it."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

from gateway import settings
from gateway.adapters.address import AddressPolicy
from gateway.adapters.http import HttpClient
from gateway.adapters.witnesses import witnesses_of
from gateway.app import database_url
from gateway.audit import report
from gateway.audit.checkpoints import Log, name_of
from gateway.audit.evidence import base_of
from gateway.audit.examination import Examination, Examiner
from gateway.audit.examining import ask_witnesses
from gateway.clock import SystemClock
from gateway.crypto.notes import Verifier
from gateway.crypto.ring import KeyRing
from gateway.errors import StartError
from gateway.storage import Database
from gateway.storage.audit_trees import AuditTrees

_TOLD_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class OpenedLog:
    """The log of a configuration, to be read beside whoever writes it."""

    read: settings.Settings
    directory: Path
    base: str
    database: Database
    trees: AuditTrees

    def keys(self) -> list[bytes]:
        """The public keys of the key ring, the newest first."""
        ring = KeyRing.open(self.directory / self.read.gateway.keys)
        return [public for _, public in sorted(ring.audit_keys().items(), reverse=True)]


@asynccontextmanager
async def opened(options: argparse.Namespace) -> AsyncIterator[OpenedLog]:
    """Open the log for reading.

    Raises:
        StartError: it cannot be read. Exit code 3.
    """
    read = settings.load(options.config, options.environment)
    directory = options.config.parent
    database = Database.open(database_url(read, directory), exclusive=False)
    try:
        base = base_of(read.audit.origin, read.gateway.base)
        yield OpenedLog(read, directory, base, database, AuditTrees(database))
    finally:
        await database.close()


def verify_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--config", type=Path, default=Path("region.toml"))
    parser.add_argument(
        "--since",
        type=_moment,
        metavar="YYYY-MM-DD",
        help="hash only records from this day on; the trees are held whole",
    )
    parser.add_argument(
        "--against",
        type=Path,
        action="append",
        default=[],
        metavar="CHECKPOINT",
        help="a checkpoint you hold; repeatable",
    )
    parser.add_argument(
        "--key",
        action="append",
        default=[],
        metavar="VKEY",
        help="trust only this verifier key, not the key ring; repeatable",
    )
    parser.add_argument("--without-witnesses", action="store_true", help="do not ask the witnesses")
    parser.add_argument("--json", action="store_true", help="the report as JSON")
    parser.set_defaults(run=verify)


def verify(options: argparse.Namespace) -> int:
    """Print the report; exit 0 when the log is whole, 1 when it is not, 3 when it could not be examined."""
    found = asyncio.run(_verify(options))
    print(report.as_json(found) if options.json else report.as_text(found), end="")
    return 0 if found.whole else 1


async def _verify(options: argparse.Namespace) -> Examination:
    async with opened(options) as log:
        clock = SystemClock()
        examiner = Examiner(log.trees, log.base, _trusted(options.key, log), clock.now())
        for path in options.against:
            _against(examiner, path)
        if not options.without_witnesses:
            await _ask_witnesses(examiner, log)
        found = await examiner.run(options.since, _Progress().told)
        found.ended = clock.now()
        return found


def _trusted(given: Sequence[str], log: OpenedLog) -> list[bytes]:
    try:
        return [Verifier.parse(text).public for text in given] or log.keys()
    except ValueError as error:
        message = f"--key: {error}"
        raise StartError(message, 2) from None


def _against(examiner: Examiner, path: Path) -> None:
    try:
        raw = path.read_bytes()
    except OSError as error:
        message = f"{path}: {error.strerror}"
        raise StartError(message, 2) from None
    if not examiner.add(raw, f"the file {path.name}"):
        message = f"{path}: not a checkpoint of this gateway that one of the trusted keys signed"
        raise StartError(message, 1)


async def _ask_witnesses(examiner: Examiner, log: OpenedLog) -> None:
    async with HttpClient(AddressPolicy.of(log.read.gateway.source_networks)) as http:
        witnesses = witnesses_of(log.read.audit, log.directory, http)
        await ask_witnesses(examiner, witnesses, await log.trees.logs(), log.base)


class _Progress:
    """A line on stderr now and then."""

    def __init__(self) -> None:
        self._began = self._told = monotonic()

    def told(self, log: Log, read: int, there: int) -> None:
        """Say how far it is."""
        now = monotonic()
        if now - self._told >= _TOLD_SECONDS:
            self._told = now
            print(f"gateway: log {name_of(log)}: {min(read, there)} of {there} records", file=sys.stderr)


def _moment(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)
