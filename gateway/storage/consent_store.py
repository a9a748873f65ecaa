"""Consents in every version, and the statements of the newest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from consent.model import Statement
from gateway.errors import Invalid
from gateway.ports import Clock
from gateway.storage.database import Database
from gateway.storage.instants import to_micros
from gateway.storage.recent import Recent
from gateway.storage.sealing import OWN, Seal, place
from gateway.storage.writer import Cursor

_REMEMBERED_PATIENTS: Final = 4_096

_NEWEST: Final = "SELECT version, patient FROM consent WHERE id = ? AND newest = 1"
_DEMOTE: Final = "UPDATE consent SET newest = 0 WHERE id = ? AND newest = 1"
_INSERT: Final = (
    "INSERT INTO consent (id, version, patient, newest, kept, resource, statements) VALUES (?, ?, ?, 1, ?, ?, ?)"
)
_GET: Final = "SELECT version, resource, patient FROM consent WHERE id = ? AND newest = 1"
_STATEMENTS: Final = "SELECT id, version, statements, newest FROM consent WHERE patient = ? ORDER BY id, version"
_decoder: Final = msgspec.json.Decoder(tuple[Statement, ...])


class ConsentStore:
    """Consents of patients.

    INVARIANT: what `put` returned is what `statements` says from then on, in every process. Statements are
    remembered only where no other process writes, and forgotten in the loop as soon as a commit has ended.
    """

    def __init__(self, database: Database, seal: Seal, unseal: Seal, clock: Clock) -> None:
        self._database = database
        self._seal = seal
        self._unseal = unseal
        self._clock = clock
        self._known: Recent[str, tuple[int, tuple[Statement, ...]]] = Recent(_REMEMBERED_PATIENTS, database.era)

    async def put(
        self, consent_id: str, expected: int | None, raw: bytes, patient: str, statements: Sequence[Statement]
    ) -> int:
        """Create (expected None) or replace version `expected`; give the new version.

        Raises:
            Invalid: `conflict` when the kept version is another, or the consent is of another patient.
        """
        version = (expected or 0) + 1
        where = place("consent", consent_id, str(version), patient)
        row = (
            consent_id,
            version,
            patient,
            to_micros(self._clock.now()),
            self._seal(OWN, raw, where),
            self._seal(OWN, msgspec.json.encode(tuple(statements)), where),
        )

        def replace(cursor: Cursor) -> int:
            _check(cursor.execute(_NEWEST, (consent_id,)).fetchone(), expected, patient)
            cursor.execute(_DEMOTE, (consent_id,))
            cursor.execute(_INSERT, row)
            return version

        return await self._database.write(replace, after=lambda: self._known.forget(patient))

    async def get(self, consent_id: str) -> tuple[int, bytes, str] | None:
        """Version, exact bytes and patient id."""
        row = await self._database.row(_GET, (consent_id,))
        if row is None:
            return None
        version, resource, patient = row
        return version, self._unseal(OWN, resource, place("consent", consent_id, str(version), patient)), patient

    async def statements(self, patient: str) -> tuple[Statement, ...]:
        """Every statement in force or not (the decision looks at dates), read at the newest revision."""
        return (await self._read(patient))[1]

    async def revision(self, patient: str) -> int:
        """A number that grows with every change to the consents of a patient."""
        return (await self._read(patient))[0]

    async def _read(self, patient: str) -> tuple[int, tuple[Statement, ...]]:
        known = self._known.get(patient)
        if known is not None:
            return known
        before = self._known.mark()
        rows = await self._database.rows(_STATEMENTS, (patient,))
        found: list[Statement] = []
        for consent_id, version, sealed, newest in rows:
            if newest:
                where = place("consent", consent_id, str(version), patient)
                found.extend(_decoder.decode(self._unseal(OWN, sealed, where)))
        read = len(rows), tuple(found)
        self._known.keep(patient, read, before)
        return read


def _check(newest: tuple[int, str] | None, expected: int | None, patient: str) -> None:
    kept = newest[0] if newest else None
    if kept != expected:
        raise Invalid("conflict", why=f"the kept version is {kept or 'none'}; read it again and repeat the change")
    # Replacing someone's objection by a consent of another person would silently remove it.
    if newest and newest[1] != patient:
        raise Invalid("conflict", why="a consent cannot move to another patient")
