"""The whole log of a gateway that is serving, examined in a thread with a loop of its own: who asks for care waits for no hashing."""

from __future__ import annotations

import asyncio
from pathlib import Path

from gateway.adapters.address import AddressPolicy
from gateway.adapters.http import HttpClient
from gateway.adapters.witnesses import witnesses_of
from gateway.audit.evidence import base_of
from gateway.audit.examination import Examination, Examiner, Progress
from gateway.audit.examining import ask_witnesses
from gateway.crypto.ring import KeyRing
from gateway.ports import Clock
from gateway.settings import Settings
from gateway.storage import Database
from gateway.storage.audit_trees import AuditTrees


async def examined(
    settings: Settings, url: str, directory: Path, keys: KeyRing, clock: Clock, progress: Progress
) -> Examination:
    """Read every log and hold it against what was signed and what witnesses hold.

    `progress` is called from another thread.

    Raises:
        StartError, Unavailable: the log cannot be read.
    """
    return await asyncio.to_thread(lambda: asyncio.run(_examined(settings, url, directory, keys, clock, progress)))


async def _examined(
    settings: Settings, url: str, directory: Path, keys: KeyRing, clock: Clock, progress: Progress
) -> Examination:
    table = settings.audit
    database = Database.open(url, exclusive=False)
    try:
        async with HttpClient(AddressPolicy.of(settings.gateway.source_networks)) as http:
            trees, base = AuditTrees(database), base_of(table.origin, settings.gateway.base)
            public = [one for _, one in sorted(keys.audit_keys().items(), reverse=True)]
            examiner = Examiner(trees, base, public, clock.now())
            await ask_witnesses(examiner, witnesses_of(table, directory, http), await trees.logs(), base)
            found = await examiner.run(None, progress)
            found.ended = clock.now()
            return found
    finally:
        await database.close()
