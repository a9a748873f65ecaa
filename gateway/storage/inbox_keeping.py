"""Letters that came together are kept together: what is known is asked once of all, what is new is one statement a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, Final

from gateway.model import IndexEntry, Item, instant
from gateway.pushed import Delivery, Message
from gateway.storage import inbox_rows
from gateway.storage.asking import about
from gateway.storage.inbox_rows import Touched
from gateway.storage.instants import from_micros, to_micros
from gateway.storage.settlement import Standing, follows
from gateway.storage.writer import Cursor

_HEARD: Final = (
    "INSERT INTO feed (source, heard) VALUES (?, ?) "
    "ON CONFLICT (source) DO UPDATE SET heard = excluded.heard WHERE excluded.heard > feed.heard"
)
# CROSS JOIN: SQLite would rather read the table and look into the list.
_KNOWN: Final = (
    "SELECT message.key, message.digest FROM (VALUES (?)) AS asked CROSS JOIN message "
    "WHERE message.source = ? AND message.key = asked.column1"
)
_NEXT_NUMBER: Final = "SELECT COALESCE(MAX(number), 0) + 1 FROM message"
_MESSAGE: Final = (
    "INSERT INTO message (number, source, custodian, key, digest, received, state, reason, raw) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_DELIVERY: Final = (
    "INSERT INTO delivery (message, receipt, source, batch, coverage, patient, contact, thread, format, map, basis, "
    "addressees, moment, expires, ended, cancels, counts) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_STANDING: Final = (
    "SELECT asked.column1, COALESCE((SELECT MAX(version) FROM held_item WHERE id = asked.column1), 0), "
    "held_item.content_date, held_item.custodian, delivery.moment, held_item.patient, held_item.source "
    "FROM (VALUES (?)) AS asked LEFT JOIN held_item ON held_item.id = asked.column1 AND held_item.shown = 1 "
    "LEFT JOIN delivery ON delivery.message = held_item.message"
)
_HIDE: Final = "UPDATE held_item SET shown = 0 WHERE shown = 1 AND id IN (VALUES (?))"
_HOLD: Final = (
    "INSERT INTO held_item (id, version, message, patient, custodian, source, content_date, shown, sealed) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_IN_FORCE: Final = (
    "SELECT index_entry.id, index_entry.client, index_entry.ends FROM (VALUES (?)) AS asked CROSS JOIN index_entry "
    "WHERE index_entry.id = asked.column1 AND index_entry.withdrawn IS NULL"
)
_NEWER_VERSION: Final = "SELECT 1 FROM delivery WHERE source = ? AND thread = ? AND moment > ? AND cancels = 0"
_OVER: Final = (
    "SELECT delivery.contact, delivery.patient, delivery.moment, delivery.expires, delivery.ended, delivery.cancels "
    "FROM (VALUES (?)) AS asked CROSS JOIN delivery WHERE delivery.source = ? AND delivery.contact = asked.column1 "
    "AND (delivery.ended = 1 OR delivery.cancels = 1) ORDER BY delivery.moment DESC, delivery.message"
)

_Over = tuple[str, int, int, int, int]  # patient, moment, expires, ended, cancels


@dataclass(frozen=True, slots=True)
class Prepared:
    """A letter whose content is sealed."""

    message: Message
    raw: bytes
    items: list[tuple[Item, bytes]]
    entries: Sequence[IndexEntry]


def keep(cursor: Cursor, letters: Sequence[Prepared], touched: Touched) -> list[str]:
    """Keep letters in their order; give "new", "again" or "changed" of each."""
    outcomes: list[str] = []
    for changing, run in groupby(letters, _changes_others):
        for together in ([one] for one in run) if changing else (list(run),):
            outcomes += _keep_run(cursor, together, touched)
    return outcomes


def _changes_others(letter: Prepared) -> bool:
    """Claim that it may end, replace or cancel what came before: that stands alone, so that what follows it finds it done."""
    delivery = letter.message.delivery
    return bool(delivery.thread) or delivery.ended or delivery.cancels


def _keep_run(cursor: Cursor, letters: Sequence[Prepared], touched: Touched) -> list[str]:
    outcomes, new = [], []
    known: dict[tuple[str, str], set[str]] = {}
    for source, own in _by_source([one.message for one in letters]):
        # A file that lay there while nobody looked is as old as it is: its feed did not speak just now (rule E7).
        heard = max(min(one.received, one.delivery.heard or one.received) for one in own)
        cursor.execute(_HEARD, (source, to_micros(heard)))
        for key, digest in about(cursor, _KNOWN, [one.key for one in own], source):
            known.setdefault((source, key), set()).add(digest)
    for letter in letters:
        message = letter.message
        digests = known.setdefault((message.source, message.key), set())
        outcomes.append("again" if message.digest in digests else "changed" if digests else "new")
        if message.digest not in digests:
            digests.add(message.digest)
            new.append(letter)
    if new:
        _write(cursor, new, touched)
    return outcomes


def _write(cursor: Cursor, letters: Sequence[Prepared], touched: Touched) -> None:
    """Write letters that are not kept yet."""
    numbers = range(first := int(cursor.execute(_NEXT_NUMBER).fetchone()[0]), first + len(letters))
    numbered = list(zip(numbers, letters, strict=True))
    deliveries = _deliveries(cursor, numbered)
    cursor.executemany(_MESSAGE, [_row(number, letter) for number, letter in numbered])
    cursor.executemany(_DELIVERY, deliveries)
    counting = {row[0]: row[-4] for row in deliveries if row[-1]}
    _hold(cursor, numbered, counting, touched)
    accepted = [(number, letter) for number, letter in numbered if letter.message.state == "accepted"]
    _register(cursor, accepted, counting, touched)
    for number, letter in accepted:
        if _changes_others(letter):
            inbox_rows.supersede(cursor, number, touched)


def _row(number: int, letter: Prepared) -> tuple[Any, ...]:
    message = letter.message
    row = (number, message.source, message.custodian, message.key, message.digest)
    return (*row, to_micros(message.received), message.state, message.reason, letter.raw)


def _hold(
    cursor: Cursor, numbered: Sequence[tuple[int, Prepared]], counting: Mapping[int, int], touched: Touched
) -> None:
    """Keep the items, those of an accepted message weighed against what is shown."""
    last: dict[str, int] = {}
    shown: dict[str, Standing] = {}
    for id_, version, *standing in about(cursor, _STANDING, [item.id for _, one in numbered for item, _ in one.items]):
        last[id_] = version
        if standing[2] is not None:
            shown[id_] = Standing(*standing)
    before = dict(shown)
    top: dict[str, int] = {}  # the new version that is shown
    rows: list[tuple[Any, ...]] = []
    for number, letter in numbered:
        moment, accepted = moment_of(letter.message), letter.message.state == "accepted"
        for item, sealed in letter.items:
            version = last[item.id] = last[item.id] + 1
            dated = _content_date(letter.message.delivery, item)
            rows.append((item.id, version, number, item.patient, item.custodian, item.source, dated, sealed))
            if not accepted or number not in counting:
                continue
            came, old = Standing(dated, item.custodian, moment, item.patient, item.source), shown.get(item.id)
            newer = follows(came, old)
            (touched.items if newer is None else touched.followed).add(item.id)
            touched.places.add(came.place)
            if newer:
                shown[item.id], top[item.id] = came, version
    hidden = [id_ for id_ in top if id_ in before]
    touched.places.update(before[id_].place for id_ in hidden)
    about(cursor, _HIDE, hidden)
    if rows:
        cursor.executemany(_HOLD, [(*row[:-1], int(top.get(row[0]) == row[1]), row[-1]) for row in rows])


def _register(
    cursor: Cursor, accepted: Sequence[tuple[int, Prepared]], counting: Mapping[int, int], touched: Touched
) -> None:
    """Keep the registrations; one more message makes one that is in force longer, never shorter, the rest is reckoned."""
    brought: list[tuple[int, IndexEntry]] = []
    rows = about(cursor, _IN_FORCE, [entry.id for _, letter in accepted for entry in letter.entries])
    until = {(id_, client): ends for id_, client, ends in rows}
    for number, letter in accepted:
        for entry in letter.entries:
            named = entry.id, entry.client
            if number in counting and named in until:
                ends, expires = until[named], counting[number]
                until[named] = ends = max(ends, expires) if ends and expires else None
                brought.append((number, replace(entry, ends=from_micros(ends) if ends else None)))
            else:
                touched.entries.add(entry.id)
                brought.append((number, entry))
    inbox_rows.register_all(cursor, brought, touched)


def _deliveries(cursor: Cursor, numbered: Sequence[tuple[int, Prepared]]) -> list[tuple[Any, ...]]:
    over: dict[tuple[str, str], list[_Over]] = {}
    for source, own in _by_source([letter.message for _, letter in numbered]):
        contacts = [one.delivery.contact for one in own if one.delivery.contact]
        for contact, *row in about(cursor, _OVER, contacts, source):
            over.setdefault((source, contact), []).append((row[0], row[1], row[2], row[3], row[4]))
    rows = []
    for number, letter in numbered:
        message, patient = letter.message, letter.message.delivery.patient
        # A sender may number the visits of each of its patients from one; who cancels by number alone names no patient.
        found = over.get((message.source, message.delivery.contact), ())
        rows.append(
            _delivery(cursor, number, message, [one for one in found if not patient or one[0] in {patient, ""}])
        )
    return rows


def _delivery(cursor: Cursor, number: int, message: Message, over: Sequence[_Over]) -> tuple[Any, ...]:
    delivery, moment = message.delivery, moment_of(message)
    expires = to_micros(delivery.expires) if delivery.expires else 0
    for _, since, until, ended, _ in over:  # what comes after the end of its contact does not open it again
        if ended:
            expires = until if not delivery.ended or since > moment else expires
            break
    row = (delivery.batch, delivery.coverage, delivery.patient, delivery.contact, delivery.thread, delivery.format)
    rest = (delivery.map, delivery.basis, " ".join(sorted(delivery.addressees)), moment, expires)
    cancelled = delivery.cancels or any(cancels and since >= moment for _, since, _, _, cancels in over)
    outdated = cancelled or _is_replaced(cursor, message)
    facts = (int(delivery.ended), int(delivery.cancels), int(not outdated))
    return (number, message.receipt, message.source, *row, *rest, *facts)


def _is_replaced(cursor: Cursor, message: Message) -> bool:
    """Claim that a newer version of the same document came before."""
    asked = (message.source, message.delivery.thread, moment_of(message))
    return bool(message.delivery.thread) and cursor.execute(_NEWER_VERSION, asked).fetchone() is not None


def _by_source(messages: Sequence[Message]) -> Iterator[tuple[str, list[Message]]]:
    sources: dict[str, list[Message]] = {}
    for message in messages:
        sources.setdefault(message.source, []).append(message)
    yield from sorted(sources.items())


def moment_of(message: Message) -> int:
    """When what it says was so.

    Units: microseconds since 1970.
    """
    return to_micros(message.delivery.dated or message.received)


def _content_date(delivery: Delivery, item: Item) -> str:
    """The date of the whole document where it has one: an item may change while the dates in it do not."""
    return instant(delivery.dated) if delivery.dated else item.recorded or item.date
