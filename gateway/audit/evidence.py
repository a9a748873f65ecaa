"""Everything that keeps the log of a running gateway from being altered unseen, under one roof."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Protocol

from gateway.audit.checkpoints import log_of
from gateway.audit.notary import Notary, Signer, Trees
from gateway.audit.witnessing import Witnessing
from gateway.crypto.notes import WITNESS, Signature, Verifier
from gateway.errors import StartError, Unavailable
from gateway.settings import AuditTable, WitnessedTable

LAW_YEARS: Final = 5

log_: Final = logging.getLogger("gateway.audit")


class Witnessed(Protocol):
    """What was signed as a witness of others; see `gateway.storage.witness_store`."""

    async def last(self, origin: str) -> bytes | None:
        """The newest checkpoint of a log that was signed here."""
        ...

    async def history(self, origin: str) -> list[bytes]:
        """Checkpoints of a log that were signed here, the newest first."""
        ...

    async def keep(self, origin: str, old: bytes | None, size: int, at: datetime, note: bytes) -> bool:
        """Keep a checkpoint if the newest is still `old`."""
        ...


@dataclass
class Evidence:
    """Cuts checkpoints, has them witnessed, and is a witness itself."""

    notary: Notary
    witnessing: Witnessing
    store: Witnessed
    signer: Signer
    base: str
    others: Mapping[str, Sequence[bytes]]  # origin of a gateway -> its public keys
    opened: bool = False
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    @property
    def trees(self) -> Trees:
        """Where trees and checkpoints are kept."""
        return self.notary.trees

    async def open(self) -> list[str]:
        """Take up the log where it was left, and hold it against the witnesses; give those that did not answer.

        Raises:
            StartError: it is not what was signed.
        """
        await self.notary.open()
        await self.notary.turn()
        silent = await self.witnessing.check()
        self.opened = True
        return silent

    def start(self) -> None:
        """Follow the log from now on."""
        self._tasks = [asyncio.create_task(self.notary.run()), asyncio.create_task(self.witnessing.run())]

    async def close(self) -> None:
        """Cover the last record, and bring that to the witnesses."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        try:
            await self.notary.close()
            await self.witnessing.close()
        except Unavailable:  # a store that is down must not keep the process from ending
            log_.warning("the last records are in no checkpoint yet", extra={"state": "stopped"})

    def public_keys(self) -> list[Verifier]:
        """The keys of this gateway's checkpoints, the newest first."""
        return keys_of(self.base, self.signer)

    def verifiers(self, origin: str) -> list[Verifier]:
        """The keys a log of another gateway may be signed with; none when it is not witnessed here."""
        try:
            log_of(origin)
        except ValueError:
            return []
        return [Verifier(origin, public) for public in self.others.get(origin.rpartition("/")[0], ())]

    def cosign(self, text: str, now: datetime) -> Signature:
        """Sign a checkpoint of another gateway as its witness."""
        return witness_key(self.base, self.signer).cosign(text, now, self.signer.sign_audit)


def keys_of(base: str, signer: Signer) -> list[Verifier]:
    """The keys of a gateway's checkpoints under its own name, the newest first."""
    return [Verifier(base, public) for _, public in sorted(signer.audit_keys().items(), reverse=True)]


def witness_key(base: str, signer: Signer) -> Verifier:
    """The key a gateway signs with as a witness of others."""
    return Verifier(f"{base}/witness", signer.audit_keys()[signer.current("audit")], WITNESS)


def witnessed_by(tables: Sequence[WitnessedTable]) -> dict[str, list[bytes]]:
    """The gateways this one is a witness of, with their keys.

    Raises:
        StartError: a key cannot be read, or is of another gateway. Exit code 1.
    """
    found: dict[str, list[bytes]] = {}
    for table in tables:
        for text in table.keys:
            try:
                key = Verifier.parse(text)
            except ValueError as error:
                message = f"audit.witnessed '{table.id}': {error}"
                raise StartError(message, 1) from None
            if key.name != table.id:
                message = f"audit.witnessed '{table.id}': the key is of '{key.name}'"
                raise StartError(message, 1)
            found.setdefault(table.id, []).append(key.public)
    return found


def base_of(origin: str, public: str) -> str:
    """The name of a gateway in checkpoints: as configured, or its host."""
    return origin or public.partition("://")[2].rstrip("/") + "/audit"


def lawful(table: AuditTable) -> int:
    """The years records are kept where nobody asks for more.

    Raises:
        StartError: fewer than the law asks for. Exit code 1.
    """
    if table.retention_years < LAW_YEARS:
        message = f"audit.retention_years: {table.retention_years} is less than the {LAW_YEARS} years the law asks for"
        raise StartError(message, 1)
    return table.retention_years
