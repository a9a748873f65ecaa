"""Hostile expressions and resources: only the own errors, in bounded time, and no content in a message."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profiles.exact import Json
from profiles.fhirpath import Environment, EvaluationError, FhirPathError, InvalidExpression, Node, compile_expression
from profiles.fhirpath.registry import FUNCTIONS
from tests.profiles.fhirpath.inputs import INPUTS, OBSERVATION, PATIENT
from tests.profiles.fhirpath.test_cases import ENVIRONMENT, GROUPS, NOW
from tests.profiles.fhirpath.test_holds import ANYTHING, NAMES
from tests.slack import slack

PIECES: Final = st.sampled_from(
    [*sorted(FUNCTIONS), *"()[]{}.,|&+-*/=<>~!'`@%$#\\", "name", "value", "$this", "$index", "$total", "%resource", "%vs-x",
     "and", "or", "xor", "implies", "is", "as", "in", "contains", "div", "mod", "true", "false", "1", "1.5", "'a'", "'\\d+'",
     "@2012-01", "@T10:30", "@2012-01-01T10:00:00Z", "Patient", "System", "Integer", " ", "//", "/*", "day", "'mg'", "-1"]
)  # fmt: skip
LITERALS: Final = ("{}", "1", "-3", "2.50", "0", "'a'", "''", "'2012'", "true", "@2012", "@2012-02-29", "@T10:30",
                   "@2012-01-01T10:00:00+02:00", "4 'mg'", "2 days", "(1 | 2)", "name", "name.given", "birthDate", "$this",
                   "deceased", "telecom.rank", "%resource", "contained", "'[a-z]+'", "text.`div`")  # fmt: skip
OPERATORS: Final = ("+", "-", "*", "/", "div", "mod", "&", "|", "=", "!=", "~", "!~", "<", ">", "<=", ">=", "in", "contains",
                    "and", "or", "xor", "implies")  # fmt: skip
ENVIRON: Final = Environment(resolve=lambda *_: PATIENT, member_of=lambda *_: True, now=NOW, steps=3_000)


@st.composite
def terms(draw: st.DrawFn, depth: int = 3) -> str:
    if depth == 0 or draw(st.integers(0, 3)) == 0:
        return draw(st.sampled_from(LITERALS))
    if draw(st.booleans()):
        operator = draw(st.sampled_from(OPERATORS))
        return f"({draw(terms(depth - 1))} {operator} {draw(terms(depth - 1))})"
    name = draw(st.sampled_from(sorted(FUNCTIONS)))
    found = FUNCTIONS[name]
    if found.reading == "type":
        arguments = [draw(st.sampled_from(("Quantity", "string", "System.Integer", "Patient", "Extension")))]
    else:
        arguments = [draw(terms(depth - 1)) for _ in range(draw(st.integers(found.least, found.most)))]
    return f"({draw(terms(depth - 1))}).{name}({', '.join(arguments)})"


@settings(max_examples=60, deadline=None)
@given(st.lists(PIECES, max_size=14).map("".join) | st.text(max_size=30))
def test_any_text_is_compiled_or_refused(text: str) -> None:
    try:
        compile_expression(text)
    except InvalidExpression:
        return


@settings(max_examples=60, deadline=None)
@given(terms())
def test_any_expression_on_a_resource_gives_nodes_or_the_own_error(text: str) -> None:
    try:
        found = compile_expression(text, "Patient").evaluate(PATIENT, environment=ENVIRON)
    except FhirPathError:
        return
    assert all(type(node) is Node for node in found)


def expressions() -> list[str]:
    return [
        expression
        for cases in GROUPS.values()
        for expression, resource, result in cases
        if resource and result != "invalid"
    ]


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.sampled_from(expressions()), st.dictionaries(NAMES, ANYTHING, max_size=6), st.sampled_from(sorted(INPUTS)))
def test_any_resource_gives_nodes_or_the_own_error(text: str, focus: Json, like: str) -> None:
    focus["resourceType"] = INPUTS[like]["resourceType"]
    compiled = compile_expression(text, focus["resourceType"], variables=("answer", "names", "absent"))
    for ask in (compiled.evaluate, compiled.holds):
        try:
            ask(focus, environment=ENVIRONMENT)
        except FhirPathError:
            continue


@pytest.mark.parametrize("focus", [None, 1, "a", [], [PATIENT], {}, {"resourceType": []}, {1: 2}, True, float("nan")])
def test_what_is_no_resource_is_no_accident(focus: Any) -> None:
    for expression in (
        "name.given",
        "descendants()",
        "$this = $this",
        "hasValue()",
        "children().count() > 0",
        "resolve()",
    ):
        try:
            compile_expression(expression).evaluate(focus)
        except EvaluationError:
            continue


HOSTILE: Final = {
    "pattern": "'" + "a" * 5000 + "!'.matches('^(a+)+$')",
    "pattern with alternatives": "'" + "a" * 5000 + "!'.matches('^(a|a|aa)*$')",
    "pattern of powers": "'" + "a" * 3000 + "'.matches('a*a*a*a*a*b')",
    "replacement": "'" + "a" * 2000 + "!'.replaceMatches('(a*)*!x', 'y')",
    "endless repeat": "(1).repeat($this + 1)",
    "growing text": "(1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9).aggregate($total.replace('', 'aaaaaaaaaa'), 'aaaaaaaaaa').length()",
    "powers of powers": "9.power(9).power(9).power(9).power(9)",
    "exponent": "99999999.9.exp()",
    "nested descendants": "descendants().where(%context.descendants().where(%context.descendants().exists($this = 'x')).exists())",
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_expressions_are_bounded(kind: str) -> None:
    before = time.perf_counter()
    with suppress(EvaluationError):
        compile_expression(HOSTILE[kind], "Patient").evaluate(PATIENT, environment=Environment(steps=100_000))
    assert time.perf_counter() - before < 2.0 * slack()


@pytest.mark.parametrize(
    "text",
    ["(" * 500 + "1" + ")" * 500, "-" * 900 + "1", "1" + " + 1" * 900, "a" + ".a" * 900, "a" + "[0]" * 900,
     "not(" * 300 + ")" * 300, "iif(" * 300, "1" * 60_000, "'a'.matches('" + "(" * 400 + ")" * 400 + "')",
     "'a'.matches('(a{1,999}){1,999}')"],
    ids=lambda text: text[:12],
)  # fmt: skip
def test_deep_and_long_expressions_are_refused(text: str) -> None:
    with pytest.raises(InvalidExpression):
        compile_expression(text)


def test_deep_resources_are_bounded() -> None:
    deep: Json = {"resourceType": "Questionnaire", "item": []}
    level = deep
    for _ in range(3000):
        level["item"] = [{"linkId": "1", "item": []}]
        level = level["item"][0]
    assert compile_expression("descendants().count()").evaluate(deep)[0].value == 6000
    for expression in ("item = item", "item ~ item", "item.distinct().count()"):
        try:
            compile_expression(expression).evaluate(deep)
        except EvaluationError:
            continue


def test_a_large_resource_takes_time_in_proportion() -> None:
    coding = [{"system": "urn:x", "code": str(number)} for number in range(1500)]
    large = {**OBSERVATION, "code": {"coding": coding}, "component": [{"code": {"coding": coding}}]}
    rule = "value.empty() or component.code.where(coding.intersect(%resource.code.coding).exists()).empty()"
    before = time.perf_counter()
    assert compile_expression(rule, "Observation").holds(large) is False
    assert time.perf_counter() - before < 0.5 * slack()


def test_no_error_repeats_a_value() -> None:
    secret = {"resourceType": "Patient", "gender": "geheim", "name": [{"family": "geheim"}, {"family": "geheim"}]}
    for expression in ("name.family + 1", "gender + 1", "name.family.single()", "gender < 1", "gender.take('x')", "-gender",
                       "gender.abs()", "name.matches('a')", "@2012 + gender", "gender.sqrt()"):  # fmt: skip
        with pytest.raises(EvaluationError) as raised:
            compile_expression(expression).evaluate(secret)
        assert "geheim" not in str(raised.value)
    assert "geheim" not in repr(compile_expression("gender").evaluate(secret))
