"""`gateway audit rebuild`: make again what is kept beside the records, where the records are as they were signed."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from gateway import settings
from gateway.app import database_url
from gateway.audit.checkpoints import Checkpoint, Log, name_of, origin_of
from gateway.audit.evidence import base_of
from gateway.audit.growing import GrowingTree
from gateway.audit.merkle import leaf_hashes
from gateway.crypto.notes import Note, Verifier
from gateway.crypto.ring import KeyRing
from gateway.storage import Database
from gateway.storage.audit_segments import AuditSegments
from gateway.storage.audit_trees import PAGE, AuditTrees


def rebuild_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--config", type=Path, default=Path("region.toml"))
    parser.set_defaults(run=rebuild)


def rebuild(options: argparse.Namespace) -> int:
    """Make trees and look-up tables again; exit 1 when the records of a log are not as its checkpoint says.

    Raises:
        StartError: a gateway serves from this database, or it cannot be opened.
    """
    return asyncio.run(_rebuild(options))


async def _rebuild(options: argparse.Namespace) -> int:
    read = settings.load(options.config, options.environment)
    keys = KeyRing.open(options.config.parent / read.gateway.keys).audit_keys()
    base = base_of(read.audit.origin, read.gateway.base)
    database = Database.open(database_url(read, options.config.parent))
    try:
        trees = AuditTrees(database)
        failed = [why for log in await trees.logs() if (why := await remade(trees, log, base, list(keys.values())))]
        count = await AuditSegments(database).rebuild()
    finally:
        await database.close()
    print(f"gateway: {count} records can be asked for again", file=sys.stderr)
    for why in failed:
        print(f"gateway: {why}", file=sys.stderr)
    return 1 if failed else 0


async def remade(trees: AuditTrees, log: Log, base: str, keys: list[bytes]) -> str:
    """Make the tree of a log again from its records; why that cannot be, empty when it was done.

    INVARIANT: nothing is kept whose root is not the one that was signed.
    """
    raw = await trees.last_note(log)
    if raw is None:
        return ""  # nothing was signed, so nothing was kept
    note, origin = Note.parse(raw), origin_of(base, log)
    if not any(Verifier(origin, key).signed(note) for key in keys):
        return f"log {name_of(log)}: its newest checkpoint is not signed by a key of this gateway; nothing was changed"
    signed = Checkpoint.parse(note.text).head
    if await trees.retired(log, 1, signed.size):
        return f"log {name_of(log)}: records were retired, and their hashes are only in a backup: restore audit_tile from one"
    tree = GrowingTree(log)
    while tree.size < signed.size:
        rows = await trees.rows(log, tree.size, min(tree.size + PAGE, signed.size))
        if not rows or rows[0][0] != tree.size + 1 or rows[-1][0] != tree.size + len(rows):
            return f"log {name_of(log)}: records are missing; nothing was changed"
        tree.add(leaf_hashes((at, body) for _, at, body in rows))
    if tree.head() != signed:
        return f"log {name_of(log)}: the records are not those that were signed; nothing was changed"
    await trees.replace(tree.growth())
    return ""
