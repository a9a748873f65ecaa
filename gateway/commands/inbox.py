"""`gateway inbox show|feeds|release|replay|remap|erase`: what was pushed, without its content; beside a gateway that may be serving."""

from __future__ import annotations

import argparse
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

from gateway import settings
from gateway.app import database_url
from gateway.clock import SystemClock
from gateway.commands.opening import runner
from gateway.commands.side_by_side import side_by_side
from gateway.crypto.ring import KeyRing
from gateway.errors import GatewayError, StartError
from gateway.intake import desk as inbox
from gateway.model import HELD_KINDS, instant
from gateway.policy import ZONE, build
from gateway.ports import Ports
from gateway.pushed import Slip
from gateway.storage import open_stores
from gateway.storage.beside import beside
from gateway.storage.erasures import Erasures
from gateway.storage.inbox_desk import InboxDesk
from gateway.storage.inbox_progress import Progress
from gateway.throttle import Counts
from gateway.version import __version__
from profiles.identifiers import BSN_SYSTEM, passes_elfproef

_PROGRESS = "remap.progress"  # beside the configuration, while a run is not done
_MOST_JOBS = 64
_STATES = ("accepted", "quarantined", "dead", "erased")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    commands = parser.add_subparsers(dest="what", required=True)
    show = commands.add_parser(
        "show", help="one line a message: receipt, source, key, digest, received, state, items, shown, expires, reason"
    )
    show.add_argument("--source", default="")
    show.add_argument("--state", choices=_STATES, default="")
    feeds = commands.add_parser(
        "feeds",
        help="one line a source that pushes: source, custodian, kind, last heard, expected by, state (ok, late, never)",
    )
    release = commands.add_parser("release", help="show a quarantined message after a human looked at it")
    release.add_argument("receipt")
    replay = commands.add_parser("replay", help="translate kept messages again, after a map was mended")
    which = replay.add_mutually_exclusive_group(required=True)
    which.add_argument("receipt", nargs="?", default="")
    which.add_argument("--dead", action="store_true", help="every dead letter")
    replay.add_argument("--source", default="")
    remap = commands.add_parser(
        "remap", help="translate everything again that came since a day; goes on where it was broken off"
    )
    remap.add_argument("--again", action="store_true", help="from the beginning, also when a run was broken off")
    remap.add_argument("--since", type=date.fromisoformat, required=True, metavar="YYYY-MM-DD")
    remap.add_argument("--source", default="")
    remap.add_argument(
        "--jobs",
        type=_jobs,
        default=4,
        metavar="N",
        help="how many messages at once (4); those of one patient keep their order",
    )
    erase = commands.add_parser("erase", help="remove a message, or everything pushed about a patient, for good")
    what = erase.add_mutually_exclusive_group(required=True)
    what.add_argument("receipt", nargs="?", default="")
    what.add_argument("--patient-file", metavar="FILE", help="holds the BSN; '-' reads it from stdin")
    for command, run in (
        (show, _show),
        (feeds, _feeds),
        (release, _release),
        (replay, _replay),
        (remap, _remap),
        (erase, _erase),
    ):
        command.add_argument("--config", type=Path, default=Path("region.toml"))
        command.set_defaults(run=runner(_inbox, run))


@dataclass(frozen=True, slots=True)
class _At:
    """The inbox of a configuration, opened beside whoever serves it."""

    ports: Ports
    desk: InboxDesk
    erasures: Erasures
    keys: KeyRing
    directory: Path


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
            refusals=Counts(30, timedelta(minutes=1)), misses=stores.misses, desk=desk,
        )  # fmt: skip
        yield _At(ports, desk, Erasures(directory / read.database.erasures, desk, url), keys, directory)


async def _show(options: argparse.Namespace, at: _At) -> int:
    await inbox.note("show", "R", at.ports, reasons=tuple(word for word in (options.source, options.state) if word))
    async for slip in inbox.slips(at.ports, source=options.source, state=options.state):
        print(_line(slip))
    return 0


