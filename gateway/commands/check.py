"""`gateway check`: say what is wrong before anybody depends on it."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from gateway import serving, settings
from gateway.adapters.dialects import dialect
from gateway.adapters.kinds import ASKED
from gateway.app import database_url
from gateway.audit.checkpoints import tree_in
from gateway.audit.evidence import base_of, keys_of, lawful, witness_key, witnessed_by
from gateway.audit.witness import WitnessError
from gateway.clock import SystemClock
from gateway.crypto.ring import KeyRing
from gateway.errors import StartError
from gateway.model import HELD_KINDS
from gateway.oauth.registered import ClientKeys
from gateway.policy import build
from gateway.storage import check_version
from gateway.storage.engines import engine_of
from mappings.translation import formats

_EARLIEST = datetime(2026, 1, 1, tzinfo=UTC)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--config", type=Path, default=Path("region.toml"))
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print one line a check; exit 1 when one is not ok."""
    try:
        read = settings.load(options.config, options.environment)
    except StartError as error:
        print(f"config\twrong\t{error}")
        return 1
    directory = options.config.parent
    checks: list[tuple[str, Callable[[], str]]] = [
        ("config", lambda: f"policy {build(read).revision}"),
        ("keys", lambda: f"{len(KeyRing.open(directory / read.gateway.keys).keys())} keys"),
        ("clock", _clock),
        ("database", lambda: _database(read, directory)),
        ("durability", lambda: _durability(read, directory)),
        ("clients", lambda: _clients(read, directory)),
        ("agreements", lambda: _agreements(read)),
        ("audit review", lambda: _review(options, read)),
        ("audit", lambda: _audit(read, directory)),
        *((f"witness {row.id}", lambda row=row: _witness(row, read, directory)) for row in read.audit.witnesses),
        ("listen", lambda: _listen(read)),
        *((f"source {row.id}", lambda row=row: _source(row, read, directory)) for row in read.sources),
    ]
    wrong = 0
    for name, check in checks:
        try:
            print(f"{name}\tok\t{check()}")
        except StartError as error:
            wrong += 1
            print(f"{name}\twrong\t{error}")
    print(f"gateway: {wrong or 'nothing'} wrong", file=sys.stderr)
    return 1 if wrong else 0


def _clock() -> str:
    now = SystemClock().now()
    if now < _EARLIEST:
        message = f"the clock says {now:%Y-%m-%d}, before this program was made; set it"
        raise StartError(message)
    return now.isoformat(timespec="seconds")


def _database(read: settings.Settings, directory: Path) -> str:
    url = database_url(read, directory)
    check_version(url)
    return url.partition("://")[0]


def _durability(read: settings.Settings, directory: Path) -> str:
    url = database_url(read, directory)
    check_version(url)
    return engine_of(url).durability(url)


def _audit(read: settings.Settings, directory: Path) -> str:
    """What others need to check our checkpoints, and to have us as a witness."""
    years = lawful(read.audit)
    witnessed_by(read.audit.witnessed)
    ring = KeyRing.open(directory / read.gateway.keys)
    base = base_of(read.audit.origin, read.gateway.base)
    alone = "" if read.audit.witnesses else "; no witness: whoever has database and key could change the log unseen"
    return f"kept {years} years; key {keys_of(base, ring)[0]}; as a witness {witness_key(base, ring)}{alone}"


def _witness(row: settings.WitnessTable, read: settings.Settings, directory: Path) -> str:
    return asyncio.run(_ask_witness(row, read, directory))


async def _ask_witness(row: settings.WitnessTable, read: settings.Settings, directory: Path) -> str:
    from gateway.adapters.address import AddressPolicy  # noqa: PLC0415 - the network is needed by this check only
    from gateway.adapters.http import HttpClient  # noqa: PLC0415
    from gateway.adapters.witnesses import witnesses_of  # noqa: PLC0415

    base = base_of(read.audit.origin, read.gateway.base)
    async with HttpClient(AddressPolicy.of(read.gateway.source_networks)) as http:
        (witness,) = witnesses_of(msgspec.structs.replace(read.audit, witnesses=(row,)), directory, http)
        try:
            seen = await witness.history(f"{base}/1.1")
        except WitnessError as error:
            message = f"{row.url or row.path} cannot be asked: {error}"
            raise StartError(message) from None
    return f"last saw {tree_in(seen[0].text)[1]} records of log 1.1" if seen else "has seen nothing of log 1.1 yet"


