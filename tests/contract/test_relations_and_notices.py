"""The contracts of the stores of who treats whom, and of what organizations must be told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest

from consent.model import Relation
from gateway.crypto.ring import KeyRing
from gateway.errors import Invalid
from gateway.ports import Relations
from gateway.storage import Database, upgrade
from gateway.storage.notice_store import NoticeStore
from gateway.storage.relation_store import RelationStore
from gateway.storage.review_store import ReviewStore
from gateway.watched import Notice, Notices, Review, Reviews
from tests.contract.postgres import empty
from tests.fakes import NOON, FixedClock, MemoryRelations, MemoryReviews

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

TEAM = Relation("care-team", "90000005", "p1-a", "90000001", NOON, NOON + timedelta(days=1))
NOTICE = Notice("r-1-x-custodian", "90000001", "custodian", "p1-a", "q1", NOON, b"{}")
REVIEW = Review("r-1", "uzi|1", "90000005", "90000001", "p1-a", "q1", "found so", NOON)


@dataclass
class Told:
    """The stores on one engine."""

    relations: Relations
    reviews: Reviews
    notices: Notices


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
async def told(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Told]:
    if request.param == "memory":
        reviews = MemoryReviews()
        yield Told(MemoryRelations(), reviews, reviews.outbox)
        return
    url = f"sqlite:///{tmp_path / 'x.db'}"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgresql_url")
        empty(url)
    else:
        upgrade(url)
    keys, database = KeyRing.create(tmp_path / "keys", NOON), Database.open(url, exclusive=False)
    yield Told(
        RelationStore(database, keys.seal, keys.unseal, FixedClock()),
        ReviewStore(database, keys.seal, keys.unseal),
        NoticeStore(database, keys.seal, keys.unseal),
    )
    await database.close()


async def test_a_relation_is_replaced_by_its_next_version_only(told: Told) -> None:
    relations = told.relations
    assert await relations.of("p1-a") == ()
    assert await relations.put("relation-1", None, b'{"v":1}', "p1-a", (TEAM,)) == 1
    assert await relations.of("p1-a") == (TEAM,)
    assert await relations.of("p1-b") == ()
    for expected in (None, 2):
        with pytest.raises(Invalid, match="conflict"):
            await relations.put("relation-1", expected, b"{}", "p1-a", ())
    with pytest.raises(Invalid, match="conflict"):
        await relations.put("relation-1", 1, b"{}", "p1-b", (TEAM,))
    assert await relations.put("relation-1", 1, b'{"v":2}', "p1-a", ()) == 2
    assert await relations.of("p1-a") == ()
    assert await relations.get("relation-1") == (2, b'{"v":2}', "p1-a")
    assert await relations.get("relation-2") is None


async def test_a_notice_is_put_there_with_its_review_once(told: Told) -> None:
    await told.reviews.open((REVIEW,), (NOTICE,))
    await told.reviews.open((REVIEW,), (replace(NOTICE, body=b"other"),))
    assert await told.notices.due(NOON, 10) == (NOTICE,)
    assert await told.notices.due(NOON - timedelta(seconds=1), 10) == ()
    assert [one.id for one in await told.reviews.waiting("90000001")] == ["r-1"]


async def test_a_notice_waits_until_it_was_taken(told: Told) -> None:
    later = NOON + timedelta(minutes=1)
    await told.reviews.open((REVIEW,), (NOTICE, replace(NOTICE, id="r-1-y-custodian", organization="90000002")))
    first, second = await told.notices.due(NOON, 10)
    assert await told.notices.due(NOON, 1) == (first,)
    await told.notices.failed(first, "timeout", later)
    await told.notices.sent(second, NOON)
    assert await told.notices.due(NOON, 10) == ()
    (again,) = await told.notices.due(later, 10)
    assert (again.id, again.attempts, again.failure, again.body) == (first.id, 1, "timeout", b"{}")
    await told.notices.sent(again, later)
    assert await told.notices.due(later, 10) == ()
    found = await told.notices.about(["q1", "q2"])
    assert [(one.attempts, one.delivered, one.failure, one.body) for one in found] == [
        (2, later, "", b""), (1, NOON, "", b""),
    ]  # fmt: skip
