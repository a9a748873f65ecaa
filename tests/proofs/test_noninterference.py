"""Two worlds that differ only in what the caller may not see answer the same, byte for byte."""

from __future__ import annotations

import random
from collections.abc import Callable
from copy import deepcopy
from datetime import timedelta

import httpx2
import pytest

from gateway.model import Caller, IndexEntry
from tests.fakes import NOON
from tests.gateway.audit.driving import TODAY, auditor
from tests.gateway.audit.memory import LogWorld
from tests.gateway.charts import (
    OTHER_BSN,
    TERMS,
    Json,
    allergy,
    condition,
    directive,
    flag,
    medication,
    observation,
    person,
)
from tests.gateway.test_answers import identified, matching
from tests.gateway.test_silence import comparable
from tests.gateway.world import COORDINATOR, GP, HOSPITAL, MENTAL, PHYSICIAN, SYSTEM, Reply, World, run

pytestmark = [pytest.mark.proof, pytest.mark.timeout(1800)]

MAKERS: list[Callable[..., Json]] = [allergy, condition, directive, flag, medication, observation]
CUSTODIANS = {"gp": GP, "hospital": HOSPITAL, "mental": MENTAL}
CATEGORIES = ["AllergyIntolerance", "Condition", "MedicationUse", "ObservationVitalSigns", "Alert", "AdvanceDirective"]
TYPES = ["AllergyIntolerance", "Condition", "Consent", "Flag", "MedicationStatement", "Observation"]
WITHHELD = {"security": [{"system": f"{TERMS}/v3-Confidentiality", "code": "V"}]}


def chart(chance: random.Random, me: str) -> list[Json]:
    rows = [maker(f"{maker.__name__}{number}", me) for maker in MAKERS for number in range(chance.randint(0, 2))]
    chance.shuffle(rows)
    return [person(me), *rows]


class Pair:
    """A world, and the same world with other things in it that the caller may not see."""

    def __init__(self, seed: int) -> None:
        chance = random.Random(seed)
        charts = {name: chart(chance, name[0]) for name in CUSTODIANS}
        permits = [ura for ura in (GP, HOSPITAL) if chance.random() < 0.8]
        known = [ura for ura in (GP, HOSPITAL) if chance.random() < 0.8]
        denied = {category for category in CATEGORIES if chance.random() < 0.2}
        fails = {name: chance.choice(["", "", "", "status", "timeout"]) for name in ("gp", "hospital")}
        case = chance.random() < 0.7
        changes = [change for change in CHANGES if chance.random() < 0.5] or [chance.choice(CHANGES)]
        self.changes = [change.__name__ for change in changes]
        hidden: Json = {"charts": deepcopy(charts), "known": list(known), "after": []}
        for change in changes:
            change(chance, hidden, permits, known)
        self.worlds = [self._made(charts, known, permits, denied, fails, [], case=case),
                       self._made(hidden["charts"], hidden["known"], permits, denied, fails, hidden["after"], case=case)]  # fmt: skip
        self.ask = chance.choice(list(ASKS.values()))
        self.caller = chance.choice([PHYSICIAN, PHYSICIAN, SYSTEM, COORDINATOR])
        self.seed = chance.random()

    @staticmethod
    def _made(charts: dict[str, list[Json]], known: list[str], permits: list[str], denied: set[str], fails: dict[str, str],
              after: list[Callable[[World], None]], *, case: bool) -> World:  # fmt: skip
        world = LogWorld(charts=charts, known_at=known, permits=permits)
        for name, code in fails.items():
            world.charts[name].fails = code
        for category in sorted(denied):
            world.says("deny", HOSPITAL, categories=frozenset({category}))
        if case:
            world.opens_case()
        for more in after:
            more(world)
        return world

    def answers(self) -> list[tuple[int, dict[str, str], bytes]]:
        return [comparable(self.ask(random.Random(self.seed), world, self.caller)) for world in self.worlds]


# --- what may differ -----------------------------------------------------------------------------


def a_silent_custodian(chance: random.Random, hidden: Json, permits: list[str], known: list[str]) -> None:
    hidden["known"].append(MENTAL)
    hidden["charts"]["mental"] = chart(chance, "m")


def what_a_refused_custodian_holds(chance: random.Random, hidden: Json, permits: list[str], known: list[str]) -> None:
    for name, ura in CUSTODIANS.items():
        if ura not in permits:
            hidden["charts"][name] = chart(chance, name[0])


