"""A disk that fills up stops those nobody knows first, and is noticed before it is full."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from gateway.errors import Unavailable
from gateway.storage import Database, upgrade
from gateway.throttle import Counts
from tests.fakes import NOON

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def test_132_who_is_not_known_is_refused_first() -> None:
    refusals = Counts(30, timedelta(minutes=1))
    assert refusals.count("10.0.0.1", NOON).within
    refusals.full = True
    with pytest.raises(Unavailable) as caught:
        refusals.count("10.0.0.1", NOON)
    assert caught.value.code == "audit-unavailable"
    refusals.full = False
    assert refusals.count("10.0.0.1", NOON).within


async def test_the_space_that_is_left_is_that_of_the_disk(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/gateway.db"
    upgrade(url)
    database = Database.open(url)
    free = database.free_bytes()
    assert free is not None
    assert free > 0
    await database.close()
