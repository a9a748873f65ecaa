"""A version that comes in is weighed against the one that is shown alone, and gives what weighing all of them gives."""

from __future__ import annotations

import random
import sqlite3
from importlib.resources import files

from gateway.storage.settlement import _SUPPORT, follow, settle

# What can and cannot be told apart: moments, days, months, years, nothing.
_DATES = ("2026-01-05T10:00:00+01:00", "2026-01-05", "2026-01-06T09:00:00+01:00", "2026-01", "2026", "2025-12-31", "")
_MESSAGE = "INSERT INTO message VALUES (?, 'feed', '90000001', ?, '', 0, 'accepted', '', x'')"
_DELIVERY = "INSERT INTO delivery VALUES (?, ?, 'feed', '', '', '', '', '', '', '', '', '', ?, 0, 0, 0, 1)"
_HOLD = "INSERT INTO held_item VALUES ('i', ?, ?, 'p', ?, 'feed', ?, 0, x'')"
_SHOWN = "SELECT version FROM held_item WHERE shown = 1"


def _inbox() -> sqlite3.Cursor:
    connection = sqlite3.connect(":memory:")
    for name in ("0001_first.sql", "0003_inbox_desk.sql"):
        connection.executescript((files("gateway.storage") / "migrations" / name).read_text(encoding="utf-8"))
    return connection.cursor()


def test_what_follows_is_what_weighing_all_versions_shows() -> None:
    chance = random.Random(7)
    alone = 0
    for case in range(150):
        cursor = _inbox()
        told = []
        for version in range(1, 8):
            dated, custodian = chance.choice(_DATES), chance.choice(("90000001", "90000001", "90000002"))
            moment = version if chance.random() < 0.7 else chance.randrange(1, 8)
            told.append((moment, dated, custodian))
            cursor.execute(_MESSAGE, (version, str(version)))
            cursor.execute(_DELIVERY, (version, str(version), moment))
            cursor.execute(_HOLD, (version, version, custodian, dated))
            if follow(cursor, "i", version, dated, custodian, moment) is not None:
                alone += 1
                shown = cursor.execute(_SHOWN).fetchall()
                settle(cursor, "i")
                assert cursor.execute(_SHOWN).fetchall() == shown, (case, told)
            else:
                settle(cursor, "i")
        cursor.connection.close()
    assert alone > 500, "a version that comes in order is weighed by itself"


def test_the_messages_a_registration_rests_on_are_found_by_the_registration() -> None:
    """Not by going through every message that was ever accepted, as SQLite would by itself."""
    cursor = _inbox()
    plan = [row[3] for row in cursor.execute(f"EXPLAIN QUERY PLAN {_SUPPORT}", ("e",))]
    cursor.connection.close()
    assert "delivery_entry_by_entry" in plan[0], plan
