"""Checkpoints: how far every log is at one moment, in the form witnesses sign.

Spec: C2SP tlog-checkpoint v1.0; the lines after the third are extension lines.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Self

from gateway.audit.merkle import leaf_hash, root_of
from gateway.model import instant

Log = tuple[int, int]  # slot and epoch

_NUMBER: Final = r"(?:0|[1-9]\d{0,17})"
_HEAD: Final = re.compile(rf"log ({_NUMBER})\.({_NUMBER}) ({_NUMBER}) ([A-Za-z0-9+/]{{43}}=)")
_CLOSED: Final = re.compile(rf"closed ({_NUMBER}) ([A-Za-z0-9+/]{{43}}=)")
_ORIGIN: Final = re.compile(rf"([^\s+]+)/({_NUMBER})\.({_NUMBER})")


@dataclass(frozen=True, slots=True, order=True)
class Head:
    """How far one log is."""

    log: Log
    size: int
    root: bytes

    def line(self) -> str:
        """The line that tells it in a checkpoint."""
        return f"log {name_of(self.log)} {self.size} {_text(self.root)}"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One log at one moment, and beside it every other log. Units: `ticks` in microseconds of a clock nobody sets."""

    origin: str
    size: int
    root: bytes
    at: datetime
    ticks: int
    heads: tuple[Head, ...] = ()  # the logs that may still grow
    closed: tuple[int, bytes] = (0, b"")  # how many logs have ended, and the root over their heads

    @property
    def log(self) -> Log:
        """Slot and epoch of the log it is about."""
        return log_of(self.origin)

    @property
    def head(self) -> Head:
        """The log it is about."""
        return Head(self.log, self.size, self.root)

    def text(self) -> str:
        """The text that is signed."""
        lines = [
            self.origin,
            str(self.size),
            _text(self.root),
            f"time {instant(self.at)}",
            f"monotonic {self.ticks}",
            *(head.line() for head in self.heads),
        ]
        if self.closed[0]:
            lines.append(f"closed {self.closed[0]} {_text(self.closed[1])}")
        return "\n".join(lines) + "\n"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the text of a checkpoint of this gateway.

        Raises:
            ValueError: it is none.
        """
        origin, size, root, *rest = _lines(text)
        if len(rest) < 2 or not rest[0].startswith("time ") or not re.fullmatch(rf"monotonic {_NUMBER}", rest[1]):
            message = "not a checkpoint of an audit log"
            raise ValueError(message)
        heads, closed = [], (0, b"")
        for line in rest[2:]:
            if found := _HEAD.fullmatch(line):
                heads.append(Head((int(found[1]), int(found[2])), int(found[3]), _hash(found[4])))
            elif found := _CLOSED.fullmatch(line):
                closed = (int(found[1]), _hash(found[2]))
        log_of(origin)
        at, ticks = datetime.fromisoformat(rest[0][5:]), int(rest[1][10:])
        return cls(origin, int(size), _hash(root), at, ticks, tuple(heads), closed)


def tree_in(text: str) -> tuple[str, int, bytes]:
    """Origin, size and root of any checkpoint, also of a log that is not a gateway's.

    Raises:
        ValueError: it is none.
    """
    origin, size, root, *_ = _lines(text)
    return origin, int(size), _hash(root)


def over(heads: Iterable[Head]) -> tuple[tuple[Head, ...], tuple[int, bytes]]:
    """The logs that may still grow, and the number of the others with the root over their heads.

    A slot is written in its newest epoch only; what came before it has ended.
    """
    ordered = sorted(heads)
    newest = {head.log[0]: head.log[1] for head in ordered}
    ended = [head for head in ordered if head.log[1] != newest[head.log[0]]]
    live = tuple(head for head in ordered if head.log[1] == newest[head.log[0]])
    return live, (len(ended), root_of(leaf_hash(head.line().encode()) for head in ended) if ended else b"")


def name_of(log: Log) -> str:
    """A log as texts call it."""
    return f"{log[0]}.{log[1]}"


def origin_of(base: str, log: Log) -> str:
    """The name of a log that no other log in the world has."""
    return f"{base}/{name_of(log)}"


def log_of(origin: str) -> Log:
    """Slot and epoch of the log of this name.

    Raises:
        ValueError: not such a name.
    """
    found = _ORIGIN.fullmatch(origin)
    if found is None:
        message = "not the origin of an audit log"
        raise ValueError(message)
    return int(found[2]), int(found[3])


def _lines(text: str) -> Sequence[str]:
    lines = text.removesuffix("\n").split("\n")
    if not text.endswith("\n") or len(lines) < 3 or not lines[0] or not re.fullmatch(_NUMBER, lines[1]):
        message = "not a checkpoint"
        raise ValueError(message)
    return lines


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _hash(text: str) -> bytes:
    try:
        value = base64.b64decode(text, validate=True)
    except binascii.Error:
        value = b""
    if len(value) != 32:
        message = "not the root of a tree"
        raise ValueError(message)
    return value
