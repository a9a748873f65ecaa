"""What stands beside the gateway in a measurement: a raw ASGI app that only returns bytes, and simulated FHIR R4 sources."""

from __future__ import annotations

import argparse
import asyncio
import re
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote_plus

from benchmarks import records
from gateway import serving
from gateway.envelope import Receive, Scope, Send
from profiles import exact

HEADERS = [(b"content-type", b"application/fhir+json; charset=utf-8")]
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_BSN = re.compile(r"\d{9}")


class Raw:
    """The least an ASGI app can do: look up the bytes of a path and send them."""

    def __init__(self, kept: dict[str, bytes]) -> None:
        self._kept = {
            path: (body, [*HEADERS, (b"content-length", str(len(body)).encode())]) for path, body in kept.items()
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del receive
        body, headers = self._kept[scope["path"]]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


class Source(asyncio.Protocol):
    """One connection of a simulated source: answers every search after a fixed delay, or never for some patients."""

    def __init__(self, number: int, delay: float, hangs: Callable[[int, str], bool]) -> None:
        self._number = number
        self._delay = delay
        self._hangs = hangs
        self._waiting = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own is none by name

    def data_received(self, data: bytes) -> None:
        self._waiting += data
        end = self._waiting.find(b"\r\n\r\n")
        if end < 0:
            return
        length = _LENGTH.search(self._waiting, 0, end)
        whole = end + 4 + (int(length[1]) if length else 0)
        if len(self._waiting) < whole:
            return
        head, body = self._waiting[:end], self._waiting[end + 4 : whole]
        self._waiting = self._waiting[whole:]
        path, _, query = head.split(b" ", 2)[1].decode().partition("?")
        bsn = _BSN.search(unquote_plus(body.decode() or query))
        number = bsn[0] if bsn else ""
        if not self._hangs(self._number, number):
            asyncio.get_running_loop().call_later(self._delay, self._answer, path.split("/")[2], number)

    def _answer(self, kind: str, bsn: str) -> None:
        if not self._transport.is_closing():
            self._transport.write(_written(kind, self._number, bsn))


@lru_cache(maxsize=4096)
def _written(kind: str, number: int, bsn: str) -> bytes:
    body = records.searchset(kind, number, bsn)
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/fhir+json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def _raw(options: argparse.Namespace) -> None:
    kept = {path: body.encode() for path, body in exact.decode(options.bodies.read_bytes()).items()}
    kept["/health/ready"] = b"{}"
    door = serving.Serving(Raw(kept), serving.bind(f"127.0.0.1:{options.port}"))
    await door.start()
    await serving.until_signal()
    await door.stop()


async def _sources(options: argparse.Namespace) -> None:
    """Listen on one port per source; the first port also says when all are open."""
    hanging = frozenset(options.hang)

    def hangs(number: int, bsn: str) -> bool:
        return number == 0 and bsn in hanging

    loop = asyncio.get_running_loop()
    for number, port in enumerate(options.ports):
        make: Any = lambda number=number: Source(number, options.delay, hangs)  # noqa: E731 - one factory a port
        await loop.create_server(make, "127.0.0.1", port)
    door = serving.Serving(Raw({"/health/ready": b"{}"}), serving.bind(f"127.0.0.1:{options.port}"))
    await door.start()
    await serving.until_signal()
    await door.stop()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.servers")
    commands = parser.add_subparsers(required=True)
    raw = commands.add_parser("raw", help="an ASGI app that returns the bytes of a JSON file of path and body")
    raw.add_argument("--bodies", type=Path, required=True)
    raw.set_defaults(run=_raw)
    sources = commands.add_parser("sources", help="FHIR R4 sources")
    sources.add_argument("--ports", type=int, nargs="+", required=True)
    sources.add_argument("--delay", type=float, default=0.020, help="seconds until an answer")
    sources.add_argument("--hang", nargs="*", default=[], help="patients the first source never answers about")
    sources.set_defaults(run=_sources)
    for each in (raw, sources):
        each.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    serving.run(options.run(options))


if __name__ == "__main__":
    main()
