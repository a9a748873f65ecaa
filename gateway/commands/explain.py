"""`gateway explain`: why a decision comes out as it does, rule by rule; itself an access that is on the record."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Final

from consent.trace import trace
from gateway import settings
from gateway.app import database_url
from gateway.audit.record import Record, encode
from gateway.clock import SystemClock
from gateway.crypto.ring import KeyRing
from gateway.errors import GatewayError, StartError
from gateway.model import Json, instant
from gateway.policy import build
from gateway.ports import Ports
from gateway.preflight import asked_again, told
from gateway.storage import open_stores
from gateway.storage.beside import beside
from gateway.throttle import Counts
from profiles import exact

_REQUEST_BYTES: Final = 65_536


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--request",
        default="-",
        metavar="FILE",
        help='the question as JSON, e.g. {"client": …, "purpose": "TREAT", "type": "Condition", '
        '"custodian": URA, "patient": {"bsn": …}}; default: stdin',
    )
    parser.add_argument("--config", type=Path, default=Path("region.toml"))
    parser.add_argument("--json", action="store_true", help="one JSON object instead of text")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the explanation; exit 0 whatever the decision is."""
    said = _request(options.request)
    try:
        found = asyncio.run(_explained(options, said))
    except GatewayError as error:
        raise StartError(error.text(), 3 if error.row.status >= 500 else 1) from None
    sys.stdout.write(exact.encode(found).decode() + "\n" if options.json else _text(found))
    return 0


async def _explained(options: argparse.Namespace, said: Json) -> Json:
    async with _opened(options) as ports:
        request, facts = await asked_again(said, ports)
        await ports.audit.append(encode(_record(request.patient or "", ports)))
        return told(trace(request, facts), request, ports)


def _record(patient: str, ports: Ports) -> Record:
    return Record(
        kind="command",
        at=instant(ports.now()),
        request="command-explain",
        interaction="explain",
        action="E",
        type="explain",
        patient=patient,
        organization=ports.settings.gateway.ura,
        policy=ports.policy.revision,
        status=200,
    )


def _request(file: str) -> Json:
    """The question: never an argument, which every user of the machine could read."""
    try:
        raw = sys.stdin.buffer.read(_REQUEST_BYTES) if file == "-" else Path(file).read_bytes()[:_REQUEST_BYTES]
        return exact.decode(raw)
    except OSError as error:
        message = f"{file}: cannot be read: {error.strerror}"
        raise StartError(message, 1) from None
    except exact.NotExact as error:
        message = f"{'stdin' if file == '-' else file}: not a JSON object: {error}"
        raise StartError(message, 1) from None


def _text(found: Json) -> str:
    lines = [*found["decision"], ""]
    for step in found["steps"]:
        why = f": {step['why']}" if "why" in step else ""
        lines.append(f"{step['kind']:<10} {step['rule']:<24} {step['verdict']}{why}")
    lines += ["", "The caller sees: " + (", ".join(one["code"] for one in found["caller_sees"]) or "the data")]
    if found["patient_choice"]:
        lines.append(f"The patient's choice: {found['patient_choice']}.")
    lines.append(f"A refusal is {found['visibility']} to the caller. Policy revision {found['policy']}.")
    return "\n".join(lines) + "\n"


@asynccontextmanager
async def _opened(options: argparse.Namespace) -> AsyncIterator[Ports]:
    """The stores of a configuration, beside a gateway that may be serving."""
    read = settings.load(options.config, options.environment)
    directory, clock, policy = options.config.parent, SystemClock(), build(read)
    keys = KeyRing.open(directory / read.gateway.keys, policy.identifier_systems)
    async with beside(database_url(read, directory)) as (database, log):
        stores = open_stores(database, keys.seal, keys.unseal, clock, log)
        yield Ports(
            settings=read, policy=policy, clock=clock, keys=keys, audit=stores.audit, replay=stores.replay, clients=stores.clients,
            index=stores.index, consents=stores.consents, cases=stores.cases, inbox=stores.inbox, issued=stores.issued, sources={},
            refusals=Counts(30, timedelta(minutes=1)), misses=stores.misses, contracts=stores.contracts,
        )  # fmt: skip
