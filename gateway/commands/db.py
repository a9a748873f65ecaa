"""`gateway db upgrade`: bring the database to this version."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from gateway import settings
from gateway.app import database_url
from gateway.storage import upgrade


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    commands = parser.add_subparsers(dest="what", required=True)
    up = commands.add_parser("upgrade", help="apply the migrations that are missing; safe to repeat")
    up.add_argument("--config", type=Path, default=Path("region.toml"))
    up.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Upgrade and say what was applied."""
    read = settings.load(options.config, options.environment)
    applied = upgrade(database_url(read, options.config.parent))
    options.noted = tuple(f"migration={name}" for name in applied)
    for name in applied:
        print(name)
    print(f"gateway: {len(applied) or 'no'} migration(s) applied", file=sys.stderr)
    return 0
