"""Run ASGI apps on sockets until told to stop; a port in use is an error that names it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import socket
from collections.abc import Iterator
from typing import Any, Final

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway.errors import StartError

SHUTDOWN_SECONDS: Final = 10
COLLECTED_AFTER: Final = (
    10_000  # new objects; one resource makes about a hundred, and nearly all of it goes without a collector
)
HEADERS_SECONDS: Final = 10.0  # from the first byte of a request, or from connecting, to the end of its headers
READING_SECONDS: Final = 60.0  # for a client to take what waits for it
MOST_HEADERS_BYTES: Final = 65_536  # that are held before the envelope judges them
_ONCE: Final = (b"host", b"content-length", b"transfer-encoding")
_LOOPBACK: Final = ("127.", "::1", "localhost")


class Connection(HttpToolsProtocol):
    """One connection whose client must come to the point: headers, body and reading are bounded in size and time.

    Attacks 109, 110, 112 and 113. The body itself is bounded by `gateway.envelope`.
    """

    _timer: asyncio.TimerHandle | None = None
    _reading: asyncio.TimerHandle | None = None
    _heading = True  # the headers of a request are not complete yet
    _headed = 0  # bytes of them so far

    def connection_made(self, transport: Any) -> None:  # noqa: ANN401 - as uvicorn types it differently per release
        """Start waiting for the first request."""
        super().connection_made(transport)
        self._await_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._stop(self._timer)
        self._stop(self._reading)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came; headers without end are refused before they are complete."""
        self._headed += len(data) if self._heading else 0
        super().data_received(data)
        if self._heading and self._headed > MOST_HEADERS_BYTES and not self.transport.is_closing():
            self._refuse(b"431 Request Header Fields Too Large", b"the headers are too large")

    def on_message_begin(self) -> None:
        """Another request begins on this connection."""
        super().on_message_begin()
        if not self._heading:
            self._heading, self._headed = True, 0
            self._await_headers()

    def on_headers_complete(self) -> None:
        """Refuse what two readers could read differently.

        Raises:
            ValueError: uvicorn answers it with 400 and closes.

        Spec: RFC 9112 3.2 'Request Target', 6.1 'Transfer-Encoding', 6.3 'Message Body Length'.
        """
        self._stop(self._timer)
        self._heading = False
        names = [name for name, _ in self.headers]
        twice = any(names.count(name) > 1 for name in _ONCE)
        both = b"content-length" in names and b"transfer-encoding" in names
        version = self.parser.get_http_version()
        if twice or both or (b"host" not in names and version != "1.0") or not version.startswith("1."):
            message = "ambiguous request"
            raise ValueError(message)
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        """An answer before the end of the body ends the connection: nobody waits for the rest."""
        super().on_response_complete()
        if self.cycle is not None and self.cycle.more_body and not self.transport.is_closing():
            self.transport.close()

    def pause_writing(self) -> None:
        """The client reads slower than it is answered."""
        super().pause_writing()
        self._stop(self._reading)
        self._reading = self.loop.call_later(READING_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """The client took what waited."""
        super().resume_writing()
        self._stop(self._reading)

    def timeout_keep_alive_handler(self) -> None:
        """Nothing came for long: what the client did not read until now it never will."""
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        super().timeout_keep_alive_handler()

    def _await_headers(self) -> None:
        self._stop(self._timer)
        self._timer = self.loop.call_later(HEADERS_SECONDS, self._too_slow)

    def _too_slow(self) -> None:
        if not self.transport.is_closing():
            self._refuse(b"408 Request Timeout", b"the headers came too slowly")

    def _refuse(self, status: bytes, text: bytes) -> None:
        head = b"HTTP/1.1 %s\r\ncontent-type: text/plain\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
        self.transport.write(head % (status, len(text)) + text)
        self.transport.close()

    @staticmethod
    def _stop(timer: asyncio.TimerHandle | None) -> None:
        if timer is not None:
            timer.cancel()


class _Server(uvicorn.Server):
    """uvicorn without its own signal handling: one process may run several."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the command."""
        yield


def bind(listen: str) -> socket.socket:
    """Take an address "host:port"; port 0 is any free one.

    Raises:
        StartError: the address is in use or not of this machine. Exit code 3.
    """
    host, _, port = listen.rpartition(":")
    host = host.strip("[]") or "127.0.0.1"
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, int(port)))
    except (OSError, ValueError, OverflowError) as error:
        bound.close()
        why = error.strerror if isinstance(error, OSError) and error.strerror else "give host:port"
        message = f"cannot listen on {listen}: {why}; choose another address with --port or gateway.listen"
        raise StartError(message) from None
    bound.listen(2048)
    bound.setblocking(False)
    return bound


def is_loopback(listen: str) -> bool:
    """Claim that an address can be reached from this machine only."""
    return listen.rpartition(":")[0].strip("[]").startswith(_LOOPBACK)


class Serving:
    """One ASGI app on one socket."""

    def __init__(self, app: Any, bound: socket.socket) -> None:  # noqa: ANN401 - any ASGI callable
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            server_header=False,
            date_header=True,
            proxy_headers=False,
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
            timeout_keep_alive=75,
            http=Connection,
        )
        self._server = _Server(config)
        self._bound = bound
        self._task: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        """The port in use."""
        return int(self._bound.getsockname()[1])

    async def start(self) -> None:
        """Accept connections from now on."""
        self._task = asyncio.create_task(self._server.serve(sockets=[self._bound]))
        while not self._server.started and not self._task.done():  # noqa: ASYNC110 - uvicorn offers no event for this
            await asyncio.sleep(0.002)

    async def stop(self) -> None:
        """Finish what is at hand, then close."""
        self._server.should_exit = True
        if self._task is not None:
            await self._task


def settle() -> None:
    """Let the garbage collector pass over all that was made at the start: it stays as long as the process."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECTED_AFTER)


async def until_signal() -> None:
    """Wait for Ctrl-C or a polite end."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    await stop.wait()


def run(main: Any) -> Any:  # noqa: ANN401 - any coroutine and its result
    """Run on the fast event loop where there is one."""
    try:
        import uvloop  # noqa: PLC0415 - optional on platforms without it
    except ImportError:
        return asyncio.run(main)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)
