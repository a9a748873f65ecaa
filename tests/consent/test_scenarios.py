"""Runs every scenario of tests/scenarios: what a lawyer reads is what the program does."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar, cast

import pytest

from consent.categories import category_of, labels_of
from consent.decision import decide
from consent.disclosure import visibility
from consent.explain import caller_reasons, choice, explain
from consent.model import (
    AccessRequest,
    Agreement,
    Case,
    Custodian,
    Decision,
    Emergency,
    Facts,
    Relation,
    Requester,
    Statement,
)
from consent.provisions import statements_from_consent
from tests.rows import rows

SCENARIOS = Path(__file__).parents[1] / "scenarios"
WORLD = rows(SCENARIOS / "world.yaml")
LOADED: list[dict[str, Any]] = [
    {**row, "id": f"{path.stem}: {row['story']}"}
    for path in sorted(SCENARIOS.glob("*.yaml"))
    if path.name != "world.yaml"
    for row in rows(path)
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
    rest = {name: part for name, part in what.items() if name != "like"}
    return {**(WORLD[kind][what["like"]] if "like" in what else {}), **rest}


def facts_of(row: dict[str, Any]) -> Facts:
    given = dict(row.get("facts", {}))
    now = moment(given.pop("now", WORLD["now"]))
    agreements = tuple(value(Agreement, named("agreements", one)) for one in given.pop("agreements", ["all-care"]))
    said = [
        {"id": f"s{n}", "version": 1, **WORLD["statement"], **one} for n, one in enumerate(given.pop("said", []), 1)
    ]
    relations = tuple(
        value(Relation, {"patient": WORLD["statement"]["patient"], **one}) for one in given.pop("relations", [])
    )
    consents = [consent_of(one, n) for n, one in enumerate(given.pop("consents", []), 1)]
    return replace(
        value(Facts, given | {"now": now, "agreements": ()}),
        agreements=agreements,
        statements=(*(value(Statement, one) for one in said), *(one for more in consents for one in more)),
        relations=relations,
    )


def consent_of(given: dict[str, Any], number: int) -> tuple[Statement, ...]:
    """Read a FHIR Consent of the scenario; what it does not say is as in the world."""
    resource = {name: part for name, part in ({**WORLD["consent"], **given}).items() if part is not None}
    patient = WORLD["statement"]["patient"]
    return statements_from_consent(resource, patient=patient, consent_id=f"c{number}", version=1)


def question_of(row: dict[str, Any]) -> AccessRequest:
    asked = {**WORLD["question"], **row["question"]}
    who = value(Requester, named("people", asked.pop("who")))
    holder = asked.pop("custodian")
    case = asked.pop("case", None)
    grounds = asked.pop("emergency", None)
    if isinstance(grounds, str):
        grounds = dict(WORLD["grounds"][grounds])
    item = asked.pop("resource", None)
    if item is not None:  # what it is, and how it is labeled, is read from the item itself
        asked |= {"type": item["resourceType"], "category": category_of(item), "labels": sorted(labels_of(item))}
        asked |= {"item": item.get("id", "x")}
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
    assert not set(expected) - {
        "outcome", "reasons", "caller_sees", "obligations", "per_item", "visible", "decided_by", "because", "choice", "audit",
    }  # fmt: skip
    assert decision.outcome == expected["outcome"], explain(decision)
    assert sorted(reason.code for reason in decision.reasons) == sorted(expected.get("reasons", []))
    assert decision.obligations == frozenset(expected.get("obligations", []))
    assert decision.per_item == expected.get("per_item", False)
    if "caller_sees" in expected:
        assert [reason.code for reason in caller_reasons(decision)] == expected["caller_sees"]
    if "visible" in expected:
        assert question.custodian is not None
        assert visibility(decision, question.custodian.facility_type, {}) == expected["visible"]
    if "because" in expected:
        assert expected["because"] in " ".join(explain(decision))
    if "choice" in expected:
        assert expected["choice"] in choice(decision, "nl")
    if "audit" in expected:
        assert audited(decision) == expected["audit"]
    if "decided_by" in expected:
        assert decision.statement == expected["decided_by"]


def audited(decision: Decision) -> str:
    """What the record says about the category, as `gateway.audit` writes it."""
    if decision.permitted:
        return f"answered under {decision.agreement} by {decision.statement}".strip()
    word = "failed:not-checkable" if decision.outcome == "unavailable" else "refused:"
    return word + ("" if decision.outcome == "unavailable" else ",".join(one.code for one in decision.reasons))


def test_each_row_of_the_rules_has_its_scenarios() -> None:
    told = {rule for row in LOADED for rule in row["rules"]}
    asked = {f"B{n}" for n in range(1, 8)} - {"B6"} | {f"C{n}" for n in range(1, 9)} | {"E11", "A2", "A3", "A4"}
    asked |= {f"precedence {n}" for n in range(1, 8)}
    assert not asked - told


def test_every_scenario_names_its_rule_and_differs() -> None:
    assert len(LOADED) >= 150
    assert len({row["id"] for row in LOADED}) == len(LOADED)
    assert all(row["rules"] for row in LOADED)


def test_case_hours() -> None:
    case = value(Case, named("cases", "open"))
    assert case.expires - case.opened <= timedelta(hours=24)
