"""The command line: `gateway COMMAND`. stdout is data, stderr is talk; exit codes 0 ok, 1 input not ok, 2 wrong use, 3 could not."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from gateway.adapters.guidelines import use_before
from gateway.errors import StartError, Unavailable
from gateway.version import __version__
from profiles.layers import layered

# One module a command group in gateway.commands; each is imported when its command runs.
COMMANDS: Final[Mapping[str, str]] = {
    "demo": "run a whole simulated region on this machine",
    "init": "write a commented configuration and keys into a directory",
    "check": "say what is wrong with configuration, keys, clock, database and sources",
    "serve": "run the gateway",
    "token": "get an access token for a registered client whose key is at hand",
    "map": "translate a source file to FHIR R4",
    "maps": "check the maps",
    "guideline": "prove, compare and add a folder of maps with its examples",
    "validate": "check resources against FHIR R4 and profiles",
    "profiles": "build, add, list and compare profile sets",
    "source": "try a configured source, or look at a server or file that may become one",
    "selftest-client": "run an integrator's client through faults, and say what it did right and wrong",
    "explain": "say why a decision comes out as it does, rule by rule",
    "agreement": "list agreements; say in words who could newly see what before a change is active",
    "client": "register, list and disable clients",
    "keys": "list and rotate keys",
    "db": "bring the database to this version",
    "inbox": "look at what was pushed; release, read anew, erase",
    "audit": "prove the log whole, prove one record, show what was on screen, answer who looked",
    "backup": "write what the database holds at this moment into one file",
    "restore": "fill a new database from a backup",
}

# These keep records themselves: of their start and stop, or of each thing they do.
KEEP_THEIR_OWN: Final = frozenset({"serve", "demo", "selftest-client", "inbox"})


def main(arguments: Sequence[str] | None = None, environment: Mapping[str, str] | None = None) -> int:
    """Run one command and give its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    said = dict(os.environ) if environment is None else dict(environment)  # noqa: TID251 - read once, here
    parser = argparse.ArgumentParser(prog="gateway", description="FHIR R4 gateway for one ROAZ region")
    parser.add_argument("--version", action="version", version=f"gateway {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    wanted = next((word for word in given if not word.startswith("-")), "")
    try:
        use_before(given, said)
        for name, summary in COMMANDS.items():
            added = commands.add_parser(name, help=summary, description=summary)
            if name == wanted:
                _declare(name, added)
    except StartError as error:
        print(f"gateway: {error}", file=sys.stderr)
        return error.exit_code
    options = parser.parse_args(given)
    options.environment = said
    run: Callable[[argparse.Namespace], int] = options.run
    try:
        if options.command in KEEP_THEIR_OWN or not _configured(options):
            return run(options)
        recording = importlib.import_module("gateway.commands.recording")
        return int(recording.recorded(options, run))
    except StartError as error:
        print(f"gateway: {error}", file=sys.stderr)
        return error.exit_code
    except Unavailable as error:
        print(f"gateway: {error.text()}", file=sys.stderr)
        return 3
    except BrokenPipeError:
        return 0
    except KeyboardInterrupt:
        return 130


def _declare(name: str, parser: argparse.ArgumentParser) -> None:
    """Load a command, and with it the tables it decides by.

    Raises:
        StartError: a guideline of the region left a table in pieces.
    """
    try:
        importlib.import_module(f"gateway.commands.{name.replace('-', '_')}").arguments(parser)
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        if not layered():
            raise
        message = f"a table that guidelines lay over is not well formed ({error!r}): see `gateway guideline test`"
        raise StartError(message, 1) from None


def _configured(options: argparse.Namespace) -> bool:
    """Claim that there may be a log: a command that needs no configuration works beside that of its directory."""
    config: Path = getattr(options, "config", None) or Path("region.toml")
    return options.command == "init" or config.is_file()
