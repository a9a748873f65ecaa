"""`gateway init DIR`: a commented configuration, a key ring and an empty database to start from."""

from __future__ import annotations

import argparse
import sys
from importlib.resources import files
from pathlib import Path

from gateway import settings
from gateway.app import database_url
from gateway.clock import SystemClock
from gateway.crypto.ring import KeyRing
from gateway.errors import StartError
from gateway.storage import upgrade


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("directory", type=Path)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Write what a new gateway needs; nothing that exists is touched."""
    directory: Path = options.directory
    config = directory / "region.toml"
    if config.exists():
        message = f"{config} exists; nothing was changed"
        raise StartError(message, 1)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        config.write_bytes(files("gateway.commands").joinpath("region.toml").read_bytes())
    except OSError as error:
        message = f"{directory}: {error.strerror}"
        raise StartError(message) from None
    read = settings.load(config)
    KeyRing.create(directory / read.gateway.keys, SystemClock().now())
    upgrade(database_url(read, directory))
    print(
        f"gateway: wrote {config}, a key ring and a database; next: edit it, then 'gateway check --config {config}'",
        file=sys.stderr,
    )
    return 0
