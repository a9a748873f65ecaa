"""Three deciders that share no code say the same: ours, a plain reference, and Cedar."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

import cedarpy
import pytest

from consent.decision import decide
from consent.explain import explain
from consent.model import AccessRequest, Agreement, Case, Custodian, Emergency, Facts, Requester, Statement
from tests.consent.worlds import NOW, PATIENT
from tests.proofs import cedar, reference

pytestmark = [pytest.mark.proof, pytest.mark.timeout(3600)]

QUESTIONS_A_WORLD: Final = 100
WORLDS: Final = 500  # 50,000 questions; PROVE_ALL asks 10^6
A, B, G, H, M = "90000001", "90000002", "90000003", "90000004", "90000005"
HOLDERS: Final = {G: "Z3", H: "V4", M: "G5"}
TYPES: Final = {"Condition": "Condition", "MedicationUse": "MedicationStatement", "ObservationLaboratory": "Observation",
                "AllergyIntolerance": "AllergyIntolerance", "CareServiceEntities": "Organization", "Patient": "Patient"}  # fmt: skip
PURPOSES: Final = (
    "behandeling",
    "triage-coordinatie",
    "waarneming",
    "spoed",
    "spoed-noodtoegang",
    "beheer",
    "HRESCH",
    "x",
    "",
)
ROLES: Final = (
    "01.015",
    "01.015",
    "01.071",
    "30.000",
    "zorgcoordinator",
    "meldkamer",
    "ambulance",
    "17.000",
    "01.048",
    "nobody",
    None,
)
SOURCES: Final = ("consent", "consent", "mitz", "implied", "patient-asked", "objection")


def some(chance: random.Random, names: Any, *, any_of: float = 0.0, most: int = 2) -> frozenset[str]:
    if chance.random() < any_of:
        return frozenset({"*"})
    return frozenset(chance.sample(sorted(names), chance.randint(1, min(most, len(names)))))


def maybe(chance: random.Random, names: Any, odds: float = 0.25) -> frozenset[str]:
    return some(chance, names) if chance.random() < odds else frozenset()


def moment(chance: random.Random, odds: float, around: tuple[int, int]) -> datetime | None:
    return NOW + timedelta(hours=chance.randint(*around)) if chance.random() < odds else None


def agreement(chance: random.Random, number: int) -> Agreement:
    return Agreement(
        id=f"a{number}",
        requesters=some(chance, (A, B), any_of=0.4),
        custodians=some(chance, HOLDERS, any_of=0.6),
        purposes=frozenset(chance.sample(PURPOSES[:5], chance.randint(2, 5))),
        categories=some(chance, TYPES, any_of=0.7, most=4),
        roles=some(chance, [one for one in ROLES if one], any_of=0.8, most=4),
        start=NOW + timedelta(hours=chance.choice((-100, -100, -100, 0, 1))),
        end=NOW + timedelta(hours=chance.choice((100, 100, 100, 0, 1))),
        basis=chance.choice(("explicit", "explicit", "care-team", "referral", "observation")),
        emergency=chance.choice(("none", "absent_only", "absent_only", "override_objection")),
        system_access=chance.random() < 0.4,
        relations=frozenset({"case"}) if chance.random() < 0.1 else frozenset(),
        patient_asked=chance.random() < 0.5,
        facility_types=frozenset({"*"}) if chance.random() < 0.9 else frozenset({"V4"}),
        excluded=maybe(chance, TYPES, 0.1),
    )


def statement(chance: random.Random, number: int) -> Statement:
    return Statement(
        id=f"s{number}",
        version=1,
        effect=chance.choice(("permit", "permit", "deny", "withdrawn")),
        patient=PATIENT if chance.random() < 0.95 else "p1-bbbb",
        custodian=chance.choice((G, G, H, M, "*", "*")),
        custodian_types=maybe(chance, ("Z3", "V4")),
        requesters=maybe(chance, (A, B)),
        requester_types=maybe(chance, ("N6", "V4"), 0.1),
        persons=maybe(chance, ("p1", "p2"), 0.1),
        categories=maybe(chance, TYPES),
        types=maybe(chance, TYPES.values(), 0.1),
        labels=maybe(chance, ("restricted", "very-restricted"), 0.1),
        purposes=maybe(chance, PURPOSES[:5], 0.2),
        items=maybe(chance, ("i1", "i2"), 0.15),
        cases=maybe(chance, ("case-1",), 0.05),
        start=moment(chance, 0.1, (-5, 5)),
        end=moment(chance, 0.1, (-5, 5)),
        source=chance.choice(SOURCES),
        firm=chance.random() < 0.1,
        said=moment(chance, 0.5, (-9, -1)),
    )


def world(chance: random.Random) -> Facts:
    return Facts(
        now=NOW,
        agreements=tuple(agreement(chance, number) for number in range(chance.randint(1, 3))),
        statements=tuple(statement(chance, number) for number in range(chance.randint(0, 5))),
        statements_known=chance.random() < 0.9,
        case_required_roles=frozenset({"zorgcoordinator"}),
        minimum_assurance=chance.choice(("substantial", "substantial", "substantial", "")),
        national_known=chance.random() < 0.9,
        national_silent=frozenset({G}) if chance.random() < 0.1 else frozenset(),
        national_required=chance.random() < 0.1,
        national_yields=chance.random() < 0.3,
        suspended=chance.random() < 0.1,
    )


def question(chance: random.Random) -> AccessRequest:
    """A lawful question with a few deviations, or anything at all."""
    wild = chance.random() < 0.2

    def odd(usual: Any, *others: Any) -> Any:
        return chance.choice(others) if wild or chance.random() < 0.12 else usual

    organization, person = odd(A, B, ""), odd("p1", "p2", None)
    role = odd("01.015", *ROLES)
    mandate = odd(
        ("", ""), ("p9", "01.015"), ("p9", "17.000"), ("p9", "nobody"), ("p1", "01.015"), ("", "01.015"), ("p9", "")
    )
    who = Requester(
        "client", organization, odd("N6", "V4"), role if person else odd(None, role), person,
        odd("high", "substantial", "low", None), chance.random() < 0.5, *mandate,
    )  # fmt: skip
    category = odd("Condition", *TYPES)
    purpose = odd("behandeling", *PURPOSES, "spoed-noodtoegang", "spoed-noodtoegang")
    open_case = Case("case-1", odd("caller", "professional", "dispatch", "unknown"), organization, PATIENT,
                     NOW - timedelta(hours=odd(1, 25, -1)), NOW + timedelta(hours=5), "client", person)  # fmt: skip
    holder = odd(G, *HOLDERS)
    return AccessRequest(
        requester=who,
        purpose=purpose,
        scopes=odd(frozenset({"system/*.rs"}), *(frozenset({one}) for one in reference.SCOPES)),
        action=chance.choice("sssr"),
        type=TYPES[category],
        category=category,
        patient=odd(PATIENT, PATIENT, None),
        custodian=odd(Custodian(holder, HOLDERS[holder]), None),
        case=open_case if chance.random() < 0.4 else None,
        labels=odd(frozenset(), frozenset({"restricted"}), frozenset({"very-restricted"})),
        item=odd(None, "i1", "i3"),
        emergency=grounds(chance) if purpose == "spoed-noodtoegang" else None,
        addressees=maybe(chance, (A, B), 0.2),
        launch=odd("", PATIENT, "p1-bbbb"),
    )


def grounds(chance: random.Random) -> Emergency | None:
    if chance.random() < 0.1:
        return None
    code, threat = (
        chance.choice(("unconscious", "unconscious", "unconscious", "busy")),
        chance.choice(("life", "life", "curiosity")),
    )
    since = NOW - timedelta(minutes=chance.choice((0, 30, 59, 60, -1)))
    return Emergency(code, frozenset({threat}), chance.choice(("found so", "found so", " ")), since)


def ours(asked: AccessRequest, facts: Facts) -> str:
    decision = decide(asked, facts)
    return "permit per item" if decision.permitted and decision.per_item else decision.outcome


def test_the_plain_reference_says_the_same(whole: bool) -> None:
    told: dict[str, int] = {}
    for seed in range(WORLDS * (20 if whole else 1)):
        chance = random.Random(seed)
        facts = world(chance)
        for number in range(QUESTIONS_A_WORLD):
            asked = question(chance)
            answer = ours(asked, facts)
            assert answer == reference.outcome(asked, facts), (
                seed,
                number,
                asked,
                facts,
                explain(decide(asked, facts)),
            )
            told[answer] = told.get(answer, 0) + 1
    assert min(told.get(word, 0) for word in ("permit", "permit per item", "unavailable", "deny")) > 100, told
    assert sum(told.values()) >= 50_000


def test_cedar_says_the_same(whole: bool) -> None:
    """Cedar says yes or no: what is not a certain yes, or must be asked again for each item, is compared as a no or left out."""
    compared = permitted = 0
    for seed in range(WORLDS * (20 if whole else 1)):
        chance = random.Random(seed)
        facts = world(chance)
        questions = [one for one in (question(chance) for _ in range(QUESTIONS_A_WORLD)) if one.custodian is not None]
        requests = [cedar.request_of(one, facts) for one in questions]
        answers = cedarpy.is_authorized_batch(requests, cedar.policies(facts), [])
        for asked, answer in zip(questions, answers, strict=True):
            assert not answer.diagnostics.errors
            mine = ours(asked, facts)
            if mine == "permit per item":
                continue
            assert answer.allowed is (mine == "permit"), (seed, asked, facts, explain(decide(asked, facts)))
            compared += 1
            permitted += answer.allowed
    assert compared > 30_000
    assert permitted > 3_000


def test_control_a_decider_with_one_fault_disagrees() -> None:
    """Teeth: each of these faults is seen by the reference within the first worlds."""
    faults = {
        "an objection is not heard": lambda q, f: (q, replace(f, statements=tuple(s for s in f.statements if s.effect != "deny"))),
        "an agreement never ends": lambda q, f: (q, replace(f, agreements=tuple(replace(a, end=NOW + timedelta(9)) for a in f.agreements))),
        "the register is taken to be read": lambda q, f: (q, replace(f, statements_known=True)),
        "the national register is taken to have answered": lambda q, f: (q, replace(f, national_known=True, national_silent=frozenset())),
        "labels are not read": lambda q, f: (replace(q, labels=frozenset()), f),
        "the launch is not read": lambda q, f: (replace(q, launch=""), f),
        "a mandate is not read": lambda q, f: (replace(q, requester=replace(q.requester, mandated_by="", mandated_role="")), f),
        "a suspension is not read": lambda q, f: (q, replace(f, suspended=False)),
        "a case lasts for ever": lambda q, f: (replace(q, case=q.case and replace(q.case, opened=NOW)), f),
        "the level of login is not read": lambda q, f: (q, replace(f, minimum_assurance="")),
        "a firm objection is any objection": lambda q, f: (q, replace(f, statements=tuple(replace(s, firm=False) for s in f.statements))),
        "everybody was sent everything": lambda q, f: (replace(q, addressees=frozenset()), f),
    }  # fmt: skip
    for name, fault in faults.items():
        assert any(_differs(fault, random.Random(seed)) for seed in range(2_000)), name


def _differs(fault: Any, chance: random.Random) -> bool:
    facts = world(chance)
    questions = [question(chance) for _ in range(QUESTIONS_A_WORLD)]
    return any(ours(*fault(one, facts)) != reference.outcome(one, facts) for one in questions)
