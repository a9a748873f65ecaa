"""The log of a configuration, opened for a command: whose auditor reads, which period, which person."""

from __future__ import annotations

import argparse
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Final

from gateway import settings
from gateway.app import database_url
from gateway.audit.participants import Recorder
from gateway.audit.record import Record
from gateway.audit.view import Viewer, viewer
from gateway.clock import SystemClock
from gateway.crypto.ring import KeyRing
from gateway.errors import StartError
from gateway.logged import AuditQueries, AuditQuery
from gateway.policy import ZONE, Policy, build
from gateway.storage.audit_lookup import AuditLookup
from gateway.storage.beside import beside
from profiles.identifiers import BSN_SYSTEM, passes_elfproef

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


def bounds(parser: argparse.ArgumentParser, usual: str) -> None:
    """Declare configuration and period; `usual` says what holds when no first day is given."""
    parser.add_argument("--config", type=Path, default=Path("region.toml"))
    parser.add_argument("--since", type=date.fromisoformat, metavar="YYYY-MM-DD", help=f"first day; {usual}")
    parser.add_argument("--until", type=date.fromisoformat, metavar="YYYY-MM-DD", help="last day; default: now")


def query_of(options: argparse.Namespace, at: At, usual: timedelta) -> AuditQuery:
    """The period of the options, else the usual one.

    Raises:
        StartError: it ends before it starts.
    """
    start = _midnight(options.since) if options.since else at.now - usual
    end = _midnight(options.until + timedelta(days=1)) if options.until else at.now + timedelta(minutes=1)
    if end <= start:
        raise StartError("--until is before --since", 2)
    return AuditQuery(start=start, end=end)


def within(record: Record, query: AuditQuery) -> bool:
    """Claim that what happened is in the period; it was written a little later."""
    return query.start <= datetime.fromisoformat(record.at) < query.end


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time.min, ZONE).astimezone(UTC)


def viewer_of(options: argparse.Namespace, at: At) -> Viewer:
    """Whose auditor reads (rule F1): one organization, or those of a mandate of two persons.

    Without any, only what belongs to no organization is seen.

    Raises:
        StartError: an organization or mandate nobody declared, or a mandate that is not in force.
    """
    operator = at.read.gateway.ura
    if getattr(options, "mandate", ""):
        return _mandated(options, at)
    ura = options.organization or operator
    if not ura:
        print("gateway: only what belongs to no organization; for more give --organization URA", file=sys.stderr)
        return Viewer("", operates=True, policy=at.policy, keys=at.keys)
    if ura not in at.policy.organizations and ura != operator:
        message = f"organization '{ura}' is not declared in {options.config}"
        raise StartError(message, 1)
    return viewer(ura, operator, at.policy, at.keys)


def _mandated(options: argparse.Namespace, at: At) -> Viewer:
    mandate = next((row for row in at.read.audit.mandates if row.id == options.mandate), None)
    if mandate is None:
        message = f"mandate '{options.mandate}' is not declared in [[audit.mandates]] of {options.config}"
        raise StartError(message, 1)
    if len({person.strip().casefold() for person in mandate.persons if person.strip()}) < 2:
        message = f"mandate '{mandate.id}': two different persons give it; name them in persons"
        raise StartError(message, 1)
    if not mandate.start <= at.now.astimezone(ZONE).date() <= mandate.end:
        message = f"mandate '{mandate.id}' is not in force today; it holds from {mandate.start} to {mandate.end}"
        raise StartError(message, 1)
    options.noted = (f"mandate={mandate.id}",)
    among = frozenset(mandate.organizations) - {"*"}
    return Viewer("", operates=False, policy=at.policy, keys=at.keys, whole=True, among=among)


def patients_of(options: argparse.Namespace, at: At) -> tuple[str, ...]:
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


@asynccontextmanager
async def opened_at(options: argparse.Namespace) -> AsyncIterator[At]:
    """Open the log of a configuration beside whoever serves it."""
    read = settings.load(options.config, options.environment)
    policy = build(read)
    keys = KeyRing.open(options.config.parent / read.gateway.keys, policy.identifier_systems)
    async with beside(database_url(read, options.config.parent)) as (database, _):
        yield At(read, policy, keys, AuditLookup(database), SystemClock().now())
