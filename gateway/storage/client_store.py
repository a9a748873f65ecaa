"""Clients registered by command, or by two persons of the office."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any, Final

import msgspec

from gateway.errors import Invalid
from gateway.office import EXECUTED, OFFERED, REJECTED, ClientOffer, Registration
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
_TAKEN: Final = "SELECT 1 FROM client WHERE id = ?"
_OFFER: Final = (
    "INSERT INTO client_offer (id, client, body, reason, person, offered, state, decided_by, decided) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, '', 0) ON CONFLICT DO NOTHING"
)
_COLUMNS: Final = "id, body, reason, person, offered, state, decided_by, decided"
_OFFERS: Final = f"SELECT {_COLUMNS} FROM client_offer ORDER BY offered DESC, id LIMIT 200"  # noqa: S608 - a constant
_WAITING: Final = f"SELECT {_COLUMNS} FROM client_offer WHERE id = ? AND decided = 0"  # noqa: S608 - a constant
_DECIDE: Final = "UPDATE client_offer SET state = ?, decided_by = ?, decided = ? WHERE id = ? AND decided = 0"
_decoder: Final = msgspec.json.Decoder(ClientTable)


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

    async def offer(self, offer: ClientOffer) -> None:
        """Keep an offer.

        Raises:
            Invalid: `conflict` when the client is registered or offered already.
        """
        body = msgspec.json.encode(offer.client)
        row = (offer.id, offer.client.id, body, offer.reason, offer.person, to_micros(offer.offered), OFFERED)

        def insert(cursor: Cursor) -> None:
            taken = cursor.execute(_TAKEN, (offer.client.id,)).fetchone() is not None
            if taken or cursor.execute(_OFFER, row).rowcount == 0:
                raise Invalid("conflict", why=f"client '{offer.client.id}' is registered or offered already")

        await self._database.write(insert)

    async def offers(self) -> tuple[ClientOffer, ...]:
        """What waits, and what was decided, the newest first."""
        return tuple(_offer(row) for row in await self._database.rows(_OFFERS))

    async def decide(self, offer_id: str, person: str, *, accept: bool) -> ClientOffer | None:
        """Decide on an offer, and register its client in the same step; None when none waits for this person.

        INVARIANT: never accepted by the person who made it; that person may take it back.

        Raises:
            Invalid: `conflict` when the client was registered in the meantime.
        """
        now = to_micros(self._clock.now())
        state = EXECUTED if accept else REJECTED

        def decide(cursor: Cursor) -> ClientOffer | None:
            row = cursor.execute(_WAITING, (offer_id,)).fetchone()
            found = _offer(tuple(row)) if row is not None else None
            if found is None or (accept and found.person == person):
                return None
            if accept and cursor.execute(_ADD, (found.client.id, row[1], now)).rowcount == 0:
                raise Invalid("conflict", why=f"client '{found.client.id}' is registered already")
            cursor.execute(_DECIDE, (state, person, now, offer_id))
            return replace(found, state=state, decided_by=person, decided=from_micros(now))

        return await self._database.write(decide)

    async def ids(self) -> frozenset[str]:
        """Every id ever registered; one of these in region.toml too is an error."""
        return frozenset(row[0] for row in await self._database.rows(_IDS))


def _or_none(micros: int | None) -> datetime | None:
    return None if micros is None else from_micros(micros)


def _offer(row: tuple[Any, ...]) -> ClientOffer:
    id_, body, reason, person, offered, state, decided_by, decided = row
    return ClientOffer(
        id_, _decoder.decode(body), reason, person, from_micros(offered), state, decided_by, _or_none(decided or None)
    )
