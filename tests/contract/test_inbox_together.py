"""What is kept together is what would be kept one by one, and one that cannot be kept spoils no other."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

import pytest

from gateway.errors import Invalid
from gateway.pushed import Delivery, Letter
from gateway.storage import inbox_desk
from gateway.storage.writer import Cursor
from tests.contract.conftest import Stored
from tests.contract.values import AMBULANCE, HOSPITAL, a_message, an_entry, an_item
from tests.fakes import NOON

pytestmark = pytest.mark.anyio

_DATES: Final = ("2026-01-05T10:00:00+01:00", "2026-01-05", "2026-01-06T09:00:00+01:00", "2026-01", "2025-12-31", "")
_TABLES: Final = (
    "SELECT source, key, digest, state FROM message ORDER BY number",
    "SELECT source, receipt, patient, contact, thread, moment, expires, ended, cancels, counts FROM delivery ORDER BY message",
    "SELECT id, version, patient, source, content_date, shown FROM held_item ORDER BY id, version",
    "SELECT id, patient, custodian, ends, withdrawn FROM index_entry ORDER BY id",
    "SELECT message.key, message.digest, entry FROM delivery_entry JOIN message ON number = message ORDER BY message, entry",
    "SELECT source, heard FROM feed ORDER BY source",
)


def _letters(chance: random.Random, count: int) -> list[Letter]:
    """Messages of a feed as they come in reality, and worse: again, changed, out of order, of two custodians, of visits that end."""
    return [_letter(chance) for _ in range(count)]


def _letter(chance: random.Random) -> Letter:
    source, patient, dated = chance.choice("st"), f"p{chance.randrange(3)}", NOON + timedelta(hours=chance.randrange(6))
    ends, key = chance.random() < 0.1, f"M{chance.randrange(40)}"
    delivery = Delivery(
        patient=patient,
        contact=chance.choice(("", "visit", "trip")),
        thread=chance.choice(("", "", "", "", "report")),
        dated=chance.choice((None, dated)),
        expires=chance.choice((None, dated + timedelta(days=1))),
        ended=ends or chance.random() < 0.1,
        cancels=ends,
        heard=chance.choice((None, dated)),
    )
    state = chance.choice(("accepted", "accepted", "accepted", "quarantined", "dead"))
    message = a_message(source=source, key=key, digest=f"d{chance.randrange(2)}", state=state, delivery=delivery)
    numbers = chance.sample(range(6), chance.randrange(4))
    items = tuple(
        an_item(id=f"i{number}", patient=patient, source=source, recorded=chance.choice(_DATES),
                custodian=chance.choice((AMBULANCE, AMBULANCE, HOSPITAL)))
        for number in numbers
    )  # fmt: skip
    ends_at = delivery.expires
    entries = tuple(
        an_entry(id=f"{source}-{patient}-{number % 2}", patient=patient, ends=ends_at) for number in numbers
    )
    return Letter(message, items, entries)


async def _kept(stored: Stored, seed: int, *, together: bool) -> list[Any]:
    """What is in the tables after three bursts, and what their callers were told; then all is taken out."""
    chance = random.Random(seed)
    found: list[Any] = []
    desk = stored.stores.inbox
    for _ in range(3):
        letters = _letters(chance, 10)
        if together:
            found += await asyncio.gather(*(desk.deliver([letter]) for letter in letters))
        else:
            found += [await desk.deliver([letter]) for letter in letters]
    found += [await stored.database.rows(query) for query in _TABLES]

    def empty(cursor: Cursor) -> None:
        for table in ("delivery_entry", "held_item", "delivery", "message", "index_entry", "feed"):
            cursor.execute(f"DELETE FROM {table}")

    await stored.database.write(empty)
    return found


async def test_kept_together_is_kept_one_by_one(stored: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    keep = inbox_desk._keep_together

    def counted(cursor: Cursor, posted: Sequence[inbox_desk._Posted]) -> list[list[str]]:
        sizes.append(len(posted))
        return keep(cursor, posted)

    monkeypatch.setattr(inbox_desk, "_keep_together", counted)
    for seed in range(6):
        alone = await _kept(stored, seed, together=False)
        assert max(sizes) == 1
        together = await _kept(stored, seed, together=True)
        for one, other in zip(alone, together, strict=True):
            assert one == other, seed
        assert max(sizes) > 3, "what waits together is one step"
        sizes.clear()


async def test_one_that_cannot_be_kept_spoils_no_other(stored: Stored) -> None:
    desk = stored.stores.inbox
    await stored.stores.index.register(an_entry(id="taken", custodian=HOSPITAL))
    letters = [
        Letter(
            a_message(key=f"M{number}"), (an_item(id=f"i{number}"),), (an_entry(id="taken" if number == 3 else "e"),)
        )
        for number in range(6)
    ]
    told = await asyncio.gather(*(desk.deliver([letter]) for letter in letters), return_exceptions=True)
    assert [one for one in told if one != ["new"]] == [told[3]]
    assert isinstance(told[3], Invalid)
    assert told[3].code == "conflict"
    kept = await stored.database.rows("SELECT key FROM message ORDER BY number")
    assert kept == [("M0",), ("M1",), ("M2",), ("M4",), ("M5",)]
    assert await desk.item("i3") is None
    assert await desk.item("i4") is not None
