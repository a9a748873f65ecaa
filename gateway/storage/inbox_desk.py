"""The inbox as a whole: messages kept in batches, replaced, cancelled, released, and erased when their time is over."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, Final

from gateway.model import IndexEntry, Item
from gateway.ports import Clock
from gateway.pushed import CaseEnd, Delivery, Letter, Message, Slip, Snapshot
from gateway.storage import inbox_cases, inbox_keeping, inbox_rows
from gateway.storage.database import Database
from gateway.storage.held_memory import HeldMemory, Kept, in_time
from gateway.storage.inbox_keeping import Prepared
from gateway.storage.inbox_store import InboxStore
from gateway.storage.index_store import Registered
from gateway.storage.instants import from_micros, to_micros
from gateway.storage.sealing import Seal, place
from gateway.storage.settlement import reckon, settle
from gateway.storage.writer import Cursor

PAGE: Final = 200
_IN_TIME: Final = "AND held_item.shown = 1 AND (delivery.expires = 0 OR delivery.expires > ?)"
_READ: Final = (
    "SELECT held_item.id, held_item.patient, held_item.custodian, held_item.source, held_item.sealed, delivery.addressees, "
    "delivery.expires FROM held_item JOIN delivery ON delivery.message = held_item.message "
)
_ITEM: Final = f"{_READ} WHERE held_item.id = ? {_IN_TIME}"
_ITEMS: Final = (
    f"{_READ} WHERE held_item.patient = ? AND held_item.source = ? {_IN_TIME} ORDER BY held_item.message, held_item.id"
)
_OF_MESSAGE: Final = f"{_READ} WHERE held_item.message = ? ORDER BY held_item.id, held_item.version"
_SLIPS: Final = (
    "SELECT message.number, delivery.receipt, message.source, message.custodian, message.key, message.digest, "
    "message.received, message.state, message.reason, delivery.format, delivery.map, delivery.patient, delivery.basis, "
    "delivery.expires, delivery.counts, (SELECT COUNT(*) FROM held_item WHERE held_item.message = message.number), "
    "(SELECT COUNT(*) FROM held_item WHERE held_item.message = message.number AND held_item.shown = 1) "
    "FROM message JOIN delivery ON delivery.message = message.number WHERE message.number > ?"
)
_KEPT: Final = (
    "SELECT message.number, message.source, message.custodian, message.key, message.digest, message.raw, message.received, "
    "message.state, message.reason, delivery.format, delivery.map, delivery.batch, delivery.coverage, delivery.patient, "
    "delivery.contact, delivery.thread, delivery.moment, delivery.expires, delivery.ended, delivery.cancels, delivery.basis, "
    "delivery.addressees FROM message JOIN delivery ON delivery.message = message.number "
    "WHERE delivery.receipt = ? AND message.state <> 'erased'"
)
_STATE: Final = (
    "SELECT message.state FROM message JOIN delivery ON delivery.message = message.number WHERE delivery.receipt = ?"
)
_KNOWS: Final = "SELECT 1 FROM delivery WHERE source = ? AND contact = ? AND counts = 1"
_DUE: Final = (
    "SELECT delivery.receipt FROM delivery JOIN message ON message.number = delivery.message "
    "WHERE delivery.expires > 0 AND delivery.expires <= ? AND message.state <> 'erased' ORDER BY delivery.expires"
)
_ABOUT: Final = (
    "SELECT DISTINCT delivery.receipt FROM delivery JOIN message ON message.number = delivery.message "
    "LEFT JOIN held_item ON held_item.message = message.number "
    "WHERE (delivery.patient = ? OR held_item.patient = ?) AND message.received <= ? AND message.state <> 'erased'"
)
_ERASED_FILES: Final = (
    "SELECT DISTINCT CASE WHEN delivery.batch = '' THEN message.digest ELSE delivery.batch END FROM delivery "
    "JOIN message ON message.number = delivery.message WHERE message.state = 'erased' AND message.source = ?"
)
_MARKED: Final = "SELECT 1 FROM erasure WHERE id = ?"
_MARK: Final = "INSERT INTO erasure (id, done) VALUES (?, ?) ON CONFLICT DO NOTHING"


@dataclass(frozen=True, slots=True)
class _Posted:
    """What one caller wants kept."""

    letters: list[Prepared]
    now: int
    touched: inbox_rows.Touched


class InboxDesk(InboxStore):
    """Messages with how they came and until when they stay, sealed under the key of their custodian.

    INVARIANT: a batch is kept whole or not at all; what is shown always follows from the messages that count;
    what has expired is not read, erased yet or not.
    """

    def __init__(self, database: Database, seal: Seal, unseal: Seal, clock: Clock, registered: Registered) -> None:
        super().__init__(database, seal, unseal)
        self._clock = clock
        self._memory = HeldMemory(database.era, registered)

    async def accept(self, message: Message, items: Sequence[Item], entries: Sequence[IndexEntry]) -> str:
        """Keep one message, see `deliver`."""
        return (await self.deliver([Letter(message, tuple(items), tuple(entries))]))[0]

    async def deliver(
        self, letters: Sequence[Letter], snapshot: Snapshot | None = None, *, instead: str = ""
    ) -> list[str]:
        """Keep the letters of one file or message in one durable step; give "new", "again" or "changed" of each.

        Raises:
            Invalid: `conflict` when an index entry belongs to another custodian; nothing is kept.
            Unavailable: `store-unavailable`; the sender must send again.
        """
        touched = inbox_rows.Touched()
        posted = _Posted([self._prepared(one) for one in letters], to_micros(self._clock.now()), touched)
        after = lambda: self._memory.forget(touched)  # noqa: E731 - the same for both
        if snapshot is None and not instead:
            return await self._database.write_joint(_keep_together, posted, after)

        def keep(cursor: Cursor) -> list[str]:
            counted = inbox_rows.take_out(cursor, instead, touched) if instead else True
            outcomes = inbox_keeping.keep(cursor, posted.letters, touched)
            for letter in () if counted else letters:
                inbox_rows.retire(cursor, letter.message.receipt, touched)
            # A replayed file says nothing new: what came after it stays.
            if snapshot is not None and any(outcome != "again" for outcome in outcomes or ("",)):
                inbox_rows.replace_older(cursor, snapshot, touched)
            _conclude(cursor, touched, posted.now)
            return outcomes

        return await self._database.write(keep, after)

    async def item(self, item_id: str) -> Item | None:
        """One held item, as long as it may stay."""
        now, items = to_micros(self._clock.now()), self._memory.items
        kept = items.get(item_id)
        if kept is None:
            before = items.mark()
            row = await self._database.row(_ITEM, (item_id, now))
            if row is None:
                return None
            kept = self._kept(row)
            items.keep(item_id, kept, before)
        return next(iter(in_time((kept,), now)), None)

    async def items(self, patient: str, source: str) -> list[Item]:
        """The newest version of every item a source pushed about a patient, as long as they may stay."""
        now, places = to_micros(self._clock.now()), self._memory.places
        kept = places.get((patient, source))
        if kept is None:
            before = places.mark()
            rows = await self._database.rows(_ITEMS, (patient, source, now))
            kept = tuple([self._kept(row) for row in rows])
            places.keep((patient, source), kept, before)
        return in_time(kept, now)

    async def knows(self, source: str, contact: str) -> bool:
        """Claim that something of this contact counts."""
        return await self._database.row(_KNOWS, (source, contact)) is not None

    async def slips(
        self, *, source: str = "", state: str = "", since: datetime | None = None, after: int = 0
    ) -> list[Slip]:
        """A page of the messages on the desk, oldest first; no content in them."""
        sql, parameters = _SLIPS, [after]
        wanted: list[tuple[str, Any]] = [("message.source = ?", source), ("message.state = ?", state)]
        wanted.append(("message.received >= ?", to_micros(since) if since else ""))
        for condition, value in wanted:
            if value:
                sql += f" AND {condition}"
                parameters.append(value)
        rows = await self._database.rows(f"{sql} ORDER BY message.number LIMIT {PAGE}", parameters)
        return [_slip(row) for row in rows]

    async def kept(self, receipt: str) -> Letter | None:
        """A message with its raw bytes and items, None when it is unknown or erased."""
        row = await self._database.row(_KEPT, (receipt,))
        if row is None:
            return None
        items = await self._database.rows(_OF_MESSAGE, (row[0],))
        number, source, custodian, key, digest, sealed, *_ = row
        del number
        raw = self._unseal(custodian, sealed, place("message", source, key, digest))
        return Letter(_message(row, raw), tuple(self._addressed(item) for item in items))

    async def state(self, receipt: str) -> str:
        """The state of a message as it is kept, empty when it is unknown."""
        row = await self._database.row(_STATE, (receipt,))
        return str(row[0]) if row else ""

    async def release(self, receipt: str, entries: Sequence[IndexEntry]) -> bool:
        """Show a quarantined message after a human looked at it; false when it is not in quarantine."""
        now = to_micros(self._clock.now())
        touched = inbox_rows.Touched()

        def release(cursor: Cursor) -> bool:
            if not inbox_rows.accept(cursor, receipt, touched):
                return False
            inbox_rows.register(cursor, receipt, entries, touched)
            _conclude(cursor, touched, now)
            return True

        return await self._database.write(release, after=lambda: self._memory.forget(touched))

    async def case_until(self, patient: str, organization: str, now: datetime) -> datetime | None:
        """Until when an open case of this organization about this patient may last; None when it has none."""
        moment = to_micros(now)
        row = await self._database.row(inbox_cases.OPEN_UNTIL, (patient, organization, moment, moment, ""))
        return from_micros(row[0]) if row and row[0] else None

    async def case_ended(self, ended: CaseEnd) -> int:
        """Let what came for a case expire with it; give how many messages that were."""
        now = to_micros(ended.at)
        touched = inbox_rows.Touched()

        def end(cursor: Cursor) -> int:
            count = inbox_cases.end(cursor, ended, touched)
            _conclude(cursor, touched, now)
            return count

        return await self._database.write(end, after=lambda: self._memory.forget(touched))

    async def due(self, now: datetime) -> list[str]:
        """Receipts of messages whose time is over; a page."""
        return [row[0] for row in await self._database.rows(f"{_DUE} LIMIT {PAGE}", (to_micros(now),))]

    async def about(self, patients: Sequence[str], until: datetime) -> list[str]:
        """Receipts of everything received about these patient ids, not later than `until`."""
        moment = to_micros(until)
        found: dict[str, None] = {}
        for patient in patients:
            rows = await self._database.rows(_ABOUT, (patient, patient, moment))
            found.update(dict.fromkeys(row[0] for row in rows))
        return list(found)

    async def erase(self, receipts: Sequence[str], now: datetime, mark: str = "") -> int:
        """Remove raw bytes, items and index entries for good; give how many messages that were.

        The row of the message stays without content, so that the same bytes sent again are not taken in again.
        """
        moment = to_micros(now)
        touched = inbox_rows.Touched()

        def erase(cursor: Cursor) -> int:
            erased = sum(inbox_rows.erase(cursor, receipt, touched) for receipt in receipts)
            _conclude(cursor, touched, moment)
            if mark:
                cursor.execute(_MARK, (mark, moment))
            return erased

        return await self._database.write(erase, after=lambda: self._memory.forget(touched))

    async def erased_files(self, source: str) -> frozenset[str]:
        """The first 16 digits of the digest of every file something of which was erased."""
        return frozenset(row[0][:16] for row in await self._database.rows(_ERASED_FILES, (source,)))

    async def marked(self, mark: str) -> bool:
        """Claim that this line of the list of erasures was done in this database."""
        return await self._database.row(_MARKED, (mark,)) is not None

    def _prepared(self, letter: Letter) -> Prepared:
        message = letter.message
        raw = self._seal(message.custodian, message.raw, place("message", message.source, message.key, message.digest))
        return Prepared(message, raw, [(item, self._sealed(item)) for item in letter.items], letter.entries)

    def _kept(self, row: Sequence[Any]) -> Kept:
        """An opened item with the end of its time; what the record says of its bytes is worked out once."""
        item = self._addressed(row)
        item.digest, item.born  # noqa: B018 - kept with the item, for every copy
        item._resource = None  # noqa: SLF001 - what was parsed for it is not kept
        return row[-1], item

    def _addressed(self, row: Sequence[Any]) -> Item:
        item = self._opened(*row[:-2])
        item.addressees = frozenset(row[-2].split())
        return item


def _keep_together(cursor: Cursor, posted: Sequence[_Posted]) -> list[list[str]]:
    """Keep what several callers posted, in its order; the first forgets for all, before any of them goes on."""
    touched = posted[0].touched
    outcomes = iter(inbox_keeping.keep(cursor, [letter for one in posted for letter in one.letters], touched))
    _conclude(cursor, touched, posted[-1].now)
    return [list(islice(outcomes, len(one.letters))) for one in posted]


def _conclude(cursor: Cursor, touched: inbox_rows.Touched, now: int) -> None:
    for item in sorted(touched.items):
        settle(cursor, item)
    reckon(cursor, sorted(touched.entries), now)
    touched.everywhere(cursor)


def _message(row: Sequence[Any], raw: bytes) -> Message:
    _, source, custodian, key, digest, _, received, state, reason, *delivery = row
    format_, map_, batch, coverage, patient, contact, thread, moment, expires, ended, cancels, basis, addressees = (
        delivery
    )
    return Message(
        source,
        custodian,
        key,
        digest,
        raw,
        from_micros(received),
        state,
        reason,
        Delivery(
            format=format_,
            map=map_,
            batch=batch,
            coverage=coverage,
            patient=patient,
            contact=contact,
            thread=thread,
            dated=None if moment == received else from_micros(moment),
            expires=from_micros(expires) if expires else None,
            ended=bool(ended),
            cancels=bool(cancels),
            basis=basis,
            addressees=frozenset(addressees.split()),
        ),
    )


def _slip(row: Iterable[Any]) -> Slip:
    number, receipt, source, custodian, key, digest, received, state, reason, *rest = row
    format_, map_, patient, basis, expires, counts, items, shown = rest
    until = from_micros(expires) if expires else None
    return Slip(
        number, receipt, source, custodian, key, digest, from_micros(received), state, reason,
        format_, map_, patient, basis, until, bool(counts), items, shown,
    )  # fmt: skip
