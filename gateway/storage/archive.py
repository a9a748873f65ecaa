"""The file of a backup: one format for every engine, that shows when a byte of it is missing or another.

A gzip stream of frames: length (4 bytes, big endian), then MessagePack. The first frame is a `Head`; each frame
between is `[table, rows]`, rows in the order of the head's columns; the last is a `Tail`. The digest is SHA-256
over all frames before the last.
"""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from gateway.errors import StartError

Page = tuple[str, list[tuple[Any, ...]]]  # table and rows

_LARGEST_FRAME: Final = 1 << 31


class Head(msgspec.Struct, frozen=True):
    """What is in the archive. Units: `made` in microseconds since 1970."""

    format: Literal["roaz-gateway-backup/1"]
    schema: int
    made: int
    columns: dict[str, tuple[str, ...]]  # of each table, in an order in which they can be filled


class Tail(msgspec.Struct, frozen=True):
    """What must have been read by the end."""

    rows: dict[str, int]
    digest: str


_encode: Final = msgspec.msgpack.Encoder().encode
_head: Final = msgspec.msgpack.Decoder(Head).decode
_page: Final = msgspec.msgpack.Decoder(Page).decode
_tail: Final = msgspec.msgpack.Decoder(Tail).decode


def write(path: Path, head: Head, pages: Iterable[Page]) -> Tail:
    """Write an archive that is whole and durable, or none; only the user of this process may read it.

    Raises:
        StartError: the file exists already, or cannot be written.
    """
    part = path.with_name(path.name + ".part")
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            with gzip.GzipFile(filename="", mode="wb", fileobj=file, compresslevel=1, mtime=0) as stream:
                tail = _write(stream, head, pages)
            file.flush()
            os.fsync(file.fileno())
        os.link(part, path)  # refuses to replace a file, also one that came meanwhile
    except FileExistsError:
        message = f"{path} exists; a backup is never overwritten"
        raise StartError(message, 1) from None
    except OSError as error:
        message = f"{path}: {error.strerror}"
        raise StartError(message) from None
    finally:
        with suppress(OSError):
            part.unlink()
    return tail


def read(path: Path) -> tuple[Head, Tail]:
    """Read an archive to its end, and tell what is in it once every byte is known to be right.

    Raises:
        StartError: it is not one, or it was cut or changed. Exit code 1.
    """
    rows: dict[str, int] = {}
    digest, last, first = sha256(), b"", b""
    try:
        for frame in _frames(path):
            if first:
                digest.update(last)
                if last is not first:
                    table, page = _page(last)
                    rows[table] = rows.get(table, 0) + len(page)
            first, last = first or frame, frame
        head, tail = _head(first), _tail(last)
    except (OSError, EOFError, ValueError, zlib.error, msgspec.MsgspecError) as error:
        message = f"{path}: not a whole backup: {getattr(error, 'strerror', None) or error}"
        raise StartError(message, 1) from None
    if tail.digest != digest.hexdigest() or tail.rows != rows:
        message = f"{path}: not a whole backup: it was changed after it was made"
        raise StartError(message, 1)
    return head, tail


def pages(path: Path) -> Iterator[Page]:
    """The rows of an archive that `read` found whole."""
    frames = _frames(path)
    next(frames)
    held = next(frames)
    for frame in frames:
        yield _page(held)
        held = frame


def _write(stream: gzip.GzipFile, head: Head, made: Iterable[Page]) -> Tail:
    rows: dict[str, int] = {}
    digest = sha256()

    def put(content: object) -> None:
        frame = _encode(content)
        digest.update(frame)
        stream.write(len(frame).to_bytes(4, "big") + frame)

    put(head)
    for table, page in made:
        rows[table] = rows.get(table, 0) + len(page)
        put((table, page))
    tail = Tail(rows, digest.hexdigest())
    put(tail)
    return tail


def _frames(path: Path) -> Iterator[bytes]:
    with gzip.open(path) as stream:
        while size := stream.read(4):
            length = int.from_bytes(size, "big")
            frame = stream.read(length) if length < _LARGEST_FRAME else b""
            if len(size) < 4 or len(frame) < length:
                message = "it ends too early"
                raise EOFError(message)
            yield frame
