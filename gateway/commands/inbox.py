"""`gateway inbox show|release|replay|remap|erase`: what was pushed, without its content; beside a gateway that may be serving."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

from gateway import settings
from gateway.app import database_url
from gateway.clock import SystemClock
from gateway.crypto.ring import KeyRing
from gateway.errors import GatewayError, StartError
from gateway.intake import desk as inbox
from gateway.model import instant
from gateway.policy import ZONE, build
from gateway.ports import Ports, Slip
from gateway.storage import open_stores
from gateway.storage.beside import beside
from gateway.storage.erasures import Erasures
from gateway.storage.inbox_desk import InboxDesk
from gateway.throttle import Counts
from profiles.identifiers import BSN_SYSTEM, passes_elfproef

_STATES = ("accepted", "quarantined", "dead", "erased")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    commands = parser.add_subparsers(dest="what", required=True)
    show = commands.add_parser(
        "show", help="one line a message: receipt, source, key, digest, received, state, items, shown, expires, reason"
    )
    show.add_argument("--source", default="")
    show.add_argument("--state", choices=_STATES, default="")
    release = commands.add_parser("release", help="show a quarantined message after a human looked at it")
    release.add_argument("receipt")
    replay = commands.add_parser("replay", help="translate kept messages again, after a map was mended")
    which = replay.add_mutually_exclusive_group(required=True)
    which.add_argument("receipt", nargs="?", default="")
    which.add_argument("--dead", action="store_true", help="every dead letter")
    replay.add_argument("--source", default="")
    remap = commands.add_parser("remap", help="translate everything again that came since a day; safe to repeat")
    remap.add_argument("--since", type=date.fromisoformat, required=True, metavar="YYYY-MM-DD")
    remap.add_argument("--source", default="")
    erase = commands.add_parser("erase", help="remove a message, or everything pushed about a patient, for good")
    what = erase.add_mutually_exclusive_group(required=True)
    what.add_argument("receipt", nargs="?", default="")
    what.add_argument("--patient-file", metavar="FILE", help="holds the BSN; '-' reads it from stdin")
    for command, run in ((show, _show), (release, _release), (replay, _replay), (remap, _remap), (erase, _erase)):
        command.add_argument("--config", type=Path, default=Path("region.toml"))
        command.set_defaults(run=_runner(run))


@dataclass(frozen=True, slots=True)
class _At:
    """The inbox of a configuration, opened beside whoever serves it."""

    ports: Ports
    desk: InboxDesk
    erasures: Erasures
    keys: KeyRing


_Run = Callable[[argparse.Namespace, _At], Awaitable[int]]


def _runner(run: _Run) -> Callable[[argparse.Namespace], int]:
    async def opened(options: argparse.Namespace) -> int:
        async with _inbox(options) as at:
            return await run(options, at)

    def synchronous(options: argparse.Namespace) -> int:
        try:
            return asyncio.run(opened(options))
        except GatewayError as error:
            raise StartError(error.text(), 3 if error.row.status >= 500 else 1) from None

    return synchronous


@asynccontextmanager
async def _inbox(options: argparse.Namespace) -> AsyncIterator[_At]:
    read = settings.load(options.config, options.environment)
    directory, clock, policy = options.config.parent, SystemClock(), build(read)
    keys = KeyRing.open(directory / read.gateway.keys, policy.identifier_systems)
    url = database_url(read, directory)
    async with beside(url) as (database, log):
        stores = open_stores(database, keys.seal, keys.unseal, clock, log)
        desk = stores.inbox
        ports = Ports(
            settings=read, policy=policy, clock=clock, keys=keys, audit=stores.audit, replay=stores.replay, clients=stores.clients,
            index=stores.index, consents=stores.consents, cases=stores.cases, inbox=desk, issued=stores.issued, sources={},
            refusals=Counts(30, timedelta(minutes=1)), misses=Counts(5, timedelta(minutes=15)), desk=desk,
        )  # fmt: skip
        yield _At(ports, desk, Erasures(directory / read.database.erasures, desk, url), keys)


async def _show(options: argparse.Namespace, at: _At) -> int:
    await inbox.note("show", "R", at.ports, reasons=tuple(word for word in (options.source, options.state) if word))
    async for slip in inbox.slips(at.ports, source=options.source, state=options.state):
        print(_line(slip))
    return 0


async def _release(options: argparse.Namespace, at: _At) -> int:
    await inbox.release(options.receipt, at.ports)
    print(f"gateway: {options.receipt} is shown from now on", file=sys.stderr)
    return 0


async def _replay(options: argparse.Namespace, at: _At) -> int:
    if not options.dead:
        return await _read_anew([options.receipt], at, "replay")
    dead = [slip.receipt async for slip in inbox.slips(at.ports, source=options.source, state="dead")]
    return await _read_anew(dead, at, "replay")


async def _remap(options: argparse.Namespace, at: _At) -> int:
    """Oldest first, so that a run that was broken off and started again ends where one run would have."""
    since = datetime.combine(options.since, time.min, ZONE).astimezone(UTC)
    found = [slip async for slip in inbox.slips(at.ports, source=options.source, since=since)]
    wanted = sorted(
        (slip for slip in found if slip.state in inbox.READABLE), key=lambda slip: (slip.received, slip.number)
    )
    return await _read_anew([slip.receipt for slip in wanted], at, "remap")


async def _erase(options: argparse.Namespace, at: _At) -> int:
    now = at.ports.now()
    patients: tuple[str, ...] = ()
    if options.patient_file:
        number = _number(options.patient_file)
        patients = at.keys.patient_ids(BSN_SYSTEM, number)
        receipts = await at.desk.about(patients, now)
        receipts += await _nameless(number, receipts, at)
    elif await at.desk.kept(options.receipt) is not None:
        receipts = [options.receipt]
    else:
        message = f"no message '{options.receipt}' is kept"
        raise StartError(message, 1)
    await inbox.note("erase", "D", at.ports, reasons=tuple(receipts))
    count = await at.erasures.erase(receipts, now, patients)
    print(f"gateway: {count} message(s) erased", file=sys.stderr)
    return 0


async def _read_anew(receipts: Iterable[str], at: _At, action: str) -> int:
    """Read each anew, with a record of its own; exit 1 when any is still unreadable."""
    wanted = list(receipts)
    dead = 0
    await inbox.note(action, "U", at.ports, reasons=(f"{len(wanted)} message(s)",))
    for number, receipt in enumerate(wanted, 1):
        try:
            taken = await inbox.read_anew(receipt, at.ports)
        except GatewayError as error:
            if error.row.status >= 500 or len(wanted) == 1:
                raise
            dead += 1
            print(f"{receipt}\tkept\t{error.text()}")
            continue
        dead += any(one.state == "dead" for one in taken)
        for one in taken:
            print(f"{receipt}\t{one.state}\t{one.message.reason or '-'}")
        if sys.stderr.isatty():
            print(f"\rgateway: {number} of {len(wanted)}", end="", file=sys.stderr)
    if sys.stderr.isatty():
        print(file=sys.stderr)
    print(f"gateway: {len(wanted)} message(s) read anew, {dead or 'none'} unreadable", file=sys.stderr)
    return 1 if dead else 0


async def _nameless(number: str, known: list[str], at: _At) -> list[str]:
    """Dead letters and unidentified messages in whose bytes the number stands: they are about the patient too."""
    found = []
    for state in ("dead", "quarantined"):
        async for slip in inbox.slips(at.ports, state=state):
            kept = None if slip.patient or slip.receipt in known else await at.desk.kept(slip.receipt)
            if kept is not None and number.encode() in kept.message.raw:
                found.append(slip.receipt)
    return found


def _line(slip: Slip) -> str:
    until = instant(slip.expires) if slip.expires else "-"
    standing = slip.state if slip.current or slip.state != "accepted" else "replaced"
    cells = (
        slip.receipt,
        slip.source,
        slip.key,
        slip.digest[:16],
        instant(slip.received),
        standing,
        str(slip.items),
        str(slip.shown),
        until,
    )
    return "\t".join((*cells, slip.reason or "-"))


def _number(file: str) -> str:
    """The BSN in a file or on stdin: never an argument, which every user of the machine could read."""
    try:
        text = sys.stdin.read(64) if file == "-" else Path(file).read_text(encoding="utf-8")[:64]
    except (OSError, UnicodeDecodeError) as error:
        message = f"{file}: cannot be read: {type(error).__name__}"
        raise StartError(message, 1) from None
    number = text.strip().zfill(9)
    if len(number) != 9 or not passes_elfproef(number):
        message = "the file does not hold one valid BSN"
        raise StartError(message, 1)
    return number
