"""When two collections are equal, equivalent or in order, and how they are made distinct."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final

from profiles.fhirpath.errors import EvaluationError
from profiles.fhirpath.model import Model
from profiles.fhirpath.node import Item, Items, Node, children, named, system
from profiles.fhirpath.quantity import Quantity, converted, in_same_unit, is_same
from profiles.fhirpath.state import State
from profiles.fhirpath.temporal import Temporal, compare

_HASHED: Final = frozenset((str, bool, int, Decimal))


def single(items: Items) -> Item:
    """Give the one item; None for none.

    Raises:
        EvaluationError: there are more.
    """
    if not items:
        return None
    if len(items) > 1:
        message = "one item is needed here and there are more"
        raise EvaluationError(message)
    return items[0]


def truth(items: Items) -> bool | None:
    """Read a collection as yes, no or unknown; one item that is no boolean counts as yes.

    Spec: FHIRPath N1 4.5 'Singleton evaluation of collections'.
    """
    if not items:
        return None
    item = system(single(items))
    return item if item is True or item is False or item is None else True


def equal(one: Items, other: Items, x: State) -> bool | None:
    """Say whether two collections are equal, in order.

    Spec: FHIRPath N1 6.1.1 '='.
    """
    if not one or not other:
        return None
    if len(one) != len(other):
        return False
    x.spend(len(one))
    unknown = False
    for a, b in zip(one, other, strict=True):
        same = equal_items(a, b, x)
        if same is False:
            return False
        unknown = unknown or same is None
    return None if unknown else True


def equal_items(one: Item, other: Item, x: State) -> bool | None:
    """Say whether two items are equal."""
    a, b = system(one), system(other)
    of_a, of_b = type(a), type(b)
    if of_a is of_b:
        if of_a is Temporal:
            return _same_moment(a, b)
        if of_a is Quantity:
            return is_same(a, b)
        if of_a is Node:
            return _equal_nodes(a, b, x)
        return None if a is None else bool(a == b)
    if a is None or b is None:
        return None
    if (of_a is int and of_b is Decimal) or (of_a is Decimal and of_b is int):
        return bool(a == b)
    if of_a is Quantity and (of_b is int or of_b is Decimal):
        return is_same(a, Quantity(Decimal(b)))
    if of_b is Quantity and (of_a is int or of_a is Decimal):
        return is_same(Quantity(Decimal(a)), b)
    return False


def _same_moment(one: Temporal, other: Temporal) -> bool | None:
    if (one.kind == "Time") != (other.kind == "Time"):
        return False
    order = compare(one, other)
    return None if order is None else order == 0


def _equal_nodes(one: Node, other: Node, x: State) -> bool | None:
    if one.value == other.value and one.extra == other.extra:
        return True
    first, second = one.value, other.value
    if type(first) is not dict or type(second) is not dict:
        return False
    names = _names(one, x.model)
    if names != _names(other, x.model):
        return False
    for name in names:
        a: Items = []
        b: Items = []
        named(one, name, x.model, a)
        named(other, name, x.model, b)
        if equal(a, b, x) is not True:
            # Deep inside, what cannot be known is not equal, as for whole resources only a yes or no is of use.
            return False
    return True


def _names(node: Node, model: Model) -> list[str]:
    elements = model.elements(node.type)
    if elements is None:
        return sorted({key.removeprefix("_") for key in node.value})
    present = {key.removeprefix("_") for key in node.value}
    return sorted(name for name, properties in elements.by_name.items() if any(key in present for key, _ in properties))


def equivalent(one: Items, other: Items, x: State) -> bool:
    """Say whether two collections are equivalent, in any order.

    Spec: FHIRPath N1 6.1.2 '~'.
    """
    if len(one) != len(other):
        return False
    x.spend(len(one) * len(other))
    left = list(other)
    for item in one:
        for place, candidate in enumerate(left):
            if _equivalent_items(item, candidate, x):
                del left[place]
                break
        else:
            return False
    return True


def _equivalent_items(one: Item, other: Item, x: State) -> bool:
    if type(one) is Node and type(other) is Node and one == other:
        return True
    a, b = system(one), system(other)
    if type(a) is str and type(b) is str:
        return " ".join(a.lower().split()) == " ".join(b.lower().split())
    if _is_number(a) and _is_number(b):
        return _roughly(Decimal(a), Decimal(b))
    if type(a) is Quantity or type(b) is Quantity:
        return _equivalent_quantities(a, b)
    if type(a) is Node and type(b) is Node:
        return _equivalent_nodes(a, b, x)
    return equal_items(a, b, x) is True


def _is_number(value: Item) -> bool:
    return type(value) is int or type(value) is Decimal


def _equivalent_quantities(one: Item, other: Item) -> bool:
    a = Quantity(Decimal(one)) if _is_number(one) else one
    b = Quantity(Decimal(other)) if _is_number(other) else other
    if type(a) is not Quantity or type(b) is not Quantity:
        return False
    a, b = _definite(a), _definite(b)
    if a.system or b.system:
        return (a.unit, a.system) == (b.unit, b.system) and _roughly(a.value, b.value)
    same = converted(b, a.unit)
    return same is not None and _roughly(a.value, same.value)


def _definite(value: Quantity) -> Quantity:
    """Read a calendar duration as the UCUM one it is equivalent to."""
    codes = {"year": "a", "month": "mo", "week": "wk", "day": "d", "hour": "h", "minute": "min", "second": "s",
             "millisecond": "ms"}  # fmt: skip
    return Quantity(value.value, codes[value.unit]) if value.calendar else value


def _roughly(one: Decimal, other: Decimal) -> bool:
    """Compare two numbers at the precision of the least precise, not counting trailing zeros."""
    a, b = one.normalize(), other.normalize()
    exponent = min(0, max(int(a.as_tuple().exponent), int(b.as_tuple().exponent)))
    at = Decimal(1).scaleb(exponent)
    try:
        return a.quantize(at, rounding=ROUND_HALF_UP) == b.quantize(at, rounding=ROUND_HALF_UP)
    except ArithmeticError:
        return a == b


def _equivalent_nodes(one: Node, other: Node, x: State) -> bool:
    first: Items = []
    second: Items = []
    if type(one.value) is not dict or type(other.value) is not dict:
        return bool(one.value == other.value)
    children(one, x.model, first)
    children(other, x.model, second)
    names = set(_names(one, x.model)) - {"id"}
    if names != set(_names(other, x.model)) - {"id"}:
        return False
    for name in sorted(names):
        a: Items = []
        b: Items = []
        named(one, name, x.model, a)
        named(other, name, x.model, b)
        if not equivalent(a, b, x):
            return False
    return True


def order(one: Items, other: Items) -> int | None:
    """Say whether the one item comes before (-1), with (0) or after (1) the other; nothing when unknown.

    Raises:
        EvaluationError: more than one item, or kinds that have no order between them.

    Spec: FHIRPath N1 6.2 'Comparison'.
    """
    a, b = system(single(one)), system(single(other))
    if a is None or b is None:
        return None
    if type(a) is str and type(b) is str:
        return (a > b) - (a < b)
    if _is_number(a) and _is_number(b):
        return int(a > b) - int(a < b)
    if type(a) is Temporal and type(b) is Temporal and (a.kind == "Time") == (b.kind == "Time"):
        return compare(a, b)
    first = Quantity(Decimal(a)) if _is_number(a) else a
    second = Quantity(Decimal(b)) if _is_number(b) else b
    if type(first) is Quantity and type(second) is Quantity:
        numbers = in_same_unit(first, second)
        return None if numbers is None else (numbers[0] > numbers[1]) - (numbers[0] < numbers[1])
    if (type(first) is Node and first.type == "Quantity") or (type(second) is Node and second.type == "Quantity"):
        # A quantity with a comparator or without a value has no known place.
        return None
    message = "these two cannot be compared"
    raise EvaluationError(message)


class Distinct:
    """A collection in which no two items are equal, in the order they came."""

    __slots__ = ("_buckets", "_keys", "_x", "items")

    def __init__(self, x: State) -> None:
        self.items: Items = []
        self._keys: set[Any] = set()
        self._buckets: dict[Any, Items] = {}
        self._x = x

    def add(self, item: Item) -> bool:
        """Add an item unless an equal one is there; say whether it was added."""
        value = system(item)
        of = type(value)
        if of in _HASHED:
            # True and 1 are one key to Python and two values here.
            key = (of is bool, value)
            if key in self._keys:
                return False
            self._keys.add(key)
        else:
            bucket = self._buckets.setdefault(self._mark(value), [])
            if self._is_in(value, bucket):
                return False
            bucket.append(value)
        self.items.append(item)
        return True

    def holds(self, item: Item) -> bool:
        """Claim that an equal item is there."""
        value = system(item)
        of = type(value)
        if of in _HASHED and (of is bool, value) in self._keys:
            return True
        return self._is_in(value, self._buckets.get(self._mark(value), ()))

    def _is_in(self, value: Item, bucket: Sequence[Item]) -> bool:
        self._x.spend(len(bucket) + 1)
        return any(equal_items(value, other, self._x) is True for other in bucket)

    def _mark(self, value: Item) -> Any:  # noqa: ANN401 - any key of a dict
        """Give what equal values have in common, so that few need to be compared.

        A text with a colon may be a moment that another text writes as well; a number may equal a quantity.
        """
        if type(value) is not Node or type(value.value) is not dict or value.type == "Quantity":
            return None
        elements = self._x.model.elements(value.type)
        names = value.value if elements is None else elements.by_name
        return tuple(
            sorted(
                (key, text)
                for key, text in value.value.items()
                if type(text) is str and ":" not in text and key in names
            )
        )


def distinct(items: Items, x: State) -> Distinct:
    """Make a collection distinct."""
    found = Distinct(x)
    x.spend(len(items))
    for item in items:
        found.add(item)
    return found
