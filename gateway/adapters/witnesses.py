"""The witnesses of a gateway: another gateway over HTTP, or a directory on write-once storage."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Final
from urllib.parse import quote

from gateway.adapters.http import HttpClient, HttpError, tls_context
from gateway.audit.checkpoints import tree_in
from gateway.audit.witness import Addition, Objection, Witness, WitnessError, not_grown
from gateway.crypto.notes import LARGEST_BYTES, Note, Verifier, signature_in
from gateway.errors import StartError
from gateway.settings import AuditTable, WitnessTable

_SECONDS: Final = 5.0
_HISTORY_BYTES: Final = 16_777_216
_OTHER_SIZE: Final = re.compile(rb"(0|[1-9]\d{0,17})\n")
_LAST: Final = 200  # notes of a log that are compared


class GatewayWitness:
    """Another gateway. Spec: C2SP tlog-witness v1."""

    def __init__(self, table: WitnessTable, http: HttpClient) -> None:
        self.id = table.id
        self.every: timedelta = table.every
        self._url = table.url.rstrip("/")
        self._key = Verifier.parse(table.key)
        self._http = http
        self._tls = tls_context(table.ca_file, "", "")

    async def history(self, origin: str) -> list[Note]:
        """What it signed of a log, the newest first.

        Raises:
            WitnessError: it cannot be asked, or answers with what it did not sign.
        """
        status, body = await self._ask("GET", f"/witness/checkpoints?origin={quote(origin, safe='')}", b"")
        if status == 404:
            return []
        try:
            notes = [Note.parse(raw) for raw in body.split(b"\0") if raw] if status == 200 else None
        except ValueError:
            notes = None
        if notes is None or not all(self._key.signed(note) and tree_in(note.text)[0] == origin for note in notes):
            raise WitnessError("unusable answer")
        return notes

    async def add(self, addition: Addition) -> Note:
        """Give it a checkpoint; the note with its signature.

        Raises:
            WitnessError: it cannot be asked, or objects.
        """
        status, body = await self._ask("POST", "/witness/add-checkpoint", addition.raw())
        if status == 200:
            try:
                signatures = [signature_in(line + "\n") for line in body.decode().splitlines()]
            except ValueError:
                signatures = []
            signed = addition.note.signed(signatures)
            if not self._key.signed(signed):
                raise WitnessError("unusable answer")
            return signed
        size = _OTHER_SIZE.fullmatch(body) if status == 409 else None
        if status in {400, 403, 404, 409, 422}:
            why = f"another size is known there: {int(size[1])}" if size else f"answered {status}"
            if status == 422:
                why = body[:200].decode("utf-8", "replace").strip() or why
            raise WitnessError(why, Objection(status, why, int(size[1]) if size else None))
        message = f"answered {status}"
        raise WitnessError(message)

    async def _ask(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        deadline = asyncio.get_running_loop().time() + _SECONDS
        try:
            answer = await self._http.request(
                method,
                self._url + path,
                headers={"content-type": "text/plain; charset=utf-8"},
                body=body,
                deadline=deadline,
                limit_bytes=_HISTORY_BYTES,
                tls=self._tls,
            )
        except HttpError as error:
            raise WitnessError(str(error)) from None
        return answer.status, answer.body


class FileWitness:
    """A directory on storage where a file can be made once and never changed: the storage is the witness.

    One file a checkpoint, `<origin>/<size>.note`, so that they sort by size.
    """

    def __init__(self, table: WitnessTable, directory: Path) -> None:
        self.id = table.id
        self.every: timedelta = table.every
        self._directory = directory

    async def history(self, origin: str) -> list[Note]:
        """What it keeps of a log, the newest first.

        Raises:
            WitnessError: the directory cannot be read.
        """
        return await asyncio.to_thread(self._history, origin)

    async def add(self, addition: Addition) -> Note:
        """Keep a checkpoint.

        Raises:
            WitnessError: it cannot be written, or is not a growth of the last one there.
        """
        return await asyncio.to_thread(self._add, addition)

    def _history(self, origin: str) -> list[Note]:
        try:
            found = sorted(self._place(origin).glob("*.note"), reverse=True)[:_LAST]
            return [Note.parse(file.read_bytes()[: LARGEST_BYTES + 1]) for file in found]
        except FileNotFoundError:
            return []
        except (OSError, ValueError) as error:
            message = f"{self._directory}: {getattr(error, 'strerror', None) or error}"
            raise WitnessError(message) from None

    def _add(self, addition: Addition) -> Note:
        origin, size, _ = tree_in(addition.note.text)
        known = next(iter(self._history(origin)), None)
        against = not_grown(addition, known)  # a file is made for good
        if against is not None:
            raise WitnessError(against.why, against)
        if known is not None and tree_in(known.text)[1] == size:
            return known
        place = self._place(origin) / f"{size:020d}.note"
        try:
            place.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
            descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o440)
            with os.fdopen(descriptor, "wb") as file:
                file.write(addition.note.raw())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            message = f"{place}: {error.strerror}"
            raise WitnessError(message) from None
        return addition.note

    def _place(self, origin: str) -> Path:
        return self._directory / quote(origin, safe="")


def witnesses_of(table: AuditTable, directory: Path, http: HttpClient) -> list[Witness]:
    """The witnesses of the configuration.

    Raises:
        StartError: one cannot be used as it is configured. Exit code 1.
    """
    return list(_witnesses(table.witnesses, directory, http))


def _witnesses(tables: Iterable[WitnessTable], directory: Path, http: HttpClient) -> Iterable[Witness]:
    for table in tables:
        name = f"audit.witnesses '{table.id}'"
        if table.kind == "file" and table.path:
            yield FileWitness(table, directory / table.path)
        elif table.kind == "gateway" and table.url and table.key:
            try:
                yield GatewayWitness(table, http)
            except ValueError as error:
                message = f"{name}: key: {error}; take the line 'gateway check' prints there"
                raise StartError(message, 1) from None
        else:
            message = f'{name}: expected kind "gateway" with url and key, or kind "file" with path'
            raise StartError(message, 1)
