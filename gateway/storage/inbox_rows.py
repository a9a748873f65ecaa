"""The rows of a pushed message, each step inside a transaction of the desk; what it touched is settled afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from gateway.model import IndexEntry, Item, instant
from gateway.pushed import Delivery, Message, Snapshot
from gateway.storage import index_store
from gateway.storage.instants import to_micros
from gateway.storage.settlement import follow
from gateway.storage.writer import Cursor

_HEARD: Final = (
    "INSERT INTO feed (source, heard) VALUES (?, ?) "
    "ON CONFLICT (source) DO UPDATE SET heard = excluded.heard WHERE excluded.heard > feed.heard"
)
_KNOWN: Final = "SELECT digest FROM message WHERE source = ? AND key = ?"
_NEXT_NUMBER: Final = "SELECT COALESCE(MAX(number), 0) + 1 FROM message"
_MESSAGE: Final = (
    "INSERT INTO message (number, source, custodian, key, digest, received, state, reason, raw) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_DELIVERY: Final = (
    "INSERT INTO delivery (message, receipt, source, batch, coverage, patient, contact, thread, format, map, basis, "
    "addressees, moment, expires, ended, cancels, counts) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_LAST_VERSION: Final = "SELECT COALESCE(MAX(version), 0) FROM held_item WHERE id = ?"
_HOLD: Final = (
    "INSERT INTO held_item (id, version, message, patient, custodian, source, content_date, shown, sealed) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, 0, ?)"
)
_ENTRY: Final = "INSERT INTO delivery_entry (message, entry) VALUES (?, ?) ON CONFLICT DO NOTHING"
_LIVE: Final = (
    "SELECT delivery.message FROM delivery JOIN message ON message.number = delivery.message "
    "WHERE delivery.source = ? AND delivery.counts = 1 AND message.state = 'accepted' "
)
_SAME_THREAD: Final = f"{_LIVE} AND delivery.thread = ? AND delivery.moment <= ? AND delivery.message <> ?"
# A sender may number the visits of each of its patients from one; who cancels by number alone names no patient.
_OF_PATIENT: Final = "AND (delivery.patient IN (?, '') OR CAST(? AS TEXT) = '')"
_SAME_CONTACT: Final = (
    f"{_LIVE} AND delivery.contact = ? {_OF_PATIENT} AND delivery.moment <= ? AND delivery.message <> ?"
)
_OLDER_PARTS: Final = (
    "SELECT delivery.message, delivery.patient FROM delivery JOIN message ON message.number = delivery.message "
    "WHERE delivery.source = ? AND delivery.counts = 1 AND message.state = 'accepted' AND delivery.batch <> ? "
    "AND delivery.moment <= ?"
)
_NEWER_VERSION: Final = "SELECT 1 FROM delivery WHERE source = ? AND thread = ? AND moment > ? AND cancels = 0"
_CANCELLED: Final = (
    f"SELECT 1 FROM delivery WHERE source = ? AND contact = ? {_OF_PATIENT} AND cancels = 1 AND moment >= ?"  # noqa: S608 - fixed words
)
_NEWER_FILE: Final = (
    "SELECT 1 FROM delivery JOIN message ON message.number = delivery.message WHERE delivery.source = ? "
    "AND delivery.coverage = 'full' AND delivery.batch <> ? AND delivery.moment > ? AND message.state <> 'dead'"
)
_ENDED: Final = (
    f"SELECT moment, expires FROM delivery WHERE source = ? AND contact = ? {_OF_PATIENT} AND ended = 1 "  # noqa: S608 - fixed words
    "ORDER BY moment DESC LIMIT 1"
)
_EXPIRE: Final = f"UPDATE delivery SET expires = ? WHERE source = ? AND contact = ? {_OF_PATIENT} AND expires > 0"  # noqa: S608 - fixed words
_CONTACT_ENTRIES: Final = (
    "SELECT delivery_entry.entry FROM delivery_entry JOIN delivery ON delivery.message = delivery_entry.message "  # noqa: S608 - fixed words
    f"WHERE delivery.source = ? AND delivery.contact = ? {_OF_PATIENT}"
)
_CONTACT_ITEMS: Final = (
    "SELECT held_item.id FROM held_item JOIN delivery ON delivery.message = held_item.message "  # noqa: S608 - fixed words
    f"WHERE delivery.source = ? AND delivery.contact = ? {_OF_PATIENT}"
)
_STANDING: Final = (
    "SELECT source, contact, patient, thread, moment, expires, ended, cancels FROM delivery WHERE message = ?"
)
_OF_BATCH: Final = (
    "SELECT delivery.message, delivery.patient, message.state FROM delivery "
    "JOIN message ON message.number = delivery.message WHERE delivery.source = ? AND delivery.batch = ?"
)
_COUNTS_NOT: Final = "UPDATE delivery SET counts = 0 WHERE message = ?"
_COUNTS: Final = "SELECT counts FROM delivery WHERE message = ?"
_ITEMS: Final = "SELECT DISTINCT id, patient, source FROM held_item WHERE message = ?"
_PLACES: Final = "SELECT DISTINCT patient, source FROM held_item WHERE id = ?"
_ENTRIES: Final = "SELECT entry FROM delivery_entry WHERE message = ?"
_FIND: Final = (
    "SELECT message.number, message.state FROM message JOIN delivery ON delivery.message = message.number "
    "WHERE delivery.receipt = ?"
)
_ACCEPT: Final = "UPDATE message SET state = 'accepted', reason = '' WHERE number = ?"
_SEALED: Final = "SELECT id, version, sealed FROM held_item WHERE message = ?"
_RAW: Final = "SELECT raw FROM message WHERE number = ?"
_BLANK_ITEM: Final = "UPDATE held_item SET sealed = ? WHERE id = ? AND version = ?"
_BLANK_RAW: Final = "UPDATE message SET raw = ? WHERE number = ?"
_DROP_ITEMS: Final = "DELETE FROM held_item WHERE message = ?"
_DROP_ENTRIES: Final = "DELETE FROM delivery_entry WHERE message = ?"
_DROP_DELIVERY: Final = "DELETE FROM delivery WHERE message = ?"
_DROP_MESSAGE: Final = "DELETE FROM message WHERE number = ?"
_EMPTY: Final = "UPDATE message SET state = 'erased', raw = ? WHERE number = ?"
_FORGET: Final = (
    "UPDATE delivery SET patient = '', contact = '', thread = '', addressees = '', counts = 0 WHERE message = ?"
)


@dataclass(slots=True)
class Touched:
    """Items and registrations whose standing must be worked out anew."""

    items: set[str] = field(default_factory=set)
    entries: set[str] = field(default_factory=set)
    settled: set[str] = field(default_factory=set)  # items that need no second look
    followed: set[str] = field(default_factory=set)  # the same, and their places are known, however often they came
    registered: set[str] = field(default_factory=set)  # patients about whom a registration changed
    places: set[tuple[str, str]] = field(default_factory=set)  # patient and source of any version of them

    def by(self, cursor: Cursor, message: int) -> None:
        """Take in what a message brought, before any of it is removed."""
        for item, *place in cursor.execute(_ITEMS, (message,)).fetchall():
            self.items.add(item)
            self.places.add((place[0], place[1]))
        self.entries.update(row[0] for row in cursor.execute(_ENTRIES, (message,)).fetchall())

    def everywhere(self, cursor: Cursor) -> None:
        """Find the places of all of it that is still kept, the last step of a change."""
        for entry in self.entries:
            self.registered |= index_store.patient_of(cursor, entry)
        for item in self.items | self.settled:
            self.places.update(cursor.execute(_PLACES, (item,)).fetchall())


@dataclass(frozen=True, slots=True)
class Prepared:
    """A letter whose content is sealed."""

    message: Message
    raw: bytes
    items: list[tuple[Item, bytes]]
    entries: Sequence[IndexEntry]


def keep(cursor: Cursor, letter: Prepared, touched: Touched) -> str:
    """Keep one letter; give "new", "again" or "changed"."""
    message = letter.message
    # A file that lay there while nobody looked is as old as it is: its feed did not speak just now (rule E7).
    heard = min(message.received, message.delivery.heard or message.received)
    cursor.execute(_HEARD, (message.source, to_micros(heard)))
    digests = {row[0] for row in cursor.execute(_KNOWN, (message.source, message.key)).fetchall()}
    if message.digest in digests:
        return "again"
    number = int(cursor.execute(_NEXT_NUMBER).fetchone()[0])
    row = (number, message.source, message.custodian, message.key, message.digest)
    cursor.execute(_MESSAGE, (*row, to_micros(message.received), message.state, message.reason, letter.raw))
    delivery = _delivery(cursor, number, message)
    cursor.execute(_DELIVERY, delivery)
    held: list[tuple[Any, ...]] = []
    last: dict[str, int] = {}
    for item, sealed in letter.items:
        known = last[item.id] if item.id in last else cursor.execute(_LAST_VERSION, (item.id,)).fetchone()[0]
        version = last[item.id] = known + 1
        dated = _content_date(message.delivery, item)
        held.append((item.id, version, number, item.patient, item.custodian, item.source, dated, sealed))
    if held:
        cursor.executemany(_HOLD, held)
    if delivery[-1] and message.state == "accepted":
        _follow(cursor, held, _moment(message), touched)
    if message.state == "accepted":
        _register(cursor, number, letter.entries, touched)
        touched.entries.update(entry.id for entry in letter.entries)
        _supersede(cursor, number, touched)
    return "changed" if digests else "new"


def _follow(cursor: Cursor, held: Sequence[tuple[Any, ...]], moment: int, touched: Touched) -> None:
    """Weigh the versions of an accepted message against those that are shown."""
    for item, version, _, patient, custodian, source, dated, _ in held:
        left = follow(cursor, item, version, dated, custodian, moment)
        (touched.items if left is None else touched.followed).add(item)
        touched.places.update(left or (), ((patient, source),))


def replace_older(cursor: Cursor, snapshot: Snapshot, touched: Touched) -> None:
    """Let a full file stand for its source: what it does not hold any more no longer counts.

    INVARIANT: nobody is concluded to be gone from a file that was not wholly understood, or that is older than another.
    """
    moment = to_micros(snapshot.dated or snapshot.received)
    parts = cursor.execute(_OF_BATCH, (snapshot.source, snapshot.batch)).fetchall()
    if cursor.execute(_NEWER_FILE, (snapshot.source, snapshot.batch, moment)).fetchone():
        for message, _, _ in parts:
            _end(cursor, message, touched)
        return
    understood = {patient for _, patient, state in parts if state == "accepted"}
    older = cursor.execute(_OLDER_PARTS, (snapshot.source, snapshot.batch, moment)).fetchall()
    for message, patient in older:
        if patient in understood or (snapshot.whole and patient not in snapshot.present):
            _end(cursor, message, touched)


def take_out(cursor: Cursor, receipt: str, touched: Touched) -> bool:
    """Remove a message whose new reading takes its place in the same step; true when it counted."""
    found = cursor.execute(_FIND, (receipt,)).fetchone()
    if found is None:
        return True
    number, counted = found[0], bool(cursor.execute(_COUNTS, (found[0],)).fetchone()[0])
    touched.by(cursor, number)
    for statement in (_DROP_ITEMS, _DROP_ENTRIES, _DROP_DELIVERY, _DROP_MESSAGE):
        cursor.execute(statement, (number,))
    return counted


def retire(cursor: Cursor, receipt: str, touched: Touched) -> None:
    """Let a message be history: something newer took its place before it was read anew."""
    found = cursor.execute(_FIND, (receipt,)).fetchone()
    if found is not None:
        _end(cursor, found[0], touched)


def accept(cursor: Cursor, receipt: str, touched: Touched) -> bool:
    """Let a quarantined message count; false when it is not in quarantine."""
    found = cursor.execute(_FIND, (receipt,)).fetchone()
    if found is None or found[1] != "quarantined":
        return False
    cursor.execute(_ACCEPT, (found[0],))
    _supersede(cursor, found[0], touched)
    touched.by(cursor, found[0])
    return True


def register(cursor: Cursor, receipt: str, entries: Sequence[IndexEntry], touched: Touched) -> None:
    """Keep the registrations of a message."""
    number = cursor.execute(_FIND, (receipt,)).fetchone()[0]
    _register(cursor, number, entries, touched)
    touched.entries.update(entry.id for entry in entries)


def erase(cursor: Cursor, receipt: str, touched: Touched) -> int:
    """Remove the content of a message; 0 when there is none.

    Content is overwritten before it is removed: a file system may give away pages that are merely free.
    """
    found = cursor.execute(_FIND, (receipt,)).fetchone()
    if found is None or found[1] == "erased":
        return 0
    number = found[0]
    touched.by(cursor, number)
    for id_, version, sealed in cursor.execute(_SEALED, (number,)).fetchall():
        cursor.execute(_BLANK_ITEM, (bytes(len(sealed)), id_, version))
    raw = cursor.execute(_RAW, (number,)).fetchone()[0]
    cursor.execute(_BLANK_RAW, (bytes(len(raw)), number))
    cursor.execute(_DROP_ITEMS, (number,))
    cursor.execute(_DROP_ENTRIES, (number,))
    cursor.execute(_EMPTY, (b"", number))
    cursor.execute(_FORGET, (number,))
    return 1


def _delivery(cursor: Cursor, number: int, message: Message) -> tuple[Any, ...]:
    delivery, moment = message.delivery, _moment(message)
    expires = to_micros(delivery.expires) if delivery.expires else 0
    if delivery.contact:  # what comes after the end of its contact does not open it again
        known = cursor.execute(_ENDED, (message.source, *_contact(delivery.contact, delivery.patient))).fetchone()
        if known and (not delivery.ended or known[0] > moment):
            expires = known[1]
    row = (delivery.batch, delivery.coverage, delivery.patient, delivery.contact, delivery.thread, delivery.format)
    rest = (delivery.map, delivery.basis, " ".join(sorted(delivery.addressees)), moment, expires)
    facts = (int(delivery.ended), int(delivery.cancels), int(not _is_outdated(cursor, message)))
    return (number, message.receipt, message.source, *row, *rest, *facts)


def _is_outdated(cursor: Cursor, message: Message) -> bool:
    """Claim that something newer already said that this no longer counts."""
    delivery, moment = message.delivery, _moment(message)
    if delivery.cancels:
        return True
    if delivery.thread and cursor.execute(_NEWER_VERSION, (message.source, delivery.thread, moment)).fetchone():
        return True
    asked = (message.source, *_contact(delivery.contact, delivery.patient), moment)
    return bool(delivery.contact) and cursor.execute(_CANCELLED, asked).fetchone() is not None


def _supersede(cursor: Cursor, number: int, touched: Touched) -> None:
    """End what an accepted message replaces or cancels, and let its contact expire as it says."""
    source, contact, patient, thread, moment, expires, ended, cancels = cursor.execute(_STANDING, (number,)).fetchone()
    asked = (source, *_contact(contact, patient))
    if thread:
        for (message,) in cursor.execute(_SAME_THREAD, (source, thread, moment, number)).fetchall():
            _end(cursor, message, touched)
    if contact and cancels:
        for (message,) in cursor.execute(_SAME_CONTACT, (*asked, moment, number)).fetchall():
            _end(cursor, message, touched)
    if contact and ended:
        cursor.execute(_EXPIRE, (expires, *asked))
        touched.entries.update(row[0] for row in cursor.execute(_CONTACT_ENTRIES, asked).fetchall())
        touched.settled.update(row[0] for row in cursor.execute(_CONTACT_ITEMS, asked).fetchall())


def _contact(contact: str, patient: str) -> tuple[str, str, str]:
    """A contact of one patient, as `_OF_PATIENT` asks it."""
    return contact, patient, patient


def _end(cursor: Cursor, message: int, touched: Touched) -> None:
    if cursor.execute(_COUNTS, (message,)).fetchone()[0]:
        cursor.execute(_COUNTS_NOT, (message,))
        touched.by(cursor, message)


def _register(cursor: Cursor, number: int, entries: Sequence[IndexEntry], touched: Touched) -> None:
    for entry in entries:
        touched.registered |= index_store.register(cursor, entry)
    if entries:
        cursor.executemany(_ENTRY, [(number, entry.id) for entry in entries])


def _moment(message: Message) -> int:
    return to_micros(message.delivery.dated or message.received)


def _content_date(delivery: Delivery, item: Item) -> str:
    """The date of the whole document where it has one: an item may change while the dates in it do not."""
    return instant(delivery.dated) if delivery.dated else item.recorded or item.date
