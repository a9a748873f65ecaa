"""The fast tier only ever says yes rightly, compiles for every resource type, and is fast."""

from __future__ import annotations

import timeit
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profiles.definitions import definitions
from profiles.exact import Json, decode
from profiles.schema import _compiled, surely_valid
from profiles.validation import accepts, prepare, validate
from tests.profiles.examples import ALL, OBSERVATION, PATIENT
from tests.profiles.mutants import mutants, places

REAL = Path(__file__).parents[2].parent / "shared" / "data"
FAST = [name for name in ALL if name != "medication-request"]  # it has a contained resource: full check


def is_valid(resource: Json) -> bool:
    return not any(issue.is_error for issue in validate(resource))


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(definitions().resources))
def test_every_resource_type_compiles(kind: str) -> None:
    assert not surely_valid({"resourceType": kind})
    assert _compiled(kind).is_valid({"resourceType": kind, "notAnElement": 1}) is False


@pytest.mark.parametrize("name", FAST)
def test_ordinary_resources_need_no_full_check(name: str) -> None:
    assert surely_valid(ALL[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL)
def test_yes_of_the_fast_tier_is_yes_of_the_full_check(name: str) -> None:
    for mutant in mutants(ALL[name], seed=9, count=150):
        assert not surely_valid(mutant.resource) or is_valid(mutant.resource) or _inside(mutant.resource), mutant.kind
        assert accepts(mutant.resource) is False, (mutant.kind, mutant.place)


def _inside(resource: Json) -> bool:
    """The resources in a Bundle are not the subject of the claim of the fast tier."""
    return bool(resource["resourceType"] == "Bundle")


@pytest.mark.real_inputs
@pytest.mark.slow
@pytest.mark.skipif(not REAL.is_dir(), reason="published examples are not beside the project")
def test_mutants_of_published_examples_have_one_verdict() -> None:
    seen = 0
    for file in sorted((REAL / "r4-examples").glob("*.json")) + sorted((REAL / "ips-examples").glob("*.json")):
        resource = decode(file.read_bytes())
        for mutant in mutants(resource, seed=len(file.name), count=40):
            seen += 1
            assert accepts(mutant.resource) is is_valid(mutant.resource), (file.name, mutant.kind, mutant.place)
    assert seen >= 300


VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 2**40, "", " ", "x", "a b", "#", "#m1", "Patient/p1", "urn:uuid:x/y", "2026", "2026-02-29",
    "2024-02-29", "24:00:00", "\u00a0", "\u2028", "\ufeff", "\x85", "a\x1fb", "é", "JVBERi0=", [], {}, [None], ["x"],
    [["x"]], [{}], {"id": "a"}, {"extension": [{"url": "u", "valueString": "s"}]}, {"value": 1}, {"text": "t"},
    {"start": "2026-02", "end": "2026-01-31"}, {"start": "2026-01", "end": "2026-01-02"}, "http://a/Slot/1", "Slot",
    {"reference": "Slot/1"}, {"url": "u"}, {"url": "u", "valueDate": "2026-02-30"}, "<div/>",
]  # fmt: skip


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(st.data())
def test_two_tiers_agree_on_any_change(data: st.DataObject) -> None:
    resource = deepcopy(ALL[data.draw(st.sampled_from(sorted(ALL)))])
    for _ in range(data.draw(st.integers(1, 3))):
        every = [place for place, _ in places(resource)]
        if not every:
            break
        place = data.draw(st.sampled_from(every))
        owner: Any = resource
        for step in place[:-1]:
            owner = owner[step]
        change = data.draw(st.sampled_from(["set", "remove", "beside", "move"]))
        value = deepcopy(data.draw(st.sampled_from(VALUES)))
        if change == "set":
            owner[place[-1]] = value
        elif change == "remove":
            del owner[place[-1]]
        elif isinstance(owner, dict):
            other = str(place[-1])
            name = (
                "_" + other
                if change == "beside"
                else data.draw(st.sampled_from(["id", "extension", "text", "valueString"]))
            )
            owner[name] = value
    if surely_valid(resource) and resource["resourceType"] != "Bundle":
        assert is_valid(resource)
    assert accepts(resource) is is_valid(resource)


def _microseconds(function: Any) -> float:
    return min(timeit.repeat(function, number=100, repeat=7)) * 10_000


def test_types_can_be_prepared_and_unknown_ones_do_no_harm() -> None:
    prepare(["Patient", "NoSuchType"])
    assert surely_valid(PATIENT)


def test_the_fast_tier_is_fast() -> None:
    """The aim is 15 µs for an Observation and 40 µs for a Patient; asserted relative to the work of this machine."""
    unit = _microseconds(lambda: sum(range(1000))) / 8  # about 8 µs on the machine the aim was set on
    assert accepts(OBSERVATION)
    assert accepts(PATIENT)
    assert _microseconds(lambda: accepts(OBSERVATION)) < 15 * 3 * max(unit, 1)
    assert _microseconds(lambda: accepts(PATIENT)) < 40 * 3 * max(unit, 1)
