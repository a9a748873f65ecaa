"""Every case of `cases/*.yaml`: an expression, a resource, and what the specification says comes out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pytest

from profiles.fhirpath import Environment, EvaluationError, InvalidExpression, Node, compile_expression
from profiles.fhirpath.node import system
from profiles.fhirpath.quantity import Quantity
from profiles.fhirpath.temporal import Temporal
from tests.profiles.fhirpath.inputs import INPUTS
from tests.rows import rows

CASES: Final = Path(__file__).parent / "cases"
NOW: Final = datetime.fromisoformat("2026-03-01T10:30:15.250+01:00")
OTHERS: Final[dict[str, Any]] = {
    "Practitioner/7": {"resourceType": "Practitioner", "id": "7", "name": [{"family": "Ander"}]},
    "Patient/p1": {"resourceType": "Patient", "id": "p1", "gender": "female"},
}
ENVIRONMENT: Final = Environment(
    resolve=lambda reference, _: OTHERS.get(reference),
    member_of=lambda node, url: url == "urn:vs:all" or (url == "urn:vs:female" and node.value == "female"),
    conforms=lambda node, url: url == "urn:profile:any" or url.endswith("/" + node.type),
    now=NOW,
    variables={"answer": 42, "names": ["a", "b"]},
    steps=20_000,
)


Row = tuple[str, str | None, str]


def groups() -> Iterator[tuple[str, list[Row]]]:
    for file in sorted(CASES.glob("*.yaml")):
        for group in rows(file):
            label = f"{file.stem}: {group['text']} {group['section']}"
            yield label, [row(line, group.get("input")) for line in group["cases"].strip().splitlines()]


def row(line: str, resource: str | None) -> Row:
    expression, arrow, expected = line.rpartition(" => ")
    assert arrow, line
    return expression.strip(), resource, expected.strip()


GROUPS: Final = dict(groups())


def shown(node: Node) -> str:
    """Write a result as FHIRPath would write it as a literal; an element as its type."""
    value = system(node)
    if value is True or value is False:
        return "true" if value else "false"
    if type(value) is str:
        return f"'{value}'"
    if type(value) is Decimal:
        return f"{value:f}"
    if type(value) is Temporal:
        return f"@{'T' if value.kind == 'Time' else ''}{value}"
    if type(value) is int or type(value) is Quantity:
        return str(value)
    return node.type


def outcome(expression: str, resource: str | None) -> str:
    focus = INPUTS[resource] if resource else None
    kind = focus["resourceType"] if focus else None
    try:
        compiled = compile_expression(expression, kind, variables=("answer", "names", "absent"))
    except InvalidExpression:
        return "invalid"
    try:
        return ", ".join(shown(node) for node in compiled.evaluate(focus, environment=ENVIRONMENT)) or "{}"
    except EvaluationError:
        return "error"


@pytest.mark.parametrize("group", GROUPS)
def test_section(group: str) -> None:
    found = [(expression, outcome(expression, resource), expected) for expression, resource, expected in GROUPS[group]]
    wrong = [f"{expression}: {got}, not {expected}" for expression, got, expected in found if got != expected]
    assert not wrong


def test_there_are_enough_cases_and_none_is_twice() -> None:
    every = [(expression, resource) for cases in GROUPS.values() for expression, resource, _ in cases]
    assert len(every) >= 600
    assert not [key for key, times in Counter(every).items() if times > 1]
