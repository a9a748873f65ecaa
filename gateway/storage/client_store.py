"""Clients registered by command."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec

from gateway.errors import Invalid
from gateway.ports import Clock
from gateway.settings import ClientTable
from gateway.storage.database import Database
from gateway.storage.instants import from_micros, to_micros
from gateway.storage.writer import Cursor

_ADD: Final = "INSERT INTO client (id, body, added) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
_FIND: Final = "SELECT body FROM client WHERE id = ? AND disabled IS NULL"
_ALL: Final = "SELECT body, added, disabled FROM client ORDER BY id"
_IDS: Final = "SELECT id FROM client"
_DISABLE: Final = "UPDATE client SET disabled = ? WHERE id = ? AND disabled IS NULL"
_decoder: Final = msgspec.json.Decoder(ClientTable)


@dataclass(frozen=True, slots=True)
class Registration:
    """A client with the dates of its registration."""

    client: ClientTable
    added: datetime
    disabled: datetime | None


class ClientStore:
    """Registrations stay when disabled: an id is never given to another."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def client(self, client_id: str) -> ClientTable | None:
        """The client, or None when unknown or disabled."""
        row = await self._database.row(_FIND, (client_id,))
        return _decoder.decode(row[0]) if row else None

    async def add(self, client: ClientTable) -> None:
        """Register a client.

        Raises:
            Invalid: `conflict` when the id was ever registered.
        """
        row = (client.id, msgspec.json.encode(client), to_micros(self._clock.now()))

        def insert(cursor: Cursor) -> None:
            if cursor.execute(_ADD, row).rowcount == 0:
                raise Invalid("conflict", why=f"client '{client.id}' is registered already")

        await self._database.write(insert)

    async def disable(self, client_id: str) -> bool:
        """Refuse a client from now on; false when there is none that could be disabled."""
        now = to_micros(self._clock.now())
        return await self._database.write(lambda cursor: cursor.execute(_DISABLE, (now, client_id)).rowcount == 1)

    async def list(self) -> tuple[Registration, ...]:
        """Every registration, disabled ones too."""
        rows = await self._database.rows(_ALL)
        return tuple(
            Registration(_decoder.decode(body), from_micros(added), _or_none(disabled))
            for body, added, disabled in rows
        )

    async def ids(self) -> frozenset[str]:
        """Every id ever registered; one of these in region.toml too is an error."""
        return frozenset(row[0] for row in await self._database.rows(_IDS))


def _or_none(micros: int | None) -> datetime | None:
    return None if micros is None else from_micros(micros)
