"""The contracts of `Consents` and `Cases`."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from gateway.errors import Invalid
from tests.contract.conftest import World
from tests.contract.values import PATIENT, a_case, a_statement
from tests.fakes import NOON

pytestmark = pytest.mark.anyio
RAW = b'{"resourceType":"Consent","status":"active"}'


async def test_a_consent_comes_back_as_it_was_written(world: World) -> None:
    assert await world.consents.get("k1") is None
    assert await world.consents.put("k1", None, RAW, PATIENT, [a_statement(), a_statement(id="s2")]) == 1
    assert await world.consents.get("k1") == (1, RAW, PATIENT)
    assert await world.consents.statements(PATIENT) == (a_statement(), a_statement(id="s2"))
    assert await world.consents.statements("p1-bbbb") == ()


async def test_a_withdrawal_counts_as_soon_as_it_is_written(world: World) -> None:
    await world.consents.put("k1", None, RAW, PATIENT, [a_statement(effect="permit")])
    await world.consents.put("k2", None, RAW, PATIENT, [a_statement(id="s2")])
    assert len(await world.consents.statements(PATIENT)) == 2
    before = await world.consents.revision(PATIENT)
    assert await world.consents.put("k1", 1, b"{}", PATIENT, []) == 2
    assert await world.consents.statements(PATIENT) == (a_statement(id="s2"),)
    assert await world.consents.get("k1") == (2, b"{}", PATIENT)
    assert await world.consents.revision(PATIENT) > before


@pytest.mark.parametrize("expected", [None, 2, 7])
async def test_a_change_to_another_version_is_a_conflict(world: World, expected: int | None) -> None:
    await world.consents.put("k1", None, RAW, PATIENT, [a_statement()])
    with pytest.raises(Invalid) as raised:
        await world.consents.put("k1", expected, b"{}", PATIENT, [])
    assert raised.value.code == "conflict"
    assert await world.consents.statements(PATIENT) == (a_statement(),)


async def test_a_change_needs_something_to_change(world: World) -> None:
    with pytest.raises(Invalid):
        await world.consents.put("k1", 1, RAW, PATIENT, [])


async def test_a_consent_cannot_be_turned_into_one_of_another_patient(world: World) -> None:
    await world.consents.put("k1", None, RAW, PATIENT, [a_statement()])
    with pytest.raises(Invalid):
        await world.consents.put("k1", 1, RAW, "p1-bbbb", [])
    assert await world.consents.statements(PATIENT) == (a_statement(),)


async def test_a_case_is_open_for_its_person_and_patient_until_it_ends(world: World) -> None:
    await world.cases.put(a_case(), b"{}")
    assert await world.cases.get("c1") == (a_case(), b"{}")
    assert await world.cases.get("c2") is None
    assert await world.cases.open_for("client-1", "person-1", PATIENT, NOON) == (a_case(),)
    assert await world.cases.open_for("client-1", "person-2", PATIENT, NOON) == ()
    assert await world.cases.open_for("client-2", "person-1", PATIENT, NOON) == ()
    assert await world.cases.open_for("client-1", "person-1", "p1-bbbb", NOON) == ()
    assert await world.cases.open_for("client-1", "person-1", PATIENT, NOON - timedelta(seconds=1)) == ()
    assert await world.cases.open_for("client-1", "person-1", PATIENT, NOON + timedelta(hours=24)) == ()


async def test_a_person_finds_the_own_open_cases_the_newest_first(world: World) -> None:
    later = replace(a_case(), id="c2", opened=NOON + timedelta(minutes=1))
    for case in (
        a_case(),
        later,
        replace(a_case(), id="c3", person="person-2"),
        replace(a_case(), id="c4", closed=NOON),
    ):
        await world.cases.put(case, case.id.encode())
    soon = NOON + timedelta(minutes=2)
    assert await world.cases.own("client-1", "person-1", soon) == ((later, b"c2"), (a_case(), b"c1"))
    assert await world.cases.own("client-1", "person-1", NOON) == ((a_case(), b"c1"),)
    assert await world.cases.own("client-2", "person-1", soon) == ()
    assert await world.cases.own("client-1", "person-1", NOON + timedelta(days=2)) == ()


async def test_a_case_is_bound_once_its_patient_is_known_and_a_system_has_no_person(world: World) -> None:
    await world.cases.put(a_case(patient=None, person=None), b"{}")
    assert await world.cases.get("c1") == (a_case(patient=None, person=None), b"{}")
    assert await world.cases.open_for("client-1", None, PATIENT, NOON) == ()
    await world.cases.put(a_case(person=None), b"{}")
    assert await world.cases.open_for("client-1", None, PATIENT, NOON) == (a_case(person=None),)


async def test_a_closed_case_stays_closed_and_a_case_is_never_taken_over(world: World) -> None:
    await world.cases.put(a_case(), b"{}")
    with pytest.raises(Invalid):
        await world.cases.put(a_case(person="person-2"), b"{}")
    closed = a_case(closed=NOON + timedelta(hours=1))
    await world.cases.put(closed, b"{}")
    assert await world.cases.open_for("client-1", "person-1", PATIENT, NOON) == ()
    with pytest.raises(Invalid):
        await world.cases.put(a_case(), b"{}")
    assert await world.cases.get("c1") == (closed, b"{}")