def _clients(read: settings.Settings, directory: Path) -> str:
    ClientKeys(directory).load(read.clients)
    return f"{len(read.clients)} in the file"


def _agreements(read: settings.Settings) -> str:
    today = SystemClock().now().date()
    ending = [row.id for row in read.agreements if today <= row.end < today + timedelta(days=30)]
    ended = [row.id for row in read.agreements if row.end < today]
    if ended:
        message = f"ended, so nothing is shared under it: {', '.join(ended)}"
        raise StartError(message)
    return f"{len(read.agreements)} in force" + (f"; within 30 days ends: {', '.join(ending)}" if ending else "")


def _review(options: argparse.Namespace, read: settings.Settings) -> str:
    """A warning, not a wrong: nothing stops because nobody looked (rule F6)."""
    from gateway.commands.audit_review import overdue  # noqa: PLC0415 - the log is opened by this check only

    if not read.gateway.ura:
        return "not asked: gateway.ura is not set"
    return overdue(options)


def _listen(read: settings.Settings) -> str:
    if not serving.is_loopback(read.gateway.listen) and read.gateway.base.startswith("http://"):
        message = (
            "gateway.base is http while gateway.listen is open to the network; put TLS in front and set base to https"
        )
        raise StartError(message)
    serving.bind(read.gateway.listen).close()
    return read.gateway.listen


def _source(row: settings.SourceTable, read: settings.Settings, directory: Path) -> str:
    if row.kind == "mllp":
        if not serving.is_loopback(row.listen) and not row.server_certificate:
            message = "listens to the network without TLS; set server_certificate, server_key and ca_file"
            raise StartError(message)
        return f"listens on {row.listen}"
    if row.kind == "inbox":
        return _inbox(row, directory)
    if row.kind not in ASKED:
        message = f"kind '{row.kind}' is not known; known are: {', '.join(sorted({*ASKED, *HELD_KINDS}))}"
        raise StartError(message)
    spoken = dialect(row.dialect)
    if spoken.format != row.kind:
        message = f"dialect '{row.dialect}' is for kind '{spoken.format}', not '{row.kind}'"
        raise StartError(message)
    return asyncio.run(_reach(row, read))


def _inbox(row: settings.SourceTable, directory: Path) -> str:
    format_ = row.dialect.partition("/")[0]
    if format_ and format_ not in formats():
        message = f"dialect '{row.dialect}': no map reads format '{format_}'; possible: {', '.join(formats())}"
        raise StartError(message)
    if not row.inbox:
        return "documents by HTTP"
    if not os.access(directory / row.inbox, os.R_OK | os.W_OK | os.X_OK):
        message = f"{directory / row.inbox}: not a directory this user may change; make it, owned by the gateway's user"
        raise StartError(message)
    return f"files in {row.inbox}"


async def _reach(row: settings.SourceTable, read: settings.Settings) -> str:
    from gateway.adapters.address import AddressPolicy  # noqa: PLC0415 - the network is needed by this check only
    from gateway.adapters.http import HttpClient, HttpError, tls_context  # noqa: PLC0415

    tls = tls_context(row.ca_file, row.client_certificate, row.client_key)
    describes_itself = row.kind.startswith("fhir-")
    where = row.url.rstrip("/") + "/metadata" if describes_itself else row.url
    async with HttpClient(AddressPolicy.of(read.gateway.source_networks)) as http:
        deadline = asyncio.get_running_loop().time() + 5.0
        try:
            answer = await http.request(
                "GET",
                where,
                headers={"accept": "application/fhir+json" if describes_itself else "*/*"},
                body=b"",
                deadline=deadline,
                limit_bytes=4_000_000,
                tls=tls,
            )
        except HttpError as error:
            message = f"{row.url} cannot be reached: {error}"
            raise StartError(message) from None
    # A source that takes questions only answers a GET with a refusal: somebody is there.
    if answer.status >= 500 or (describes_itself and answer.status != 200):
        message = f"{where} answered {answer.status}"
        raise StartError(message)
    return row.url
