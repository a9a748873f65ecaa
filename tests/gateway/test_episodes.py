"""Decisions are given again only while every fact they rest on is the same."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from consent.model import Agreement, Case, Decision, Facts, Statement
from gateway.episodes import LONGEST, Episodes

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
ANY = frozenset({"*"})
AGREEMENTS = (Agreement("a", ANY, ANY, ANY, ANY, ANY, NOON - timedelta(days=1), NOON + timedelta(days=1)),)
STATEMENT = Statement("s", 1, "permit", "p1-x", "90000101")
FACTS = Facts(NOON, AGREEMENTS, (STATEMENT,))
KEY = ("r", "90000101", "Condition", "Condition", frozenset[str]())
CASE = Case("c", "caller", "90000601", "p1-x", NOON, NOON + timedelta(hours=24), "client", "person")


def kept(episodes: Episodes, facts: Facts, token: str = "t", patient: str = "p1-x", case: Case | None = None) -> bool:
    return KEY in episodes.decisions(token, patient, case, facts)


def begun(facts: Facts = FACTS, case: Case | None = None) -> Episodes:
    episodes = Episodes()
    episodes.decisions("t", "p1-x", case, facts)[KEY] = Decision("permit")
    return episodes


def test_the_same_facts_give_the_same_decisions() -> None:
    later = replace(FACTS, now=NOON + timedelta(minutes=1), statements=(replace(STATEMENT),))
    assert kept(begun(), later)


def test_another_token_patient_or_case_decides_for_itself() -> None:
    assert not kept(begun(), FACTS, token="other")
    assert not kept(begun(), FACTS, patient="p1-y")
    assert not kept(begun(), FACTS, case=CASE)
    assert not kept(begun(case=CASE), FACTS, case=replace(CASE, closed=NOON))


def test_a_withdrawal_ends_the_episode() -> None:
    assert not kept(begun(), replace(FACTS, statements=()))
    assert not kept(begun(), replace(FACTS, statements=(replace(STATEMENT, effect="deny"),)))
    assert not kept(begun(), replace(FACTS, statements_known=False))


def test_other_agreements_end_the_episode() -> None:
    assert not kept(begun(), replace(FACTS, agreements=()))


def test_an_episode_ends_when_any_fact_begins_or_ends() -> None:
    ends = replace(FACTS, statements=(replace(STATEMENT, end=NOON + timedelta(seconds=30)),))
    assert kept(begun(ends), replace(ends, now=NOON + timedelta(seconds=29)))
    assert not kept(begun(ends), replace(ends, now=NOON + timedelta(seconds=30)))
    assert not kept(begun(), replace(FACTS, now=NOON + LONGEST))


def test_the_number_of_episodes_is_bounded() -> None:
    episodes = begun()
    for number in range(10_001):
        episodes.decisions(f"t{number}", "p1-x", None, FACTS)
    assert not kept(episodes, FACTS)
