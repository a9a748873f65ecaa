"""Cases of coordinators and the Task each was opened with."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from consent.model import Case
from gateway.errors import Invalid
from gateway.storage.database import Database
from gateway.storage.instants import from_micros, to_micros
from gateway.storage.sealing import OWN, Seal, place
from gateway.storage.writer import Cursor

_COLUMNS: Final = "id, origin, organization, patient, client, person, opened, expires, closed"
# A closed case stays closed, and a case stays with the client and person that opened it.
_PUT: Final = (
    f"INSERT INTO coordinator_case ({_COLUMNS}, resource) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "  # noqa: S608 - a constant
    "ON CONFLICT (id) DO UPDATE SET origin = excluded.origin, organization = excluded.organization, "
    "patient = excluded.patient, opened = excluded.opened, expires = excluded.expires, closed = excluded.closed, "
    "resource = excluded.resource WHERE coordinator_case.closed IS NULL "
    "AND coordinator_case.client = excluded.client AND coordinator_case.person = excluded.person"
)
_GET: Final = f"SELECT {_COLUMNS}, resource FROM coordinator_case WHERE id = ?"  # noqa: S608 - a constant
_OPEN: Final = (
    f"SELECT {_COLUMNS} FROM coordinator_case WHERE patient = ? AND client = ? AND person = ? "  # noqa: S608 - a constant
    "AND closed IS NULL AND opened <= ? AND expires > ? ORDER BY opened, id"
)
_OWN: Final = (
    f"SELECT {_COLUMNS}, resource FROM coordinator_case WHERE client = ? AND person = ? "  # noqa: S608 - a constant
    "AND closed IS NULL AND opened <= ? AND expires > ? ORDER BY opened DESC, id LIMIT 100"
)


class CaseStore:
    """Why a coordinator looks at a patient, kept with the Task that says so."""

    def __init__(self, database: Database, seal: Seal, unseal: Seal) -> None:
        self._database = database
        self._seal = seal
        self._unseal = unseal

    async def put(self, case: Case, raw: bytes) -> None:
        """Open a case, or replace its state (bound, closed).

        Raises:
            Invalid: `conflict` when the case is closed or someone else's.
        """
        closed = None if case.closed is None else to_micros(case.closed)
        row = (
            case.id,
            case.origin,
            case.organization,
            case.patient or "",
            case.client,
            case.person or "",
            to_micros(case.opened),
            to_micros(case.expires),
            closed,
            self._seal(OWN, raw, place("case", case.id)),
        )

        def replace(cursor: Cursor) -> None:
            if cursor.execute(_PUT, row).rowcount == 0:
                raise Invalid("conflict", why="the case is closed or was opened by someone else")

        await self._database.write(replace)

    async def get(self, case_id: str) -> tuple[Case, bytes] | None:
        """A case and its Task as it was posted."""
        row = await self._database.row(_GET, (case_id,))
        return (_case(row[:-1]), self._unseal(OWN, row[-1], place("case", case_id))) if row else None

    async def open_for(self, client: str, person: str | None, patient: str, now: datetime) -> tuple[Case, ...]:
        """The open cases this person has for this patient."""
        instant = to_micros(now)
        rows = await self._database.rows(_OPEN, (patient, client, person or "", instant, instant))
        return tuple(_case(row) for row in rows)

    async def own(self, client: str, person: str, now: datetime) -> tuple[tuple[Case, bytes], ...]:
        """The open cases of this person with the Task of each, the newest first; at most 100."""
        instant = to_micros(now)
        rows = await self._database.rows(_OWN, (client, person, instant, instant))
        return tuple((_case(row[:-1]), self._unseal(OWN, row[-1], place("case", row[0]))) for row in rows)


def _case(row: tuple[Any, ...]) -> Case:
    case_id, origin, organization, patient, client, person, opened, expires, closed = row
    return Case(
        id=case_id,
        origin=origin,
        organization=organization,
        patient=patient or None,
        opened=from_micros(opened),
        expires=from_micros(expires),
        client=client,
        person=person or None,
        closed=None if closed is None else from_micros(closed),
    )
