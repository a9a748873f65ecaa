"""A custodian that must stay silent leaves no byte: two worlds, one with it and one without, answer the same."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from consent.model import Reason
from tests.gateway.charts import CHARTS, THIRD_BSN, allergy, condition, person
from tests.gateway.test_answers import identified, matching
from tests.gateway.world import COORDINATOR, GP, HOSPITAL, MENTAL, PHYSICIAN, SYSTEM, Reply, World
from tests.proofs.variants import undecidable

Ask = Callable[[World], Reply]
_CHANGING = re.compile(  # the id of this very request, and the nonces of a page and of a cursor
    rb"nonce[=-]['\"]?[\w-]+|_cursor=[\w-]+|[0-9a-f]{32}"
)


def comparable(reply: Reply) -> tuple[int, dict[str, str], bytes]:
    """What a caller could tell two answers apart by, without what is new at every request.

    The length of a compressed body is not: a sealed cursor compresses a little differently each time. Its content is compared.
    """
    compressed = {"content-length"} if "content-encoding" in reply.headers else set[str]()
    headers = {name: _CHANGING.sub(b"*", value.encode()).decode() for name, value in reply.headers.items()
               if name not in {"x-request-id", "x-correlation-id"} | compressed}  # fmt: skip
    return reply.status, headers, _CHANGING.sub(b"*", reply.body)


ASKS: dict[str, Ask] = {
    "search": lambda world: world.search("Condition"),
    "another search": lambda world: world.search(),
    "page": lambda world: world.search("Condition", more="&_count=1"),
    "count": lambda world: world.search("Condition", more="&_count=0"),
    "sorted": lambda world: world.search("Condition", more="&_sort=-code"),
    "narrowed": lambda world: world.search("Condition", more="&code=35489007"),
    "summary": lambda world: world.summary(x_request_id="r1"),
    "summary by identifier": lambda world: world.post("Patient/$summary", identified(), x_request_id="r1"),
    "page in Dutch": lambda world: world.summary(accept="text/html", accept_language="nl"),
    "page in English": lambda world: world.summary(accept="text/html", accept_language="en"),
    "patient": lambda world: world.get(f"Patient/{world.patient}"),
    "look-up": lambda world: world.find(),
    "look-up with a wrong birth date": lambda world: world.find(birth="1999-01-01"),
    "match": lambda world: world.post("Patient/$match", matching()),
    "system": lambda world: world.search("Condition", SYSTEM),
    "coordinator": lambda world: world.search("Condition", COORDINATOR),
    "refused": lambda world: world.search("Condition", None),
    "read of what it holds": lambda world: world.get(f"Condition/{world.keys.item_id(MENTAL, 'Condition/secret')}"),
    "another person": lambda world: world.get(f"Condition?patient={world.patient_id(THIRD_BSN)}"),
}


def nothing(world: World) -> None:
    """The rest of the world is well."""


def down(world: World) -> None:
    world.with_source_down("gp", "hospital")


def one_down(world: World) -> None:
    world.with_source_down("gp")


def refusing(world: World) -> None:
    world.says("deny", GP)
    world.says("deny", HOSPITAL)


def one_refusing(world: World) -> None:
    world.says("deny", GP)


def pair(
    rest: Callable[[World], None], *, also: tuple[str, ...] = (GP, HOSPITAL), **silent: Any
) -> tuple[World, World]:
    """A world without the silent custodian, and one in which it knows the patient and refuses."""
    without, within = World(known_at=also, permits=also), World(known_at=(*also, MENTAL), permits=also, **silent)
    for world in (without, within):
        rest(world)
        world.opens_case()
    return without, within


@pytest.mark.slow
@pytest.mark.parametrize("rest", [nothing, down, one_down, refusing, one_refusing])
@pytest.mark.parametrize("name", ASKS)
def test_a2_a_silent_custodian_that_refuses_changes_nothing(name: str, rest: Callable[[World], None]) -> None:
    without, within = pair(rest)
    assert comparable(ASKS[name](within)) == comparable(ASKS[name](without))
    assert not within.charts["mental"].asked


@pytest.mark.parametrize("name", ASKS)
def test_a2_nor_when_it_is_the_only_one(name: str) -> None:
    without, within = pair(nothing, also=())
    assert comparable(ASKS[name](within)) == comparable(ASKS[name](without))


@pytest.mark.parametrize("name", ["search", "summary", "look-up", "page in Dutch"])
def test_a2_what_it_holds_makes_no_difference(name: str) -> None:
    other = CHARTS | {"mental": [person("z1", birthDate="1911-11-11"), *(condition(f"x{n}", "z1") for n in range(9))]}
    one, two = pair(nothing)[1], pair(nothing, charts=other)[1]
    assert comparable(ASKS[name](one)) == comparable(ASKS[name](two))


@pytest.mark.parametrize("name", ["search", "summary", "page in English"])
def test_a2_nor_why_it_refuses(name: str) -> None:
    def worlds() -> list[World]:
        objecting, missing, closed = (pair(nothing)[1] for _ in range(3))
        objecting.says("deny", MENTAL)
        missing.says("permit", MENTAL, categories=frozenset({"Nutrition"}))
        closed.index.kept.clear()
        for ura in (GP, HOSPITAL):
            closed.knows(ura)
        return [objecting, missing, closed]

    answers = [comparable(ASKS[name](world)) for world in worlds()]
    if name == "search":
        assert answers[0] == answers[1] == answers[2]
    else:
        assert answers[0] == answers[2], "a category it may share shows that it is there; the rest does not"


def test_a2_nor_when_the_register_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    without, within = pair(nothing)
    monkeypatch.setattr("gateway.standing.decide", undecidable(Reason("consent-unknown", "down", "patient")))
    for name in ("search", "summary"):
        assert comparable(ASKS[name](within)) == comparable(ASKS[name](without))


def test_a2_the_record_of_the_custodian_does_know() -> None:
    _, within = pair(nothing)
    within.search("Condition")
    states = {asked.source: asked.states for asked in within.records[-1].custodians}
    assert states["mental"] == {"Condition": "refused:consent-missing"}
    assert "mental" not in str(within.records[0].custodians), "the intent names those that are asked"


def test_control_with_permission_it_is_shown() -> None:
    world = World()
    assert len(world.search("Condition").items) == 2
    assert b"GGZ De Stilte" in world.summary().body


def test_a2_a_refusal_of_the_patient_elsewhere_is_anonymous() -> None:
    world = World()
    world.says("deny", HOSPITAL)
    for reply in (world.search(), world.summary()):
        assert HOSPITAL.encode() not in reply.body
        assert b"Ziekenhuis Oost" not in reply.body
    assert world.search().remarks == ["consent-refused"]
    both = World()
    both.says("deny", HOSPITAL)
    both.says("deny", GP)
    assert both.search("Observation").remarks == ["consent-refused"], "how many refuse is not told"


def test_a2_a_refusal_by_the_side_of_the_caller_is_named() -> None:
    agreements = [{"id": "one", "requesters": ["*"], "custodians": [GP], "purposes": ["behandeling"], "start": "2026-01-01",
                   "end": "2026-12-31"}]  # fmt: skip
    world = World(settings={"agreements": agreements})
    reply = world.search()
    assert reply.remarks == ["source-refused"], "the silent one is not named even then"
    assert b"Ziekenhuis Oost" in reply.body
    assert b"GGZ" not in reply.body


def test_a2_a_region_may_choose_otherwise() -> None:
    world = World(settings={"consent": {"disclosure": {"V4": "named", "Z3": "silent"}}})
    world.says("deny", HOSPITAL)
    assert b"Ziekenhuis Oost" in world.search().body
    world = World(settings={"consent": {"disclosure": {"V4": "silent"}}})
    world.says("deny", HOSPITAL)
    assert world.search().remarks == []


def test_the_fixed_sentence_depends_on_the_role_only() -> None:
    sentence = b"There may be data you do not see."
    for world in (World(), World(known_at=()), World(permits=())):
        assert sentence in world.search(caller=PHYSICIAN).body
    assert b"er kunnen gegevens zijn die u niet ziet" in World(known_at=()).summary().body
    assert len(World(charts=CHARTS | {"gp": [person("g1"), allergy("a9", "g1")]}).search().items) == 2
