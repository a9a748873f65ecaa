"""Invariants of profiles and types, run as compiled FHIRPath on the elements they are about."""

from __future__ import annotations

import re
from typing import Any, Final

from profiles.fhirpath import EvaluationError, Expression, InvalidExpression, Node, compile_expression
from profiles.instances import Instance
from profiles.review import Check, Review

# "With this extension of a primitive goes that one", as Nictiz writes it; names of persons have two of these.
_THERE: Final = r"\.extension\('([^']+)'\)\.(?:empty\(\)\.not\(\)|exists\(\))"
_PAIR: Final = re.compile(rf"([a-z][A-Za-z]*){_THERE} implies \1{_THERE}")


def rule_check(key: str, severity: str, expression: str, where: str) -> Check:
    """Give the check of one invariant; it is compiled for each type it meets, when it first meets it."""
    made: dict[str, Expression | None] = {}
    pair = _PAIR.fullmatch(expression)
    rule, shown, advises = f"invariant:{key}", f"{key}: {expression}", severity != "error"

    def check(instance: Instance, review: Review) -> None:
        value, beside, at, kind = instance
        if advises and review.whole.errors_only:
            return
        if pair is not None and _goes_along(value, pair[1], pair[2], pair[3]):
            return
        compiled = made[kind] if kind in made else made.setdefault(kind, _compiled(expression, kind))
        held = None
        if compiled is not None:
            focus = value if type(value) is dict else Node(value, kind, beside)
            scope = review.scope
            try:
                held = compiled.holds(focus, scope.resource, scope.root, review.environment())
            except EvaluationError:
                held = None
        if held is False:
            review.add(rule, at, shown, where, severity)
        elif held is None:
            review.remark("rule-not-judged", at, shown, where, "information")

    return check


def _compiled(expression: str, kind: str) -> Expression | None:
    try:
        return compile_expression(expression, kind)
    except InvalidExpression:
        # The build refuses such an expression; a profile added later can only be told that it was not judged.
        return None


def _goes_along(value: Any, name: str, one: str, other: str) -> bool:  # noqa: ANN401 - JSON is any value
    """Claim that such a rule holds, from the underscore twin alone; False means that FHIRPath decides."""
    beside = value.get("_" + name) if type(value) is dict else 0
    if beside is None:
        return name not in value or type(value[name]) is str
    if type(beside) is not dict:
        return False
    urls = [extension.get("url") for extension in beside.get("extension", ())]
    return one not in urls or other in urls


def refuse_unknown_expressions(facts: Any) -> None:  # noqa: ANN401 - the facts of a set, as JSON
    """See to it that every invariant of a set can be run.

    Raises:
        InvalidExpression: one cannot; the text names its key.
    """
    stack = [facts]
    while stack:
        node = stack.pop()
        if isinstance(node, dict):
            rules = node.get("rules")
            for key, _, expression in rules if isinstance(rules, list) else ():
                try:
                    compile_expression(expression)
                except InvalidExpression as error:
                    message = f"{key}: {error}"
                    raise InvalidExpression(message) from None
            stack.extend(node.values())