def another_person(chance: random.Random, hidden: Json, permits: list[str], known: list[str]) -> None:
    for name in CUSTODIANS:
        rows = [row | {"id": f"other-{row['id']}"} for row in chart(chance, "other")[1:]]
        hidden["charts"][name] += [person("other", OTHER_BSN), *rows]

    def registered(world: World) -> None:
        for ura in CUSTODIANS.values():
            world.knows(ura, bsn=OTHER_BSN)
            world.says("permit", ura, bsn=OTHER_BSN)

    hidden["after"].append(registered)


def a_registration_that_ended(chance: random.Random, hidden: Json, permits: list[str], known: list[str]) -> None:
    def ended(world: World) -> None:
        entry = IndexEntry("ended", world.patient, MENTAL, frozenset(), "explicit", NOON, "x", NOON - timedelta(days=1))
        run(world.index.register(entry))

    hidden["after"].append(ended)


def why_somebody_is_silent(chance: random.Random, hidden: Json, permits: list[str], known: list[str]) -> None:
    categories = frozenset(chance.sample(CATEGORIES, chance.randint(0, 3)))

    def said(world: World) -> None:
        world.says("deny", MENTAL, categories=categories)

    hidden["after"].append(said)


def what_is_very_restricted(chance: random.Random, hidden: Json, permits: list[str], known: list[str]) -> None:
    """An item that is withheld beside one of the same category that is shown."""
    for name in ("gp", "hospital"):
        shown = [row for row in hidden["charts"][name] if row["resourceType"] != "Patient"]
        for row in shown[:2]:
            hidden["charts"][name].append({**deepcopy(row), "id": f"hidden-{row['id']}", "meta": WITHHELD})


def cases_of_others(chance: random.Random, hidden: Json, permits: list[str], known: list[str]) -> None:
    def opened(world: World) -> None:
        world.opens_case(id="of-another", person="uzi|999", client="elsewhere")

    hidden["after"].append(opened)


def what_another_said_about_another(chance: random.Random, hidden: Json, permits: list[str], known: list[str]) -> None:
    """Statements for other requesters, purposes, cases and times: they say nothing to this caller."""
    mute: list[Json] = [
        {"requesters": frozenset({"99999999"})}, {"persons": frozenset({"nobody"})}, {"purposes": frozenset({"verwijzing"})},
        {"cases": frozenset({"of-another"})}, {"end": NOON - timedelta(days=1)}, {"start": NOON + timedelta(days=1)},
    ]  # fmt: skip
    chosen = [(chance.choice(["permit", "deny"]), chance.choice([GP, HOSPITAL]), chance.choice(mute)) for _ in range(3)]

    def said(world: World) -> None:
        for effect, ura, terms in chosen:
            world.says(effect, ura, **terms)

    hidden["after"].append(said)


def a_withdrawal_instead_of_no_choice(
    chance: random.Random, hidden: Json, permits: list[str], known: list[str]
) -> None:
    """Who was never permitted, and who was and no longer is, look the same."""
    never = [ura for ura in (GP, HOSPITAL) if ura not in permits]

    def said(world: World) -> None:
        for ura in never:
            world.says("withdrawn", ura)

    hidden["after"].append(said)


CHANGES = [a_silent_custodian, what_a_refused_custodian_holds, another_person, a_registration_that_ended,
           why_somebody_is_silent, what_is_very_restricted, cases_of_others,
           what_another_said_about_another, a_withdrawal_instead_of_no_choice]  # fmt: skip

Ask = Callable[[random.Random, World, Caller], Reply]


QUESTIONS = [
    "", "", "&_count=1", "&_count=0", "&_sort=_id", "&_id=x", "&_lastUpdated=ge2020", "&_summary=count", "&_summary=true", "&_elements=code",
    "&_sort=-_lastUpdated&_count=2", "&_include=*", "&_include:iterate=*", "&_revinclude=Provenance:target", "&_revinclude=Observation:focus",
    "&_revinclude:iterate=Observation:focus&_include=Observation:focus", "&patient.gender=female", "&patient:Patient._id:not=x",
    "&_has:Observation:focus:code=8867-4", "&_has:Observation:focus:status:not=final", "&encounter.class=IMP", "&performer.name=x",
    "&code:missing=true", "&code:not=764146007", "&_content=let", "&_source:below=urn:roaz:hospital", "&_tag=90000002", "&_total=none&_count=1",
    "&date=ge2020", "&clinical-status:not-in=http://hl7.org/fhir/ValueSet/condition-clinical", "&_security:missing=true", "&_security=V", "&_sort=code,-_id&_count=1", "&focus:Condition.code=44054006",
]  # fmt: skip


