"""The contracts of the stores of what ends or opens access: revoked tokens, agreements of two people, emergency accesses."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from gateway.crypto.ring import KeyRing
from gateway.errors import Invalid
from gateway.ports import Contracts, KeptContract, Revocations
from gateway.settings import ClientTable
from gateway.storage import Database, upgrade
from gateway.storage.client_store import ClientStore
from gateway.storage.contract_store import ContractStore
from gateway.storage.review_store import ReviewStore
from gateway.storage.revocation_store import RevocationStore
from gateway.watched import Review, Reviews
from tests.contract.postgres import empty
from tests.fakes import NOON, FixedClock, MemoryContracts, MemoryReviews, MemoryRevocations

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

LATER = NOON + timedelta(minutes=5)
DAY = timedelta(days=1)


@dataclass
class Permits:
    """The three stores on one engine."""

    revocations: Revocations
    contracts: Contracts
    reviews: Reviews
    database: Database | None = None


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
async def permits(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Permits]:
    if request.param == "memory":
        yield Permits(MemoryRevocations(), MemoryContracts(), MemoryReviews())
        return
    url = f"sqlite:///{tmp_path / 'x.db'}"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgresql_url")
        empty(url)
    else:
        upgrade(url)
    keys, database = KeyRing.create(tmp_path / "keys", NOON), Database.open(url, exclusive=False)
    reviews = ReviewStore(database, keys.seal, keys.unseal)
    yield Permits(RevocationStore(database), ContractStore(database, FixedClock()), reviews, database)
    await database.close()


async def test_a_revoked_token_is_withdrawn_until_it_expires(permits: Permits) -> None:
    await permits.revocations.revoke("j1", "client", LATER, NOON)
    await permits.revocations.revoke("j1", "client", LATER, NOON)
    assert (await permits.revocations.withdrawn(NOON)).tokens == {"j1"}
    assert (await permits.revocations.withdrawn(LATER)).tokens == frozenset()
    await permits.revocations.revoke("j2", "client", LATER + DAY, LATER)
    assert (await permits.revocations.withdrawn(NOON)).tokens == {"j2"}, "what expired is forgotten"


async def test_a_disabled_client_is_withdrawn(permits: Permits) -> None:
    if permits.database is None:
        pytest.skip("the fake has no register of clients beside it")
    clients = ClientStore(permits.database, FixedClock())
    await clients.add(ClientTable(id="c", organization="90000001"))
    assert (await permits.revocations.withdrawn(NOON)).clients == frozenset()
    await clients.disable("c")
    assert (await permits.revocations.withdrawn(NOON)).clients == {"c"}


def offer(status: str = "offered", person: str = "uzi|1") -> KeptContract:
    return KeptContract("k1", 0, status, person, b"{}")


async def test_a_contract_is_replaced_by_its_next_version_only(permits: Permits) -> None:
    assert await permits.contracts.get("k1") is None
    assert await permits.contracts.put(offer(), None) == 1
    for wrong in (None, 2, 7):
        with pytest.raises(Invalid, match="conflict"):
            await permits.contracts.put(offer("executed", "uzi|2"), wrong)
    assert await permits.contracts.put(offer("executed", "uzi|2"), 1) == 2
    kept = await permits.contracts.get("k1")
    assert kept is not None
    assert (kept.version, kept.status, kept.person) == (2, "executed", "uzi|2")
    assert [one.version for one in await permits.contracts.all()] == [2]


def review(number: int = 1, **changes: object) -> Review:
    fields = {"id": f"r{number}", "person": "uzi|1", "organization": "90000001", "custodian": "90000002", "patient": "p1-a",
              "request": "q", "grounds": "unconscious; life; found so", "opened": NOON}  # fmt: skip
    return Review(**{**fields, **changes})  # type: ignore[arg-type]


async def test_an_access_waits_until_somebody_else_looked(permits: Permits) -> None:
    await permits.reviews.open((review(), review(2, custodian="90000003")))
    await permits.reviews.open((review(),))
    assert [one.id for one in await permits.reviews.waiting("90000001")] == ["r1", "r2"]
    (one,) = await permits.reviews.waiting("90000002")
    assert (one.grounds, one.opened) == ("unconscious; life; found so", NOON)
    assert not await permits.reviews.settle("r1", "uzi|1", "90000001", "justified", LATER), "not by oneself"
    assert not await permits.reviews.settle("r1", "uzi|2", "90000009", "justified", LATER), "not by a stranger"
    assert await permits.reviews.settle("r1", "uzi|2", "90000002", "justified", LATER)
    assert not await permits.reviews.settle("r1", "uzi|3", "90000002", "justified", LATER), "once"
    assert await permits.reviews.waiting("90000002") == ()


async def test_what_waits_too_long_is_overdue(permits: Permits) -> None:
    await permits.reviews.open((review(),))
    assert not await permits.reviews.overdue("uzi|1", "90000001", NOON - DAY)
    assert await permits.reviews.overdue("uzi|1", "90000001", NOON)
    assert not await permits.reviews.overdue("uzi|2", "90000001", NOON + DAY)
    await permits.reviews.open((review(3, id="p3", person="uzi|2"),))
    assert not await permits.reviews.overdue("uzi|2", "90000001", NOON + DAY), "a protected record suspends nobody"
    await permits.reviews.settle("r1", "uzi|2", "90000002", "justified", LATER)
    assert not await permits.reviews.overdue("uzi|1", "90000001", NOON + DAY)
