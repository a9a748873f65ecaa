"""Agreements as FHIR Contracts, in every version, with who made each."""

from __future__ import annotations

from typing import Final

from gateway.errors import Invalid
from gateway.ports import Clock, KeptContract
from gateway.storage.database import Database
from gateway.storage.instants import to_micros
from gateway.storage.writer import Cursor

_NEWEST: Final = "SELECT version FROM contract WHERE id = ? AND newest = 1"
_DEMOTE: Final = "UPDATE contract SET newest = 0 WHERE id = ? AND newest = 1"
_INSERT: Final = (
    "INSERT INTO contract (id, version, newest, status, person, kept, resource) VALUES (?, ?, 1, ?, ?, ?, ?)"
)
_GET: Final = "SELECT id, version, status, person, resource FROM contract WHERE id = ? AND newest = 1"
_ALL: Final = "SELECT id, version, status, person, resource FROM contract WHERE newest = 1 ORDER BY id"


class ContractStore:
    """INVARIANT: a version is never changed; the newest one counts."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def put(self, contract: KeptContract, expected: int | None) -> int:
        """Create (expected None) or replace version `expected`; give the new version.

        Raises:
            Invalid: `conflict` when the kept version is another.
        """
        version = (expected or 0) + 1
        row = (
            contract.id,
            version,
            contract.status,
            contract.person,
            to_micros(self._clock.now()),
            contract.raw,
        )

        def replace(cursor: Cursor) -> int:
            newest = cursor.execute(_NEWEST, (contract.id,)).fetchone()
            kept = newest[0] if newest else None
            if kept != expected:
                raise Invalid(
                    "conflict", why=f"the kept version is {kept or 'none'}; read it again and repeat the change"
                )
            cursor.execute(_DEMOTE, (contract.id,))
            cursor.execute(_INSERT, row)
            return version

        return await self._database.write(replace)

    async def get(self, contract_id: str) -> KeptContract | None:
        """The newest version of one."""
        row = await self._database.row(_GET, (contract_id,))
        return KeptContract(*row) if row else None

    async def all(self) -> tuple[KeptContract, ...]:
        """The newest version of each."""
        return tuple(KeptContract(*row) for row in await self._database.rows(_ALL))
