"""`gateway source test|probe`: try a source that is configured, and look at one that is not yet."""

from __future__ import annotations

import argparse
import asyncio
import getpass
import secrets
import sys
from pathlib import Path
from typing import Final, Literal

import msgspec

from consent.model import Custodian, Requester
from gateway import settings
from gateway.adapters.address import LOOPBACK, AddressPolicy
from gateway.adapters.dialects import dialect
from gateway.adapters.fhir import FhirSource
from gateway.adapters.http import tls_context
from gateway.adapters.source_auth import Asking
from gateway.clock import SystemClock
from gateway.crypto.ring import KeyRing
from gateway.errors import StartError
from gateway.model import HELD_KINDS, Context, Patient
from gateway.policy import Policy, build
from gateway.settings import Settings, SourceTable
from gateway.sourcekit import report
from gateway.sourcekit.probing import Probe, Reach, probe_file, probe_url
from gateway.sourcekit.reaching import Check, authorized, certified, declared, own
from gateway.sourcekit.recorder import Recorder
from gateway.sourcekit.trial import Asked, Tried
from gateway.sourcekit.trial import run as try_queries
from profiles import exact
from profiles.identifiers import BSN_SYSTEM, passes_elfproef

# Who types an address may also mean a machine of the own organization; cloud metadata addresses stay closed.
_OWN_NETWORKS: Final = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7", *LOOPBACK)
_TEST_SERIES: Final = "99999"  # BSNs that are never given to a person
_FILE_BYTES: Final = 64 * 1024 * 1024
_PATIENT_BYTES: Final = 1024


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    commands = parser.add_subparsers(dest="what", required=True)
    test = commands.add_parser("test", help="ask a configured source every query of its dialect, for one test patient")
    test.add_argument("id", help="id of the source in the configuration")
    test.add_argument(
        "--patient-file", type=Path, help="file with the test patient's BSN, or SYSTEM|VALUE; default: stdin"
    )
    test.add_argument("--config", type=Path, default=Path("region.toml"))
    test.add_argument("--seconds", type=float, default=30.0, help="how long an answer is waited for (default 30)")
    test.add_argument("--requester", default="", help="URA in whose name is asked; default: gateway.ura")
    for name, usual in (("purpose", "beheer"), ("role", ""), ("person", "")):
        test.add_argument(f"--{name}", default=usual, help=f"as the source is told (default {usual or 'none'})")
    test.set_defaults(run=lambda options: asyncio.run(_test(options)))
    probe = commands.add_parser(
        "probe", help="guess the dialect of a server or the format of a file; print a [[sources]] stanza"
    )
    probe.add_argument("target", metavar="URL|FILE")
    probe.add_argument("--id", default="", help="id for the stanza; default: from the name")
    probe.add_argument("--custodian", default="", help="URA for the stanza")
    for name in ("ca-file", "client-certificate", "client-key"):
        probe.add_argument(f"--{name}", default="")
    probe.add_argument("--seconds", type=float, default=10.0, help="how long an answer is waited for (default 10)")
    probe.set_defaults(run=_probe)
    for command in (test, probe):
        command.add_argument("--json", action="store_true", help="one JSON object instead of text")


async def _test(options: argparse.Namespace) -> int:
    """Exit 0 when all is well, 1 when the source answers otherwise than the line needs, 3 when it could not be asked."""
    read = settings.load(options.config, options.environment)
    policy = build(read)
    table = policy.sources.get(options.id)
    if table is None:
        message = f"no source '{options.id}' in {options.config}; known are: {', '.join(policy.sources) or 'none'}"
        raise StartError(message, 1)
    if table.kind.startswith("fhir-"):
        checks, tried = await _tried(options, read, policy, table)
    else:
        checks, tried = _pushed(table, options.config.parent), []
    code = _exit_code(checks, tried)
    if options.json:
        _print(report.trial_json(table.id, checks, tried, code))
    else:
        print(report.trial_text(table.id, checks, tried))
    return code


async def _tried(
    options: argparse.Namespace, read: Settings, policy: Policy, table: SourceTable
) -> tuple[list[Check], list[Tried]]:
    """Everything that is looked at before a query is asked, and then every query."""
    clock = SystemClock()
    keys = KeyRing.open(options.config.parent / read.gateway.keys, policy.identifier_systems)
    patient, context = _patient(options, policy, table, keys), _context(options, read, policy)
    options.patient_id = patient.id  # for the record of the command
    spoken = dialect(table.dialect)
    queries = spoken.asking(spoken.categories & (frozenset(table.categories) or spoken.categories), frozenset())
    deadline = min(read.gateway.deadline, table.deadline or read.gateway.deadline)
    # What the source is waited for is the option's; that it was too slow is then said of each query.
    table = msgspec.structs.replace(table, deadline=None)
    async with Recorder(_addresses(read), queries, table.auth.token_endpoint) as http:
        source = FhirSource(table, http, keys, read.gateway.base, clock)
        tls = tls_context(table.ca_file, table.client_certificate, table.client_key)
        checks = await _checked(
            Asking(table, http, keys, read.gateway.base, clock, tls), read, context, options.seconds
        )
        if any(not check.reached for check in checks):
            return checks, []
        custodian = Custodian(table.custodian, policy.facility_type(table.custodian))
        asked = Asked(table, custodian, patient, context, options.seconds, deadline)
        tried = await try_queries(asked, source, queries, http, keys, clock)
    if not any(one.items for one in tried if one.type == "Patient"):
        checks.append(Check("patient", "wrong", "the test patient was not found there, so the queries prove nothing"))
    return checks, tried


