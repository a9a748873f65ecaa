"""A compiled expression: evaluated to nodes, or asked whether it holds."""

from __future__ import annotations

import tomllib
from functools import cache, lru_cache
from importlib.resources import files
from itertools import product
from typing import Any, Final

from profiles.definitions import Definitions
from profiles.fhirpath.compiler import Compiler
from profiles.fhirpath.equality import truth
from profiles.fhirpath.errors import EvaluationError, InvalidExpression, NotJudged
from profiles.fhirpath.inference import Inference
from profiles.fhirpath.model import Model, model_of
from profiles.fhirpath.node import Item, Items, Node, node_of, system_type
from profiles.fhirpath.parser import parse
from profiles.fhirpath.quick import UNSURE, Claim
from profiles.fhirpath.registry import Run
from profiles.fhirpath.shapes import claim
from profiles.fhirpath.state import NOTHING, Environment, State

# Open questions are tried with every combination of answers, up to so many.
_MOST_OPEN: Final = 4


class Expression:
    """One compiled expression; it holds no state, so it may be shared."""

    __slots__ = ("_claim", "_model", "_resource", "_rule", "_run", "_typed", "doubts", "text", "type_name")

    def __init__(
        self,
        text: str,
        type_name: str | None,
        model: Model,
        run: Run,
        rule: Run,
        claim_: Claim | None,
        doubts: tuple[str, ...],
    ) -> None:
        self.text = text
        self.type_name = type_name
        self.doubts = doubts
        self._model = model
        self._run = run
        self._rule = rule
        self._claim = claim_
        self._resource = type_name if type_name in model.resources else None
        # A type that is no resource is what the caller says; a resource says itself what it is.
        self._typed = type_name is not None and model.elements(type_name) is not None and self._resource is None

    def __repr__(self) -> str:
        return f"Expression({self.text!r})"

    def evaluate(
        self,
        focus: Any,  # noqa: ANN401 - JSON is any value
        resource: Any = None,  # noqa: ANN401 - as above
        root: Any = None,  # noqa: ANN401 - as above
        environment: Environment = NOTHING,
    ) -> list[Node]:
        """Give the result as nodes, in order.

        Raises:
            NotJudged: the result depends on what a callback cannot answer.
            EvaluationError: one item was needed and there are more, kinds that do not go together, or a bound is passed.
        """
        x = self._state(focus, resource, root, environment)
        found = self._bounded(self._run, x)
        if x.open:
            message = "the result depends on terminology or a profile that was not judged"
            raise NotJudged(message)
        return [_node(item) for item in found]

    def holds(
        self,
        focus: Any,  # noqa: ANN401 - JSON is any value
        resource: Any = None,  # noqa: ANN401 - as above
        root: Any = None,  # noqa: ANN401 - as above
        environment: Environment = NOTHING,
    ) -> bool | None:
        """Say whether a constraint is met; None when that depends on what a callback cannot answer.

        Raises:
            EvaluationError: see `evaluate`.

        Spec: FHIR R4 5.1.0.? constraints: met is true; an empty result is not met, one that is no boolean is.
        """
        quick = self._claim
        # A compiled shape is right for its own type only, and traces nothing.
        if (
            quick is not None
            and type(focus) is dict
            and (self._resource is None or focus.get("resourceType") == self._resource)
            and environment.trace is None
        ):
            answer = quick(focus)
            if answer is not UNSURE:
                return answer is True
        return self.judged(focus, resource, root, environment)

    def judged(
        self,
        focus: Any,  # noqa: ANN401 - JSON is any value
        resource: Any = None,  # noqa: ANN401 - as above
        root: Any = None,  # noqa: ANN401 - as above
        environment: Environment = NOTHING,
    ) -> bool | None:
        """Give the answer of `holds` without its quick forms.

        INVARIANT: `holds` gives the same.
        """
        x = self._state(focus, resource, root, environment)
        try:
            found = _is_met(self._bounded(self._rule, x))
            if not x.open:
                return found
            if len(x.open) > _MOST_OPEN:
                return None
            return self._under_every_answer(x, focus, resource, root, environment)
        except NotJudged:
            return None

    def _under_every_answer(
        self,
        asked: State,
        focus: Any,  # noqa: ANN401 - JSON is any value
        resource: Any,  # noqa: ANN401 - as above
        root: Any,  # noqa: ANN401 - as above
        environment: Environment,
    ) -> bool | None:
        """Evaluate with each combination of answers to the open questions: a verdict that never changes stands."""
        verdicts = set()
        for answers in product((False, True), repeat=len(asked.open)):
            x = self._state(focus, resource, root, environment)
            x.assumed = dict(zip(asked.open, answers, strict=True))
            verdicts.add(_is_met(self._bounded(self._rule, x)))
            if len(verdicts) > 1 or set(x.open) - set(asked.open):
                return None
        return verdicts.pop()

    @staticmethod
    def _bounded(run: Run, x: State) -> Items:
        try:
            return run(x.context, x)
        except RecursionError:
            message = "the resource or the expression nests too deeply"
            raise EvaluationError(message) from None

    def _state(self, focus: Any, resource: Any, root: Any, environment: Environment) -> State:  # noqa: ANN401 - JSON
        model = self._model
        context = self._focus(focus, model)
        held = context if resource is None else self._items(resource, model)
        return State(model, context, held, held if root is None else self._items(root, model), environment)

    def _items(self, value: Any, model: Model) -> Items:  # noqa: ANN401 - JSON is any value
        if value is None:
            return []
        return [value] if type(value) is Node else [node_of(value, "Resource", model)]

    def _focus(self, value: Any, model: Model) -> Items:  # noqa: ANN401 - JSON is any value
        if value is None or type(value) is Node:
            return [] if value is None else [value]
        kind = self.type_name or ""
        return [Node(value, kind) if self._typed else node_of(value, kind, model)]


