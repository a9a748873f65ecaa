"""Common shapes of constraints as plain dict access: a quick answer that is right, or none at all.

What is rare, unusual in the data, or needs more than the focus gives UNSURE; the engine of `compiler` then decides.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from profiles.exact import Json
from profiles.fhirpath.model import Model, Property
from profiles.fhirpath.node import Items, Node, named
from profiles.fhirpath.quick import (
    LOGIC,
    ONLY_EXTENSIONS,
    ORDER,
    PLAIN,
    UNSURE,
    Answer,
    Claim,
    Values,
    agree,
    chained,
    compare_counts,
    compare_dates,
    counted,
    cut,
    equals,
    has_value,
    itself,
    negated,
    starts,
    texts,
    total,
    unsure,
)
from profiles.fhirpath.syntax import Binary, Call, Literal, Name, Term, Variable

_TEMPORAL: Final = frozenset(("date", "dateTime", "instant", "time"))
_THROUGH: Final = frozenset(
    ("where", "select", "first", "last", "tail", "skip", "take", "ofType", "as", "resolve", "extension", "trace", "repeat",
     "distinct", "children", "descendants", "intersect", "exclude")
)  # fmt: skip


def claim(term: Term, kind: str, model: Model) -> Claim | None:
    """Compile a boolean expression on objects of a type; nothing when it has no quick shape."""
    return _Writer(model).claim(term, kind)


class _Writer:
    """Writes claims and paths against one model."""

    def __init__(self, model: Model) -> None:
        self._model = model

    def claim(self, term: Term, kind: str) -> Claim | None:
        """Give the claim of a term, or nothing."""
        if isinstance(term, Binary):
            return self._binary(term, kind)
        if isinstance(term, Call):
            return self._call(term, kind)
        return None

    def _binary(self, term: Binary, kind: str) -> Claim | None:
        if term.operator in LOGIC:
            left, right = self.claim(term.left, kind), self.claim(term.right, kind)
            if left is None and right is None:
                return None
            return LOGIC[term.operator](left or unsure, right or unsure)
        if term.operator in ("=", "!="):
            return self._equality(term, kind)
        if term.operator == "in":
            return self._membership(term, kind)
        if term.operator in ORDER:
            return self._order(term, kind)
        return None

    def _equality(self, term: Binary, kind: str) -> Claim | None:
        same = term.operator == "="
        left, right = self.claim(term.left, kind), self.claim(term.right, kind)
        if left is not None and right is not None:
            return agree(left, right, same=same)
        if not isinstance(term.right, Literal) or type(term.right.value) not in PLAIN:
            return None
        values = self._primitive(term.left, kind, term.right.value)
        return None if values is None else equals(values, term.right.value, same=same)

    def _membership(self, term: Binary, kind: str) -> Claim | None:
        options = texts(term.right)
        values = self._primitive(term.left, kind, "") if options else None
        if values is None or options is None:
            return None
        known = values

        def run(value: Json) -> Answer:
            found = known(value)
            if found is None or any(type(one) is not str for one in found):
                return UNSURE
            return options.issuperset(found) if found else None

        return run

    def _primitive(self, term: Term, kind: str, like: Any) -> Values | None:  # noqa: ANN401 - a literal
        """Give the path to primitives of the sort of a literal."""
        path = self.path(term, kind)
        if path is None or path[1] not in self._model.primitives or path[1] in _TEMPORAL:
            return None
        is_text = path[1] not in ("boolean", "integer", "decimal", "positiveInt", "unsignedInt")
        return path[0] if is_text == (type(like) is str) else None

    def _order(self, term: Binary, kind: str) -> Claim | None:
        left, right = self._number(term.left, kind), self._number(term.right, kind)
        if left is not None and right is not None:
            return compare_counts(left, right, ORDER[term.operator])
        one, other = self.path(term.left, kind), self.path(term.right, kind)
        if one is None or other is None or one[1] not in _TEMPORAL - {"time"} or other[1] not in _TEMPORAL - {"time"}:
            return None
        return compare_dates(one[0], other[0], ORDER[term.operator])

    def _number(self, term: Term, kind: str) -> Callable[[Json], int | None] | None:
        if isinstance(term, Literal) and type(term.value) is int:
            constant = term.value
            return lambda _: constant
        if isinstance(term, Binary) and term.operator == "+":
            left, right = self._number(term.left, kind), self._number(term.right, kind)
            return None if left is None or right is None else total(left, right)
        if isinstance(term, Call) and term.name == "count" and term.target is not None and not term.arguments:
            path = self.path(term.target, kind)
            return None if path is None else counted(path[0])
        return None

    def _call(self, term: Call, kind: str) -> Claim | None:
        target = term.target
        if term.name == "not" and target is not None:
            inner = self.claim(target, kind)
            return None if inner is None else negated(inner)
        if target is None:
            return None
        if term.name in ("exists", "empty"):
            return self._presence(term, target, kind)
        path = self.path(target, kind)
        if path is None:
            return None
        if term.name == "hasValue" and path[1] in self._model.primitives:
            return has_value(path[0])
        if term.name == "startsWith" and path[1] in self._model.primitives - _TEMPORAL:
            argument = term.arguments[0]
            if isinstance(argument, Literal) and isinstance(argument.value, str):
                return starts(path[0], argument.value)
        return None

    def _presence(self, term: Call, target: Term, kind: str) -> Claim | None:
        wanted = term.name == "exists"
        if term.arguments:
            path = self.path(Call(target, "where", term.arguments, term.position), kind)
        else:
            single = self._single(target, kind)
            if single is not None:
                return single if wanted else negated(single)
            path = self.path(target, kind)
        if path is None:
            return None
        values = path[0]

        def run(value: Json) -> Answer:
            found = values(value)
            return UNSURE if found is None else bool(found) is wanted

        return run

    def _single(self, term: Term, kind: str) -> Claim | None:
        """Give the presence of one element of the focus itself, the shape of most constraints."""
        elements = self._model.elements(kind)
        if not isinstance(term, Name) or term.target is not None or elements is None:
            return None
        properties = elements.by_name.get(term.name)
        if not properties or term.name[0].isupper():
            return None
        first = properties[0][0]
        many = self._named(properties, kind, term.name)
        if len(properties) > 1:
            return _choice(elements.choices[term.name], self._model.primitives, many)
        sibling = "_" + first
        if properties[0][1] in self._model.primitives:
            return lambda value: (
                True if type(value.get(first)) in PLAIN else
                bool(many(value)) if first in value or sibling in value else False
            )  # fmt: skip
        return lambda value: (type(value.get(first)) is dict or bool(many(value))) if first in value else False

    def path(self, term: Term, kind: str) -> tuple[Values, str] | None:
        """Compile a path to its values and their type; the type is empty where the path is cut."""
        if isinstance(term, Variable):
            return (itself, kind) if term.name == "$this" else None
        if isinstance(term, Name):
            return self._step(term, kind)
        if not isinstance(term, Call) or term.name not in _THROUGH:
            return None
        if term.name == "extension" and term.target is None:
            return self._extension(term, (itself, kind))
        if term.target is None:
            return None
        before = self.path(term.target, kind)
        if before is None:
            return None
        if term.name == "extension" and before[1] not in self._model.primitives:
            return self._extension(term, before)
        if term.name == "where" and before[1]:
            return self._filtered(term, before)
        return (before[0], before[1]) if term.name == "trace" else (cut(before[0]), "")

    def _extension(self, term: Call, before: tuple[Values, str]) -> tuple[Values, str] | None:
        url = term.arguments[0]
        if not isinstance(url, Literal) or not isinstance(url.value, str) or not self._has_extensions(before[1]):
            return None
        wanted = url.value
        every = chained(before[0], self._named((("extension", "Extension"),), before[1], "extension"))

        def run(value: Json) -> list[Any] | None:
            found = every(value)
            return None if found is None else [one for one in found if one.get("url") == wanted]

        return run, "Extension"

    def _has_extensions(self, kind: str) -> bool:
        elements = self._model.elements(kind)
        return elements is not None and "extension" in elements.by_name

    def _filtered(self, term: Call, before: tuple[Values, str]) -> tuple[Values, str]:
        criterion = None if before[1] in self._model.primitives else self.claim(term.arguments[0], before[1])
        if criterion is None:
            return cut(before[0]), before[1]
        holds, values = criterion, before[0]

        def run(value: Json) -> list[Any] | None:
            found = values(value)
            if not found:
                return found
            kept = []
            for one in found:
                answer = holds(one)
                if answer is UNSURE:
                    return None
                if answer is True:
                    kept.append(one)
            return kept

        return run, before[1]

    def _step(self, term: Name, kind: str) -> tuple[Values, str] | None:
        if term.target is None:
            if term.name[0].isupper():
                return (itself, kind) if term.name == kind else None
            before: tuple[Values, str] = (itself, kind)
        else:
            found = self.path(term.target, kind)
            if found is None:
                return None
            before = found
        elements = self._model.elements(before[1])
        if elements is None or before[1] in ("Resource", "DomainResource"):
            return (cut(before[0]), "") if term.target is not None else None
        if before[1] in self._model.primitives:
            return cut(before[0]), ""
        properties = elements.by_name.get(term.name)
        if properties is None:
            return None
        step = self._named(properties, before[1], term.name)
        kinds = {type_ for _, type_ in properties}
        return (step if term.target is None else chained(before[0], step)), kinds.pop() if len(kinds) == 1 else ""

    def _named(self, properties: tuple[Property, ...], kind: str, name: str) -> Values:
        """Give the values of one element of an object; the usual forms at once, the others as the engine reads them."""
        model = self._model

        def as_engine(value: Json) -> list[Any]:
            nodes: Items = []
            named(Node(value, kind), name, model, nodes)
            return [ONLY_EXTENSIONS if node.value is None else node.value for node in nodes]

        if len(properties) > 1:
            return as_engine
        key, type_ = properties[0]
        if type_ in model.primitives:
            sibling = "_" + key

            def primitive(value: Json) -> list[Any]:
                found = value.get(key)
                if type(found) in PLAIN:
                    return [found]
                return as_engine(value) if found is not None or sibling in value else []

            return primitive

        def complex_(value: Json) -> list[Any]:
            found = value.get(key)
            if found is None:
                return []
            if type(found) is dict:
                return [found]
            return [one for one in found if type(one) is dict] if type(found) is list else []

        return complex_


def _choice(choice: dict[str, str], primitives: frozenset[str], many: Values) -> Claim:
    """Claim that one of the properties of a choice element is there."""
    names = frozenset(name for key in choice for name in (key, "_" + key))
    primitive = frozenset(key for key, kind in choice.items() if kind in primitives)

    def run(value: Json) -> Answer:
        if names.isdisjoint(value):
            return False
        for key in value:
            if key in choice:
                found = type(value[key])
                if (found in PLAIN) if key in primitive else (found is dict):
                    return True
        return bool(many(value))

    return run
