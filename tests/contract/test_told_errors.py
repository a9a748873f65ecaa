"""The contract of `ToldErrors`: what custodians are told is wrong in their data."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.crypto.ring import KeyRing
from gateway.office import ToldError
from gateway.storage import Database, open_stores, upgrade
from tests.contract.values import PATIENT
from tests.fakes import NOON, FixedClock

pytestmark = pytest.mark.anyio


def told(id_: str = "e1", custodian: str = "90000001") -> ToldError:
    return ToldError(
        id_, custodian, "allergies", "AllergyIntolerance/x", PATIENT, "person-1", "90000006", "klopt niet: latex", NOON
    )


async def test_an_error_waits_for_its_custodian_until_it_is_settled(tmp_path: Path) -> None:
    keys = KeyRing.create(tmp_path / "keys", NOON)
    url = f"sqlite:///{tmp_path / 'told.db'}"
    upgrade(url)
    database = Database.open(url)
    try:
        errors = open_stores(database, keys.seal, keys.unseal, FixedClock()).errors
        await errors.tell(told())
        await errors.tell(told("e2", "90000002"))
        assert await errors.waiting("90000001") == (told(),)
        assert not await errors.settle("e1", "90000002", "person-2", "verbeterd", NOON), "not theirs"
        assert await errors.settle("e1", "90000001", "person-2", "verbeterd", NOON)
        assert await errors.waiting("90000001") == ()
        assert not await errors.settle("e1", "90000001", "person-2", "nogmaals", NOON)
        rows = await database.rows("SELECT body FROM told_error", ())
        assert all(b"latex" not in bytes(body) for (body,) in rows)
    finally:
        await database.close()
