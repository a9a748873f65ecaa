"""Translation in processes of their own: started when one is needed first, ended when a document takes too long."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from gateway.adapters.worker import FRAME, Asked, Said
from mappings.model import Loss, NotMappable, Origin, Translation
from profiles import exact

_START_SECONDS: Final = 30.0
_BUFFER_BYTES: Final = 1 << 20


class WorkerEnded(RuntimeError):
    """A process ended before it answered, or a map broke in it; the text never repeats content."""


class Workers:
    """A few processes that translate (port `Translators`): as many as there are cores, and two at least.

    INVARIANT: one source never holds all of them, so that nobody waits for the document of another.
    """

    def __init__(self, guidelines: Path, most: int | None = None) -> None:
        self._guidelines = guidelines
        most = max(2, most or os.cpu_count() or 1)
        self._turns = asyncio.Semaphore(most)
        self._share = most - 1
        self._shares: dict[str, asyncio.Semaphore] = {}
        self._idle: list[_Worker] = []
        self._ending: set[asyncio.Task[int]] = set()

    async def translate(self, body: bytes, format_: str, origin: Origin, map_: str, seconds: float) -> Translation:
        """Translate in a process that is ended when the time is up.

        Waiting for a turn is part of the time; that a process must be started first is not.

        Raises:
            NotMappable: the bytes cannot be read as the format.
            TimeoutError: it took longer.
            WorkerEnded: the process or a map of it broke.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        async with self._turn(origin.source, until):
            left = max(until - loop.time(), 0.0)
            worker = self._waiting() or await self._started()
            try:
                async with asyncio.timeout(left):
                    said, resources = await worker.ask(Asked(format_, origin, map_, left), body)
            except BaseException:  # in the midst of a document: it is of no use to the next one
                self._end(worker)
                raise
            self._idle.append(worker)
        return _read(said, resources)

    async def close(self) -> None:
        """End every process."""
        while self._idle:
            self._end(self._idle.pop())
        await asyncio.gather(*self._ending)

    @asynccontextmanager
    async def _turn(self, source: str, until: float) -> AsyncIterator[None]:
        share = self._shares.setdefault(source, asyncio.Semaphore(self._share))
        async with asyncio.timeout_at(until):
            await share.acquire()
            try:
                await self._turns.acquire()
            except BaseException:
                share.release()
                raise
        try:
            yield
        finally:
            self._turns.release()
            share.release()

    def _waiting(self) -> _Worker | None:
        """A process that has nothing to do; one that ended meanwhile is buried."""
        while self._idle:
            worker = self._idle.pop()
            if worker.process.poll() is None:
                return worker
            self._end(worker)
        return None

    async def _started(self) -> _Worker:
        worker = await _Worker.begun(self._guidelines)
        try:
            async with asyncio.timeout(_START_SECONDS):
                await worker.answer()
        except TimeoutError:
            self._end(worker)
            message = "a process to translate in did not start"
            raise WorkerEnded(message) from None
        except BaseException:
            self._end(worker)
            raise
        return worker

    def _end(self, worker: _Worker) -> None:
        task = asyncio.ensure_future(worker.end())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)


@dataclass(frozen=True, slots=True)
class _Worker:
    """One process, and the socket that is its standard input and output."""

    process: subprocess.Popen[bytes]
    source: asyncio.StreamReader
    sink: asyncio.StreamWriter

    @classmethod
    async def begun(cls, guidelines: Path) -> _Worker:
        here, there = socket.socketpair()
        with there:
            process = subprocess.Popen(  # noqa: ASYNC220, S603 - it waits for nothing, and runs this program itself
                [sys.executable, "-m", "gateway.adapters.worker", str(guidelines)],
                stdin=there.fileno(), stdout=there.fileno(), stderr=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
        source, sink = await asyncio.open_connection(sock=here, limit=_BUFFER_BYTES)
        return cls(process, source, sink)

    async def ask(self, asked: Asked, body: bytes) -> tuple[Said, bytes]:
        told = msgspec.json.encode(asked)
        try:
            self.sink.write(FRAME.pack(len(told), len(body)) + told)
            self.sink.write(body)
            await self.sink.drain()
        except ConnectionError:
            raise WorkerEnded("a process ended while it was told what to translate") from None
        return await self.answer()

    async def answer(self) -> tuple[Said, bytes]:
        try:
            said, size = FRAME.unpack(await self.source.readexactly(FRAME.size))
            told = msgspec.json.decode(await self.source.readexactly(said), type=Said)
            return told, await self.source.readexactly(size)
        except (asyncio.IncompleteReadError, ConnectionError):
            raise WorkerEnded("a process ended before it answered") from None

    async def end(self) -> int:
        self.process.kill()
        self.sink.close()
        with suppress(ConnectionError):
            await self.sink.wait_closed()
        return await asyncio.to_thread(self.process.wait)


def _read(said: Said, resources: bytes) -> Translation:
    if said.refused is not None:
        raise NotMappable(*said.refused)
    if said.failed:
        raise WorkerEnded(said.failed)
    made = tuple(exact.decode_any(resources))
    losses = tuple(Loss(path, kind, reason) for path, kind, reason in said.losses)  # type: ignore[arg-type]
    return Translation(made, said.keys, losses, said.map, said.version, said.facts, said.next)
