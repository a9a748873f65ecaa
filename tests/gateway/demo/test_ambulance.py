"""The ambulance: HL7 v2.5 that says what the person files say, sent until acknowledged."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from gateway.demo import mllp
from gateway.demo.ambulance import Written, messages
from gateway.demo.persons import persons

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
WRITTEN = messages(persons(NOW), NOW)


def segments(message: Written) -> dict[str, list[list[str]]]:
    found: dict[str, list[list[str]]] = {}
    for line in message.raw.decode().rstrip("\r").split("\r"):
        fields = line.split("|")
        found.setdefault(fields[0], []).append(fields)
    return found


def test_each_trip_is_an_admission_and_then_its_results() -> None:
    kinds = [segments(message)["MSH"][0][8] for message in WRITTEN]
    assert kinds == ["ADT^A04^ADT_A01", "ORU^R01^ORU_R01"] * 3
    assert len({message.control_id for message in WRITTEN}) == len(WRITTEN)
    assert all(len(message.control_id) <= 20 for message in WRITTEN)
    for message in WRITTEN:
        header = segments(message)["MSH"][0]
        assert (header[9], header[11], header[17]) == (message.control_id, "2.5", "UNICODE UTF-8")


def test_the_first_person_in_hl7() -> None:
    admission, results = segments(WRITTEN[0]), segments(WRITTEN[1])
    identity = admission["PID"][0]
    assert identity[3] == "999990019^^^NLMINBIZA^NNNLD"
    assert identity[5] == "van Voorbeeld&van&Voorbeeld^Willemijn^^^^^L"
    assert (identity[7], identity[8]) == ("19540312", "F")
    assert admission["NK1"][0][2].endswith("Hendrik^^^^^L")
    values = {row[3].partition("^")[0]: (row[5], row[6].partition("^")[0]) for row in results["OBX"]}
    assert values == {
        "8480-6": ("158", "mm[Hg]"),
        "8462-4": ("94", "mm[Hg]"),
        "8867-4": ("104", "/min"),
        "9279-1": ("20", "/min"),
        "59408-5": ("95", "%"),
        "8310-5": ("36.8", "Cel"),
    }
    assert all(row[11] == "F" and row[14] == "20261122110000+0100" for row in results["OBX"])


def test_digits_are_kept() -> None:
    assert any(row[5] == "37.0" for row in segments(WRITTEN[3])["OBX"])


@dataclass
class Listener:
    """An MLLP listener that answers as told; "" hangs up."""

    answers: list[str]
    heard: list[bytes] = field(default_factory=list)
    address: str = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                frame = await reader.readuntil(b"\x1c\r")
                assert frame[:1] == b"\x0b"
                self.heard.append(frame[1:-2])
                said = self.answers.pop(0) if self.answers else "AA"
                if not said:
                    return
                control = frame.split(b"|")[9].decode()
                code, _, other = said.partition(" ")
                answer = f"MSH|^~\\&|||||||ACK|1|P|2.5\rMSA|{code}|{other or control}\r"
                writer.write(b"\x0b" + answer.encode() + b"\x1c\r")
                await writer.drain()
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()


@asynccontextmanager
async def listening(*answers: str) -> AsyncIterator[Listener]:
    listener = Listener(list(answers))
    server = await asyncio.start_server(listener.serve, "127.0.0.1", 0)
    async with server:
        listener.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield listener


@pytest.mark.anyio
@pytest.mark.network
async def test_every_message_is_acknowledged_in_order() -> None:
    async with listening() as listener:
        assert await mllp.send(listener.address, WRITTEN) == [message.control_id for message in WRITTEN]
        assert listener.heard == [message.raw for message in WRITTEN]


@pytest.mark.anyio
@pytest.mark.network
@pytest.mark.parametrize("trouble", ["", "AR", "AA somebody-else"])
async def test_what_was_not_taken_is_sent_again_as_it_was(trouble: str) -> None:
    async with listening(trouble, trouble) as listener:
        assert await mllp.send(listener.address, WRITTEN[:1], first_pause=0.001) == [WRITTEN[0].control_id]
        assert listener.heard == [WRITTEN[0].raw] * 3


@pytest.mark.anyio
@pytest.mark.network
@pytest.mark.parametrize(("answers", "heard"), [(("AE",), 1), (("AR",) * 3, 3)])
async def test_a_message_nobody_takes_is_an_error_without_content(answers: tuple[str, ...], heard: int) -> None:
    async with listening(*answers) as listener:
        with pytest.raises(mllp.NotAcknowledgedError, match=answers[0]) as caught:
            await mllp.send(listener.address, WRITTEN[:1], attempts=3, first_pause=0.001)
        assert len(listener.heard) == heard
        assert "999990019" not in str(caught.value)


@pytest.mark.anyio
@pytest.mark.network
async def test_nobody_listening_is_an_error_after_bounded_attempts() -> None:
    async with listening() as listener:
        address = listener.address
    with pytest.raises(mllp.NotAcknowledgedError):
        await mllp.send(address, WRITTEN[:1], attempts=2, first_pause=0.001)


@pytest.mark.anyio
@pytest.mark.network
async def test_a_listener_that_says_nothing_is_not_waited_for_forever() -> None:
    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(-1)
        writer.close()

    async with await asyncio.start_server(mute, "127.0.0.1", 0) as server:
        address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with pytest.raises(mllp.NotAcknowledgedError, match="TimeoutError"):
            await mllp.send(address, WRITTEN[:1], attempts=1, patience=0.05)
