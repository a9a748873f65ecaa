"""`gateway backup FILE`: what the database holds at this moment, in one file."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from gateway import settings
from gateway.app import database_url
from gateway.clock import SystemClock
from gateway.model import instant
from gateway.storage import back_up


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("file", type=Path, help="is made; never overwritten")
    parser.add_argument("--config", type=Path, default=Path("region.toml"))
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Write the file while the gateway may go on serving, and print how many rows of each table are in it."""
    read = settings.load(options.config, options.environment)
    made = back_up(database_url(read, options.config.parent), options.file, SystemClock().now())
    for table, count in made.rows.items():
        print(f"{table}\t{count}")
    print(
        f"gateway: {options.file} holds {instant(made.made)}, sha256 {made.digest}; the key ring is not in it: keep "
        f"{read.gateway.keys} apart, without it what is sealed cannot be read",
        file=sys.stderr,
    )
    return 0
