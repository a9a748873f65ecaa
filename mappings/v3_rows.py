"""Choose the row of the table of HL7 version 3 that says what a node is: its conditions compiled once, asked at every node."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mappings.definition import Condition, MapError, Step
from mappings.library import Row, Rows, v3
from mappings.model import Json
from mappings.tables import table

Claim = Callable[[Json], bool]
Guard = frozenset[str] | None  # of these a node must have one; None = it matters not
Choices = dict[str, tuple[tuple[Guard, Guard, tuple[Claim, ...], Row], ...]]
Compiled = tuple[
    Choices, dict[str, str], frozenset[str]
]  # what is tried for each element, what a class is, which there are
_last: tuple[Rows, Compiled] | None = None


def row_of(kind: str, node: Json) -> Row | None:
    """Give the first row of an element whose conditions all hold; in messages of before CDA its class is its kind."""
    rows, classes, _ = _compiled(v3())
    found = rows.get(kind)
    if found is None:
        named = classes.get(node.get("classCode", ""))
        if named is None:
            return None
        found = rows.get(named, ())
    # Nearly all rows ask for a template or a code: those are looked up once for the node.
    templates = {one.get("root") for one in node.get("templateId", ()) if one.__class__ is dict}
    codes = {one.get("code") for one in node.get("code", ()) if one.__class__ is dict}
    for of_templates, of_codes, claims, row in found:
        if of_templates is not None and of_templates.isdisjoint(templates):
            continue
        if of_codes is not None and of_codes.isdisjoint(codes):
            continue
        for claim in claims:
            if not claim(node):
                break
        else:
            return row
    return None


def row_kinds() -> frozenset[str]:
    """Name the elements the table has rows for, but the patient, who is made before all else."""
    return _compiled(v3())[2]


def _compiled(rows: Rows) -> Compiled:
    """Compile the table once; a region that lays another over it gives new rows."""
    global _last  # noqa: PLW0603 - a memo of one, like those of the tables it is made of
    if _last is None or _last[0] is not rows:
        made = {kind: tuple(map(_choice, found)) for kind, found in rows.items()}
        _last = (rows, (made, table("maps/hl7v3/documents.yaml")["classes"], frozenset(rows) - {"patientRole"}))
    return _last[1]


def _choice(row: Row) -> tuple[Guard, Guard, tuple[Claim, ...], Row]:
    """Compile a row: the templates and codes it asks for apart from its other conditions."""
    asked: dict[tuple[str, str], Guard] = {("templateId", "root"): None, ("code", "code"): None}
    rest = []
    for condition in row.when:
        way = tuple(step.name for step in condition.path.steps if not step.filter_key)
        plain = condition.values and not (condition.negated or condition.part or condition.several)
        if plain and way in asked and asked[way] is None:
            asked[way] = frozenset(condition.values)
        else:
            rest.append(condition)
    return asked["templateId", "root"], asked["code", "code"], tuple(map(_claim, rest)), row


def _claim(condition: Condition) -> Claim:
    """Compile a condition: in a tree of HL7 v3 children are lists, attributes text, and "^" leads up.

    Raises:
        MapError: a form this table has no use for.
    """
    if condition.part or condition.several:
        raise MapError("rows of HL7 v3 ask for a value or for presence")
    *way, last = condition.path.steps
    values, negated = frozenset(condition.values), condition.negated
    find = _all(way)
    name, key, wanted = last.name, last.filter_key, last.filter_value

    def holds(node: Json) -> bool:
        for one in find(node):
            found = one.get(name)
            if found is None:
                continue
            if not values:
                if not key or any(_fits(child, key, wanted) for child in found if isinstance(child, dict)):
                    return not negated
            elif found.__class__ is str and found in values:
                return not negated
        return negated

    return holds


def _all(way: list[Step]) -> Callable[[Json], list[Json]]:
    if not way:
        return lambda node: [node]

    def find(node: Json) -> list[Json]:
        nodes: list[Any] = [node]
        for step in way:
            name, key, wanted = step.name, step.filter_key, step.filter_value
            below: list[Any] = []
            for one in nodes:
                found = one.get(name)
                if found.__class__ is list:
                    below += [child for child in found if _fits(child, key, wanted)] if key else found
                elif found.__class__ is dict:
                    below.append(found)
            nodes = below
        return nodes

    return find


def _fits(node: Json, key: str, wanted: str) -> bool:
    """Claim that an attribute is the wanted text, or a child has it as its code or root."""
    value = node.get(key)
    if isinstance(value, list):
        return any(wanted in (one.get("code"), one.get("root")) for one in value)
    return bool(value == wanted)