def _is_met(items: Items) -> bool:
    if len(items) == 1:
        return truth(items) is True
    return len(items) > 1


def _node(item: Item) -> Node:
    return item if type(item) is Node else Node(item, "System." + system_type(item))


def compile_expression(
    expression: str,
    type_name: str | None = None,
    definitions: Definitions | None = None,
    *,
    strict: bool = False,
    variables: tuple[str, ...] = (),
) -> Expression:
    """Compile one expression for foci of a type; the same question gets the same answer object.

    Raises:
        InvalidExpression: its form, a function, a type or a variable is not known; with `strict` also an element.
    """
    return _compiled(expression, type_name, model_of(definitions), strict, variables)


@lru_cache(maxsize=8192)
def _compiled(
    expression: str, type_name: str | None, model: Model, strict: bool, variables: tuple[str, ...]
) -> Expression:
    if type_name is not None and not model.knows(type_name):
        message = f"there is no type {type_name}"
        raise InvalidExpression(message)
    compiler = Compiler(model, frozenset(variables))
    term = parse(expression)
    run = compiler.compile(term)
    meant = parse(_errata()[expression]) if expression in _errata() else None
    rule = run if meant is None else compiler.compile(meant)
    inference = Inference(model)
    focus = None if type_name is None else frozenset((type_name,))
    inference.types(term, focus, focus)
    doubts = tuple(dict.fromkeys(inference.doubts))
    if strict and doubts:
        raise InvalidExpression(doubts[0])
    is_object = type_name is not None and type_name not in model.primitives
    quick = claim(meant or term, type_name, model) if is_object and type_name is not None else None
    return Expression(expression, type_name, model, run, rule, quick, doubts)


@cache
def _errata() -> dict[str, str]:
    """Read which published constraints mean something else than they say."""
    text = files("profiles.fhirpath").joinpath("errata.toml").read_text(encoding="utf-8")
    return {row["published"]: row["meant"] for row in tomllib.loads(text)["constraints"]}
