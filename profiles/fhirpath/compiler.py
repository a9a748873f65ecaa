"""A tree of syntax becomes closures; everything that is not supported is found here, before any resource is seen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from profiles.fhirpath import converting, numeric, resource, selecting, text  # noqa: F401 - they fill the table
from profiles.fhirpath.arithmetic import arithmetic, negative
from profiles.fhirpath.equality import distinct, equal, equivalent, order, truth
from profiles.fhirpath.errors import EvaluationError, InvalidExpression
from profiles.fhirpath.model import Model
from profiles.fhirpath.node import Items, Node, named
from profiles.fhirpath.regex import compiled
from profiles.fhirpath.registry import EMPTY, FALSE, FUNCTIONS, TRUE, Function, Run, yes_or_no
from profiles.fhirpath.selecting import union, whole, within
from profiles.fhirpath.state import State
from profiles.fhirpath.syntax import (
    At,
    Binary,
    Call,
    External,
    Literal,
    Name,
    Term,
    TypeTest,
    Unary,
    Variable,
    is_constant,
    qualified,
)  # fmt: skip
from profiles.fhirpath.text import bounded
from profiles.fhirpath.text import text as text_of
from profiles.fhirpath.types import type_name

_CODE_SYSTEMS: Final = {
    "ucum": "http://unitsofmeasure.org",
    "sct": "http://snomed.info/sct",
    "loinc": "http://loinc.org",
}
_VALUE_SET: Final = "http://hl7.org/fhir/ValueSet/"
_DEFINITION: Final = "http://hl7.org/fhir/StructureDefinition/"
_PATTERNS: Final = frozenset(("matches", "matchesFull", "replaceMatches"))


class Compiler:
    """Compiles the terms of one expression against one model."""

    def __init__(self, model: Model, variables: frozenset[str] = frozenset()) -> None:
        self._model = model
        self._variables = variables

    def compile(self, term: Term) -> Run:
        """Give the closure of a term: from a focus to a collection.

        Raises:
            InvalidExpression: a function, type, variable or number of arguments that does not exist.
        """
        run = _WRITERS[type(term)](self, term)
        if isinstance(term, Name | Call) and is_constant(term):
            return lambda items, x: _remembered(run, items, x)
        return run

    def literal(self, term: Literal) -> Run:
        """Give a constant."""
        found = EMPTY if term.value is None else [term.value]
        if term.value == 2147483648 and type(term.value) is int:
            message = "a whole number beyond what an Integer can hold; write it as a decimal"
            raise InvalidExpression(message, term.position)
        return lambda _, __: found

    def name(self, term: Name) -> Run:
        """Give the elements with a name; at the start of a path a type selects its own."""
        name = term.name
        if term.target is not None:
            target, step = self.compile(term.target), _step(name)
            return lambda items, x: step(target(items, x), x)
        step = _step(name)
        if not (name[0].isupper() and self._model.knows(name)):
            return step

        def rooted(items: Items, x: State) -> Items:
            line = x.model.line
            kept = [item for item in items if type(item) is Node and name in line(item.type)]
            return kept or step(items, x)

        return rooted

    def call(self, term: Call) -> Run:
        """Apply a function."""
        found = FUNCTIONS.get(term.name)
        if found is None:
            message = f"the function {term.name}() is not supported"
            raise InvalidExpression(message, term.position)
        if not found.least <= len(term.arguments) <= found.most:
            message = f"{term.name}() takes another number of arguments"
            raise InvalidExpression(message, term.position)
        target = None if term.target is None else self.compile(term.target)
        run = self._applied(term, found)
        return run if target is None else lambda items, x: run(target(items, x), x)

    def _applied(self, term: Call, found: Function) -> Run:
        body = found.body
        if found.reading == "type":
            wanted = qualified(term.arguments[0])
            if wanted is None:
                message = f"{term.name}() takes the name of a type"
                raise InvalidExpression(message, term.position)
            kind = type_name(wanted, self._model, term.position)
            return lambda items, x: body(items, x, kind)
        arguments = [self.compile(argument) for argument in term.arguments]
        if found.reading == "expressions":
            return lambda items, x: body(items, x, *arguments)
        self._check_pattern(term)
        if not arguments:
            return body
        if len(arguments) == 1:
            only = arguments[0]
            return lambda items, x: body(items, x, only(x.this, x))
        # Arguments are read against `$this`, not against what the function works on (csd-1 needs it).
        return lambda items, x: body(items, x, *[argument(x.this, x) for argument in arguments])

    def _check_pattern(self, term: Call) -> None:
        pattern = term.arguments[0] if term.name in _PATTERNS else None
        if isinstance(pattern, Literal) and isinstance(pattern.value, str):
            try:
                compiled(pattern.value)
            except EvaluationError as error:
                raise InvalidExpression(str(error), term.position) from None

    def at(self, term: At) -> Run:
        """Give the item at an index, from 0."""
        target, index = self.compile(term.target), self.compile(term.index)

        def run(items: Items, x: State) -> Items:
            found, place = target(items, x), whole(index(x.this, x))
            return found[place : place + 1] if place is not None and place >= 0 else EMPTY

        return run

    def variable(self, term: Variable) -> Run:
        """Give `$this`, `$index` or `$total`."""
        if term.name == "$this":
            return lambda _, x: x.this
        if term.name == "$index":
            return lambda _, x: [x.index]
        return lambda _, x: x.total

    def external(self, term: External) -> Run:
        """Give a variable of the environment."""
        name = term.name
        if name in _CODE_SYSTEMS:
            constant: Items = [_CODE_SYSTEMS[name]]
        elif name.startswith(("vs-", "ext-")):
            constant = [(_VALUE_SET if name[0] == "v" else _DEFINITION) + name.partition("-")[2]]
        elif name in _PLACES:
            return _PLACES[name]
        elif name in self._variables:
            return lambda _, x: _given(name, x)
        else:
            message = f"there is no variable %{name}"
            raise InvalidExpression(message, term.position)
        return lambda _, __: constant

    def unary(self, term: Unary) -> Run:
        """Apply a sign."""
        operand = term.operand
        if term.operator == "-" and isinstance(operand, Literal) and type(operand.value) is int:
            constant: Items = [-operand.value]
            return lambda _, __: constant
        run = self.compile(operand)
        if term.operator == "-":
            return lambda items, x: negative(run(items, x))
        return lambda items, x: negative(negative(run(items, x)))

    def type_test(self, term: TypeTest) -> Run:
        """Apply `is` or `as`."""
        kind = type_name(term.type, self._model, term.position, operator=True)
        run, body = self.compile(term.operand), FUNCTIONS[term.operator].body
        return lambda items, x: body(run(items, x), x, kind)

    def binary(self, term: Binary) -> Run:
        """Apply an operator between two terms."""
        left, right = self.compile(term.left), self.compile(term.right)
        operator = term.operator
        if operator == "in" and is_constant(term.right):
            return lambda items, x: _within_known(left(items, x), right, x)
        if operator in _LOGIC:
            return _LOGIC[operator](left, right)
        if operator in _COMPARISONS:
            wanted = _COMPARISONS[operator]
            return lambda items, x: _ordered(left(items, x), right(items, x), wanted)
        if operator in _OPERATORS:
            body = _OPERATORS[operator]
            return lambda items, x: body(left(items, x), right(items, x), x)
        return lambda items, x: _text_bounded(arithmetic(operator, left(items, x), right(items, x)))


def _step(name: str) -> Run:
    def run(items: Items, x: State) -> Items:
        found: Items = []
        for item in items:
            if type(item) is Node:
                named(item, name, x.model, found)
        x.spend(len(items) + len(found))
        return found

    return run


def _remembered(run: Run, items: Items, x: State) -> Items:
    """Evaluate what does not change once (dom-3 asks for all references of a resource for each contained one)."""
    found: Items | None = x.known.get(run)
    if found is None:
        found = x.known[run] = run(items, x)
    return found


def _within_known(items: Items, whole_: Run, x: State) -> Items:
    if not items:
        return EMPTY
    known = x.known.get((whole_, "in"))
    if known is None:
        known = x.known[whole_, "in"] = distinct(whole_(EMPTY, x), x)
    return yes_or_no(all(known.holds(item) for item in items))


def _given(name: str, x: State) -> Items:
    variables = x.environment.variables
    if variables is None or name not in variables:
        message = f"the variable %{name} was not given"
        raise EvaluationError(message)
    value = variables[name]
    return value if type(value) is list else [value]


def _text_bounded(items: Items) -> Items:
    return bounded(items[0]) if items and type(items[0]) is str else items


def _ordered(left: Items, right: Items, wanted: tuple[int, ...]) -> Items:
    if not left or not right:
        return EMPTY
    found = order(left, right)
    return EMPTY if found is None else TRUE if found in wanted else FALSE


def _not(value: bool | None) -> Items:
    return EMPTY if value is None else FALSE if value else TRUE


def _concatenated(left: Items, right: Items) -> Items:
    return bounded((text_of(left) or "") + (text_of(right) or ""))


def _and(left: Run, right: Run) -> Run:
    def run(items: Items, x: State) -> Items:
        a = truth(left(items, x))
        if a is False:
            return FALSE
        b = truth(right(items, x))
        return FALSE if b is False else EMPTY if a is None or b is None else TRUE

    return run


def _or(left: Run, right: Run) -> Run:
    def run(items: Items, x: State) -> Items:
        a = truth(left(items, x))
        if a is True:
            return TRUE
        b = truth(right(items, x))
        return TRUE if b is True else EMPTY if a is None or b is None else FALSE

    return run


def _xor(left: Run, right: Run) -> Run:
    def run(items: Items, x: State) -> Items:
        a, b = truth(left(items, x)), truth(right(items, x))
        return EMPTY if a is None or b is None else yes_or_no(a is not b)

    return run


def _implies(left: Run, right: Run) -> Run:
    def run(items: Items, x: State) -> Items:
        a = truth(left(items, x))
        if a is False:
            return TRUE
        b = truth(right(items, x))
        return TRUE if b is True else EMPTY if a is None or b is None else FALSE

    return run


# Spec: FHIRPath N1 6.5 'Boolean logic'.
_LOGIC: Final[dict[str, Callable[[Run, Run], Run]]] = {"and": _and, "or": _or, "xor": _xor, "implies": _implies}
_COMPARISONS: Final = {"<": (-1,), ">": (1,), "<=": (-1, 0), ">=": (0, 1)}
_OPERATORS: Final[dict[str, Callable[[Items, Items, State], Items]]] = {
    "=": lambda left, right, x: yes_or_no(equal(left, right, x)),
    "!=": lambda left, right, x: _not(equal(left, right, x)),
    "~": lambda left, right, x: yes_or_no(equivalent(left, right, x)),
    "!~": lambda left, right, x: yes_or_no(not equivalent(left, right, x)),
    "|": lambda left, right, x: union(left, x, right),
    "in": lambda left, right, x: yes_or_no(within(left, right, x)),
    "contains": lambda left, right, x: yes_or_no(within(right, left, x)),
    "&": lambda left, right, _: _concatenated(left, right),
}
_PLACES: Final[dict[str, Run]] = {
    "context": lambda _, x: x.context,
    "resource": lambda _, x: x.resource,
    "rootResource": lambda _, x: x.root,
}
_WRITERS: Final[dict[type, Callable[[Compiler, Any], Run]]] = {
    Literal: Compiler.literal,
    Name: Compiler.name,
    Call: Compiler.call,
    At: Compiler.at,
    Variable: Compiler.variable,
    External: Compiler.external,
    Unary: Compiler.unary,
    Binary: Compiler.binary,
    TypeTest: Compiler.type_test,
}
