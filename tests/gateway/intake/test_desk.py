"""The contract of `Desk`, on every engine."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from gateway.pushed import Delivery, Letter, Snapshot
from gateway.storage import Database, open_stores, upgrade
from gateway.storage.inbox_desk import InboxDesk
from gateway.storage.index_store import IndexStore
from gateway.storage.scrubbing import scrub
from tests.contract.postgres import Server, server
from tests.contract.values import PATIENT, a_message, an_entry, an_item
from tests.fakes import NOON, FixedClock, plain_seal, plain_unseal

pytestmark = pytest.mark.anyio
HOUR = timedelta(hours=1)


class Keeping:
    """A desk with the index beside it."""

    def __init__(self, database: Database, url: str) -> None:
        self.clock, self.url = FixedClock(), url
        stores = open_stores(database, plain_seal, plain_unseal, self.clock)
        self.desk: InboxDesk = stores.inbox
        self.index: IndexStore = stores.index

    async def shown(self) -> list[str]:
        return sorted(item.id for item in await self.desk.items(PATIENT, "ambulance"))

    async def registered(self) -> list[str]:
        return [entry.id for entry in await self.index.entries(PATIENT, self.clock.now())]


@pytest.fixture(scope="module")
def postgresql() -> Iterator[Server]:
    with server() as started:
        yield started


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
async def keeping(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Keeping]:
    if request.param == "postgresql":
        url = request.getfixturevalue("postgresql").new_database()
    else:
        url = f"sqlite:///{tmp_path}/gateway.db"
    upgrade(url)
    database = Database.open(url)
    yield Keeping(database, url)
    await database.close()


def letter(key: str = "M1", *ids: str, state: str = "accepted", **delivery: Any) -> Letter:
    sent = Delivery(**{"patient": PATIENT, "expires": NOON + 10 * HOUR, **delivery})
    message = a_message(key=key, digest=f"d-{key}", raw=f"raw {key}".encode(), state=state, delivery=sent)
    items = tuple(an_item(id=one, recorded="", date="") for one in ids)
    return Letter(message, items, (an_entry(id="e1"), an_entry(id=f"e-{key}")))


async def test_a_batch_is_kept_whole_or_not_at_all(keeping: Keeping) -> None:
    foreign = Letter(letter("M2", "i2").message, (), (an_entry(id="taken", custodian="90000009"),))
    await keeping.index.register(an_entry(id="taken"))
    with pytest.raises(Exception, match="conflict"):
        await keeping.desk.deliver([letter("M1", "i1"), foreign])
    assert await keeping.desk.slips() == []
    assert await keeping.desk.deliver([letter("M1", "i1"), letter("M2", "i2")]) == ["new", "new"]
    assert await keeping.desk.deliver([letter("M1", "i1"), letter("M3", "i3")]) == ["again", "new"]
    assert await keeping.shown() == ["i1", "i2", "i3"]


async def test_a_kept_message_comes_back_as_it_was(keeping: Keeping) -> None:
    sent = letter("M1", "i1", contact="c", thread="t", format="cda", map="m|1", addressees=frozenset({"1", "2"}))
    await keeping.desk.deliver([sent])
    kept = await keeping.desk.kept(sent.message.receipt)
    assert kept is not None
    assert kept.message == sent.message
    assert [structs.replace(item, addressees=frozenset()) for item in kept.items] == list(sent.items)
    assert (await keeping.desk.items(PATIENT, "ambulance"))[0].addressees == {"1", "2"}
    assert await keeping.desk.kept("unknown") is None


async def test_a_full_file_ends_what_it_does_not_hold(keeping: Keeping) -> None:
    await keeping.desk.deliver([letter("M1", "i1", "i2", batch="b1", coverage="full", dated=NOON)])
    later = NOON + HOUR
    newer = letter("M2", "i2", "i3", batch="b2", coverage="full", dated=later)
    await keeping.desk.deliver([newer], Snapshot("ambulance", "b2", later, later, frozenset({PATIENT})))
    assert await keeping.shown() == ["i2", "i3"]
    assert await keeping.registered() == ["e-M2", "e1"]
    earlier = letter("M3", "i4", batch="b3", coverage="full", dated=NOON - HOUR)
    await keeping.desk.deliver([earlier], Snapshot("ambulance", "b3", later, NOON - HOUR, frozenset({PATIENT})))
    assert await keeping.shown() == ["i2", "i3"]
    empty = Snapshot("ambulance", "b4", later + HOUR, later + HOUR)
    await keeping.desk.deliver([], empty)
    assert await keeping.shown() == []
    assert await keeping.registered() == []


async def test_a_cancellation_ends_a_contact_and_what_comes_late(keeping: Keeping) -> None:
    await keeping.desk.deliver([letter("M1", "i1", contact="trip"), letter("M2", "i2", contact="other")])
    assert await keeping.desk.knows("ambulance", "trip")
    cancel = letter("M3", contact="trip", cancels=True, ended=True, dated=NOON + HOUR, expires=NOON + 2 * HOUR)
    await keeping.desk.deliver([cancel])
    assert await keeping.shown() == ["i2"]
    assert not await keeping.desk.knows("ambulance", "trip")
    await keeping.desk.deliver([letter("M4", "i4", contact="trip", dated=NOON)])
    assert await keeping.shown() == ["i2"]
    assert {slip.expires for slip in await keeping.desk.slips() if slip.key in {"M1", "M4"}} == {NOON + 2 * HOUR}


async def test_a_contact_ends_for_its_own_patient_where_a_sender_numbers_the_visits_of_each_from_one(
    keeping: Keeping,
) -> None:
    await keeping.desk.deliver([letter("M1", "i1", contact="1")])
    ends: dict[str, Any] = {
        "contact": "1",
        "cancels": True,
        "ended": True,
        "dated": NOON + HOUR,
        "expires": NOON + 2 * HOUR,
    }
    await keeping.desk.deliver([letter("M2", **{**ends, "patient": "p1-another"})])
    assert await keeping.shown() == ["i1"]
    assert {slip.expires for slip in await keeping.desk.slips() if slip.key == "M1"} == {NOON + 10 * HOUR}
    await keeping.desk.deliver([letter("M3", "i3", contact="1", dated=NOON)])
    assert await keeping.shown() == ["i1", "i3"], "what comes late is not cancelled by another's end either"
    await keeping.desk.deliver([letter("M4", **{**ends, "patient": ""})])
    assert await keeping.shown() == [], "who cancels by number alone names no patient"


async def test_a_new_reading_takes_the_place_of_the_old(keeping: Keeping) -> None:
    dead = letter("M1", state="dead")
    await keeping.desk.deliver([dead])
    assert await keeping.shown() == []
    await keeping.desk.deliver([letter("M1", "i1")], instead=dead.message.receipt)
    assert await keeping.shown() == ["i1"]
    assert len(await keeping.desk.slips()) == 1


async def test_a_release_shows_and_registers_once(keeping: Keeping) -> None:
    waiting = letter("M1", "i1", state="quarantined")
    await keeping.desk.deliver([waiting])
    assert (await keeping.shown(), await keeping.registered()) == ([], [])
    assert await keeping.desk.state(waiting.message.receipt) == "quarantined"
    assert await keeping.desk.release(waiting.message.receipt, [an_entry(id="e1")])
    assert (await keeping.shown(), await keeping.registered()) == (["i1"], ["e1"])
    assert not await keeping.desk.release(waiting.message.receipt, [])
    assert not await keeping.desk.release("unknown", [])


async def test_expired_is_not_read_and_then_erased(keeping: Keeping) -> None:
    await keeping.desk.deliver([letter("M1", "i1"), letter("M2", "i2", expires=None)])
    keeping.clock.advance(11 * HOUR)
    now = keeping.clock.now()
    assert await keeping.shown() == ["i2"]
    assert await keeping.desk.item("i1") is None
    due = await keeping.desk.due(now)
    assert await keeping.desk.erase(due, now, "mark") == 1
    scrub(keeping.url)
    assert await keeping.desk.marked("mark")
    assert await keeping.desk.due(now) == []
    assert [(slip.state, slip.patient) for slip in await keeping.desk.slips(state="erased")] == [("erased", "")]
    assert await keeping.desk.erased_files("ambulance") == frozenset({"d-M1"})
    assert await keeping.registered() == ["e-M2", "e1"]
    assert await keeping.desk.deliver([letter("M1", "i1")]) == ["again"]
    assert await keeping.shown() == ["i2"]


async def test_about_whom(keeping: Keeping) -> None:
    other = letter("M2", "i2", patient="p1-other")
    await keeping.desk.deliver([letter("M1", "i1"), replace(other, items=())])
    assert await keeping.desk.about([PATIENT], NOON) == [letter("M1").message.receipt]
    assert await keeping.desk.about([PATIENT], NOON - HOUR) == []
    assert len(await keeping.desk.slips(since=NOON)) == 2
    assert await keeping.desk.slips(since=NOON + HOUR) == []
    assert [slip.key for slip in await keeping.desk.slips(after=1)] == ["M2"]
    assert await keeping.desk.slips(source="elsewhere") == []
