"""Cut checkpoints: follow what is committed, sign how far every log is, keep it, and bring it to the witnesses."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from time import monotonic_ns
from typing import Final, NoReturn, Protocol

from gateway.audit import checkpoints
from gateway.audit.checkpoints import Checkpoint, Head, Log
from gateway.audit.growing import GrowingTree, Growth
from gateway.audit.merkle import Frontier, leaf_hashes
from gateway.crypto.notes import Note, Verifier
from gateway.errors import StartError, Unavailable
from gateway.ports import Clock

RECORDS: Final = 256  # a checkpoint at the latest after so many
SECONDS: Final = 1.0  # or after so long
OTHERS_SECONDS: Final = 5.0  # how often logs nobody writes any more are looked for
PAGE: Final = 4_096

log_: Final = logging.getLogger("gateway.audit")


@dataclass(frozen=True, slots=True)
class SignedNote:
    """A checkpoint of a log, signed."""

    log: Log
    at: datetime
    size: int
    raw: bytes


class Signer(Protocol):
    """The audit keys; see `gateway.crypto.ring`."""

    def current(self, kind: str) -> int:
        """The number of the key new things are signed with."""
        ...

    def sign_audit(self, message: bytes, number: int | None = None) -> bytes:
        """Sign with a key."""
        ...

    def audit_keys(self) -> dict[int, bytes]:
        """The public keys by number."""
        ...


class Trees(Protocol):
    """Where trees and checkpoints are kept; see `gateway.storage.audit_trees`."""

    own: Log

    async def logs(self) -> list[Log]:
        """Every log there is."""
        ...

    async def newest(self, log: Log) -> int:
        """The number of the last record of a log."""
        ...

    async def rows(self, log: Log, after: int, until: int) -> list[tuple[int, int, bytes]]:
        """Records of a log."""
        ...

    async def retired_until(self, log: Log) -> int:
        """The number of the last record of a log that was retired."""
        ...

    async def live(self, now: datetime) -> set[Log]:
        """Logs other processes write."""
        ...

    async def held(self, log: Log) -> tuple[int, bytes, bytes | None]:
        """Size, frontier and newest checkpoint of a log, as they were at one moment."""
        ...

    async def lost(self, log: Log) -> bool:
        """Claim that a loss of records of this log is on the record: its slot goes on in a newer epoch."""
        ...

    async def sizes(self) -> dict[Log, tuple[int, bytes]]:
        """Size and frontier of every tree."""
        ...

    async def tree(self, log: Log) -> GrowingTree:
        """The tree of a log."""
        ...

    async def keep(self, growths: Sequence[Growth], notes: Sequence[SignedNote]) -> None:
        """Keep all of it or nothing."""
        ...

    async def last_note(self, log: Log) -> bytes | None:
        """The newest checkpoint of a log."""
        ...


def verifiers(base: str, log: Log, keys: Signer) -> list[Verifier]:
    """The keys a log may be signed with, the newest first."""
    origin = checkpoints.origin_of(base, log)
    return [Verifier(origin, public) for _, public in sorted(keys.audit_keys().items(), reverse=True)]


@dataclass
class Notary:
    """The checkpoints of one process. `submit` brings one to the witnesses; `jumped` puts a step of the clock on record.

    INVARIANT: a record is hashed as it was committed by this process, not as it is read back.
    """

    trees: Trees
    signer: Signer
    clock: Clock
    base: str
    heartbeat: timedelta
    clock_jump: timedelta
    jumped: Callable[[timedelta], Awaitable[None]]
    submit: Callable[[SignedNote], None] = lambda note: None  # noqa: ARG005 - nobody to bring it to
    found: dict[Log, int] = field(default_factory=dict)  # the records of each log when this process took it up
    _committed: deque[tuple[Log, int, list[bytes]]] = field(default_factory=deque)
    _waiting: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _grown: dict[Log, GrowingTree] = field(default_factory=dict)
    _heads: dict[Log, Head] = field(default_factory=dict)
    _signed_with: dict[Log, int] = field(default_factory=dict)
    _wake: asyncio.Event = field(default_factory=asyncio.Event)
    _loop: asyncio.AbstractEventLoop | None = None
    _last: tuple[datetime, int] | None = None
    _looked: float = 0.0
    _cut: float = 0.0

    # --- what is committed -----------------------------------------------------------------------

    def committed(self, log: Log, first: int, rows: Sequence[tuple[int, bytes]]) -> None:
        """Hash what was committed: called in the writer's thread, after its callers were told."""
        leaves = leaf_hashes(rows)
        with self._lock:
            self._committed.append((log, first, leaves))
            before, self._waiting = self._waiting, self._waiting + len(leaves)
        if before < RECORDS <= before + len(leaves) and self._loop is not None:
            self._loop.call_soon_threadsafe(self._wake.set)

    @property
    def size(self) -> int:
        """How many records of its own log are in the tree or wait to be."""
        with self._lock:
            waiting = self._waiting
        own = self._grown.get(self.trees.own) or self._heads.get(self.trees.own)
        return (own.size if own else 0) + waiting

    # --- the life of it --------------------------------------------------------------------------

    async def open(self) -> None:
        """Take up every tree where it was kept, and add the records that are not in it yet."""
        self._loop = asyncio.get_running_loop()
        live = await self.trees.live(self.clock.now())
        for log in await self.trees.sizes():
            if log not in live:
                await self._hold(log)
        await self._follow_others()
        self.found = {log: head.size for log, head in self._heads.items() if log not in live}
        self.found |= {log: tree.size for log, tree in self._grown.items() if log not in live}

    async def _hold(self, log: Log) -> None:
        """Hold a log against its own last checkpoint; records that are gone show here, changed ones when verified."""
        size, frontier, raw = await self.trees.held(log)
        why = ""
        try:
            head = Head(log, size, Frontier.load(size, frontier).root())
            signers = self._signers(log, raw) if raw else []
            last = Checkpoint.parse(Note.parse(raw).text) if raw and signers else None
            self._signed_with |= {log: signers[-1]} if signers else {}
        except ValueError:
            last = None
        if last is None:
            why = "its last checkpoint is gone or not signed by a key of this gateway"
        elif last.head != head:
            why = f"its last checkpoint covers {last.size} records, and they are not what is here"
        elif size > max(await self.trees.newest(log), await self.trees.retired_until(log)):
            why = f"{size} records were signed, and the last of them is gone"
        if why and await self.trees.lost(log):
            log_.error("records were lost; the loss is on the record", extra={"state": checkpoints.name_of(log)})
        elif why:
            _refuse(log, why)

    async def run(self) -> None:
        """Cut checkpoints for as long as the process lives."""
        while True:
            try:
                async with asyncio.timeout(SECONDS):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            try:
                await self.turn()
            except Unavailable:  # the store is down: what was hashed waits
                log_.warning("no checkpoint was kept", extra={"state": "store-unavailable"})
            except Exception:  # the log must be followed whatever happened to one checkpoint
                log_.exception("no checkpoint was cut")

    async def turn(self) -> None:
        """One checkpoint, if there is anything to say."""
        now, ticks = self.clock.now(), monotonic_ns() // 1_000
        await self._watch_clock(now, ticks)
        seconds = ticks / 1e6
        await self._follow_own()
        if seconds - self._looked >= OTHERS_SECONDS:
            await self._follow_others()
            self._looked = seconds
        due = seconds - self._cut >= self.heartbeat.total_seconds()
        if due or any(tree.changed for tree in self._grown.values()):
            await self.cut(now, ticks)
            self._cut = seconds

    async def cut(self, now: datetime, ticks: int) -> None:
        """Sign how far every log is; for each log that grew, and for our own."""
        growths = [tree.growth() for tree in self._grown.values() if tree.changed]
        heads = self._heads | {one.head.log: one.head for one in growths}
        logs = {one.head.log for one in growths} | ({self.trees.own} if self.trees.own in heads else set())
        notes = [self._signed(heads[log], heads, now, ticks) for log in sorted(logs)]
        await self.trees.keep(growths, notes)
        self._heads = heads
        for growth in growths:
            self._grown[growth.head.log].kept(growth)
        for note in notes:
            self.submit(note)

    async def close(self) -> None:
        """The last checkpoint: nothing that was recorded stays uncovered."""
        await self._follow_own()
        await self._follow_others()
        newest = await self.trees.newest(self.trees.own)
        if newest:  # the writer hands on after it answered: the last may still be on its way
            await self._catch_up(await self._tree(self.trees.own), newest)
        await self.cut(self.clock.now(), monotonic_ns() // 1_000)

    # --- inside ----------------------------------------------------------------------------------

    async def _follow_own(self) -> None:
        with self._lock:
            batches, self._committed, self._waiting = list(self._committed), deque(), 0
        for log, first, leaves in batches:
            tree = await self._tree(log)
            if first > tree.size + 1:  # a commit of which the outcome was not known, or before this process followed
                await self._catch_up(tree, first - 1)
            tree.add(leaves[max(0, tree.size + 1 - first) :])

    async def _follow_others(self) -> None:
        """Logs that nobody writes and follows: of commands, and of processes that died."""
        sizes, live = await self.trees.sizes(), await self.trees.live(self.clock.now())
        for log in sorted({*await self.trees.logs(), *sizes}):
            size, frontier = sizes.get(log, (0, b""))
            if log not in self._grown:
                self._heads[log] = Head(log, size, Frontier.load(size, frontier).root())
            if log in live:
                continue
            known = self._grown[log].size if log in self._grown else size
            # Our own log is followed as it is committed; only what was there before is read.
            if log != self.trees.own or log not in self._grown:
                newest = await self.trees.newest(log)
                if newest > known:
                    await self._catch_up(await self._tree(log), newest)

    async def _tree(self, log: Log) -> GrowingTree:
        if log not in self._grown:
            self._grown[log] = await self.trees.tree(log)
            raw = await self.trees.last_note(log)
            if raw and (numbers := self._signers(log, raw)):
                self._signed_with[log] = numbers[-1]
        return self._grown[log]

    def _signers(self, log: Log, raw: bytes) -> list[int]:
        note, origin = Note.parse(raw), checkpoints.origin_of(self.base, log)
        keys = sorted(self.signer.audit_keys().items())
        return [number for number, public in keys if Verifier(origin, public).signed(note)]

    async def _catch_up(self, tree: GrowingTree, until: int) -> None:
        while tree.size < until:
            rows = await self.trees.rows(tree.log, tree.size, min(until, tree.size + PAGE))
            if not rows or rows[0][0] != tree.size + 1:
                log_.error("records are missing that no checkpoint covers yet", extra={"count": until - tree.size})
                return
            tree.add(leaf_hashes((at, body) for _, at, body in rows))

    def _signed(self, head: Head, heads: dict[Log, Head], now: datetime, ticks: int) -> SignedNote:
        live, closed = checkpoints.over(heads.values())
        origin = checkpoints.origin_of(self.base, head.log)
        text = Checkpoint(origin, head.size, head.root, now, ticks, live, closed).text()
        number = self.signer.current("audit")
        keys = self.signer.audit_keys()
        # At a rotation the old key vouches for the new one, once.
        numbers = sorted({number, self._signed_with.get(head.log, number)} & keys.keys(), reverse=True)
        self._signed_with[head.log] = number
        signatures = tuple(
            Verifier(origin, keys[one]).sign(text, partial(self.signer.sign_audit, number=one)) for one in numbers
        )
        return SignedNote(head.log, now, head.size, Note(text, signatures).raw())

    async def _watch_clock(self, now: datetime, ticks: int) -> None:
        last, self._last = self._last, (now, ticks)
        if last is None:
            return
        step = (now - last[0]) - timedelta(microseconds=ticks - last[1])
        if abs(step) > self.clock_jump:
            log_.warning("the clock moved", extra={"seconds": step.total_seconds()})
            await self.jumped(step)


def _refuse(log: Log, why: str) -> NoReturn:
    message = (
        f"audit log {checkpoints.name_of(log)}: {why}. Nothing is served from it. Keep this database as it is for "
        "inquiry and run 'gateway audit verify'; then restore the newest backup with 'gateway restore FILE --newer URL', or put a loss "
        f"that was reported on record: 'gateway audit acknowledge --log {checkpoints.name_of(log)} --reason TEXT'"
    )
    raise StartError(message)
