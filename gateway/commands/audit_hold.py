"""`gateway audit hold` and `gateway audit acknowledge`: decisions about records, each on record itself."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

from gateway import settings
from gateway.app import database_url
from gateway.audit.checkpoints import log_of, name_of
from gateway.audit.record import Record, encode
from gateway.audit.retention import Hold, Retention
from gateway.clock import SystemClock
from gateway.commands.opening import runner
from gateway.crypto.ring import KeyRing
from gateway.errors import StartError
from gateway.model import instant
from gateway.policy import build
from gateway.storage.acknowledgement import acknowledge as end_epoch
from gateway.storage.audit_retention import AuditRetention
from gateway.storage.audit_store import AuditStore
from gateway.storage.audit_trees import AuditTrees
from gateway.storage.beside import beside
from profiles.identifiers import BSN_SYSTEM, passes_elfproef

_FIRST: Final = datetime(2000, 1, 1, tzinfo=UTC)
_LAST: Final = datetime(9000, 1, 1, tzinfo=UTC)


def hold_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    commands = parser.add_subparsers(dest="act", metavar="ACT", required=True)
    place = commands.add_parser("place", help="keep every record the options describe; none = every record")
    place.add_argument("id", help="a name for the hold, such as the number of the file")
    place.add_argument("--organization", default="", metavar="URA", help="records with this requester or custodian")
    place.add_argument("--patient-file", default="", metavar="FILE", help="holds a BSN; '-' reads it from stdin")
    place.add_argument("--since", type=_day, default=_FIRST, metavar="YYYY-MM-DD")
    place.add_argument("--until", type=_day, default=_LAST, metavar="YYYY-MM-DD")
    lift = commands.add_parser("lift", help="end a hold")
    lift.add_argument("id")
    listing = commands.add_parser("list", help="holds in force: id, organization, patient, since, until")
    for command, run in ((place, _place), (lift, _lift), (listing, _list)):
        command.add_argument("--config", type=Path, default=Path("region.toml"))
        command.set_defaults(run=runner(_retention, run))


def acknowledge_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--log", required=True, help="the log as the message at the start names it, such as 1.1")
    parser.add_argument("--reason", required=True, help="what happened and where it was reported; no personal data")
    parser.add_argument("--config", type=Path, default=Path("region.toml"))
    parser.set_defaults(run=acknowledge)


def acknowledge(options: argparse.Namespace) -> int:
    """End the epoch of a log that lost records, so that the gateway can serve again; the loss stays visible for good."""
    try:
        log = log_of(f"x/{options.log}")
    except ValueError:
        message = f"--log: '{options.log}' is no log; expected slot.epoch, such as 1.1"
        raise StartError(message, 2) from None
    read = settings.load(options.config, options.environment)
    now = SystemClock().now()
    reasons = (f"log {name_of(log)}", options.reason)
    record = Record(kind="loss", at=instant(now), request="gateway audit acknowledge", reasons=reasons)
    epoch = end_epoch(database_url(read, options.config.parent), log, now, encode(record))
    print(f"{log[0]}.{epoch}")
    print(
        f"gateway: log {name_of(log)} has ended and goes on as {log[0]}.{epoch}; 'gateway audit verify' keeps telling the loss",
        file=sys.stderr,
    )
    return 0


@asynccontextmanager
async def _retention(options: argparse.Namespace) -> AsyncIterator[AuditRetention]:
    read = settings.load(options.config, options.environment)
    async with beside(database_url(read, options.config.parent)) as (database, log):
        yield AuditRetention(AuditTrees(database), AuditStore(database, SystemClock(), log), Retention(read))


async def _place(options: argparse.Namespace, retention: AuditRetention) -> int:
    patient = await asyncio.to_thread(partial(_patient, options)) if options.patient_file else ""
    hold = Hold(options.id, options.organization, patient, options.since, options.until)
    await retention.place(hold, SystemClock().now())
    print(_line(hold))
    return 0


async def _lift(options: argparse.Namespace, retention: AuditRetention) -> int:
    if await retention.lift(options.id, SystemClock().now()):
        return 0
    message = f"no hold '{options.id}' is in force; see gateway audit hold list"
    raise StartError(message, 1)


async def _list(options: argparse.Namespace, retention: AuditRetention) -> int:
    del options
    for hold in await retention.holds():
        print(_line(hold))
    return 0


def _line(hold: Hold) -> str:
    return "\t".join(
        (hold.id, hold.party or "-", hold.patient or "-", f"{hold.starts:%Y-%m-%d}", f"{hold.ends:%Y-%m-%d}")
    )


def _patient(options: argparse.Namespace) -> str:
    text = sys.stdin.read() if options.patient_file == "-" else Path(options.patient_file).read_text(encoding="utf-8")
    if not passes_elfproef(text.strip()):
        message = "--patient-file: not a BSN"
        raise StartError(message, 1)
    read = settings.load(options.config, options.environment)
    ring = KeyRing.open(options.config.parent / read.gateway.keys, build(read).identifier_systems)
    return ring.patient_id(BSN_SYSTEM, text.strip())


def _day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