async def _checked(asking: Asking, read: Settings, context: Context, seconds: float) -> list[Check]:
    """Certificate, metadata, version and token of one source."""
    table, now = asking.table, asking.clock.now()
    found, metadata = await declared(asking.http, table.url, asking.tls, seconds)
    checks = [await certified(table.url, asking.tls, _addresses(read), seconds, now), metadata]
    if table.client_certificate:
        checks.append(own("own certificate", table.client_certificate, now))
    if found is not None:
        state: Literal["ok", "wrong"] = "ok" if found.kind == table.kind else "wrong"
        checks.append(Check("version", state, f"FHIR {found.version or 'unknown'} for kind {table.kind}"))
    return [*checks, await authorized(asking, context, seconds)]


def _addresses(read: Settings) -> AddressPolicy:
    return AddressPolicy.of((*read.gateway.source_networks, *(LOOPBACK if read.gateway.demo else ())))


def _pushed(table: SourceTable, directory: Path) -> list[Check]:
    """A source that pushes cannot be asked; what it will find here can be looked at."""
    asked = table.kind not in HELD_KINDS
    why = "its questions are not FHIR; `gateway check` reaches it" if asked else "it pushes, there is nothing to ask"
    checks = [Check("kind", "note", f"{table.kind}: {why}")]
    now = SystemClock().now()
    if table.inbox:
        there = (directory / table.inbox).is_dir()
        checks.append(
            Check("inbox", "ok" if there else "wrong", table.inbox if there else f"{table.inbox} is no directory")
        )
    if table.server_certificate:
        checks.append(own("own certificate", table.server_certificate, now))
    elif table.kind == "mllp":
        checks.append(Check("own certificate", "note", "none: the listener has no TLS"))
    return checks


def _patient(options: argparse.Namespace, policy: Policy, table: SourceTable, keys: KeyRing) -> Patient:
    """The test patient: never from an argument, and never a person.

    Raises:
        StartError: nothing usable was given, or a BSN that may be a person's.
    """
    text = _identifier(options).strip()
    system, bar, value = text.rpartition("|")
    system = system if bar else BSN_SYSTEM
    if system == BSN_SYSTEM and not (passes_elfproef(value) and value.startswith(_TEST_SERIES)):
        message = f"not a test BSN ({_TEST_SERIES}…, valid): a source is never tried on a person"
        raise StartError(message, 1)
    if system != BSN_SYSTEM and policy.identifier_systems.get(system) != table.custodian:
        message = "this identifier system is not declared in [[identifier_systems]] for the custodian of the source"
        raise StartError(message, 1)
    if not value:
        raise StartError("no identifier of a test patient on stdin or in --patient-file", 2)
    return Patient(keys.patient_id(system, value), system, value)


def _identifier(options: argparse.Namespace) -> str:
    try:
        if options.patient_file is not None:
            with options.patient_file.open(encoding="utf-8") as file:
                return str(file.read(_PATIENT_BYTES))
        if sys.stdin.isatty():
            return getpass.getpass("BSN of the test patient, or SYSTEM|VALUE: ")
        return sys.stdin.readline(_PATIENT_BYTES)
    except (OSError, UnicodeDecodeError) as error:
        message = f"{options.patient_file or 'stdin'}: the test patient cannot be read ({type(error).__name__})"
        raise StartError(message, 1) from None


def _context(options: argparse.Namespace, read: Settings, policy: Policy) -> Context:
    ura = options.requester or read.gateway.ura
    if not ura:
        raise StartError("no organization to ask for: set gateway.ura or give --requester URA", 1)
    requester = Requester(
        "source-test", ura, policy.facility_type(ura), role=options.role or None, person=options.person or None
    )
    name = policy.name(ura) if ura in policy.organizations else read.gateway.operator or ura
    return Context(requester, name, "", "", options.purpose, "", secrets.token_urlsafe(12))


def _exit_code(checks: list[Check], tried: list[Tried]) -> int:
    if any(not check.reached for check in checks):
        return 3
    return 1 if any(check.state == "wrong" for check in checks) or not all(one.is_good for one in tried) else 0


def _probe(options: argparse.Namespace) -> int:
    """Exit 0 when something is known of it, 1 when nothing is, 3 when it could not be reached."""
    found = asyncio.run(_probed_url(options)) if "://" in options.target else _probed_file(options)
    if options.json:
        _print(report.probe_json(found))
    else:
        print(report.probe_text(found))
    return found.exit_code


async def _probed_url(options: argparse.Namespace) -> Probe:
    if "?" in options.target or "#" in options.target or "@" in options.target:
        raise StartError("give the base URL of the FHIR server, without query, fragment or user", 2)
    given = (
        ("ca_file", options.ca_file),
        ("client_certificate", options.client_certificate),
        ("client_key", options.client_key),
    )
    context = tls_context(*(value for _, value in given))
    reach = Reach(AddressPolicy.of(_OWN_NETWORKS), context, given, options.seconds)
    return await probe_url(options.target, options.id, options.custodian, reach, SystemClock().now())


def _probed_file(options: argparse.Namespace) -> Probe:
    path = Path(options.target)
    try:
        with path.open("rb") as file:
            body = file.read(_FILE_BYTES + 1)
    except OSError as error:
        message = f"{path}: {error.strerror}"
        raise StartError(message, 1) from None
    if len(body) > _FILE_BYTES:
        message = f"{path}: larger than {_FILE_BYTES} bytes; probe a part of it"
        raise StartError(message, 1)
    return probe_file(path, body, options.id, options.custodian, SystemClock().now())


def _print(made: report.Json) -> None:
    sys.stdout.buffer.write(exact.encode(made) + b"\n")
