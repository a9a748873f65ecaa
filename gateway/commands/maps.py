"""`gateway maps check`: find what is wrong in the maps before a message does."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from gateway.adapters.guidelines import STORE
from mappings.linting import check_maps


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    commands = parser.add_subparsers(dest="what", required=True)
    check = commands.add_parser("check", help="check every map that is shipped, and those of guidelines")
    check.add_argument(
        "--guidelines", type=Path, default=STORE, metavar="DIR", help="where this gateway reads guidelines"
    )
    check.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:  # noqa: ARG001 - its guidelines are in use before it runs
    """Print one line a finding."""
    findings = check_maps()
    for finding in findings:
        print(finding)
    print(f"gateway: {len(findings) or 'no'} finding(s)", file=sys.stderr)
    return 1 if findings else 0
