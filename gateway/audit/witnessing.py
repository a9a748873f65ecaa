"""Bring checkpoints to the witnesses, and before serving hold the log against what they last saw."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Protocol

from gateway.audit import checkpoints
from gateway.audit.checkpoints import Log, name_of, tree_in
from gateway.audit.merkle import Frontier, consistency_proof
from gateway.audit.nodes import Nodes
from gateway.audit.notary import SignedNote, Signer, verifiers
from gateway.audit.witness import Addition, Witness, WitnessError
from gateway.crypto.notes import Note
from gateway.errors import StartError, Unavailable

START_SECONDS: Final = 5.0  # a witness that does not answer does not keep the gateway from starting
CLOSE_SECONDS: Final = 3.0

log_: Final = logging.getLogger("gateway.audit")


class Kept(Protocol):
    """Where trees are kept; see `gateway.storage.audit_trees`."""

    async def logs(self) -> list[Log]:
        """Every log there is."""
        ...

    async def lost(self, log: Log) -> bool:
        """Claim that a loss of records of this log is on the record."""
        ...

    async def sizes(self) -> dict[Log, tuple[int, bytes]]:
        """Size and frontier of every tree."""
        ...

    async def nodes(self, log: Log, size: int, *more: int) -> Nodes:
        """What proofs over the first records need."""
        ...

    async def nodes_since(self, log: Log, known: Frontier, size: int) -> Nodes:
        """What a proof of growth needs."""
        ...

    async def keep_cosigned(self, witness: str, note: SignedNote) -> None:
        """Keep what a witness signed."""
        ...


@dataclass
class _Desk:
    """One witness: what it has seen of each log, and what waits for it."""

    witness: Witness
    seen: dict[Log, Frontier] = field(default_factory=dict)
    waiting: dict[Log, SignedNote] = field(default_factory=dict)
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    good: bool = True
    objection: str = ""


class Witnessing:
    """All witnesses of one process. A witness that is slow or down delays nothing but itself."""

    def __init__(self, witnesses: Iterable[Witness], kept: Kept, signer: Signer, base: str) -> None:
        self._desks = [_Desk(witness) for witness in witnesses]
        self._kept = kept
        self._signer = signer
        self._base = base

    def submit(self, note: SignedNote) -> None:
        """Have a checkpoint brought to every witness; only the newest of a log waits."""
        for desk in self._desks:
            desk.waiting[note.log] = note
            desk.wake.set()

    async def check(self) -> list[str]:
        """Hold every log against what each witness last saw; give the names of those that could not be asked.

        Raises:
            StartError: a log is shorter than, or another than, a witness saw; or it is gone.
        """
        silent = []
        for desk in self._desks:
            try:
                async with asyncio.timeout(START_SECONDS):
                    await self._check(desk)
            except (WitnessError, TimeoutError) as error:
                log_.warning("a witness cannot be asked", extra={"source": desk.witness.id, "code": str(error)})
                silent.append(desk.witness.id)
        return silent

    async def run(self) -> None:
        """Serve every witness for as long as the process lives."""
        async with asyncio.TaskGroup() as group:
            for desk in self._desks:
                group.create_task(self._serve(desk))

    async def close(self) -> None:
        """Bring what still waits."""
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await asyncio.gather(*(self._bring_all(desk) for desk in self._desks))
        except TimeoutError:
            log_.warning("the last checkpoint did not reach every witness")

    # --- inside ----------------------------------------------------------------------------------

    async def _check(self, desk: _Desk) -> None:
        sizes = await self._kept.sizes()
        for log in await self._asked(sizes):
            history = await desk.witness.history(checkpoints.origin_of(self._base, log))
            if not history:
                continue
            note = history[0]
            _, size, root = tree_in(note.text)
            if not any(key.signed(note) for key in verifiers(self._base, log, self._signer)):
                self._refuse(desk, log, f"has a checkpoint of log {name_of(log)} signed with a key that is not here")
            have = sizes[log][0] if log in sizes else 0
            why = f"saw {size} records in log {name_of(log)}, here are {have}" if have < size else ""
            if not why:
                nodes = await self._kept.nodes(log, size)
                try:
                    frontier = nodes.frontier(size)
                except LookupError:
                    frontier = Frontier()
                if frontier.root() == root:
                    desk.seen[log] = frontier
                    continue
                why = f"saw other records among the first {size} of log {name_of(log)}"
            # A restore is on the record, and so is what it lost: care goes on, in a new epoch.
            if await self._kept.lost(log):
                log_.error("records were lost; the loss is on the record", extra={"source": desk.witness.id})
                continue
            self._refuse(desk, log, why)

    async def _asked(self, sizes: dict[Log, tuple[int, bytes]]) -> list[Log]:
        """Every log here, and of each slot the first epochs, which a database that was replaced would not know."""
        return sorted({*sizes, *await self._kept.logs(), (1, 1), (2, 1)})

    def _refuse(self, desk: _Desk, log: Log, why: str) -> None:
        message = (
            f"witness '{desk.witness.id}' {why}: the audit log was cut, changed or set back. Nothing is served from "
            f"it. Keep this database as it is for inquiry and run 'gateway audit verify'; then restore the newest "
            f"backup ('gateway restore FILE --newer URL'), or, when the loss was reported and cannot be undone, put it "
            f"on record with 'gateway audit acknowledge --log {name_of(log)} --reason TEXT' and start again"
        )
        raise StartError(message)

    async def _serve(self, desk: _Desk) -> None:
        while True:
            await desk.wake.wait()
            desk.wake.clear()
            await self._bring_all(desk)
            await asyncio.sleep(desk.witness.every.total_seconds())

    async def _bring_all(self, desk: _Desk) -> None:
        while desk.waiting:
            log = next(iter(desk.waiting))
            note = desk.waiting.pop(log)
            try:
                await self._bring(desk, note)
            except WitnessError as error:
                self._failed(desk, note, error)
                if error.objection is None:
                    return
            except (Unavailable, LookupError):
                log_.warning("a checkpoint waits for the store", extra={"source": desk.witness.id})
                return
            except Exception:  # one witness must not end the service of the others
                log_.exception("a checkpoint did not reach its witness")
                return
            else:
                desk.good, desk.objection = True, ""

    async def _bring(self, desk: _Desk, note: SignedNote) -> None:
        known = desk.seen.get(note.log) or Frontier()
        try:
            signed = await desk.witness.add(await self._addition(note, known))
        except WitnessError as error:
            other = error.objection.size if error.objection and error.objection.status == 409 else None
            if other is None or other == known.size or other > note.size:
                raise
            # Another process of this gateway, or an answer that got lost: it knows more than we thought.
            known = (await self._kept.nodes(note.log, other)).frontier(other)
            signed = await desk.witness.add(await self._addition(note, known))
        nodes = await self._kept.nodes_since(note.log, known, note.size)
        desk.seen[note.log] = nodes.frontier(note.size)
        await self._kept.keep_cosigned(desk.witness.id, SignedNote(note.log, note.at, note.size, signed.raw()))

    async def _addition(self, note: SignedNote, known: Frontier) -> Addition:
        nodes = await self._kept.nodes_since(note.log, known, note.size)
        return Addition(known.size, tuple(consistency_proof(known.size, note.size, nodes)), Note.parse(note.raw))

    def _failed(self, desk: _Desk, note: SignedNote, error: WitnessError) -> None:
        if error.objection is not None:
            if desk.objection != error.objection.why:  # once, not every second
                log_.critical("a witness objects", extra={"source": desk.witness.id, "code": error.objection.why})
            desk.objection = error.objection.why
        elif desk.good:
            log_.warning("a witness cannot be asked", extra={"source": desk.witness.id, "code": str(error)})
        desk.good = error.objection is not None
        if error.objection is None:
            desk.waiting.setdefault(note.log, note)
