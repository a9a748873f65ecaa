"""One process that translates: it reads documents from its standard input, one by one, and writes what became of each."""

from __future__ import annotations

import signal
import struct
import sys
import traceback
from pathlib import Path
from typing import IO, Final

import msgspec

from gateway.adapters.guidelines import use_guidelines
from mappings.library import v3
from mappings.model import NotMappable, Origin
from mappings.translation import translate
from profiles import exact

FRAME: Final = struct.Struct("!II")  # the lengths of what is said and of the bytes it is said of
_GRACE_SECONDS: Final = 1.0


class Asked(msgspec.Struct):
    """What to translate, without its bytes."""

    format: str
    origin: Origin
    map: str
    seconds: float


class Said(msgspec.Struct):
    """What became of it, without the resources."""

    keys: tuple[str, ...] = ()
    losses: tuple[tuple[str, str, str], ...] = ()
    map: str = ""
    version: str = ""
    facts: dict[str, str] = {}
    next: str | None = None
    refused: tuple[str, str] | None = None  # the text and the path of `NotMappable`
    failed: str = ""  # where a map broke; never what it was reading


def main(arguments: list[str]) -> int:
    """Translate until nobody asks any more; `arguments` names the directory of the guidelines."""
    use_guidelines(Path(arguments[0]))
    v3()
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    _write(sink, Said(), b"")  # ready
    while len(frame := source.read(FRAME.size)) == FRAME.size:
        said, size = FRAME.unpack(frame)
        asked = msgspec.json.decode(source.read(said), type=Asked)
        body = source.read(size)
        # Whoever asks ends this process at the deadline. Should he be gone by then, it ends itself.
        signal.setitimer(signal.ITIMER_REAL, asked.seconds + _GRACE_SECONDS)
        answer, resources = _answer(asked, body)
        signal.setitimer(signal.ITIMER_REAL, 0)
        _write(sink, answer, resources)
    return 0


def _answer(asked: Asked, body: bytes) -> tuple[Said, bytes]:
    try:
        made = translate(body, asked.format, asked.origin, asked.map)
    except NotMappable as error:
        return Said(refused=(str(error), error.path)), b""
    except Exception as error:  # noqa: BLE001 - a defect of a map costs this document, and is told without its content
        last = traceback.extract_tb(error.__traceback__)[-1]
        return Said(failed=f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno}"), b""
    losses = tuple((one.path, one.kind, one.reason) for one in made.losses)
    answer = Said(made.keys, losses, made.map, made.version, made.facts, made.next)
    return answer, exact.encode(made.resources)


def _write(sink: IO[bytes], said: Said, body: bytes) -> None:
    told = msgspec.json.encode(said)
    sink.write(FRAME.pack(len(told), len(body)) + told + body)
    sink.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
