"""What the stores do beyond their ports: reading the log, purging, sealing, policy revisions."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from gateway.settings import ClientTable
from gateway.storage import Database, Stores, open_stores, sqlite
from tests.contract.values import PATIENT, a_case, a_message, a_statement, an_issued, an_item
from tests.fakes import NOON, FixedClock, plain_seal, plain_unseal

pytestmark = pytest.mark.anyio


async def test_the_log_is_read_in_order_from_anywhere(stores: Stores, database: Database) -> None:
    await asyncio.gather(*(stores.audit.append(b"%d" % number) for number in range(2_500)))
    records = [record async for record in stores.audit.records()]
    assert [record.seq for record in records] == list(range(1, 2_501))
    assert {record.body for record in records} == {b"%d" % number for number in range(2_500)}
    assert records[0].at == NOON
    assert [record.seq async for record in stores.audit.records(after=2_498)] == [2_499, 2_500]
    assert [record async for record in stores.audit.records(after=2_500)] == []
    second = open_stores(database, plain_seal, plain_unseal, FixedClock(), log=(2, 7))
    assert await second.audit.append(b"other") == 1
    assert await stores.audit.heads() == {(1, 1): 2_500, (2, 7): 1}
    assert [record.body async for record in stores.audit.records(log=(2, 7))] == [b"other"]


async def test_issued_ids_are_deleted_after_a_day(stores: Stores) -> None:
    await stores.audit.append(b"x", [an_issued(), an_issued(id="x2", at=NOON + timedelta(hours=1))])
    assert await stores.issued.purge(NOON + timedelta(hours=23)) == 0
    assert await stores.issued.purge(NOON + timedelta(hours=24)) == 1
    assert await stores.issued.issued("x2", NOON + timedelta(hours=24)) is not None


async def test_spent_tokens_are_deleted_in_passing(stores: Stores, clock: FixedClock, database: Database) -> None:
    await stores.replay.first_use("a", "j1", NOON + timedelta(minutes=5))
    clock.advance(timedelta(hours=1))
    await stores.replay.first_use("a", "j2", clock.now() + timedelta(minutes=5))
    assert await database.rows("SELECT jti FROM used_token") == [("j2",)]


async def test_registrations_are_listed_with_their_dates(stores: Stores, clock: FixedClock) -> None:
    await stores.clients.add(ClientTable("b", "90000001"))
    await stores.clients.add(ClientTable("a", "90000001"))
    clock.advance(timedelta(days=1))
    await stores.clients.disable("b")
    listed = await stores.clients.list()
    assert [(one.client.id, one.added, one.disabled) for one in listed] == [
        ("a", NOON, None),
        ("b", NOON, NOON + timedelta(days=1)),
    ]


async def test_a_policy_is_kept_once_and_a_return_to_an_older_one_is_a_revision(stores: Stores) -> None:
    assert await stores.policies.newest() is None
    assert await stores.policies.keep("r1", NOON, b"{1}")
    assert not await stores.policies.keep("r1", NOON, b"{1}")
    assert await stores.policies.keep("r2", NOON, b"{2}")
    assert await stores.policies.keep("r1", NOON + timedelta(days=1), b"{1}")
    newest = await stores.policies.newest()
    assert newest is not None
    assert (newest.number, newest.revision, newest.loaded) == (3, "r1", NOON + timedelta(days=1))
    older = await stores.policies.find("r2")
    assert older is not None
    assert older.body == b"{2}"
    assert await stores.policies.find("r9") is None


async def test_every_version_of_an_item_is_kept(stores: Stores, database: Database) -> None:
    await stores.inbox.accept(a_message(), [an_item()], [])
    await stores.inbox.accept(a_message(key="M2"), [an_item(recorded="2020")], [])
    await stores.inbox.accept(a_message(key="M3"), [an_item(recorded="2027")], [])
    rows = await database.rows("SELECT version, message, shown FROM held_item ORDER BY version")
    assert rows == [(1, 1, 0), (2, 2, 0), (3, 3, 1)]


async def test_what_was_sealed_for_one_row_does_not_open_in_another(stores: Stores, database: Database) -> None:
    await stores.inbox.accept(a_message(), [an_item(), an_item(id="i2")], [])
    swap = "UPDATE held_item SET sealed = (SELECT sealed FROM held_item WHERE id = 'i2') WHERE id = 'i1'"
    await database.write(lambda cursor: cursor.execute(swap) and None)
    with pytest.raises(ValueError, match="does not open here"):
        await stores.inbox.item("i1")


async def test_nothing_clinical_stands_in_the_file_unsealed(database: Database, clock: FixedClock, url: str) -> None:
    def hide(custodian: str, raw: bytes, associated: bytes) -> bytes:
        return bytes(byte ^ 0xA5 for byte in raw)

    stores = open_stores(database, hide, hide, clock)
    sentinel = b"SENTINEL"
    text = sentinel.decode()
    item = an_item(raw=sentinel, type=text, category=text, native=text, labels=frozenset({text}), marks=(text,))
    await stores.inbox.accept(a_message(raw=sentinel), [item], [])
    await stores.consents.put("k1", None, sentinel, PATIENT, [a_statement(categories=frozenset({text}))])
    await stores.cases.put(a_case(), sentinel)
    assert await stores.inbox.item("i1") == item
    await database.close()
    for file in sqlite.path_of(url).parent.iterdir():
        assert sentinel not in file.read_bytes(), file.name
