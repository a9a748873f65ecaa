"""Sends HL7 v2 messages over MLLP as a real sender does: one at a time, until acknowledged, the same message again."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Final

from gateway.demo.ambulance import Written
from gateway.errors import StartError

_START: Final = b"\x0b"
_END: Final = b"\x1c\r"
_LONGEST_ACK: Final = 65_536


class NotAcknowledgedError(StartError):
    """A message was not taken; the text names the acknowledgment code and the control id, no content."""


async def send(
    address: str, messages: Sequence[Written], *, attempts: int = 6, first_pause: float = 0.1, patience: float = 10.0
) -> list[str]:
    """Send every message in order and give the acknowledged control ids.

    Raises:
        NotAcknowledgedError: refused for good (AE), or not acknowledged after all attempts.

    Units: `first_pause` (doubled each time) and `patience` in seconds.
    """
    connection = _Connection(address, patience)
    try:
        return [await _insist(connection, message, attempts, first_pause) for message in messages]
    finally:
        await connection.close()


async def _insist(connection: _Connection, message: Written, attempts: int, pause: float) -> str:
    said = "no acknowledgment"
    for attempt in range(attempts):
        if attempt:
            await asyncio.sleep(pause * 2 ** (attempt - 1))
        try:
            said = await connection.exchange(message)
        except (OSError, EOFError, TimeoutError, asyncio.LimitOverrunError) as error:
            said = type(error).__name__
            await connection.close()
            continue
        if said == "AA":
            return message.control_id
        if said == "AE":
            break  # sending the same again cannot help
    text = f"HL7 v2 message {message.control_id} was not acknowledged: {said}"
    raise NotAcknowledgedError(text)


class _Connection:
    """One connection, opened when needed and again after it broke."""

    def __init__(self, address: str, patience: float) -> None:
        self._host, _, port = address.rpartition(":")
        self._port = int(port)
        self._patience = patience
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def exchange(self, message: Written) -> str:
        """Send one message and give the code of its acknowledgment.

        Raises:
            OSError: the connection broke, or the answer is not an acknowledgment of this message.
            EOFError: the other side closed.
            TimeoutError: no answer in time.
        """
        async with asyncio.timeout(self._patience):
            if self._streams is None:
                self._streams = await asyncio.open_connection(self._host, self._port, limit=_LONGEST_ACK)
            reader, writer = self._streams
            writer.write(_START + message.raw + _END)
            await writer.drain()
            answer = await reader.readuntil(_END)
        return _code(answer.removeprefix(_START).removesuffix(_END), message.control_id)

    async def close(self) -> None:
        """Close what is open."""
        if self._streams is not None:
            self._streams[1].close()
            with contextlib.suppress(OSError):
                await self._streams[1].wait_closed()
            self._streams = None


def _code(answer: bytes, control_id: str) -> str:
    for segment in answer.decode("utf-8", "replace").split("\r"):
        fields = segment.split("|")
        if fields[0] == "MSA" and len(fields) > 2:
            if fields[2] not in (control_id, "0"):
                break
            return fields[1]
    message = "not an acknowledgment of this message"
    raise OSError(message)
