"""`gateway client add|list|disable`: clients kept in the database, beside those of region.toml."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path
from typing import Any

from gateway import settings
from gateway.app import database_url
from gateway.clock import SystemClock
from gateway.errors import StartError
from gateway.oauth.registered import ClientKeys
from gateway.policy import build
from gateway.settings import ClientTable
from gateway.storage import Database
from gateway.storage.client_store import ClientStore
from profiles import exact


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    commands = parser.add_subparsers(dest="what", required=True)
    add = commands.add_parser("add", help="register a client")
    add.add_argument("id")
    add.add_argument("--organization", required=True, metavar="URA")
    keys = add.add_mutually_exclusive_group(required=True)
    keys.add_argument("--jwks-file", type=Path, help="its public keys (JWK Set)")
    keys.add_argument("--jwks-uri", default="", help="where it publishes its public keys")
    for name, example in (("scope", "system/*.rs"), ("role", "01.015"), ("purpose", "behandeling")):
        add.add_argument(
            f"--{name}",
            action="append",
            default=[],
            metavar=name.upper(),
            help=f"may be given more than once, e.g. {example}",
        )
    add.add_argument("--person", choices=("claim", "system", "none"), default="claim")
    add.set_defaults(run=lambda options: asyncio.run(_add(options)))
    listing = commands.add_parser("list", help="every client, of the file and of the database")
    listing.set_defaults(run=lambda options: asyncio.run(_list(options)))
    disable = commands.add_parser("disable", help="refuse a client from now on")
    disable.add_argument("id")
    disable.set_defaults(run=lambda options: asyncio.run(_disable(options)))
    for command in (add, listing, disable):
        command.add_argument("--config", type=Path, default=Path("region.toml"))


async def _add(options: argparse.Namespace) -> int:
    read = settings.load(options.config, options.environment)
    policy = build(read)
    if options.id in policy.clients:
        message = f"client '{options.id}' is already in {options.config}"
        raise StartError(message, 1)
    if options.organization not in policy.organizations:
        message = f"organization '{options.organization}' is not declared in {options.config}"
        raise StartError(message, 1)
    client = ClientTable(
        id=options.id,
        organization=options.organization,
        jwks=_jwks(options.jwks_file),
        jwks_uri=options.jwks_uri,
        scopes=tuple(options.scope),
        roles=tuple(options.role),
        purposes=tuple(options.purpose),
        person=options.person,
    )
    ClientKeys(options.config.parent).load([client])
    async with _Store(options) as store:
        await store.add(client)
    print(f"gateway: client '{client.id}' registered", file=sys.stderr)
    return 0


async def _list(options: argparse.Namespace) -> int:
    read = settings.load(options.config, options.environment)
    for client in read.clients:
        _print(client, options.config.name)
    async with _Store(options) as store:
        for row in await store.list():
            _print(row.client, "disabled" if row.disabled else "database")
    return 0


async def _disable(options: argparse.Namespace) -> int:
    async with _Store(options) as store:
        if not await store.disable(options.id):
            message = f"no client '{options.id}' in the database; one of the file is removed there"
            raise StartError(message, 1)
    print(f"gateway: client '{options.id}' is refused from now on", file=sys.stderr)
    return 0


def _print(client: ClientTable, where: str) -> None:
    print("\t".join((client.id, client.organization, where, client.person, " ".join(client.scopes))))


def _jwks(path: Path | None) -> dict[str, Any] | None:
    if path is None:
        return None
    try:
        jwks = exact.decode(path.read_bytes())
    except (OSError, exact.NotExact) as error:
        message = f"{path}: not a readable JWK Set: {error}"
        raise StartError(message, 1) from None
    return jwks if "keys" in jwks else {"keys": [jwks]}


class _Store:
    """The client store beside a gateway that may be running."""

    def __init__(self, options: argparse.Namespace) -> None:
        read = settings.load(options.config, options.environment)
        self._url = database_url(read, options.config.parent)
        self._database: Database | None = None

    async def __aenter__(self) -> ClientStore:
        self._database = Database.open(self._url, exclusive=False)
        return ClientStore(self._database, SystemClock())

    async def __aexit__(self, *_: object) -> None:
        if self._database is not None:
            await self._database.close()