def _search(chance: random.Random, world: World, caller: Caller) -> Reply:
    more = chance.choice(QUESTIONS)
    return world.search(chance.choice(TYPES), caller, more, prefer="handling=lenient")


def _search_several(chance: random.Random, world: World, caller: Caller) -> Reply:
    types = chance.choice(
        ["", "&_type=Condition,Observation", "&_type=Patient,AllergyIntolerance", "&_type=Observation,Encounter"]
    )
    more = chance.choice(
        ["", "&_summary=count", "&_sort=-_lastUpdated&_count=2", "&_revinclude=Provenance:target", "&_tag=90000002"]
    )
    return world.get(f"?patient={world.patient}{types}{more}", caller)


def _summary(chance: random.Random, world: World, caller: Caller) -> Reply:
    accept = chance.choice(["application/fhir+json", "text/html"])
    named = {"accept": accept, "x_request_id": "r1"}
    return world.get(
        f"Patient/{world.patient}/$summary{chance.choice(['', '', '?profile=GP', '?profile=BgZ'])}", caller, **named
    )


def _read(chance: random.Random, world: World, caller: Caller) -> Reply:
    maker, custodian = chance.choice(MAKERS), chance.choice([GP, HOSPITAL, MENTAL])
    native = f"{maker('x')['resourceType']}/{maker.__name__}0"
    return world.get(f"{native.partition('/')[0]}/{world.keys.item_id(custodian, native)}", caller)


def _log(chance: random.Random, world: World, caller: Caller) -> Reply:
    """What the own auditor finds in the log after the caller asked something (rule F1)."""
    _before(chance, world, caller)
    more = chance.choice(["", "", "&_count=1", f"&patient=Patient/{world.patient}", "&_summary=count"])
    plain = {"accept_encoding": "identity"}  # ids of requests are random, and pack to random lengths
    return world.get(f"AuditEvent?{TODAY}{more}", auditor(caller.requester.organization), **plain)


def _counted(chance: random.Random, world: World, caller: Caller) -> Reply:
    """What operations staff can read off the figures; how long things took is no part of it."""
    _before(chance, world, caller)
    lines = [
        line for line in world.app.metrics.text().splitlines() if b"seconds" not in line and b"_created" not in line
    ]
    return Reply(200, httpx2.Headers(), b"\n".join(lines))


def _before(chance: random.Random, world: World, caller: Caller) -> None:
    ask = chance.choice([_search, _summary, ASKS["preflight"], _read])
    ask(chance, world, caller)


ASKS: dict[str, Ask] = {
    "log": _log,
    "figures": _counted,
    "search": _search,
    "search again": _search,
    "search of several types": _search_several,
    "summary": _summary,
    "read": _read,
    "preflight": lambda _, world, caller: world.get(f"Patient/{world.patient}/$can-access", caller),
    "patient": lambda _, world, caller: world.get(f"Patient/{world.patient}", caller),
    "match": lambda _, world, caller: world.post("Patient/$match", matching(), caller),
    "by identifier": lambda _, world, caller: world.post("Patient/$summary", identified(), caller, x_request_id="r1"),
}


def test_g3_what_may_not_be_seen_changes_no_byte(whole: bool) -> None:
    statuses: dict[int, int] = {}
    pairs = 100_000 if whole else 2_000
    for seed in range(pairs):
        pair = Pair(seed)
        one, other = pair.answers()
        assert one == other, f"seed {seed}: {pair.changes}"
        statuses[one[0]] = statuses.get(one[0], 0) + 1
    assert statuses[200] > pairs // 3, "a world in which nothing is ever shown proves nothing"
    assert {200, 403, 404, 504} <= statuses.keys()


def test_control_what_may_be_seen_does_change_the_answer() -> None:
    def world(**other: str) -> Reply:
        return World(charts={"gp": [person("g"), allergy("a", "g", **other)], "hospital": [], "mental": []}).search()

    assert comparable(world()) == comparable(world())
    assert comparable(world()) != comparable(world(criticality="low"))
