"""What is remembered of pushed items is what the database says: after every way in which the desk can change it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest

from gateway.model import Item
from gateway.pushed import CaseEnd, Delivery, Letter, Snapshot
from gateway.storage import Database, Stores, open_stores
from gateway.storage.inbox_desk import InboxDesk
from tests.contract.values import PATIENT, a_message, an_entry, an_item
from tests.fakes import NOON, FixedClock, plain_seal, plain_unseal

OTHER = "p1-bbbb"
LATER = NOON + timedelta(days=3)
STAY = Delivery(patient=PATIENT, contact="trip", expires=LATER, addressees=frozenset({"90000009"}))


@dataclass(frozen=True, slots=True)
class Bench:
    """A desk that remembers, on a database this process alone writes."""

    database: Database
    clock: FixedClock
    stores: Stores

    @property
    def desk(self) -> InboxDesk:
        return self.stores.inbox

    async def push(self, key: str, *items: Item, state: str = "accepted", **delivery: Any) -> str:
        message = a_message(key=key, digest=key, state=state, delivery=replace(STAY, **delivery))
        await self.desk.deliver(
            [Letter(message, items, (an_entry(patient=message.delivery.patient),) if items else ())]
        )
        return message.receipt

    async def seen(self, stores: Stores) -> list[Any]:
        """Everything two patients and their items look like to a reader."""
        found: list[Any] = [await stores.inbox.items(patient, "ambulance") for patient in (PATIENT, OTHER)]
        found += [await stores.inbox.item(id_) for id_ in ("i1", "i2")]
        return found + [await stores.index.entries(patient, self.clock.now()) for patient in (PATIENT, OTHER)]

    async def agrees(self) -> list[Any]:
        """What the desk that remembers gives, having made sure that one that remembers nothing gives the same."""
        fresh = open_stores(self.database, plain_seal, plain_unseal, self.clock)
        remembered = await self.seen(self.stores)
        assert remembered == await self.seen(fresh)
        return remembered


@pytest.fixture
def bench(database: Database, clock: FixedClock, stores: Stores) -> Bench:
    return Bench(database, clock, stores)


async def _newer_version(bench: Bench) -> None:
    await bench.push("M2", an_item(raw=b"{}", recorded="2026-03-02T10:00:00+01:00"))


async def _another_item(bench: Bench) -> None:
    await bench.push("M2", an_item(id="i2"))


async def _moved(bench: Bench) -> None:
    await bench.push("M2", an_item(patient=OTHER, recorded="2026-03-02T10:00:00+01:00"), patient=OTHER)


async def _moved_and_back(bench: Bench) -> None:
    receipt = await bench.push("M2", an_item(patient=OTHER, recorded="2026-03-02T10:00:00+01:00"), patient=OTHER)
    await bench.agrees()
    await bench.desk.erase([receipt], NOON)


async def _erased(bench: Bench) -> None:
    await bench.desk.erase(await bench.desk.about([PATIENT], LATER), NOON)


async def _cancelled(bench: Bench) -> None:
    await bench.push("M2", cancels=True)


async def _released(bench: Bench) -> None:
    receipt = await bench.push("M2", an_item(id="i2"), state="quarantined")
    await bench.agrees()
    await bench.desk.release(receipt, ())


async def _contact_ended(bench: Bench) -> None:
    await bench.push("M2", ended=True, expires=NOON + timedelta(minutes=1))
    bench.clock.advance(timedelta(minutes=2))


async def _case_ended(bench: Bench) -> None:
    until = {"ambulance": NOON + timedelta(minutes=1)}
    assert await bench.desk.case_ended(CaseEnd("c1", PATIENT, "90000009", NOON, until)) == 1
    bench.clock.advance(timedelta(minutes=2))


async def _expired(bench: Bench) -> None:
    bench.clock.advance(LATER - NOON)


async def _replaced(bench: Bench) -> None:
    snapshot = Snapshot("ambulance", "file", NOON + timedelta(hours=1), present=frozenset({PATIENT}))
    message = a_message(key="M2", digest="d2", delivery=Delivery(patient=PATIENT, batch="file", coverage="full"))
    await bench.desk.deliver([Letter(message, (an_item(id="i2"),))], snapshot)


async def _read_anew(bench: Bench) -> None:
    (slip,) = await bench.desk.slips()
    message = a_message(key="M1", digest="M1", delivery=STAY)
    await bench.desk.deliver([Letter(message, (an_item(id="i2"),))], instead=slip.receipt)


async def _registered(bench: Bench) -> None:
    await bench.stores.index.register(an_entry(id="e2", categories=frozenset()))


async def _registration_moved(bench: Bench) -> None:
    await bench.stores.index.register(an_entry(patient=OTHER))


async def _withdrawn(bench: Bench) -> None:
    assert await bench.stores.index.withdraw("e1", an_entry().custodian)


CHANGES: list[Callable[[Bench], Awaitable[None]]] = [
    _newer_version, _another_item, _moved, _moved_and_back, _erased, _cancelled, _released, _contact_ended, _case_ended,
    _expired, _replaced, _read_anew, _registered, _registration_moved, _withdrawn,
]  # fmt: skip


@pytest.mark.anyio
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__.strip("_"))
async def test_what_is_remembered_is_what_is_kept(bench: Bench, change: Callable[[Bench], Awaitable[None]]) -> None:
    await bench.push("M1", an_item())
    before = await bench.agrees()
    assert before[0] == [an_item(addressees=frozenset({"90000009"}))] == [before[2]]
    await change(bench)
    after = await bench.agrees()
    assert (after[:4] == before[:4]) if change is _moved_and_back else (after != before)


@pytest.mark.anyio
async def test_each_request_gets_items_of_its_own(bench: Bench) -> None:
    await bench.push("M1", an_item())
    (first,) = await bench.desk.items(PATIENT, "ambulance")
    first.resource["status"] = "altered"
    (second,) = await bench.desk.items(PATIENT, "ambulance")
    assert "status" not in second.resource
    assert second.digest == an_item().digest


@pytest.mark.anyio
async def test_a_patient_without_items_gets_some(bench: Bench) -> None:
    assert (await bench.agrees())[:2] == [[], []]
    await bench.push("M1", an_item())
    assert len((await bench.agrees())[0]) == 1
