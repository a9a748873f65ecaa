"""Common shapes of constraints as plain dict access: a quick answer that is right, or none at all.

What is rare, unusual in the data, or needs more than the focus gives UNSURE; the engine of `compiler` then decides.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

from profiles.exact import Json
from profiles.fhirpath.model import Model, Property
from profiles.fhirpath.node import Items, Node, named
from profiles.fhirpath.syntax import Binary, Call, Literal, Name, Term, Variable


class Unsure:
    """No quick answer."""

    __slots__ = ()


UNSURE: Final = Unsure()
Answer = bool | Unsure | None
Claim = Callable[[Json], Answer]
# The values of a path: objects, or values of primitives; None when there is no quick answer.
Values = Callable[[Json], "list[Any] | None"]

_PLAIN: Final = frozenset((str, bool, int, Decimal))
_TEMPORAL: Final = frozenset(("date", "dateTime", "instant", "time"))
_ONLY_EXTENSIONS: Final = object()
# Dates of which the order is that of their text, when they are of one length and zone.
_SORTABLE: Final = re.compile(
    r"(?!0000)[0-9]{4}(?:-(?:0[1-9]|1[0-2])(?:-(?:0[1-9]|1[0-9]|2[0-8])"
    r"(?:T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,9})?(Z|[+-](?:0[0-9]|1[0-3]):[0-5][0-9]))?)?)?"
)
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
        if term.operator in _LOGIC:
            left, right = self.claim(term.left, kind), self.claim(term.right, kind)
            if left is None and right is None:
                return None
            return _LOGIC[term.operator](left or _unsure, right or _unsure)
        if term.operator in ("=", "!="):
            return self._equality(term, kind)
        if term.operator == "in":
            return self._membership(term, kind)
        if term.operator in _ORDER:
            return self._order(term, kind)
        return None

    def _equality(self, term: Binary, kind: str) -> Claim | None:
        same = term.operator == "="
        left, right = self.claim(term.left, kind), self.claim(term.right, kind)
        if left is not None and right is not None:
            return _agree(left, right, same=same)
        if not isinstance(term.right, Literal) or type(term.right.value) not in _PLAIN:
            return None
        values = self._primitive(term.left, kind, term.right.value)
        return None if values is None else _equals(values, term.right.value, same=same)

    def _membership(self, term: Binary, kind: str) -> Claim | None:
        options = _texts(term.right)
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
            return _compare_counts(left, right, _ORDER[term.operator])
        one, other = self.path(term.left, kind), self.path(term.right, kind)
        if one is None or other is None or one[1] not in _TEMPORAL - {"time"} or other[1] not in _TEMPORAL - {"time"}:
            return None
        return _compare_dates(one[0], other[0], _ORDER[term.operator])

    def _number(self, term: Term, kind: str) -> Callable[[Json], int | None] | None:
        if isinstance(term, Literal) and type(term.value) is int:
            constant = term.value
            return lambda _: constant
        if isinstance(term, Binary) and term.operator == "+":
            left, right = self._number(term.left, kind), self._number(term.right, kind)
            return None if left is None or right is None else _sum(left, right)
        if isinstance(term, Call) and term.name == "count" and term.target is not None and not term.arguments:
            path = self.path(term.target, kind)
            return None if path is None else _counted(path[0])
        return None

    def _call(self, term: Call, kind: str) -> Claim | None:
        target = term.target
        if term.name == "not" and target is not None:
            inner = self.claim(target, kind)
            return None if inner is None else _negated(inner)
        if target is None:
            return None
        if term.name in ("exists", "empty"):
            return self._presence(term, target, kind)
        path = self.path(target, kind)
        if path is None:
            return None
        if term.name == "hasValue" and path[1] in self._model.primitives:
            return _has_value(path[0])
        if term.name == "startsWith" and path[1] in self._model.primitives - _TEMPORAL:
            argument = term.arguments[0]
            if isinstance(argument, Literal) and isinstance(argument.value, str):
                return _starts(path[0], argument.value)
        return None

    def _presence(self, term: Call, target: Term, kind: str) -> Claim | None:
        wanted = term.name == "exists"
        if term.arguments:
            path = self.path(Call(target, "where", term.arguments, term.position), kind)
        else:
            single = self._single(target, kind)
            if single is not None:
                return single if wanted else _negated(single)
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
        names = frozenset(name for key, _ in properties for name in (key, "_" + key))
        first = properties[0][0]
        many = self._named(properties, kind, term.name)
        if len(properties) > 1:
            return lambda value: False if names.isdisjoint(value) else bool(many(value))
        sibling = "_" + first
        if properties[0][1] in self._model.primitives:
            return lambda value: (
                True if type(value.get(first)) in _PLAIN else
                bool(many(value)) if first in value or sibling in value else False
            )  # fmt: skip
        return lambda value: (type(value.get(first)) is dict or bool(many(value))) if first in value else False

    def path(self, term: Term, kind: str) -> tuple[Values, str] | None:
        """Compile a path to its values and their type; the type is empty where the path is cut."""
        if isinstance(term, Variable):
            return (_itself, kind) if term.name == "$this" else None
        if isinstance(term, Name):
            return self._step(term, kind)
        if not isinstance(term, Call) or term.name not in _THROUGH:
            return None
        if term.name == "extension" and term.target is None:
            return self._extension(term, (_itself, kind))
        if term.target is None:
            return None
        before = self.path(term.target, kind)
        if before is None:
            return None
        if term.name == "extension" and before[1] not in self._model.primitives:
            return self._extension(term, before)
        if term.name == "where" and before[1]:
            return self._filtered(term, before)
        return (before[0], before[1]) if term.name == "trace" else (_cut(before[0]), "")

    def _extension(self, term: Call, before: tuple[Values, str]) -> tuple[Values, str] | None:
        url = term.arguments[0]
        if not isinstance(url, Literal) or not isinstance(url.value, str) or not self._has_extensions(before[1]):
            return None
        wanted = url.value
        every = _chained(before[0], self._named((("extension", "Extension"),), before[1], "extension"))

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
            return _cut(before[0]), before[1]
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
                return (_itself, kind) if term.name == kind else None
            before: tuple[Values, str] = (_itself, kind)
        else:
            found = self.path(term.target, kind)
            if found is None:
                return None
            before = found
        elements = self._model.elements(before[1])
        if elements is None or before[1] in ("Resource", "DomainResource"):
            return (_cut(before[0]), "") if term.target is not None else None
        if before[1] in self._model.primitives:
            return _cut(before[0]), ""
        properties = elements.by_name.get(term.name)
        if properties is None:
            return None
        step = self._named(properties, before[1], term.name)
        kinds = {type_ for _, type_ in properties}
        return (step if term.target is None else _chained(before[0], step)), kinds.pop() if len(kinds) == 1 else ""

    def _named(self, properties: tuple[Property, ...], kind: str, name: str) -> Values:
        """Give the values of one element of an object; the usual forms at once, the others as the engine reads them."""
        model = self._model

        def as_engine(value: Json) -> list[Any]:
            nodes: Items = []
            named(Node(value, kind), name, model, nodes)
            return [_ONLY_EXTENSIONS if node.value is None else node.value for node in nodes]

        if len(properties) > 1:
            return as_engine
        key, type_ = properties[0]
        if type_ in model.primitives:
            sibling = "_" + key

            def primitive(value: Json) -> list[Any]:
                found = value.get(key)
                if type(found) in _PLAIN:
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


def _unsure(_: Json) -> Answer:
    return UNSURE


def _itself(value: Json) -> list[Any]:
    return [value]


def _chained(before: Values, step: Values) -> Values:
    def run(value: Json) -> list[Any] | None:
        found = before(value)
        if not found:
            return found
        reached: list[Any] = []
        for one in found:
            more = step(one)
            if more is None:
                return None
            reached += more
        return reached

    return run


def _cut(before: Values) -> Values:
    """Go no further: of nothing comes nothing, anything else is for the engine."""

    def run(value: Json) -> list[Any] | None:
        return [] if before(value) == [] else None

    return run


def _texts(term: Term) -> frozenset[str] | None:
    """Read `'a' | 'b'`."""
    if isinstance(term, Literal):
        return frozenset((term.value,)) if type(term.value) is str else None
    if isinstance(term, Binary) and term.operator == "|":
        left, right = _texts(term.left), _texts(term.right)
        return None if left is None or right is None else left | right
    return None


def _equals(values: Values, wanted: Any, *, same: bool) -> Claim:  # noqa: ANN401 - a literal
    sort = (str,) if type(wanted) is str else (bool,) if type(wanted) is bool else (int, Decimal)

    def run(value: Json) -> Answer:
        found = values(value)
        if found is None:
            return UNSURE
        if not found:
            return None
        if len(found) > 1:
            return not same
        one = found[0]
        return (one == wanted) is same if type(one) in sort else UNSURE

    return run


def _agree(left: Claim, right: Claim, *, same: bool) -> Claim:
    def run(value: Json) -> Answer:
        a, b = left(value), right(value)
        if a is UNSURE or b is UNSURE:
            return UNSURE
        return None if a is None or b is None else (a is b) is same

    return run


def _negated(inner: Claim) -> Claim:
    def run(value: Json) -> Answer:
        found = inner(value)
        return (not found) if found is True or found is False else found

    return run


def _has_value(values: Values) -> Claim:
    def run(value: Json) -> Answer:
        found = values(value)
        if found is None:
            return UNSURE
        return len(found) == 1 and found[0] is not _ONLY_EXTENSIONS

    return run


def _starts(values: Values, prefix: str) -> Claim:
    """Claim a prefix; a text that is not there has none, see `State`."""

    def run(value: Json) -> Answer:
        found = values(value)
        if found is None or (found and (len(found) > 1 or type(found[0]) is not str)):
            return UNSURE
        return bool(found) and found[0].startswith(prefix)

    return run


def _counted(values: Values) -> Callable[[Json], int | None]:
    def run(value: Json) -> int | None:
        found = values(value)
        return None if found is None else len(found)

    return run


def _sum(
    left: Callable[[Json], int | None], right: Callable[[Json], int | None]
) -> Callable[[Json], int | None]:
    def run(value: Json) -> int | None:
        a, b = left(value), right(value)
        return None if a is None or b is None else a + b

    return run


def _compare_counts(
    left: Callable[[Json], int | None], right: Callable[[Json], int | None], wanted: tuple[int, ...]
) -> Claim:
    def run(value: Json) -> Answer:
        a, b = left(value), right(value)
        return UNSURE if a is None or b is None else (a > b) - (a < b) in wanted

    return run


def _compare_dates(left: Values, right: Values, wanted: tuple[int, ...]) -> Claim:
    def run(value: Json) -> Answer:
        first, second = left(value), right(value)
        if first is None or second is None or len(first) > 1 or len(second) > 1:
            return UNSURE
        if not first or not second:
            return None
        a, b = first[0], second[0]
        if type(a) is not str or type(b) is not str or len(a) != len(b):
            return UNSURE
        one, other = _SORTABLE.fullmatch(a), _SORTABLE.fullmatch(b)
        if one is None or other is None or one[1] != other[1]:
            return UNSURE
        return (a > b) - (a < b) in wanted

    return run


def _and(left: Claim, right: Claim) -> Claim:
    def run(value: Json) -> Answer:
        a = left(value)
        if a is False:
            return False
        b = right(value)
        if a is UNSURE or b is UNSURE:
            return UNSURE
        return False if b is False else None if a is None or b is None else True

    return run


def _or(left: Claim, right: Claim) -> Claim:
    def run(value: Json) -> Answer:
        a = left(value)
        if a is True:
            return True
        b = right(value)
        if a is UNSURE or b is UNSURE:
            return UNSURE
        return True if b is True else None if a is None or b is None else False

    return run


def _implies(left: Claim, right: Claim) -> Claim:
    def run(value: Json) -> Answer:
        a = left(value)
        if a is False:
            return True
        b = right(value)
        if a is UNSURE or b is UNSURE:
            return UNSURE
        return True if b is True else None if a is None or b is None else False

    return run


def _xor(left: Claim, right: Claim) -> Claim:
    return _agree(left, right, same=False)


_LOGIC: Final[dict[str, Callable[[Claim, Claim], Claim]]] = {"and": _and, "or": _or, "implies": _implies, "xor": _xor}
_ORDER: Final = {"<": (-1,), ">": (1,), "<=": (-1, 0), ">=": (0, 1)}
