"""The rows of a pushed message, each step inside a transaction of the desk; what it touched is settled afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from gateway.model import IndexEntry
from gateway.pushed import Snapshot
from gateway.storage import index_store
from gateway.storage.instants import to_micros
from gateway.storage.writer import Cursor

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
_NEWER_FILE: Final = (
    "SELECT 1 FROM delivery JOIN message ON message.number = delivery.message WHERE delivery.source = ? "
    "AND delivery.coverage = 'full' AND delivery.batch <> ? AND delivery.moment > ? AND message.state <> 'dead'"
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
        self.registered.update(index_store.patients_of(cursor, self.entries).values())
        for item in self.items | self.settled:
            self.places.update(cursor.execute(_PLACES, (item,)).fetchall())


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
    supersede(cursor, found[0], touched)
    touched.by(cursor, found[0])
    return True


def register(cursor: Cursor, receipt: str, entries: Sequence[IndexEntry], touched: Touched) -> None:
    """Keep the registrations of a message."""
    number = cursor.execute(_FIND, (receipt,)).fetchone()[0]
    touched.entries.update(entry.id for entry in entries)
    register_all(cursor, [(number, entry) for entry in entries], touched)


def register_all(cursor: Cursor, brought: Sequence[tuple[int, IndexEntry]], touched: Touched) -> None:
    """Keep the registrations that messages brought."""
    if brought:
        touched.registered |= index_store.register(cursor, [entry for _, entry in brought])
        cursor.executemany(_ENTRY, [(number, entry.id) for number, entry in brought])


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


def supersede(cursor: Cursor, number: int, touched: Touched) -> None:
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
