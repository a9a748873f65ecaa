"""One HL7 v2 feed that pushes over MLLP: strict frames in, an acknowledgment out for each, the listener is the custodian."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

from gateway.errors import StartError
from gateway.settings import SourceTable

START: Final = 0x0B
END: Final = 0x1C
RETURN: Final = 0x0D
MESSAGE_BYTES: Final = 10 * 1024 * 1024
_CHUNK: Final = 65_536
_LOG: Final = logging.getLogger(__name__)

Fault = Literal["garbage", "nested-start", "bad-end", "too-large", "cut-off", "timeout", "too-many-connections"]
Accept = Callable[[str, bytes, str], Awaitable[bytes]]
# The one answer that can be given without reading the message: rejected, and why.
_REJECTED: Final = b"MSH|^~\\&|||||||ACK|0|P|2.5\rMSA|AR||message too large\r"


class FrameError(Exception):
    """The sender does not keep to the framing; `fault` says how."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault)
        self.fault: Fault = fault


class Frames:
    """Take bytes as they come, give the messages in them: `<VT> message <FS><CR>`, and nothing else.

    Spec: HL7 'Transport Specification: MLLP', release 1, section 4 (strict: no byte outside a frame).
    """

    def __init__(self, maximum_bytes: int = MESSAGE_BYTES) -> None:
        self._maximum = maximum_bytes
        self._state: Literal["outside", "inside", "ending"] = "outside"
        self._message = bytearray()

    @property
    def is_inside(self) -> bool:
        """Claim that a frame was begun and not ended."""
        return self._state != "outside"

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The messages that are complete with this chunk, each before what follows it is looked at.

        Raises:
            FrameError: a byte that may not stand where it stands, or a message over the bound.
        """
        at = 0
        while at < len(chunk):
            if self._state == "outside":
                at = self._begin(chunk, at)
            elif self._state == "inside":
                at = self._collect(chunk, at)
            else:
                at = self._finish(chunk, at)
                yield bytes(self._message)
                self._message.clear()

    def _begin(self, chunk: bytes, at: int) -> int:
        if chunk[at] != START:
            raise FrameError("garbage")
        self._state = "inside"
        return at + 1

    def _collect(self, chunk: bytes, at: int) -> int:
        end = chunk.find(END, at)
        stop = len(chunk) if end < 0 else end
        room = self._maximum - len(self._message)
        if chunk.find(START, at, min(stop, at + room + 1)) >= 0:  # one beyond the bound is never reached
            raise FrameError("nested-start")
        if stop - at > room:
            raise FrameError("too-large")
        self._message += chunk[at:stop]
        if end < 0:
            return stop
        self._state = "ending"
        return end + 1

    def _finish(self, chunk: bytes, at: int) -> int:
        if chunk[at] != RETURN:
            raise FrameError("bad-end")
        self._state = "outside"
        return at + 1


@dataclass(frozen=True, slots=True)
class Limits:
    """How long and how many. Units: seconds, connections."""

    idle: float = 600.0  # between two messages
    frame: float = 30.0  # from the first byte of a frame to its last
    write: float = 10.0  # for the acknowledgment to leave
    drain: float = 5.0  # for the messages at hand when closing
    connections: int = 8
    message_bytes: int = MESSAGE_BYTES


@dataclass(slots=True, eq=False)
class _Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    peer: str
    frames: Frames
    busy: bool = False  # a message is being taken in
    task: asyncio.Task[None] | None = None


class MllpListener:
    """Listen for one source; everything that comes in here is from that source, whatever its messages say (D1).

    `accept` takes (source id, message, network address), keeps the message, and gives the acknowledgment
    to send. INVARIANT: nothing is acknowledged before `accept` returned.
    """

    def __init__(self, table: SourceTable, accept: Accept, *, limits: Limits | None = None) -> None:
        self._table = table
        self._accept = accept
        self._limits = limits or Limits()
        self._connections: set[_Connection] = set()
        self._server: asyncio.Server | None = None
        self._closing = False

    async def start(self) -> tuple[str, int]:
        """Begin to listen; give host and port.

        Raises:
            StartError: the address or the TLS files cannot be used.
        """
        host, _, port = self._table.listen.rpartition(":")
        tls = _tls(self._table)
        try:
            self._server = await asyncio.start_server(
                self._connected,
                host.strip("[]") or "127.0.0.1",
                int(port),
                ssl=tls,
                ssl_handshake_timeout=self._limits.write if tls else None,
            )
        except (OSError, ValueError, OverflowError) as error:
            message = f"source '{self._table.id}': cannot listen on '{self._table.listen}': {type(error).__name__}"
            raise StartError(message) from None
        bound = self._server.sockets[0].getsockname()
        return str(bound[0]), int(bound[1])

    async def close(self) -> None:
        """Stop listening; messages at hand are still taken in and acknowledged, half ones are left to be resent."""
        self._closing = True
        if self._server is None:
            return
        self._server.close()
        tasks = [each.task for each in self._connections if each.task is not None]
        for each in tuple(self._connections):
            if not each.busy and each.task is not None:
                each.task.cancel()
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=self._limits.drain)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        await self._server.wait_closed()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = writer.get_extra_info("peername")
        connection = _Connection(reader, writer, str(peer[0]) if peer else "", Frames(self._limits.message_bytes))
        if self._closing or len(self._connections) >= self._limits.connections:
            self._note(connection, "too-many-connections")
            writer.transport.abort()
            return
        self._connections.add(connection)
        connection.task = asyncio.create_task(self._converse(connection))

    async def _converse(self, connection: _Connection) -> None:
        try:
            await self._receive(connection)
        except FrameError as error:
            self._note(connection, error.fault)
            if error.fault == "too-large":
                await self._reject(connection)
        except TimeoutError:
            self._note(connection, "timeout")
        except (OSError, asyncio.CancelledError):
            pass  # the sender is gone, or we are closing: what was not acknowledged is sent again
        finally:
            self._connections.discard(connection)
            connection.writer.close()

    async def _receive(self, connection: _Connection) -> None:
        """Read, take in, acknowledge, in the order of arrival."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._limits.idle
        while not self._closing:
            async with asyncio.timeout_at(until):
                chunk = await connection.reader.read(_CHUNK)
            if not chunk:
                if connection.frames.is_inside:
                    raise FrameError("cut-off")
                return
            was_inside = connection.frames.is_inside
            for message in connection.frames.feed(chunk):
                await self._take_in(connection, message)
                was_inside = False
            if not connection.frames.is_inside:
                until = loop.time() + self._limits.idle
            elif not was_inside:
                # A frame begun here has this long to end, however many bytes still drip in.
                until = loop.time() + self._limits.frame

    async def _take_in(self, connection: _Connection, message: bytes) -> None:
        connection.busy = True
        try:
            answer = await self._taken_in(message, connection.peer)
            await self._write(connection, answer)
        finally:
            connection.busy = False

    async def _taken_in(self, message: bytes, peer: str) -> bytes:
        try:
            return await self._accept(self._table.id, message, peer)
        except Exception as error:  # noqa: BLE001 - see below
            # Whatever fails, the sender must not get an acknowledgment; the text of the error could show content.
            _LOG.error("mllp source=%s message not taken in: %s", self._table.id, type(error).__name__)
            raise ConnectionAbortedError from None

    async def _write(self, connection: _Connection, answer: bytes) -> None:
        connection.writer.write(bytes((START,)) + answer + bytes((END, RETURN)))
        async with asyncio.timeout(self._limits.write):
            await connection.writer.drain()

    async def _reject(self, connection: _Connection) -> None:
        """Say no, then swallow what is on its way, or the reset would overtake the answer."""
        try:
            await self._write(connection, _REJECTED)
            if connection.writer.can_write_eof():
                connection.writer.write_eof()
            async with asyncio.timeout(1.0):
                while await connection.reader.read(_CHUNK):
                    pass
        except OSError:  # TimeoutError is one
            return

    def _note(self, connection: _Connection, fault: Fault) -> None:
        _LOG.warning("mllp source=%s peer=%s closed: %s", self._table.id, connection.peer, fault)


def _tls(table: SourceTable) -> ssl.SSLContext | None:
    if not table.server_certificate:
        return None
    try:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(table.server_certificate, table.server_key or None)
        if table.ca_file:
            context.load_verify_locations(table.ca_file)
            context.verify_mode = ssl.CERT_REQUIRED
    except (OSError, ssl.SSLError) as error:
        message = f"source '{table.id}': TLS files cannot be used: {type(error).__name__}"
        raise StartError(message, 1) from None
    return context
