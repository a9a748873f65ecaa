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

from gateway.errors import StartError

SHUTDOWN_SECONDS: Final = 10
COLLECTED_AFTER: Final = (
    10_000  # new objects; one resource makes about a hundred, and nearly all of it goes without a collector
)
_LOOPBACK: Final = ("127.", "::1", "localhost")


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
            h11_max_incomplete_event_size=32_768,
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
