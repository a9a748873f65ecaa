"""`gateway audit list|report|export`: who looked at what: for an auditor, for a citizen, and to take away."""

from __future__ import annotations

import argparse
import asyncio
import getpass
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Final, TextIO

from gateway import settings
from gateway.app import database_url
from gateway.audit import export
from gateway.audit.citizen import Telling, registrations, report
from gateway.audit.participants import Recorder
from gateway.audit.reading import Line, lines
from gateway.audit.record import Record
from gateway.audit.rendering import events
from gateway.audit.view import Viewer, fate, viewer
from gateway.clock import SystemClock
from gateway.crypto.ring import KeyRing
from gateway.errors import GatewayError, StartError
from gateway.logged import AuditQueries, AuditQuery
from gateway.model import Json, instant
from gateway.policy import ZONE, Policy, build
from gateway.storage.audit_lookup import AuditLookup
from gateway.storage.beside import beside
from profiles import exact
from profiles.identifiers import BSN_SYSTEM, passes_elfproef

_LONGEST: Final = 5_000  # events of one list
_PATIENT_BYTES: Final = 200


@dataclass(frozen=True, slots=True)
class At:
    """The log of a configuration, opened beside whoever serves it."""

    read: settings.Settings
    policy: Policy
    keys: KeyRing
    queries: AuditQueries
    now: datetime

    @property
    def recorder(self) -> Recorder:
        """The gateway as it names itself in events."""
        return Recorder(self.read.gateway.base, self.read.gateway.name, self.read.gateway.ura, self.policy)


_Run = Callable[[argparse.Namespace, At], Awaitable[int]]


def list_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `gateway audit list`."""
    _bounds(parser, "default: the last seven days")
    parser.add_argument("--organization", default="", metavar="URA", help="whose auditor reads; default: gateway.ura")
    parser.add_argument("--patient-file", metavar="FILE", help="holds a BSN, or SYSTEM|VALUE; '-' reads it from stdin")
    parser.add_argument("--agent", default="", help="a person, or the id of a client")
    parser.add_argument("--limit", type=int, default=500, help="at most this many records, newest first (default 500)")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="json: AuditEvents, one a line")
    parser.set_defaults(run=_runner(_list))


def report_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `gateway audit report`."""
    _bounds(parser, "default: as long as records are kept")
    parser.add_argument("--patient-file", metavar="FILE", required=True, help="holds the BSN; '-' reads it from stdin")
    parser.add_argument("--format", choices=("json", "html"), default="json")
    parser.add_argument("--without-locations", action="store_true", help="name no organization: for who lives hidden")
    parser.set_defaults(run=_runner(_report))


def export_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `gateway audit export`."""
    _bounds(parser, "default: the last seven days")
    parser.add_argument("--organization", default="", metavar="URA", help="whose auditor reads; default: gateway.ura")
    parser.add_argument("--format", choices=("ndjson", "csv"), default="ndjson")
    parser.add_argument(
        "--out", type=Path, help="is made, with FILE.manifest.jws beside it; default: stdout, manifest on stderr"
    )
    parser.set_defaults(run=_runner(_export))


async def _list(options: argparse.Namespace, at: At) -> int:
    query = _query(options, at, timedelta(days=7))
    if options.patient_file:
        query = replace(query, patients=_patients(options, at))
    query = replace(query, agent=options.agent.rpartition("|")[2])
    found: list[Line] = []
    more = False
    limit = max(1, min(options.limit, _LONGEST))
    async for one in lines(at.queries, query, _viewer(options, at)):
        if one is None or one.seen.record.kind == "intent" or not _within(one.seen.record, query):
            continue
        if len(found) == limit:
            more = True
            break
        found.append(one)
    render = _as_text if options.format == "text" else _as_events
    options.answer = "".join(render(one, at) for one in found)
    print(f"gateway: {len(found)} record(s){', and older ones: ask with --until' if more else ''}", file=sys.stderr)
    return 0


async def _report(options: argparse.Namespace, at: At) -> int:
    """The citizen's overview; it is on the record before it is printed."""
    years = timedelta(days=366 * at.read.audit.retention_years)
    query = replace(_query(options, at, years), patients=_patients(options, at))
    whole = Viewer("", operates=True, policy=at.policy, keys=at.keys, whole=True)
    records = [one.seen.record async for one in lines(at.queries, query, whole) if one is not None]
    records = [record for record in reversed(records) if _within(record, query)]  # oldest first
    ended = []
    for name in registrations(records):
        about = replace(query, patients=(), entity=name)
        found = [one.seen.record async for one in lines(at.queries, about, whole) if one is not None]
        ended += [record for record in found if record.interaction == "delete"]
    telling = Telling(at.policy, at.read.audit.names_in_report, places=not options.without_locations)
    made = report(records, ended, telling)
    name = at.read.gateway.name
    if options.format == "html":
        from gateway.audit.page import Frame, html  # noqa: PLC0415 - templates only where a page is made

        options.answer = html(made, Frame(name, query.start, min(query.end, at.now), at.now))
    else:
        frame: Json = {"report": "access-overview", "gateway": name, "made": instant(at.now)}
        frame |= {"since": instant(query.start), "until": instant(min(query.end, at.now))}
        options.answer = exact.encode(frame | made.as_json()).decode() + "\n"
    print(f"gateway: {len(made.events)} event(s), {len(made.available)} time(s) made available", file=sys.stderr)
    return 0


