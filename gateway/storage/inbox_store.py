"""How pushed items are sealed and opened, and when each feed last spoke."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import msgspec

from gateway.model import Item
from gateway.storage.database import Database
from gateway.storage.instants import from_micros
from gateway.storage.sealing import Seal, place

_LAST_HEARD: Final = "SELECT heard FROM feed WHERE source = ?"


class _Content(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What is sealed of an item: its bytes and every fact that says something about a person.

    INVARIANT: fields are only ever added at the end, with a default.
    """

    raw: bytes
    type: str
    category: str
    native: str
    labels: frozenset[str]
    date: str
    recorded: str
    fetched: str
    version: str
    map: str
    negative: bool
    marks: tuple[str, ...]
    losses: int | None = None


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(_Content).decode


class InboxStore:
    """Items sealed under the key of their custodian, and when each feed spoke."""

    def __init__(self, database: Database, seal: Seal, unseal: Seal) -> None:
        self._database = database
        self._seal = seal
        self._unseal = unseal

    async def last_heard(self, source: str) -> datetime | None:
        """When this feed last sent anything."""
        row = await self._database.row(_LAST_HEARD, (source,))
        return from_micros(row[0]) if row else None

    def _sealed(self, item: Item) -> bytes:
        content = _Content(
            item.raw,
            item.type,
            item.category,
            item.native,
            item.labels,
            item.date,
            item.recorded,
            item.fetched,
            item.version,
            item.map,
            item.negative,
            item.marks,
            item.losses,
        )
        return self._seal(item.custodian, _encode(content), place("item", item.id, item.patient, item.source))

    def _opened(self, item_id: str, patient: str, custodian: str, source: str, sealed: bytes) -> Item:
        content = _decode(self._unseal(custodian, sealed, place("item", item_id, patient, source)))
        return Item(
            content.raw,
            item_id,
            content.type,
            patient,
            custodian,
            source,
            content.category,
            content.native,
            content.labels,
            content.date,
            content.recorded,
            content.fetched,
            content.version,
            content.map,
            content.negative,
            content.marks,
            losses=content.losses,
        )
