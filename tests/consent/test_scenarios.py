"""Runs every scenario of tests/scenarios: what a lawyer reads is what the program does."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar, cast

import pytest
import yaml

from consent.decision import decide
from consent.disclosure import visibility
from consent.explain import caller_reasons, explain
from consent.model import AccessRequest, Agreement, Case, Custodian, Emergency, Facts, Requester, Statement

SCENARIOS = Path(__file__).parents[1] / "scenarios"
WORLD = yaml.safe_load((SCENARIOS / "world.yaml").read_text(encoding="utf-8"))
LOADED: list[dict[str, Any]] = [
    {**row, "id": f"{path.stem}: {row['story']}"}
    for path in sorted(SCENARIOS.glob("*.yaml"))
    if path.name != "world.yaml"
    for row in yaml.safe_load(path.read_text(encoding="utf-8"))
]

Value = TypeVar("Value")


def moment(written: Any) -> datetime:
    if isinstance(written, datetime):
        return written if written.tzinfo else written.replace(tzinfo=UTC)
    if isinstance(written, date):
        return datetime(written.year, written.month, written.day, tzinfo=UTC)
    raise AssertionError(written)


def value(kind: type[Value], row: dict[str, Any]) -> Value:
    """Make a value of the model from words; an unknown word is a mistake of the scenario."""
    types = {field.name: str(field.type) for field in fields(cast("Any", kind))}
    unknown = set(row) - set(types)
    assert not unknown, f"{kind.__name__} has no {unknown}"
    made: dict[str, Any] = {}
    for name, given in row.items():
        if types[name].startswith("frozenset"):
            made[name] = frozenset([given] if isinstance(given, str) else given)
        elif "datetime" in types[name] and given is not None:
            made[name] = moment(given)
        else:
            made[name] = given
    return kind(**made)


def named(kind: str, what: Any) -> dict[str, Any]:
    """Give a row of the world by name, or with some changes: {like: name, …}."""
    if isinstance(what, str):
        return dict(WORLD[kind][what])
    like = what.pop("like", None) if isinstance(what, dict) else None
    return {**(WORLD[kind][like] if like else {}), **what}


def facts_of(row: dict[str, Any]) -> Facts:
    given = dict(row.get("facts", {}))
    now = moment(given.pop("now", WORLD["now"]))
    agreements = tuple(value(Agreement, named("agreements", one)) for one in given.pop("agreements", ["all-care"]))
    said = [
        {"id": f"s{n}", "version": 1, **WORLD["statement"], **one} for n, one in enumerate(given.pop("said", []), 1)
    ]
    return replace(
        value(Facts, given | {"now": now, "agreements": ()}),
        agreements=agreements,
        statements=tuple(value(Statement, one) for one in said),
    )


def question_of(row: dict[str, Any]) -> AccessRequest:
    asked = {**WORLD["question"], **row["question"]}
    who = value(Requester, named("people", asked.pop("who")))
    holder = asked.pop("custodian")
    case = asked.pop("case", None)
    grounds = asked.pop("emergency", None)
    return replace(
        value(AccessRequest, {"requester": who, **asked}),
        custodian=value(Custodian, named("custodians", holder)) if holder else None,
        case=value(Case, named("cases", case)) if case else None,
        emergency=value(Emergency, grounds) if grounds else None,
    )


@pytest.mark.parametrize("row", LOADED, ids=lambda row: row["id"])
def test_scenario(row: dict[str, Any]) -> None:
    question = question_of(row)
    decision = decide(question, facts_of(row))
    expected = row["expected"]
    assert not set(row) - {"story", "rules", "facts", "question", "expected", "id"}
    assert not set(expected) - {"outcome", "reasons", "caller_sees", "obligations", "per_item", "visible", "decided_by"}
    assert decision.outcome == expected["outcome"], explain(decision)
    assert sorted(reason.code for reason in decision.reasons) == sorted(expected.get("reasons", []))
    assert decision.obligations == frozenset(expected.get("obligations", []))
    assert decision.per_item == expected.get("per_item", False)
    if "caller_sees" in expected:
        assert [reason.code for reason in caller_reasons(decision)] == expected["caller_sees"]
    if "visible" in expected:
        assert question.custodian is not None
        assert visibility(decision, question.custodian.facility_type, {}) == expected["visible"]
    if "decided_by" in expected:
        assert decision.statement == expected["decided_by"]


def test_every_scenario_names_its_rule_and_differs() -> None:
    assert len(LOADED) >= 40
    assert len({row["id"] for row in LOADED}) == len(LOADED)
    assert all(row["rules"] for row in LOADED)


def test_case_hours() -> None:
    case = value(Case, named("cases", "open"))
    assert case.expires - case.opened <= timedelta(hours=24)
