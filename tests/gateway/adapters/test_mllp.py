"""MLLP: the framing as a table and under every split, the listener on loopback."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.adapters.mllp import FrameError, Frames, Limits, MllpListener
from gateway.errors import StartError
from gateway.settings import SourceTable
from tests.attacks.certificates import Authority

MESSAGE = b"MSH|^~\\&|AMB|RAV|GW|ROAZ|20260301||ADT^A01|7|P|2.5\rPID|1||x\r"
OTHER = b"MSH|^~\\&|AMB|RAV|GW|ROAZ|20260301||ORU^R01|8|P|2.5\r"


def framed(message: bytes) -> bytes:
    return b"\x0b" + message + b"\x1c\r"


def read(*chunks: bytes, maximum: int = 1000) -> tuple[list[bytes], str]:
    """The messages in these chunks and the fault that ended them."""
    frames, found = Frames(maximum), []
    try:
        for chunk in chunks:
            for message in frames.feed(chunk):
                found.append(message)  # noqa: PERF402 - what came before a fault counts
    except FrameError as error:
        return found, error.fault
    return found, "inside" if frames.is_inside else ""


@pytest.mark.parametrize(
    ("stream", "messages", "end"),
    [
        (b"", [], ""),
        (framed(MESSAGE), [MESSAGE], ""),
        (framed(MESSAGE) + framed(OTHER), [MESSAGE, OTHER], ""),
        (framed(b""), [b""], ""),
        (b"\x0b" + MESSAGE, [], "inside"),
        (b"\x0b" + MESSAGE + b"\x1c", [], "inside"),
        (b"MSH|", [], "garbage"),
        (b"\r\n" + framed(MESSAGE), [], "garbage"),
        (framed(MESSAGE) + b"\n" + framed(OTHER), [MESSAGE], "garbage"),
        (b"\x1c\r", [], "garbage"),
        (b"\x0bMSH|\x0b" + MESSAGE, [], "nested-start"),
        (b"\x0b\x0b" + MESSAGE, [], "nested-start"),
        (b"\x0b" + MESSAGE + b"\x1c\n", [], "bad-end"),
        (b"\x0b" + MESSAGE + b"\x1cMSH", [], "bad-end"),
        (b"\x0b" + MESSAGE + b"\x1c\x1c\r", [], "bad-end"),
        (framed(b"x" * 1000), [b"x" * 1000], ""),
        (framed(b"x" * 1001), [], "too-large"),
        (b"\x0b" + b"x" * 1001, [], "too-large"),
    ],
)
def test_the_framing_is_strict(stream: bytes, messages: list[bytes], end: str) -> None:
    assert read(stream) == (messages, end)
    assert read(*(bytes((byte,)) for byte in stream)) == (messages, end), "byte by byte"


PART = st.sampled_from([b"\x0b", b"\x1c", b"\r", b"\x1c\r", framed(MESSAGE), framed(OTHER), b"MSH|", b"\n", b"x" * 990])


@pytest.mark.slow
@given(st.lists(PART, max_size=8).map(b"".join), st.lists(st.integers(0, 4000), max_size=12))
def test_where_a_stream_is_split_changes_nothing(stream: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    chunks = [stream[a:b] for a, b in pairwise(edges)]
    assert read(*chunks) == read(stream)


def test_a_start_beyond_the_bound_is_a_message_too_large_however_it_comes() -> None:
    stream = b"\x0b" + b"x" * 1001 + b"\x0b"
    assert read(stream) == read(stream[:1002], stream[1002:]) == ([], "too-large")


class Intake:
    """Keeps what came in; answers with the length of each message."""

    def __init__(self) -> None:
        self.kept: list[tuple[str, bytes, str]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.fails = False

    async def accept(self, source: str, message: bytes, peer: str) -> bytes:
        await self.gate.wait()
        if self.fails:
            raise OSError(28, "no space")
        self.kept.append((source, message, peer))
        return b"ACK%d" % len(message)


@asynccontextmanager
async def listening(
    intake: Intake, limits: Limits | None = None, **more: Any
) -> AsyncIterator[tuple[MllpListener, int]]:
    table = SourceTable(id="ambulance", custodian="90000003", kind="mllp", listen="127.0.0.1:0", **more)
    listener = MllpListener(table, intake.accept, limits=limits)
    _, port = await listener.start()
    try:
        yield listener, port
    finally:
        await listener.close()


async def send(port: int, *chunks: bytes, end: bool = False, tls: ssl.SSLContext | None = None) -> bytes:
    """Everything the listener says until it closes, or two seconds of it."""
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=tls, server_hostname="localhost" if tls else None
    )
    try:
        for chunk in chunks:
            writer.write(chunk)
            await writer.drain()
            await asyncio.sleep(0.001)
        if end:
            writer.write_eof()
        async with asyncio.timeout(2):
            return await reader.read()
    finally:
        writer.transport.abort()


async def unheard(port: int, tls: ssl.SSLContext | None = None) -> bool:
    """Claim that a message gets no answer."""
    try:
        return await send(port, framed(MESSAGE), tls=tls) == b""
    except (ssl.SSLError, ConnectionError):
        return True


def run(main: object) -> None:
    asyncio.run(main)  # type: ignore[arg-type]


pytestmark = pytest.mark.network


def test_each_message_is_kept_then_acknowledged_in_order() -> None:
    async def main() -> None:
        intake = Intake()
        async with listening(intake) as (_, port):
            stream = framed(MESSAGE) + framed(OTHER)
            said = await send(port, stream[:10], stream[10:80], stream[80:], end=True)
            assert said == framed(b"ACK%d" % len(MESSAGE)) + framed(b"ACK%d" % len(OTHER))
            assert intake.kept == [("ambulance", MESSAGE, "127.0.0.1"), ("ambulance", OTHER, "127.0.0.1")]

    run(main())


def test_what_could_not_be_kept_is_not_acknowledged(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        intake = Intake()
        intake.fails = True
        async with listening(intake) as (_, port):
            assert await send(port, framed(MESSAGE)) == b""

    run(main())
    assert "OSError" in caplog.text
    assert "PID" not in caplog.text


@pytest.mark.parametrize(
    ("stream", "fault"),
    [
        (b"GET / HTTP/1.1\r\n", "garbage"),
        (b"\x0bMSH|\x0b", "nested-start"),
        (b"\x0bMSH|\x1cx", "bad-end"),
    ],
)
def test_a_sender_out_of_step_is_closed_with_the_reason(
    stream: bytes, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        intake = Intake()
        async with listening(intake) as (_, port):
            assert await send(port, stream) == b""
            assert intake.kept == []
            assert (await send(port, framed(MESSAGE), end=True)).startswith(b"\x0bACK"), "the next one is served"

    run(main())
    assert f"closed: {fault}" in caplog.text


def test_an_oversize_message_is_rejected_and_the_connection_closed() -> None:
    async def main() -> None:
        intake = Intake()
        async with listening(intake, Limits(message_bytes=100_000)) as (_, port):
            said = await send(port, b"\x0b" + b"x" * 150_000, end=True)
            assert b"MSA|AR|" in said
            assert intake.kept == []

    run(main())


def test_a_message_without_an_end_is_given_up_however_it_drips(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        intake = Intake()
        async with listening(intake, Limits(idle=5, frame=0.1)) as (_, port):
            loop = asyncio.get_running_loop()
            began = loop.time()
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"\x0b")
            while not reader.at_eof() and loop.time() - began < 2:
                writer.write(b"x")
                try:
                    async with asyncio.timeout(0.02):
                        await reader.read()
                except TimeoutError:
                    continue
                except ConnectionError:
                    break
            writer.transport.abort()
            assert loop.time() - began < 1

    run(main())
    assert "closed: timeout" in caplog.text


def test_a_silent_connection_is_closed() -> None:
    async def main() -> None:
        async with listening(Intake(), Limits(idle=0.05)) as (_, port):
            assert await send(port, framed(MESSAGE)) == framed(b"ACK%d" % len(MESSAGE))

    run(main())


def test_more_connections_than_allowed_are_turned_away() -> None:
    async def main() -> None:
        async with listening(Intake(), Limits(connections=1)) as (_, port):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            await asyncio.sleep(0.02)
            assert await unheard(port)
            writer.transport.abort()
            await asyncio.sleep(0.02)
            assert await send(port, framed(MESSAGE), end=True) != b""

    run(main())


def test_closing_lets_the_message_at_hand_be_kept_and_acknowledged() -> None:
    async def main() -> None:
        intake = Intake()
        intake.gate.clear()
        async with listening(intake) as (listener, port):
            busy = asyncio.create_task(send(port, framed(MESSAGE)))
            half = asyncio.create_task(send(port, b"\x0bMSH|"))
            await asyncio.sleep(0.05)
            closing = asyncio.create_task(listener.close())
            await asyncio.sleep(0.02)
            intake.gate.set()
            await closing
            assert await busy == framed(b"ACK%d" % len(MESSAGE))
            assert await half == b""
            with pytest.raises(OSError):  # noqa: PT011 - refused, whatever the system calls it
                await asyncio.open_connection("127.0.0.1", port)

    run(main())


def test_with_an_authority_only_senders_with_its_certificate_are_heard(tmp_path: Path) -> None:
    async def main() -> None:
        trusted, stranger = Authority(tmp_path / "a"), Authority(tmp_path / "b")
        server, mine, other = trusted.issue("localhost"), trusted.issue("ambulance"), stranger.issue("ambulance")
        intake = Intake()
        tables: dict[str, Any] = {"server_certificate": str(server.certificate), "server_key": str(server.key)}
        async with listening(intake, ca_file=str(trusted.file), **tables) as (_, port):
            context = ssl.create_default_context(cafile=trusted.file)
            assert await unheard(port, tls=context)
            context.load_cert_chain(other.certificate, other.key)
            assert await unheard(port, tls=context)
            assert intake.kept == []
            context = ssl.create_default_context(cafile=trusted.file)
            context.load_cert_chain(mine.certificate, mine.key)
            task = asyncio.create_task(send(port, framed(MESSAGE), tls=context))
            await asyncio.sleep(0.2)
            assert [message for _, message, _ in intake.kept] == [MESSAGE]
            task.cancel()

    run(main())


def test_an_address_that_cannot_be_used_stops_the_start() -> None:
    async def main() -> None:
        async with listening(Intake()) as (_, port):
            table = SourceTable(id="x", custodian="90000003", kind="mllp", listen=f"127.0.0.1:{port}")
            with pytest.raises(StartError, match="cannot listen"):
                await MllpListener(table, Intake().accept).start()

    run(main())
