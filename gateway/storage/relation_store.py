"""Treatment relations in every version of what told them, and those of the newest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from consent.model import Relation
from gateway.errors import Invalid
from gateway.ports import Clock
from gateway.storage.database import Database
from gateway.storage.instants import to_micros
from gateway.storage.recent import Recent
from gateway.storage.sealing import OWN, Seal, place
from gateway.storage.writer import Cursor

_REMEMBERED_PATIENTS: Final = 4_096

_NEWEST: Final = "SELECT version, patient FROM relation WHERE id = ? AND newest = 1"
_DEMOTE: Final = "UPDATE relation SET newest = 0 WHERE id = ? AND newest = 1"
_INSERT: Final = (
    "INSERT INTO relation (id, version, patient, newest, kept, resource, relations) VALUES (?, ?, ?, 1, ?, ?, ?)"
)
_GET: Final = "SELECT version, resource, patient FROM relation WHERE id = ? AND newest = 1"
_OF: Final = "SELECT id, version, relations FROM relation WHERE patient = ? AND newest = 1 ORDER BY id"
_decoder: Final = msgspec.json.Decoder(tuple[Relation, ...])


class RelationStore:
    """Who treats whom.

    INVARIANT: what `put` returned is what `of` says from then on, in every process (as with consents).
    """

    def __init__(self, database: Database, seal: Seal, unseal: Seal, clock: Clock) -> None:
        self._database = database
        self._seal = seal
        self._unseal = unseal
        self._clock = clock
        self._known: Recent[str, tuple[Relation, ...]] = Recent(_REMEMBERED_PATIENTS, database.era)

    async def put(self, id_: str, expected: int | None, raw: bytes, patient: str, relations: Sequence[Relation]) -> int:
        """Create (expected None) or replace version `expected`; give the new version.

        Raises:
            Invalid: `conflict` when the kept version is another, or it is about another patient.
        """
        version = (expected or 0) + 1
        where = place("relation", id_, str(version), patient)
        told = self._seal(OWN, msgspec.json.encode(tuple(relations)), where)
        row = (id_, version, patient, to_micros(self._clock.now()), self._seal(OWN, raw, where), told)

        def replace(cursor: Cursor) -> int:
            _check(cursor.execute(_NEWEST, (id_,)).fetchone(), expected, patient)
            cursor.execute(_DEMOTE, (id_,))
            cursor.execute(_INSERT, row)
            return version

        return await self._database.write(replace, after=lambda: self._known.forget(patient))

    async def get(self, id_: str) -> tuple[int, bytes, str] | None:
        """Version, exact bytes and patient id of the newest version."""
        row = await self._database.row(_GET, (id_,))
        if row is None:
            return None
        version, resource, patient = row
        return version, self._unseal(OWN, resource, place("relation", id_, str(version), patient)), patient

    async def of(self, patient: str) -> tuple[Relation, ...]:
        """Every relation told of a patient, whether it counts now or not (the decision looks at dates)."""
        known = self._known.get(patient)
        if known is not None:
            return known
        before = self._known.mark()
        found: list[Relation] = []
        for id_, version, sealed in await self._database.rows(_OF, (patient,)):
            where = place("relation", id_, str(version), patient)
            found.extend(_decoder.decode(self._unseal(OWN, sealed, where)))
        self._known.keep(patient, tuple(found), before)
        return tuple(found)


def _check(newest: tuple[int, str] | None, expected: int | None, patient: str) -> None:
    kept = newest[0] if newest else None
    if kept != expected:
        raise Invalid("conflict", why=f"the kept version is {kept or 'none'}; read it again and repeat the change")
    if newest and newest[1] != patient:
        raise Invalid("conflict", why="what was told of one patient cannot move to another")
