"""The contracts of `AuditLog` and `IssuedIds`."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from tests.contract.conftest import World
from tests.contract.values import an_issued
from tests.fakes import NOON

pytestmark = pytest.mark.anyio


async def test_numbers_are_dense_from_one(world: World) -> None:
    assert [await world.audit.append(b"%d" % number) for number in range(3)] == [1, 2, 3]
    together = await asyncio.gather(*(world.audit.append(b"x") for _ in range(50)))
    assert sorted(together) == list(range(4, 54))


async def test_ids_are_kept_with_the_record_for_a_day(world: World) -> None:
    await world.audit.append(b"outcome", [an_issued(), an_issued(id="x2", type="Flag")])
    assert await world.issued.issued("x1", NOON) == an_issued()
    assert await world.issued.issued("x2", NOON + timedelta(hours=23, minutes=59)) == an_issued(id="x2", type="Flag")
    assert await world.issued.issued("x1", NOON + timedelta(hours=24)) is None
    assert await world.issued.issued("x3", NOON) is None


async def test_an_id_issued_again_lives_on(world: World) -> None:
    later = NOON + timedelta(hours=20)
    await asyncio.gather(
        *(world.audit.append(b"x", [an_issued()]) for _ in range(3)), world.audit.append(b"y", [an_issued(at=later)])
    )
    assert await world.issued.issued("x1", NOON + timedelta(hours=30)) == an_issued(at=later)
