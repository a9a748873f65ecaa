"""`gateway restore FILE`: fill a new database from a backup."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from gateway import settings
from gateway.app import database_url
from gateway.audit.record import Record, encode
from gateway.clock import SystemClock
from gateway.model import instant
from gateway.storage import Backup, restore


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("file", type=Path, help="made by gateway backup, of either engine")
    parser.add_argument(
        "--config", type=Path, default=Path("region.toml"), help="its database.url names the new database"
    )
    parser.add_argument(
        "--newer",
        default=None,
        metavar="URL",
        help="the database the backup was made of, when it can still be read: withdrawals, spent tokens, closed cases, "
        "disabled clients and log records since the backup are taken from there",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Restore, and say what may be missing."""
    read = settings.load(options.config, options.environment)
    clock = SystemClock()
    now = clock.now()

    def record(found: Backup) -> bytes:
        reasons = (
            f"restored-from {found.digest}",
            f"made {instant(found.made)}",
            f"newer {'replayed' if options.newer else 'not known'}",
        )
        return encode(Record(kind="start", at=instant(now), request="gateway restore", reasons=reasons))

    found = restore(database_url(read, options.config.parent), options.file, now, record, options.newer)
    for table, count in found.rows.items():
        print(f"{table}\t{count}")
    print(
        f"gateway: restored {instant(found.made)}; client assertions made before {instant(now)} are refused",
        file=sys.stderr,
    )
    if options.newer is None:
        print(
            f"gateway: withdrawals of consent, closed cases and disabled clients after {instant(found.made)} are not in this backup; when the old database can be "
            "read, restore again with --newer URL, else have them repeated before serving",
            file=sys.stderr,
        )
    return 0
