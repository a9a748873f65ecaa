"""`gateway keys list|rotate`: the key ring, without showing a key."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from gateway import settings
from gateway.crypto.ring import KeyRing


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    commands = parser.add_subparsers(dest="what", required=True)
    listing = commands.add_parser("list", help="kind, number, algorithm, creation time and state of every key")
    listing.set_defaults(run=show)
    rotating = commands.add_parser("rotate", help="make a new key of a kind; the old ones stay to verify and open")
    rotating.add_argument("kind", choices=("token", "patient-id", "item-id", "seal", "audit"))
    rotating.set_defaults(run=rotate)
    for command in (listing, rotating):
        command.add_argument("--config", type=Path, default=Path("region.toml"))


def show(options: argparse.Namespace) -> int:
    """Print one line a key."""
    ring = _ring(options)
    for key in ring.keys():  # noqa: SIM118 - a method of the ring, not of a dict
        print(f"{key.kind}\t{key.number}\t{key.algorithm}\t{key.created or '-'}\t{key.state}")
    return 0


def rotate(options: argparse.Namespace) -> int:
    """Make a new key; a running gateway takes it up by itself."""
    made = _ring(options).rotate(options.kind)
    print(f"{made.kind}\t{made.number}\t{made.algorithm}")
    print(f"gateway: key {made.kind} {made.number} is current; older ones still verify and open", file=sys.stderr)
    return 0


def _ring(options: argparse.Namespace) -> KeyRing:
    read = settings.load(options.config, options.environment)
    return KeyRing.open(options.config.parent / read.gateway.keys)
