"""A source on loopback that lies, breaks and dawdles exactly as told: HTTP written by hand, byte by byte."""

from __future__ import annotations

import asyncio
import gzip
import json
import ssl
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self
from urllib.parse import parse_qsl, urlsplit

BSN_SYSTEM: Final = "http://fhir.nl/fhir/NamingSystem/bsn"


class _Sign:
    """What a script may do beside writing bytes and waiting."""


CUT: Final = _Sign()  # close the connection here
HANG: Final = _Sign()  # say nothing more, keep the connection open

Script = Iterable[bytes | float | _Sign]


@dataclass(frozen=True, slots=True)
class Seen:
    """One request as the source saw it."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def parameters(self) -> dict[str, str]:
        """Query and form together; a repeated parameter keeps its last value."""
        return dict(parse_qsl(urlsplit(self.target).query) + parse_qsl(self.body.decode()))


def response(
    body: bytes | str | dict[str, Any],
    *,
    status: int = 200,
    content_type: str = "application/fhir+json",
    headers: Mapping[str, str] | None = None,
    length: int | None = None,
) -> list[bytes | float | _Sign]:
    """A complete answer; `length` lies about its size."""
    content = body if isinstance(body, bytes) else (body if isinstance(body, str) else json.dumps(body)).encode()
    head = {"Content-Type": content_type, "Content-Length": str(len(content) if length is None else length)}
    lines = [f"HTTP/1.1 {status} Status", *(f"{k}: {v}" for k, v in (head | dict(headers or {})).items()), "", ""]
    return ["\r\n".join(lines).encode() + content]


def searchset(*resources: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A searchset of these resources."""
    return {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": each} for each in resources], **more}


def patient(bsn: str, identity: str = "local-1", **more: Any) -> dict[str, Any]:
    """A Patient with this BSN."""
    return {"resourceType": "Patient", "id": identity, "identifier": [{"system": BSN_SYSTEM, "value": bsn}], **more}


def cut(answer: Script, at: int) -> Script:
    """The first bytes of an answer, then the connection is gone."""
    yield joined(answer)[:at]
    yield CUT


def drip(answer: Script, every: float = 1.0) -> Script:
    """One byte at a time."""
    for byte in joined(answer):
        yield bytes([byte])
        yield every


def joined(answer: Script) -> bytes:
    return b"".join(part for part in answer if isinstance(part, bytes))


def gzip_bomb(megabytes: int = 300) -> list[bytes | float | _Sign]:
    """Zeroes that take a thousandth of their size on the wire."""
    packed = gzip.compress(bytes(1024 * 1024)) * megabytes  # gzip members may follow each other
    return response(packed, headers={"Content-Encoding": "gzip"})


def single_member_bomb(megabytes: int = 300) -> list[bytes | float | _Sign]:
    """The same in one gzip member."""
    import zlib

    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    block = bytes(1024 * 1024)
    packed = b"".join(packer.compress(block) for _ in range(megabytes)) + packer.flush()
    return response(packed, headers={"Content-Encoding": "gzip"})


def endless(megabytes: int = 200) -> Iterator[bytes]:
    """An answer that is far too long, made while it is sent."""
    yield (
        f"HTTP/1.1 200 OK\r\nContent-Type: application/fhir+json\r\nContent-Length: {megabytes * 1024 * 1024}\r\n\r\n"
    ).encode()
    for _ in range(megabytes):
        yield b" " * (1024 * 1024)


@dataclass(slots=True)
class FaultySource:
    """An HTTP/1.1 server that answers each request with the script it is told.

    Use `async with FaultySource(answer) as source`; `source.url` is its FHIR base.
    """

    answer: Callable[[Seen], Script]
    tls: ssl.SSLContext | None = None
    host: str = "127.0.0.1"
    seen: list[Seen] = field(default_factory=list)
    connections: int = 0
    _server: asyncio.Server | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def url(self) -> str:
        scheme = "https" if self.tls else "http"
        return f"{scheme}://{'localhost' if self.tls else self.host}:{self.port}/fhir"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, self.host, 0, ssl=self.tls)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.create_task(self._converse(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (request := await self._read(reader)) is not None:
                self.seen.append(request)
                if not await _play(self.answer(request), writer):
                    return
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass
        finally:
            writer.transport.abort()

    @staticmethod
    async def _read(reader: asyncio.StreamReader) -> Seen | None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        except asyncio.IncompleteReadError:
            return None
        first, *lines = head.rstrip("\r\n").split("\r\n")
        method, target, _ = first.split(" ", 2)
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        return Seen(method, target, headers, body)


async def _play(script: Script, writer: asyncio.StreamWriter) -> bool:
    """Do what the script says; true when the connection can be used again."""
    for part in script:
        if isinstance(part, bytes):
            writer.write(part)
            await writer.drain()
        elif isinstance(part, float | int):
            await asyncio.sleep(part)
        elif part is HANG:
            await asyncio.sleep(3600)
        else:
            # Let what was written arrive, then close.
            writer.write_eof() if writer.can_write_eof() else writer.close()
            return False
    return True
