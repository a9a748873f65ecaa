"""The contract of `Inbox`."""

from __future__ import annotations

from datetime import timedelta

import pytest

from gateway.errors import Invalid
from tests.contract.conftest import World
from tests.contract.values import AMBULANCE, HOSPITAL, PATIENT, a_message, an_entry, an_item
from tests.fakes import NOON

pytestmark = pytest.mark.anyio


async def test_an_item_comes_back_byte_for_byte_with_every_fact(world: World) -> None:
    assert await world.inbox.accept(a_message(), [an_item()], []) == "new"
    assert await world.inbox.item("i1") == an_item()
    assert await world.inbox.items(PATIENT, "ambulance") == [an_item()]
    assert await world.inbox.item("i2") is None
    assert await world.inbox.items(PATIENT, "hospital") == []
    assert await world.inbox.items("p1-bbbb", "ambulance") == []


async def test_the_same_message_again_does_nothing(world: World) -> None:
    await world.inbox.accept(a_message(), [an_item()], [])
    assert await world.inbox.accept(a_message(), [an_item(id="i2")], [an_entry()]) == "again"
    assert await world.inbox.item("i2") is None
    assert await world.index.entries(PATIENT, NOON) == ()


async def test_the_same_key_with_other_bytes_is_a_new_message(world: World) -> None:
    await world.inbox.accept(a_message(), [an_item()], [])
    assert await world.inbox.accept(a_message(digest="d2"), [an_item(id="i2")], []) == "changed"
    assert await world.inbox.accept(a_message(digest="d2"), [], []) == "again"
    assert await world.inbox.accept(a_message(source="other"), [], []) == "new"
    assert await world.inbox.item("i2") is not None


@pytest.mark.parametrize(
    ("recorded", "shown"),
    [
        ("2026-03-01T09:59:59+01:00", False),
        ("2026-03-01T10:00:00+01:00", True),
        ("2026-03-01T09:30:00Z", True),  # later than 10:00 +01:00
        ("2026-02", False),
        ("2026-03", True),  # may be later
        ("2026", True),
        ("2027-01-01", True),
        ("not a date", True),  # unknown: what arrived last is shown
    ],
)
async def test_an_older_file_never_overwrites_a_newer(world: World, recorded: str, shown: bool) -> None:
    await world.inbox.accept(a_message(), [an_item()], [])
    later = an_item(recorded=recorded, raw=b'{"resourceType":"Observation"}')
    await world.inbox.accept(a_message(key="M2"), [later], [])
    assert await world.inbox.item("i1") == (later if shown else an_item())
    assert len(await world.inbox.items(PATIENT, "ambulance")) == 1


async def test_the_date_of_the_fact_counts_when_no_recorded_date_is_known(world: World) -> None:
    newer = an_item(recorded="", date="2026-03-01")
    await world.inbox.accept(a_message(), [newer], [])
    await world.inbox.accept(a_message(key="M2"), [an_item(recorded="", date="2026-02-28")], [])
    assert await world.inbox.item("i1") == newer


async def test_an_item_that_moved_to_another_patient_leaves_the_first(world: World) -> None:
    await world.inbox.accept(a_message(), [an_item()], [])
    await world.inbox.accept(a_message(key="M2"), [an_item(patient="p1-bbbb")], [])
    assert await world.inbox.items(PATIENT, "ambulance") == []
    assert len(await world.inbox.items("p1-bbbb", "ambulance")) == 1


async def test_another_custodian_cannot_replace_an_item(world: World) -> None:
    await world.inbox.accept(a_message(), [an_item()], [])
    await world.inbox.accept(a_message(key="M2"), [an_item(custodian=HOSPITAL)], [])
    assert await world.inbox.item("i1") == an_item()


async def test_a_quarantined_message_shows_nothing(world: World) -> None:
    quarantined = a_message(state="quarantined", reason="no contact evidence")
    assert await world.inbox.accept(quarantined, [an_item()], [an_entry()]) == "new"
    assert await world.inbox.item("i1") is None
    assert await world.inbox.items(PATIENT, "ambulance") == []
    assert await world.index.entries(PATIENT, NOON) == ()


async def test_a_quarantined_version_does_not_hide_the_one_shown(world: World) -> None:
    await world.inbox.accept(a_message(), [an_item()], [])
    await world.inbox.accept(a_message(key="M2", state="quarantined"), [an_item(recorded="2027-01-01")], [])
    assert await world.inbox.item("i1") == an_item()


async def test_an_index_entry_is_kept_with_the_message_or_nothing_is(world: World) -> None:
    await world.index.register(an_entry(custodian=HOSPITAL))
    with pytest.raises(Invalid) as raised:
        await world.inbox.accept(a_message(), [an_item()], [an_entry(custodian=AMBULANCE)])
    assert raised.value.code == "conflict"
    assert await world.inbox.item("i1") is None
    assert await world.inbox.last_heard("ambulance") is None
    assert await world.inbox.accept(a_message(), [an_item()], [an_entry(id="e2")]) == "new"
    assert len(await world.index.entries(PATIENT, NOON)) == 2


async def test_a_feed_is_heard_also_when_it_repeats_itself(world: World) -> None:
    assert await world.inbox.last_heard("ambulance") is None
    await world.inbox.accept(a_message(), [], [])
    later = NOON + timedelta(minutes=5)
    await world.inbox.accept(a_message(received=later), [], [])
    assert await world.inbox.last_heard("ambulance") == later
    await world.inbox.accept(a_message(key="M2", received=NOON), [], [])
    assert await world.inbox.last_heard("ambulance") == later
