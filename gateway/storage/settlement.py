"""Which version of an item is shown, and how long a registration lasts: worked out anew from the messages that count."""

from __future__ import annotations

from typing import Final

from gateway.storage.content_date import older
from gateway.storage.writer import Cursor

_VERSIONS: Final = (
    "SELECT held_item.version, held_item.content_date, held_item.custodian, held_item.shown FROM held_item "
    "JOIN message ON message.number = held_item.message JOIN delivery ON delivery.message = held_item.message "
    "WHERE held_item.id = ? AND delivery.counts = 1 AND message.state = 'accepted' "
    "ORDER BY delivery.moment, held_item.version"
)
_SHOWN: Final = "SELECT version FROM held_item WHERE id = ? AND shown = 1"
_HIDE: Final = "UPDATE held_item SET shown = 0 WHERE id = ? AND shown = 1"
_SHOW: Final = "UPDATE held_item SET shown = 1 WHERE id = ? AND version = ?"
_STANDS: Final = (
    "SELECT held_item.content_date, held_item.custodian, delivery.moment, held_item.patient, held_item.source FROM held_item "
    "JOIN delivery ON delivery.message = held_item.message WHERE held_item.id = ? AND held_item.shown = 1"
)
# In this order: SQLite would rather go through every message that was accepted.
_SUPPORT: Final = (
    "SELECT COUNT(*), MIN(delivery.expires), MAX(delivery.expires) FROM delivery_entry CROSS JOIN delivery CROSS JOIN message "
    "WHERE delivery_entry.entry = ? AND delivery.message = delivery_entry.message AND message.number = delivery.message "
    "AND delivery.counts = 1 AND message.state = 'accepted'"
)
_WITHDRAW: Final = "UPDATE index_entry SET withdrawn = ? WHERE id = ? AND withdrawn IS NULL"
_UNTIL: Final = "UPDATE index_entry SET ends = ? WHERE id = ?"


def settle(cursor: Cursor, item: str) -> None:
    """Show the newest version of an item that counts, and no other.

    INVARIANT: an older content never stands over a newer (rule E7), and another custodian's never over the first's.
    """
    best: tuple[int, str, str] | None = None
    for version, content_date, custodian, _ in cursor.execute(_VERSIONS, (item,)).fetchall():
        if best is None or (custodian == best[2] and not older(content_date, best[1])):
            best = (version, content_date, custodian)
    shown = cursor.execute(_SHOWN, (item,)).fetchone()
    wanted = None if best is None else best[0]
    if (None if shown is None else shown[0]) == wanted:
        return
    cursor.execute(_HIDE, (item,))
    if wanted is not None:
        cursor.execute(_SHOW, (item, wanted))


def follow(
    cursor: Cursor, item: str, version: int, content_date: str, custodian: str, moment: int
) -> set[tuple[str, str]] | None:
    """Weigh a version that just came, and counts, against the one that is shown; None where all must be weighed.

    Gives the patient and source of what is no longer shown.
    INVARIANT: what is shown then is what `settle` would show, however many versions came before.
    Units: `moment` in microseconds.
    """
    left: set[tuple[str, str]] = set()
    shown = cursor.execute(_STANDS, (item,)).fetchone()
    if shown is not None:
        dated, holder, since, *place = shown
        if moment < since:
            return None
        if custodian != holder or older(content_date, dated):
            return left
        if content_date != dated and not older(dated, content_date):  # dates that cannot be told apart
            return None
        cursor.execute(_HIDE, (item,))
        left.add((place[0], place[1]))
    cursor.execute(_SHOW, (item, version))
    return left


def reckon(cursor: Cursor, entry: str, now: int) -> None:
    """Let a registration last as long as the messages it rests on (rule C3).

    Units: `now` in microseconds.
    """
    count, first, last = cursor.execute(_SUPPORT, (entry,)).fetchone()
    if not count:
        cursor.execute(_WITHDRAW, (now, entry))
    else:
        cursor.execute(_UNTIL, (last if first else None, entry))
