"""The parts of an expression as values: what the parser gives and the compiler reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant; nothing is the empty collection."""

    value: object | None
    position: int


@dataclass(frozen=True, slots=True)
class Name:
    """An element of `target`, or of the focus; at the start of a path it may be a type."""

    target: Term | None
    name: str
    position: int


@dataclass(frozen=True, slots=True)
class Call:
    """A function of `target`, or of the focus."""

    target: Term | None
    name: str
    arguments: tuple[Term, ...]
    position: int


@dataclass(frozen=True, slots=True)
class At:
    """The item at an index."""

    target: Term
    index: Term
    position: int


@dataclass(frozen=True, slots=True)
class Variable:
    """`$this`, `$index` or `$total`."""

    name: str
    position: int


@dataclass(frozen=True, slots=True)
class External:
    """A `%name` of the environment."""

    name: str
    position: int


@dataclass(frozen=True, slots=True)
class Unary:
    """A sign before a number."""

    operator: str
    operand: Term
    position: int


@dataclass(frozen=True, slots=True)
class Binary:
    """An operator between two terms."""

    operator: str
    left: Term
    right: Term
    position: int


@dataclass(frozen=True, slots=True)
class TypeTest:
    """`is` or `as` with a type."""

    operator: str
    operand: Term
    type: str
    position: int


Term = Literal | Name | Call | At | Variable | External | Unary | Binary | TypeTest


def qualified(term: Term) -> str | None:
    """Read a term as the name of a type, `Quantity` or `FHIR.Quantity`; nothing when it is no name."""
    if isinstance(term, Name):
        if term.target is None:
            return term.name
        first = qualified(term.target) if isinstance(term.target, Name) and term.target.target is None else None
        return None if first is None else f"{first}.{term.name}"
    return None


def is_constant(term: Term | None, *, inside: bool = False) -> bool:
    """Claim that a term gives the same wherever it stands: it starts from `%variables` and literals only.

    `inside` an argument that is evaluated per item, names and `$this` are bound to that item.
    """
    if term is None:
        return inside
    if isinstance(term, Literal | External):
        return True
    if isinstance(term, Name):
        return is_constant(term.target, inside=inside)
    if isinstance(term, Call):
        # A trace is heard as often as it is written.
        if term.name == "trace" or not is_constant(term.target, inside=inside):
            return False
        per_item = inside or term.name in _PER_ITEM
        return term.name in _TYPED or all(is_constant(argument, inside=per_item) for argument in term.arguments)
    if isinstance(term, Variable):
        return inside and term.name != "$total"
    return all(is_constant(part, inside=inside) for part in _parts(term))


_PER_ITEM: Final = frozenset(("where", "select", "all", "exists", "repeat"))
_TYPED: Final = frozenset(("is", "as", "ofType"))


def _parts(term: Term) -> tuple[Term, ...]:
    if isinstance(term, At):
        return (term.target, term.index)
    if isinstance(term, Unary | TypeTest):
        return (term.operand,)
    return (term.left, term.right) if isinstance(term, Binary) else ()
