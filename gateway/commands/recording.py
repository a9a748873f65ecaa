"""What a command does leaves records (rule F2): an intent before it acts, an outcome after, in a log of its own beside a gateway that serves."""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import pwd
import re
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway import settings
from gateway.app import database_url
from gateway.audit.record import Kind, Record, encode
from gateway.clock import SystemClock
from gateway.errors import GatewayError, StartError
from gateway.ids import new_id
from gateway.model import instant
from gateway.policy import build
from gateway.ports import Clock
from gateway.storage.audit_store import AuditStore
from gateway.storage.beside import beside
from gateway.storage.engines import engine_of

Run = Callable[[argparse.Namespace], int]

# These make or mend what a record needs, so only what became of them is recorded.
AFTERWARDS: Final = frozenset({"init", "db", "restore"})
# These show no patient and change nothing, and must work where the log does not.
REGARDLESS: Final = frozenset({"check", "maps", "validate", "profiles", "token", "audit verify", "audit prove"})
# Options whose values say what was done; every other value stays out of the record.
NAMED: Final = (
    "id",
    "organization",
    "kind",
    "purpose",
    "role",
    "requester",
    "source",
    "state",
    "since",
    "until",
    "format",
)
_NUMBER: Final = re.compile(r"\d{9,}")
_WAITS: Final = 20  # times a quarter of a second that another command may be writing
_STATUS: Final = {0: 200, 1: 422, 2: 400}


def recorded(options: argparse.Namespace, run: Run, clock: Clock | None = None) -> int:
    """Run a command with its records.

    A command may leave `patient_id` (whom it was about), `noted` (what it did) and `answer` (what to print after
    its record is durable) in its options.

    Raises:
        StartError: there is a log and it cannot be written, so nothing was done; or what the command raises.
    """
    name = " ".join(word for word in (options.command, getattr(options, "what", "")) if word)
    act = _Act(name, options, clock or SystemClock())
    if options.command not in AFTERWARDS:
        act.note("intent", 0)
    exit_code = 3
    try:
        exit_code = run(options)
    except StartError as error:
        exit_code = error.exit_code
        raise
    except KeyboardInterrupt:
        exit_code = 130
        raise
    finally:
        act.note("command", exit_code)
    sys.stdout.write(getattr(options, "answer", ""))  # what shows a patient is printed when its record is durable
    return exit_code


@dataclass(frozen=True, slots=True)
class _Log:
    """Where records of commands go."""

    url: str
    organization: str
    policy: str


class _Act:
    """One run of one command."""

    def __init__(self, name: str, options: argparse.Namespace, clock: Clock) -> None:
        self._name = name
        self._options = options
        self._clock = clock
        self._request = new_id()

    def note(self, kind: Kind, exit_code: int) -> None:
        """Make a record durable, when there is a log.

        Raises:
            StartError: it cannot be written.
        """
        try:
            log = _log_of(self._options)
            if log is not None:
                record = encode(self._record(log, kind, exit_code))
                with ThreadPoolExecutor(1) as apart:  # whoever calls `main` may have a loop of its own
                    apart.submit(asyncio.run, _append(log.url, record, self._clock)).result()
        except (StartError, GatewayError) as error:
            if self._name in REGARDLESS or (kind == "command" and self._options.command in AFTERWARDS and exit_code):
                return
            done = "nothing was done" if kind == "intent" else "what was done is not on the record"
            text = error.text() if isinstance(error, GatewayError) else str(error)
            message = f"the log cannot be written, so {done}: {text}" if kind == "intent" else f"{text}; {done}"
            raise StartError(message) from None

    def _record(self, log: _Log, kind: Kind, exit_code: int) -> Record:
        named = (f"{name}={_NUMBER.sub('***', text)}" for name in NAMED if (text := _text(self._options, name)))
        return Record(
            kind=kind, at=instant(self._clock.now()), request=self._request, interaction="command", type=self._name,
            action="E", client="gateway", organization=log.organization, person=_user(), address=platform.node(),
            policy=log.policy, patient=getattr(self._options, "patient_id", ""), reasons=(*named, *getattr(self._options, "noted", ())),
            status=_STATUS.get(exit_code, 503) if kind == "command" else 0,
            error=f"exit-{exit_code}" if exit_code else "",
        )  # fmt: skip


def _log_of(options: argparse.Namespace) -> _Log | None:
    """The log of the configuration a command is about; None where nothing is configured or made yet.

    A command that needs no configuration works beside the one of its directory.
    """
    config: Path = getattr(options, "config", None) or Path("region.toml")
    if options.command == "init":
        config = options.directory / "region.toml"
    if not config.is_file():
        return None
    try:
        read = settings.load(config, options.environment)
        policy = build(read)
    except StartError:  # the command says what is wrong with it
        return None
    url = database_url(read, config.parent)
    return _Log(url, read.gateway.ura, policy.revision) if engine_of(url).exists(url) else None


async def _append(url: str, record: bytes, clock: Clock) -> None:
    for _ in range(_WAITS):
        try:
            async with beside(url) as (database, log):
                await AuditStore(database, clock, log).append(record)
                return
        except StartError as error:
            if "another gateway command" not in str(error):
                raise
        await asyncio.sleep(0.25)
    message = "another gateway command is at work on this database; try again when it is done"
    raise StartError(message)


def _text(options: argparse.Namespace, name: str) -> str:
    value = getattr(options, name, None)
    return " ".join(map(str, value)) if isinstance(value, list) else str(value or "")


def _user() -> str:
    """Who runs it, as the operating system knows: not what the environment says."""
    number = os.getuid()
    try:
        return f"os|{pwd.getpwuid(number).pw_name}"
    except KeyError:
        return f"os|{number}"
