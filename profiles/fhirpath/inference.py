"""What types an expression goes through, as far as the definitions say; and the elements they do not know."""

from __future__ import annotations

from typing import Final

from profiles.fhirpath.model import SYSTEM, Model
from profiles.fhirpath.syntax import (
    At,
    Binary,
    Call,
    Literal,
    Name,
    Term,
    TypeTest,
    Unary,
    Variable,
    qualified,
)

Types = frozenset[str] | None

_SAME: Final = frozenset(
    (
        "where", "first", "last", "tail", "skip", "take", "single", "distinct", "trace", "exclude", "intersect", "union",
        "combine",
    )
)  # fmt: skip
_PROJECTIONS: Final = frozenset(("select", "repeat"))


class Inference:
    """Walks one expression and collects `doubts`: elements that the definitions do not know there."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self.doubts: list[str] = []

    def types(self, term: Term, focus: Types, this: Types) -> Types:
        """Give the types a term can give; None where the definitions do not say."""
        if isinstance(term, Name):
            return self._name(term, focus, this)
        if isinstance(term, Call):
            return self._call(term, focus, this)
        if isinstance(term, TypeTest):
            self.types(term.operand, focus, this)
            return self._named(term.type) if term.operator == "as" else None
        if isinstance(term, Variable):
            return this if term.name == "$this" else None
        if isinstance(term, At):
            self.types(term.index, this, this)
            return self.types(term.target, focus, this)
        return self._parts(term, focus, this)

    def _parts(self, term: Term, focus: Types, this: Types) -> Types:
        if isinstance(term, Binary):
            left, right = self.types(term.left, focus, this), self.types(term.right, focus, this)
            return _either(left, right) if term.operator == "|" else None
        if isinstance(term, Unary):
            self.types(term.operand, focus, this)
        return frozenset() if isinstance(term, Literal) and term.value is None else None

    def _named(self, text: str) -> Types:
        name = text.removeprefix("FHIR.")
        known = self._model.knows(name) and name not in SYSTEM - {"Quantity"}
        return frozenset((name,)) if known else None

    def _name(self, term: Name, focus: Types, this: Types) -> Types:
        if term.target is None and term.name[0].isupper() and self._model.knows(term.name):
            return frozenset((term.name,))
        before = focus if term.target is None else self.types(term.target, focus, this)
        if before is None:
            return None
        found: set[str] = set()
        unknown = bool(before)
        for kind in before:
            elements = self._model.elements(kind)
            if elements is None or kind in ("Resource", "DomainResource"):
                return None
            properties = elements.by_name.get(term.name)
            unknown = unknown and properties is None
            found.update(type_ for _, type_ in properties or ())
        if unknown:
            self.doubts.append(f"{' | '.join(sorted(before))} has no element {term.name}")
        return None if "Resource" in found else frozenset(found)

    def _call(self, term: Call, focus: Types, this: Types) -> Types:
        target = focus if term.target is None else self.types(term.target, focus, this)
        if term.name in ("ofType", "as", "is"):
            return self._named(qualified(term.arguments[0]) or "") if term.name != "is" else None
        per_item = term.name in ("where", "select", "all", "exists", "repeat", "aggregate", "iif", "trace")
        inner = target if per_item else this
        if term.name == "repeat":
            inner = None  # what a projection gives is its own input again
        given = [self.types(argument, inner, inner) for argument in term.arguments]
        if term.name == "extension":
            return frozenset(("Extension",))
        if term.name in _SAME:
            return _either(target, given[0]) if term.name in ("union", "combine") else target
        if term.name in _PROJECTIONS:
            return given[0]
        return _either(given[1], given[2]) if term.name == "iif" and len(given) == 3 else None


def _either(one: Types, other: Types) -> Types:
    return None if one is None or other is None else one | other
