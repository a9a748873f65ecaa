"""`gateway audit list|report|export`: who looked at what: for an auditor, for a citizen, and to take away."""

from __future__ import annotations

import argparse
import getpass
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Final, TextIO

from gateway.audit import export
from gateway.audit.citizen import Telling, registrations, report
from gateway.audit.reading import Line, lines
from gateway.audit.record import BEGUN
from gateway.audit.rendering import events
from gateway.audit.view import Viewer, fate
from gateway.commands.audit_at import At, bounds, opened_at, patients_of, query_of, viewer_of, within
from gateway.commands.opening import runner
from gateway.errors import StartError
from gateway.logged import AuditQuery
from gateway.model import Json, instant
from profiles import exact

_LONGEST: Final = 5_000  # events of one list


def list_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `gateway audit list`."""
    bounds(parser, "default: the last seven days")
    _whose(parser)
    parser.add_argument("--patient-file", metavar="FILE", help="holds a BSN, or SYSTEM|VALUE; '-' reads it from stdin")
    parser.add_argument("--agent", default="", help="a person, or the id of a client")
    parser.add_argument("--limit", type=int, default=500, help="at most this many records, newest first (default 500)")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="json: AuditEvents, one a line")
    parser.set_defaults(run=runner(opened_at, _list))


def report_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `gateway audit report`."""
    bounds(parser, "default: as long as records are kept")
    parser.add_argument("--patient-file", metavar="FILE", required=True, help="holds the BSN; '-' reads it from stdin")
    parser.add_argument("--format", choices=("json", "html"), default="json")
    parser.add_argument("--without-locations", action="store_true", help="name no organization: for who lives hidden")
    parser.set_defaults(run=runner(opened_at, _report))


def export_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `gateway audit export`."""
    bounds(parser, "default: the last seven days")
    _whose(parser)
    parser.add_argument("--format", choices=("ndjson", "csv"), default="ndjson")
    parser.add_argument(
        "--out", type=Path, help="is made, with FILE.manifest.jws beside it; default: stdout, manifest on stderr"
    )
    parser.set_defaults(run=runner(opened_at, _export))


def _whose(parser: argparse.ArgumentParser) -> None:
    who = parser.add_mutually_exclusive_group()
    who.add_argument("--organization", default="", metavar="URA", help="whose auditor reads; default: gateway.ura")
    who.add_argument(
        "--mandate", default="", metavar="ID", help="one of [[audit.mandates]]: more than one organization"
    )


async def _list(options: argparse.Namespace, at: At) -> int:
    query = query_of(options, at, timedelta(days=7))
    if options.patient_file:
        query = replace(query, patients=patients_of(options, at))
    query = replace(query, agent=options.agent.rpartition("|")[2])
    found: list[Line] = []
    more = False
    limit = max(1, min(options.limit, _LONGEST))
    async for one in lines(at.queries, query, viewer_of(options, at)):
        if isinstance(one, str) or one.seen.record.kind in BEGUN or not within(one.seen.record, query):
            continue
        if len(found) == limit:
            more = True
            break
        found.append(one)
    render = as_text if options.format == "text" else _as_events
    options.answer = "".join(render(one, at) for one in found)
    print(f"gateway: {len(found)} record(s){', and older ones: ask with --until' if more else ''}", file=sys.stderr)
    return 0


async def _report(options: argparse.Namespace, at: At) -> int:
    """The citizen's overview; it is on the record before it is printed."""
    years = timedelta(days=366 * at.read.audit.retention_years)
    query = replace(query_of(options, at, years), patients=patients_of(options, at))
    whole = Viewer("", operates=True, policy=at.policy, keys=at.keys, whole=True)
    records = [one.seen.record async for one in lines(at.queries, query, whole) if not isinstance(one, str)]
    records = [record for record in reversed(records) if within(record, query)]  # oldest first
    ended = []
    for name in registrations(records):
        about = replace(query, patients=(), entity=name)
        found = [one.seen.record async for one in lines(at.queries, about, whole) if not isinstance(one, str)]
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
    query, by = query_of(options, at, timedelta(days=7)), viewer_of(options, at)
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
            "since": instant(query.start), "until": instant(query.end), "organization": by.organization or options.mandate,
            "made": instant(at.now), "by": getpass.getuser(), "gateway": at.read.gateway.base, "policy": at.policy.revision,
        }  # fmt: skip
        signed = export.manifest(claims, at.keys)
        if options.out:
            options.out.with_name(f"{options.out.name}.manifest.jws").write_text(signed + "\n", encoding="ascii")
    except OSError as error:
        message = f"{options.out}: {error.strerror}"
        raise StartError(message, 1) from None
    options.noted = (*getattr(options, "noted", ()), f"rows={digest.rows}", f"sha256={digest.facts['sha256']}")
    print(f"gateway: {digest.rows} record(s)" if options.out else signed, file=sys.stderr)
    return 0


async def _written(out: TextIO, format_: str, query: AuditQuery, by: Viewer, digest: export.Digest, at: At) -> None:
    if format_ == "csv":
        out.write(digest.take(export.head()))
    async for one in lines(at.queries, query, by):
        if isinstance(one, str) or not within(one.seen.record, query):
            continue
        text = (
            export.rows(one.id, one.seen) if format_ == "csv" else export.ndjson(events(one.id, one.seen, at.recorder))
        )
        out.write(digest.take(text, 1, one.id))


def as_text(one: Line, at: At) -> str:
    """One record as a line: id, when, what, outcome, organization, who, purpose, patient, what became of it."""
    record = one.seen.record
    who = " ".join(word for word in (record.person or record.client, record.role) if word) or "-"
    asked = ", ".join(
        f"{at.policy.name(part.custodian) if part.custodian else part.facility or '?'} {fate(part, record)}"
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
