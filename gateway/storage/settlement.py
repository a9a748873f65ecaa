"""Which version of an item is shown, and how long a registration lasts: worked out anew from the messages that count."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, NamedTuple

from gateway.storage.asking import about
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
# In this order: SQLite would rather go through every message that was accepted.
_SUPPORT: Final = (
    "SELECT asked.column1, MIN(delivery.expires), MAX(delivery.expires), "
    "(SELECT ends FROM index_entry WHERE index_entry.id = asked.column1) "
    "FROM (VALUES (?)) AS asked CROSS JOIN delivery_entry CROSS JOIN delivery CROSS JOIN message "
    "WHERE delivery_entry.entry = asked.column1 AND delivery.message = delivery_entry.message "
    "AND message.number = delivery.message AND delivery.counts = 1 AND message.state = 'accepted' GROUP BY asked.column1"
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


class Standing(NamedTuple):
    """What is known of a version that is shown, or may be."""

    dated: str
    custodian: str
    moment: int  # microseconds since 1970
    patient: str
    source: str

    @property
    def place(self) -> tuple[str, str]:
        """Where it is read."""
        return self.patient, self.source


def follows(came: Standing, shown: Standing | None) -> bool | None:
    """Claim that a version that just came, and counts, is shown from now on; None where all must be weighed.

    INVARIANT: what is shown then is what `settle` would show, however many versions came before.
    """
    if shown is None:
        return True
    if came.moment < shown.moment:
        return None
    if came.custodian != shown.custodian or older(came.dated, shown.dated):
        return False
    # Dates that cannot be told apart leave it open.
    return True if came.dated == shown.dated or older(shown.dated, came.dated) else None


def reckon(cursor: Cursor, entries: Collection[str], now: int) -> None:
    """Let registrations last as long as the messages they rest on (rule C3).

    Units: `now` in microseconds.
    """
    supported = about(cursor, _SUPPORT, entries)
    until = [
        (last if first else None, entry) for entry, first, last, ends in supported if ends != (last if first else None)
    ]
    alone = [(now, entry) for entry in sorted(set(entries) - {row[0] for row in supported})]
    if until:
        cursor.executemany(_UNTIL, until)
    if alone:
        cursor.executemany(_WITHDRAW, alone)
