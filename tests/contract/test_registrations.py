"""The contracts of `ClientStore` and `Index`."""

from __future__ import annotations

from datetime import timedelta

import pytest

from gateway.errors import Invalid
from gateway.settings import ClientTable
from tests.contract.conftest import World
from tests.contract.values import AMBULANCE, HOSPITAL, PATIENT, an_entry
from tests.fakes import NOON

pytestmark = pytest.mark.anyio
CLIENT = ClientTable(
    "ehr", HOSPITAL, jwks={"keys": [{"kty": "EC", "n": 1}]}, scopes=("system/*.rs",), purposes=("spoed",)
)


async def test_a_registered_client_is_found_as_it_was_added(world: World) -> None:
    assert await world.clients.client("ehr") is None
    await world.clients.add(CLIENT)
    assert await world.clients.client("ehr") == CLIENT
    assert await world.clients.ids() == {"ehr"}


async def test_a_disabled_client_is_unknown_and_its_id_is_never_given_again(world: World) -> None:
    await world.clients.add(CLIENT)
    assert await world.clients.disable("ehr")
    assert await world.clients.client("ehr") is None
    assert not await world.clients.disable("ehr")
    assert not await world.clients.disable("other")
    with pytest.raises(Invalid):
        await world.clients.add(CLIENT)
    assert await world.clients.ids() == {"ehr"}


async def test_a_registration_is_in_force_until_it_ends(world: World) -> None:
    ends = NOON + timedelta(hours=1)
    await world.index.register(an_entry())
    await world.index.register(an_entry(id="e0", custodian=HOSPITAL, ends=ends, categories=frozenset()))
    assert await world.index.entries(PATIENT, NOON) == (
        an_entry(id="e0", custodian=HOSPITAL, ends=ends, categories=frozenset()),
        an_entry(),
    )
    assert await world.index.entries(PATIENT, ends) == (an_entry(),)
    assert await world.index.entries("p1-bbbb", NOON) == ()


async def test_the_same_id_again_replaces(world: World) -> None:
    await world.index.register(an_entry())
    await world.index.register(an_entry(basis="explicit", categories=frozenset({"Flag"})))
    assert await world.index.entries(PATIENT, NOON) == (an_entry(basis="explicit", categories=frozenset({"Flag"})),)


async def test_only_its_custodian_ends_or_replaces_a_registration(world: World) -> None:
    await world.index.register(an_entry())
    assert not await world.index.withdraw("e1", HOSPITAL)
    with pytest.raises(Invalid):
        await world.index.register(an_entry(custodian=HOSPITAL))
    assert await world.index.entries(PATIENT, NOON) == (an_entry(),)
    assert await world.index.withdraw("e1", AMBULANCE)
    assert not await world.index.withdraw("e1", AMBULANCE)
    assert await world.index.entries(PATIENT, NOON) == ()
    await world.index.register(an_entry())
    assert await world.index.entries(PATIENT, NOON) == (an_entry(),)