async def _export(options: argparse.Namespace, at: At) -> int:
    """Write the events and sign what was written; that it begins was on the record before."""
    query, by = _query(options, at, timedelta(days=7)), _viewer(options, at)
    digest = export.Digest()
    try:
        out = options.out.open("x", encoding="utf-8", newline="") if options.out else sys.stdout
        try:
            await _written(out, options.format, query, by, digest, at)
        finally:
            if options.out:
                out.close()
        claims: Json = {
            "file": options.out.name if options.out else "-", "format": options.format, **digest.facts,
            "since": instant(query.start), "until": instant(query.end), "organization": by.organization,
            "made": instant(at.now), "by": getpass.getuser(), "gateway": at.read.gateway.base, "policy": at.policy.revision,
        }  # fmt: skip
        signed = export.manifest(claims, at.keys)
        if options.out:
            options.out.with_name(f"{options.out.name}.manifest.jws").write_text(signed + "\n", encoding="ascii")
    except OSError as error:
        message = f"{options.out}: {error.strerror}"
        raise StartError(message, 1) from None
    options.noted = (f"rows={digest.rows}", f"sha256={digest.facts['sha256']}")
    print(f"gateway: {digest.rows} record(s)" if options.out else signed, file=sys.stderr)
    return 0


async def _written(out: TextIO, format_: str, query: AuditQuery, by: Viewer, digest: export.Digest, at: At) -> None:
    if format_ == "csv":
        out.write(digest.take(export.head()))
    async for one in lines(at.queries, query, by):
        if one is None or not _within(one.seen.record, query):
            continue
        text = (
            export.rows(one.id, one.seen) if format_ == "csv" else export.ndjson(events(one.id, one.seen, at.recorder))
        )
        out.write(digest.take(text, 1, one.id))


def _as_text(one: Line, at: At) -> str:
    record = one.seen.record
    who = " ".join(word for word in (record.person or record.client, record.role) if word) or "-"
    asked = ", ".join(
        f"{at.policy.name(part.custodian) if part.custodian else part.facility or '?'} {fate(part)}"
        for part in record.custodians
    )
    cells = (
        one.id, record.at, record.type if record.kind == "command" else record.interaction or record.kind,
        str(record.status or record.error or "-"), record.organization or "-", who, record.purpose or "-",
        record.patient or "-", asked or record.error or "-",
    )  # fmt: skip
    return "\t".join(cell.replace("\t", " ").replace("\n", " ") for cell in cells) + "\n"


def _as_events(one: Line, at: At) -> str:
    return export.ndjson(events(one.id, one.seen, at.recorder))


def _bounds(parser: argparse.ArgumentParser, usual: str) -> None:
    parser.add_argument("--config", type=Path, default=Path("region.toml"))
    parser.add_argument("--since", type=date.fromisoformat, metavar="YYYY-MM-DD", help=f"first day; {usual}")
    parser.add_argument("--until", type=date.fromisoformat, metavar="YYYY-MM-DD", help="last day; default: now")


def _query(options: argparse.Namespace, at: At, usual: timedelta) -> AuditQuery:
    start = _midnight(options.since) if options.since else at.now - usual
    end = _midnight(options.until + timedelta(days=1)) if options.until else at.now + timedelta(minutes=1)
    if end <= start:
        raise StartError("--until is before --since", 2)
    return AuditQuery(start=start, end=end)


def _within(record: Record, query: AuditQuery) -> bool:
    return query.start <= datetime.fromisoformat(record.at) < query.end


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time.min, ZONE).astimezone(UTC)


def _viewer(options: argparse.Namespace, at: At) -> Viewer:
    """The organization whose auditor reads (rule F1); there is no view of everything."""
    ura = options.organization or at.read.gateway.ura
    if not ura:
        raise StartError("whose auditor reads? give --organization URA, or set gateway.ura", 2)
    if ura not in at.policy.organizations and ura != at.read.gateway.ura:
        message = f"organization '{ura}' is not declared in {options.config}"
        raise StartError(message, 1)
    return viewer(ura, at.read.gateway.ura, at.policy, at.keys)


def _patients(options: argparse.Namespace, at: At) -> tuple[str, ...]:
    """Every pseudonymous id of the person in the file: never an argument, which every user of the machine could read."""
    try:
        file = options.patient_file
        text = sys.stdin.read(_PATIENT_BYTES) if file == "-" else Path(file).read_text("utf-8")[:_PATIENT_BYTES]
    except (OSError, UnicodeDecodeError) as error:
        message = f"{options.patient_file}: cannot be read: {type(error).__name__}"
        raise StartError(message, 1) from None
    system, bar, value = text.strip().rpartition("|")
    system, value = (system, value) if bar else (BSN_SYSTEM, value.zfill(9))
    if system == BSN_SYSTEM and not (len(value) == 9 and passes_elfproef(value)):
        raise StartError("the file does not hold one valid BSN", 1)
    try:
        ids = at.keys.patient_ids(system, value)
    except ValueError:
        raise StartError("this identifier system is not declared in [[identifier_systems]]", 1) from None
    options.patient_id = ids[0]
    return ids


def _runner(run: _Run) -> Callable[[argparse.Namespace], int]:
    async def opened(options: argparse.Namespace) -> int:
        async with _at(options) as at:
            return await run(options, at)

    def synchronous(options: argparse.Namespace) -> int:
        try:
            return asyncio.run(opened(options))
        except GatewayError as error:
            raise StartError(error.text(), 3 if error.row.status >= 500 else 1) from None

    return synchronous


@asynccontextmanager
async def _at(options: argparse.Namespace) -> AsyncIterator[At]:
    read = settings.load(options.config, options.environment)
    policy = build(read)
    keys = KeyRing.open(options.config.parent / read.gateway.keys, policy.identifier_systems)
    async with beside(database_url(read, options.config.parent)) as (database, _):
        yield At(read, policy, keys, AuditLookup(database), SystemClock().now())
