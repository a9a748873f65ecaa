"""A version that comes in is weighed against the one that is shown alone, and gives what weighing all of them gives."""

from __future__ import annotations

import random
import sqlite3
from importlib.resources import files

from gateway.storage import inbox_keeping
from gateway.storage.settlement import _SUPPORT, Standing, follows, settle

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
        told: list[tuple[int, str, str]] = []
        standing: Standing | None = None
        for version in range(1, 8):
            dated, custodian = chance.choice(_DATES), chance.choice(("90000001", "90000001", "90000002"))
            moment = version if chance.random() < 0.7 else chance.randrange(1, 8)
            told.append((moment, dated, custodian))
            cursor.execute(_MESSAGE, (version, str(version)))
            cursor.execute(_DELIVERY, (version, str(version), moment))
            cursor.execute(_HOLD, (version, version, custodian, dated))
            before = cursor.execute(_SHOWN).fetchall()
            came = Standing(dated, custodian, moment, "p", "feed")
            newer = follows(came, standing)
            settle(cursor, "i")
            ((shown,),) = cursor.execute(_SHOWN).fetchall()
            if newer is not None:
                alone += 1
                assert [(shown,)] == ([(version,)] if newer else before), (case, told)
            shown_moment, shown_date, shown_custodian = told[shown - 1]
            standing = Standing(shown_date, shown_custodian, shown_moment, "p", "feed")
        cursor.connection.close()
    assert alone > 500, "a version that comes in order is weighed by itself"


def test_what_is_asked_of_many_keys_is_found_by_the_keys() -> None:
    """Not by going through every message that was ever accepted, or every version, as SQLite would by itself."""
    cursor = _inbox()
    asked = {
        _SUPPORT: "delivery_entry_by_entry",
        inbox_keeping._KNOWN: "(source=? AND key=?)",
        inbox_keeping._STANDING: "held_item_shown",
        inbox_keeping._HIDE: "held_item_shown",
        inbox_keeping._OVER: "delivery_by_contact",
    }
    for statement, index in asked.items():
        rows = cursor.execute(f"EXPLAIN QUERY PLAN {statement}", ("k",) * statement.count("?")).fetchall()
        plan = [str(row[3]) for row in rows]
        assert any(index in step for step in plan), (statement, plan)
        assert not [
            step
            for step in plan
            if step.startswith("SCAN") and not step.startswith("SCAN asked") and "CONSTANT" not in step
        ], plan
    cursor.connection.close()