async def _feeds(options: argparse.Namespace, at: _At) -> int:  # noqa: ARG001 - one signature a command
    """Who was heard when, and who is late (rule E7); exit 0 also when some are: their data say so themselves."""
    await inbox.note("feeds", "R", at.ports)
    now = at.ports.now()
    for source in at.ports.policy.sources.values():
        if source.kind not in HELD_KINDS:
            continue
        heard = await at.desk.last_heard(source.id)
        due = heard + source.expected_every if heard and source.expected_every else None
        state = "never" if heard is None else "late" if due is not None and now > due else "ok"
        moments = [instant(one) if one else "-" for one in (heard, due)]
        print("\t".join((source.id, source.custodian, source.kind, *moments, state)))
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
    """Oldest first, in an order that reading anew does not change, so that a run can be broken off and gone on with."""
    since = datetime.combine(options.since, time.min, ZONE).astimezone(UTC)
    found = [slip async for slip in inbox.slips(at.ports, source=options.source, since=since)]
    wanted = sorted((slip for slip in found if slip.state in inbox.READABLE), key=_step)
    job = f"remap {options.since} {options.source} {__version__}"
    progress = Progress.of(at.directory / _PROGRESS, job, again=options.again)
    rest = [slip for slip in wanted if not progress.covers(*_step(slip))]
    if progress.done:
        print(f"gateway: goes on after the {progress.done} message(s) of the run that was broken off", file=sys.stderr)
    await inbox.note("remap", "U", at.ports, reasons=(f"{len(rest)} message(s)",))
    number = 0
    async for slip, (lines, dead) in side_by_side(
        rest, lambda one: _anew(one.receipt, at), same=lambda one: one.patient, most=options.jobs
    ):
        number += 1
        print("".join(f"{line}\n" for line in lines), end="")
        progress.advance(*_step(slip), dead)
        _show_progress(number, len(rest))
    progress.finish()
    unreadable = progress.dead
    print(f"gateway: {progress.done} message(s) read anew, {unreadable or 'none'} unreadable", file=sys.stderr)
    return 1 if unreadable else 0


def _jobs(text: str) -> int:
    count = int(text)
    if not 1 <= count <= _MOST_JOBS:
        message = f"between 1 and {_MOST_JOBS}"
        raise argparse.ArgumentTypeError(message)
    return count


def _step(slip: Slip) -> tuple[int, str]:
    return int(slip.received.timestamp() * 1_000_000), slip.receipt


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
    await inbox.note(action, "U", at.ports, reasons=(f"{len(wanted)} message(s)",))
    dead = 0
    for number, receipt in enumerate(wanted, 1):
        dead += await _one_anew(receipt, at, alone=len(wanted) == 1)
        _show_progress(number, len(wanted))
    print(f"gateway: {len(wanted)} message(s) read anew, {dead or 'none'} unreadable", file=sys.stderr)
    return 1 if dead else 0


async def _one_anew(receipt: str, at: _At, *, alone: bool = False) -> bool:
    """Read one message anew and print what became of it; true when it is unreadable."""
    lines, dead = await _anew(receipt, at, alone=alone)
    print("".join(f"{line}\n" for line in lines), end="")
    return dead


async def _anew(receipt: str, at: _At, *, alone: bool = False) -> tuple[list[str], bool]:
    """Read one message anew; give what became of it in lines, and whether it is unreadable."""
    try:
        taken = await inbox.read_anew(receipt, at.ports)
    except GatewayError as error:
        if error.row.status >= 500 or alone:
            raise
        return [f"{receipt}\tkept\t{error.text()}"], True
    lines = [f"{receipt}\t{one.state}\t{one.message.reason or '-'}" for one in taken]
    return lines, any(one.state == "dead" for one in taken)


def _show_progress(number: int, total: int) -> None:
    """On a terminal only."""
    if sys.stderr.isatty():
        print(f"\rgateway: {number} of {total}", end="" if number < total else "\n", file=sys.stderr)


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
