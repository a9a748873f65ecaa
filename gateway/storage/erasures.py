"""The list of what was erased, outside the database: a database restored from an older backup is brought up to it."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec

from gateway.errors import StartError
from gateway.model import instant
from gateway.storage.inbox_desk import InboxDesk
from gateway.storage.scrubbing import scrub


class Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """One decision to erase. INVARIANT: no content, no identifier of a person but the pseudonymous id."""

    id: str
    at: str  # FHIR instant
    receipts: tuple[str, ...] = ()
    patients: tuple[str, ...] = ()  # everything received about them until `at`


_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(Line).decode


class Erasures:
    """An append-only file; a line is durable before what it names is erased."""

    def __init__(self, path: Path, desk: InboxDesk, url: str) -> None:
        self._path = path
        self._desk = desk
        self._url = url
        self._read_bytes = 0

    async def due(self, now: datetime) -> list[str]:
        """Receipts of messages whose time is over; a page."""
        return await self._desk.due(now)

    async def gone(self, source: str) -> frozenset[str]:
        """The first 16 digits of the digest of every file of a source of which something was erased."""
        return await self._desk.erased_files(source)

    async def erase(self, receipts: Sequence[str], now: datetime, patients: Sequence[str] = ()) -> int:
        """Erase messages for good, to the last byte the engine keeps; give how many.

        Raises:
            Unavailable: the database cannot be written; the line stands, so that it happens later.
            StartError: the list cannot be written; nothing is erased.
        """
        line = Line(secrets.token_hex(8), instant(now), tuple(receipts), tuple(patients))
        self._append(line)
        count = await self._desk.erase(receipts, now, line.id)
        await asyncio.to_thread(scrub, self._url)
        return count

    async def catch_up(self, now: datetime) -> int:
        """Erase what the list names and this database still holds; give how many messages that were."""
        count = 0
        for line in self._new_lines():
            if await self._desk.marked(line.id):
                continue
            until = datetime.fromisoformat(line.at)
            named = dict.fromkeys((*line.receipts, *await self._desk.about(line.patients, until)))
            count += await self._desk.erase(list(named), now, line.id)
        if count:
            await asyncio.to_thread(scrub, self._url)
        return count

    def _append(self, line: Line) -> None:
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                # A line break first: it ends a line that a crash cut off.
                os.write(descriptor, b"\n" + _encode(line) + b"\n")
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            message = f"database.erasures: {self._path} cannot be written: {error.strerror}; nothing was erased"
            raise StartError(message) from None

    def _new_lines(self) -> list[Line]:
        """The lines since the last reading; one that a crash cut off was never acted on."""
        if not self._path.exists():
            return []
        with self._path.open("rb") as file:
            file.seek(self._read_bytes)
            text = file.read()
        whole = text[: text.rfind(b"\n") + 1]
        self._read_bytes += len(whole)
        found = []
        for row in filter(None, whole.splitlines()):
            try:
                found.append(_decode(row))
            except msgspec.DecodeError:
                continue
        return found
