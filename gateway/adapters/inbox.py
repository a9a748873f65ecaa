"""A directory in which a custodian drops files: whole ones are taken in and moved away, half ones are left alone."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import logging
import os
import re
import stat
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from gateway.errors import StartError
from gateway.settings import SourceTable

DONE: Final = ".done"
PROCESSED: Final = "processed"
REFUSED: Final = "refused"
_REASON: Final = ".reason.txt"
_LOCK: Final = ".gateway.lock"
_UNFINISHED: Final = (".part", ".tmp", ".filepart", ".crdownload", "~")
_ZONE: Final = ZoneInfo("Europe/Amsterdam")  # of a date in the name of a file
_DATED: Final = re.compile(
    r"(?<!\d)(20\d\d)-?(0[1-9]|1[0-2])-?(0[1-9]|[12]\d|3[01])(?:[T_-]?([01]\d|2[0-3])[.:-]?([0-5]\d)(?:[.:-]?\d\d)?)?(?!\d)"
)
_DIGEST: Final = re.compile(r"([0-9a-f]{16})-")
_WAYS: Final = ("marker", "rename")
_CHUNK: Final = 1 << 20
_NEVER_COMPLETE: Final = "never complete: its marker did not come, or it kept its temporary name"
_LOG: Final = logging.getLogger(__name__)

# Takes bytes in durably, with the date in the name of the file and when it was written; gives what is wrong with them,
# empty when they were read.
TakeIn = Callable[[SourceTable, bytes, datetime | None, datetime], Awaitable[str]]
# Keeps a file that never became whole, or cannot be taken in, as a dead letter.
Bury = Callable[[SourceTable, bytes, str, str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Limits:
    """How large, and how patient."""

    file_bytes: int = 64 << 20
    files: int = 1_000  # a sweep
    patience: timedelta = timedelta(hours=1)  # with a file that does not become whole


Look = tuple[int, int, int]  # inode, size, time of the last change in nanoseconds


class InboxDirectory:
    """The drop directory of one source; everything in it is from that source, whatever its content says (D1).

    INVARIANT: a file leaves the directory only after its bytes were taken in or buried durably. Whoever is killed
    between the two finds it again, and its bytes are then known: the state is the same.
    """

    def __init__(
        self, table: SourceTable, path: Path, take_in: TakeIn, bury: Bury, *, limits: Limits | None = None
    ) -> None:
        self._table = table
        self._path = path
        self._take_in = take_in
        self._bury = bury
        self._limits = limits or Limits()
        self._seen: dict[str, Look] = {}

    @property
    def source(self) -> str:
        """The id of the source that drops files here."""
        return self._table.id

    def prepare(self) -> None:
        """Make the places files go to.

        Raises:
            StartError: the directory is not there or not ours to change, or `complete` is no known word.
        """
        if self._table.complete not in _WAYS:
            message = f"source '{self._table.id}': complete = '{self._table.complete}': use {' or '.join(_WAYS)}"
            raise StartError(message, 1)
        try:
            for name in (PROCESSED, REFUSED):
                (self._path / name).mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            message = f"source '{self._table.id}': inbox '{self._path}': {error.strerror}; make it, owned by the gateway's user"
            raise StartError(message, 1) from None

    async def sweep(self, now: datetime) -> int:
        """Take in every whole file, oldest first; give how many left the directory.

        Another process that is at it is left alone: one sweep at a time.

        Raises:
            Unavailable: the store or the log cannot keep it; the files stay for the next sweep.
        """
        with self._alone() as alone:
            if not alone:
                return 0
            return await self._swept(now)

    def waiting(self) -> int:
        """How many files lie here, whole or not."""
        return sum(1 for _ in self._files())

    def purge(self, digests: frozenset[str]) -> int:
        """Remove moved files whose content was erased; `digests` are the first 16 digits of each."""
        count = 0
        for place in (PROCESSED, REFUSED):
            for entry in sorted((self._path / place).iterdir()):
                found = _DIGEST.match(entry.name)
                if found and found[1] in digests:
                    _overwrite(entry)
                    entry.unlink(missing_ok=True)
                    count += 1
        return count

    async def _swept(self, now: datetime) -> int:
        files = sorted(self._files(), key=lambda pair: (pair[1].st_mtime_ns, pair[0]))
        seen, self._seen = self._seen, {name: _look(found) for name, found in files}
        moved = 0
        for name, found in files[: self._limits.files]:
            whole = self._is_whole(name, found)
            late = now - datetime.fromtimestamp(found.st_mtime, now.tzinfo) > self._limits.patience
            if not stat.S_ISREG(found.st_mode):
                await self._refuse(name, b"", "not a file", found)
            elif found.st_size > self._limits.file_bytes:
                await self._refuse_large(name)
            elif whole and seen.get(name) == _look(found):
                await self._pick_up(name, found)
            elif late and not whole:
                half = await asyncio.to_thread(self._read, name)
                await self._refuse(name, half or b"", _NEVER_COMPLETE, found)
            else:
                continue
            moved += 1
        return moved

    def _files(self) -> Iterator[tuple[str, os.stat_result]]:
        for entry in os.scandir(self._path):
            if entry.name.startswith(".gateway") or entry.name.endswith(DONE) or entry.name in (PROCESSED, REFUSED):
                continue
            try:
                found = entry.stat(follow_symlinks=False)
            except FileNotFoundError:  # its sender renamed it while we looked
                continue
            if not stat.S_ISDIR(found.st_mode):
                yield entry.name, found

    def _is_whole(self, name: str, found: os.stat_result) -> bool:
        """Claim that the sender says it wrote the last byte."""
        if name.startswith(".") or name.endswith(_UNFINISHED):
            return False
        if self._table.complete == "rename":
            return True
        try:
            marker = (self._path / (name + DONE)).lstat()
        except OSError:
            return False
        return marker.st_mtime_ns >= found.st_mtime_ns  # a marker of an earlier file of that name says nothing

    async def _pick_up(self, name: str, found: os.stat_result) -> None:
        body = await asyncio.to_thread(self._read, name)
        if body is None or len(body) != found.st_size:
            return  # it grew or went while we read: the next sweep sees what it is
        written = datetime.fromtimestamp(found.st_mtime, UTC)
        wrong = await self._take_in(self._table, body, date_in(name), written)
        self._move(name, hashlib.sha256(body).hexdigest(), wrong)

    async def _refuse(self, name: str, body: bytes, why: str, found: os.stat_result) -> None:
        # Without bytes it is known by its place on disk: a name could hold a person's.
        digest = hashlib.sha256(body or f"{found.st_ino} {found.st_mtime_ns}".encode()).hexdigest()
        await self._bury(self._table, body, digest, why)
        self._move(name, digest, why)

    async def _refuse_large(self, name: str) -> None:
        digest = await asyncio.to_thread(_digest, self._path / name)
        why = f"larger than {self._limits.file_bytes} bytes"
        await self._bury(self._table, b"", digest, why)
        self._move(name, digest, why)

    def _read(self, name: str) -> bytes | None:
        try:
            # Not through a link, and not waiting for a writer: whoever may drop files must not choose what is read.
            descriptor = os.open(self._path / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return None
        with os.fdopen(descriptor, "rb") as file:
            return file.read(self._limits.file_bytes + 1) if stat.S_ISREG(os.fstat(descriptor).st_mode) else None

    def _move(self, name: str, digest: str, why: str) -> None:
        """Move a file away under the digest of its content, then its marker; the reason goes first, so that it is never missing."""
        target = self._path / (REFUSED if why else PROCESSED) / f"{digest[:16]}-{name.lstrip('.')[-100:]}"
        if why:
            target.with_name(target.name + _REASON).write_text(f"{why}\n", encoding="utf-8")
        try:
            (self._path / name).rename(target)
        except FileNotFoundError:
            _LOG.warning("inbox source=%s a file went away while it was taken in", self._table.id)
        (self._path / (name + DONE)).unlink(missing_ok=True)
        for directory in (target.parent, self._path):
            _sync(directory)

    @contextmanager
    def _alone(self) -> Iterator[bool]:
        descriptor = os.open(self._path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True
        finally:
            os.close(descriptor)


def date_in(name: str) -> datetime | None:
    """The date a file name carries, such as `export_20260302T0300.csv`; None when there is none, or more than one."""
    found = list(_DATED.finditer(name))
    if len(found) != 1:
        return None
    year, month, day, hour, minute = found[0].groups()
    try:
        return datetime(int(year), int(month), int(day), int(hour or 0), int(minute or 0), tzinfo=_ZONE)
    except ValueError:
        return None


def _look(found: os.stat_result) -> Look:
    return found.st_ino, found.st_size, found.st_mtime_ns


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _overwrite(path: Path) -> None:
    if path.is_symlink() or not path.is_file():
        return
    with path.open("r+b") as file:
        left = path.stat().st_size
        while left > 0:
            left -= file.write(bytes(min(left, _CHUNK)))
        file.flush()
        os.fsync(file.fileno())


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
