"""Commands that write beside a serving process, counted in a small file both have mapped: what was read may be remembered between visits."""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_COUNTS: Final = struct.Struct("<QQ")  # visits begun and visits ended


class Visits:
    """The visits to one SQLite file.

    INVARIANT: a visit is begun before its first write and ended after its last commit. A command that is killed
    never ends its visit: then nothing is remembered until the serving process starts anew.
    """

    def __init__(self, database: Path) -> None:
        path = database.with_name(f"{database.name}.visits")
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.ftruncate(self._descriptor, _COUNTS.size)
        self._counts = mmap.mmap(self._descriptor, _COUNTS.size)
        self._visiting = False
        self._open = True

    def settle(self) -> None:
        """Start counting anew; for the process that serves, before it remembers anything."""
        with self._alone() as (begun, ended):
            _COUNTS.pack_into(self._counts, 0, max(begun, ended) + 1, max(begun, ended) + 1)

    def begin(self) -> None:
        """Say that this process may write from now on."""
        with self._alone() as (begun, ended):
            _COUNTS.pack_into(self._counts, 0, begun + 1, ended)
        self._visiting = True

    def era(self) -> int | None:
        """A number that stays the same as long as nobody else has written; None while somebody may be writing."""
        begun, ended = _COUNTS.unpack_from(self._counts)
        return begun if begun == ended else None

    def close(self) -> None:
        """Let go of the file; what a visitor wrote is durable and was its last."""
        if not self._open:
            return
        self._open = False
        if self._visiting:
            with self._alone() as (begun, ended):
                _COUNTS.pack_into(self._counts, 0, begun, ended + 1)
        self._counts.close()
        os.close(self._descriptor)

    @contextmanager
    def _alone(self) -> Iterator[tuple[int, int]]:
        """The counts, while no other process changes them."""
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        try:
            begun, ended = _COUNTS.unpack_from(self._counts)
            yield begun, ended
        finally:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
