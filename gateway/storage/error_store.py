"""What custodians were told is wrong in their data, sealed under the key of each custodian."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from gateway.office import ToldError
from gateway.storage.database import Database
from gateway.storage.instants import from_micros, to_micros
from gateway.storage.sealing import Seal, place
from gateway.storage.writer import Cursor

_COLUMNS: Final = (
    "id, custodian, section, item, patient, person, organization, body, told, settled, settled_by, finding"
)
_TELL: Final = f"INSERT INTO told_error ({_COLUMNS}, source) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0, '', '', '')"  # noqa: S608 - a constant
_WAITING: Final = f"SELECT {_COLUMNS} FROM told_error WHERE custodian = ? AND settled = 0 ORDER BY told, id"  # noqa: S608 - a constant
_SETTLE: Final = (
    "UPDATE told_error SET settled = ?, settled_by = ?, finding = ? WHERE id = ? AND custodian = ? AND settled = 0"
)


class ErrorStore:
    """The queue of errors told to custodians; a row stays when it was settled."""

    def __init__(self, database: Database, seal: Seal, unseal: Seal) -> None:
        self._database = database
        self._seal = seal
        self._unseal = unseal

    async def tell(self, error: ToldError) -> None:
        """Keep it for its custodian; durable when this returns."""
        body = self._seal(error.custodian, error.text.encode(), place("told_error", error.id))
        row = (error.id, error.custodian, error.section, error.item, error.patient, error.person,
               error.organization, body, to_micros(error.told))  # fmt: skip

        def insert(cursor: Cursor) -> None:
            cursor.execute(_TELL, row)

        await self._database.write(insert)

    async def waiting(self, custodian: str) -> tuple[ToldError, ...]:
        """What waits for a custodian, the oldest first."""
        return tuple(self._error(row) for row in await self._database.rows(_WAITING, (custodian,)))

    async def settle(self, id_: str, custodian: str, by: str, finding: str, now: datetime) -> bool:
        """Note what the custodian did about it; false when there is none that waits for it."""
        row = (to_micros(now), by, finding, id_, custodian)

        def update(cursor: Cursor) -> bool:
            return cursor.execute(_SETTLE, row).rowcount == 1

        return await self._database.write(update)

    def _error(self, row: tuple[Any, ...]) -> ToldError:
        id_, custodian, section, item, patient, person, organization, body, told, settled, by, finding = row
        text = self._unseal(custodian, body, place("told_error", id_)).decode()
        return ToldError(id_, custodian, section, item, patient, person, organization, text, from_micros(told),
                         from_micros(settled) if settled else None, by, finding)  # fmt: skip
