"""What was pushed to the gateway: messages as they arrived, and the items made of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from gateway.model import IndexEntry, Item
from gateway.pushed import Message
from gateway.storage import index_store
from gateway.storage.content_date import older
from gateway.storage.database import Database
from gateway.storage.instants import from_micros, to_micros
from gateway.storage.sealing import Seal, place
from gateway.storage.writer import Cursor

_HEARD: Final = (
    "INSERT INTO feed (source, heard) VALUES (?, ?) "
    "ON CONFLICT (source) DO UPDATE SET heard = excluded.heard WHERE excluded.heard > feed.heard"
)
_LAST_HEARD: Final = "SELECT heard FROM feed WHERE source = ?"
_KNOWN: Final = "SELECT digest FROM message WHERE source = ? AND key = ?"
_NEXT_NUMBER: Final = "SELECT COALESCE(MAX(number), 0) + 1 FROM message"
_KEEP: Final = (
    "INSERT INTO message (number, source, custodian, key, digest, received, state, reason, raw) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_NEXT_VERSION: Final = "SELECT COALESCE(MAX(version), 0) + 1 FROM held_item WHERE id = ?"
_SHOWN: Final = "SELECT custodian, content_date FROM held_item WHERE id = ? AND shown = 1"
_HIDE: Final = "UPDATE held_item SET shown = 0 WHERE id = ? AND shown = 1"
_HOLD: Final = (
    "INSERT INTO held_item (id, version, message, patient, custodian, source, content_date, shown, sealed) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_ITEM: Final = "SELECT patient, custodian, source, sealed FROM held_item WHERE id = ? AND shown = 1"
_ITEMS: Final = (
    "SELECT id, patient, custodian, source, sealed FROM held_item WHERE patient = ? AND source = ? AND shown = 1 "
    "ORDER BY message, id"
)


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
    """Messages and items, sealed under the key of their custodian.

    INVARIANT: at most one version of an item is shown; a quarantined message shows nothing.
    """

    def __init__(self, database: Database, seal: Seal, unseal: Seal) -> None:
        self._database = database
        self._seal = seal
        self._unseal = unseal

    async def accept(self, message: Message, items: Sequence[Item], entries: Sequence[IndexEntry]) -> str:
        """Keep message, items and index entries in one durable step; give "new", "again" or "changed".

        Of a message that is not in state "accepted" items are kept unseen and index entries left out.

        Raises:
            Invalid: `conflict` when an index entry belongs to another custodian; nothing is kept.
            Unavailable: `store-unavailable`; the sender must send again.
        """
        raw = self._seal(message.custodian, message.raw, place("message", message.source, message.key, message.digest))
        sealed = [(item, self._sealed(item)) for item in items]

        def keep(cursor: Cursor) -> str:
            cursor.execute(_HEARD, (message.source, to_micros(message.received)))
            digests = {row[0] for row in cursor.execute(_KNOWN, (message.source, message.key)).fetchall()}
            if message.digest in digests:
                return "again"
            number = _keep_message(cursor, message, raw)
            for item, content in sealed:
                _hold(cursor, item, content, number, visible=message.state == "accepted")
            if message.state == "accepted":
                index_store.register(cursor, entries)
            return "changed" if digests else "new"

        return await self._database.write(keep)

    async def item(self, item_id: str) -> Item | None:
        """One held item."""
        row = await self._database.row(_ITEM, (item_id,))
        return self._opened(item_id, *row) if row else None

    async def items(self, patient: str, source: str) -> list[Item]:
        """The newest version of every item a source pushed about a patient."""
        return [self._opened(*row) for row in await self._database.rows(_ITEMS, (patient, source))]

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


def _keep_message(cursor: Cursor, message: Message, raw: bytes) -> int:
    number = int(cursor.execute(_NEXT_NUMBER).fetchone()[0])
    cursor.execute(
        _KEEP,
        (
            number,
            message.source,
            message.custodian,
            message.key,
            message.digest,
            to_micros(message.received),
            message.state,
            message.reason,
            raw,
        ),
    )
    return number


def _hold(cursor: Cursor, item: Item, content: bytes, message: int, *, visible: bool) -> None:
    """Keep a version of an item; show it unless it is older than the one shown (E7)."""
    content_date = item.recorded or item.date
    shown = cursor.execute(_SHOWN, (item.id,)).fetchone() if visible else None
    if shown is not None:
        custodian, shown_date = shown
        visible = custodian == item.custodian and not older(content_date, shown_date)
        if visible:
            cursor.execute(_HIDE, (item.id,))
    version = cursor.execute(_NEXT_VERSION, (item.id,)).fetchone()[0]
    cursor.execute(
        _HOLD,
        (item.id, version, message, item.patient, item.custodian, item.source, content_date, int(visible), content),
    )
