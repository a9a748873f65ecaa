"""One element of a resource as FHIRPath sees it: its JSON value, its type, and for a primitive its id and extensions."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from profiles.exact import Json
from profiles.fhirpath.model import Model
from profiles.fhirpath.quantity import CALENDAR, UCUM, Quantity
from profiles.fhirpath.temporal import Temporal, date_time, day, time

_TEMPORAL: Final = {"date": day, "dateTime": date_time, "instant": date_time, "time": time}
_QUANTITIES: Final = frozenset(("Quantity", "Age", "Count", "Distance", "Duration", "SimpleQuantity", "MoneyQuantity"))
_YEARS_AND_MONTHS: Final = {"a": "year", "mo": "month"}

Item = Any  # a Node or a System value: str, bool, int, Decimal, Temporal, Quantity
Items = list[Any]


class Node:
    """One element: `value` is its JSON (None for a primitive with only extensions), `extra` the JSON of its `_` sibling.

    A result that is no element of a resource has a type that starts with `System.`.
    """

    __slots__ = ("extra", "type", "value")

    def __init__(self, value: Any, type: str, extra: Json | None = None) -> None:  # noqa: A002, ANN401 - JSON; the word of FHIR
        self.value = value
        self.type = type
        self.extra = extra

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Node):
            return NotImplemented
        return (self.value, self.type, self.extra) == (other.value, other.type, other.extra)

    # JSON has no hash.
    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        # No content: a node may end in a traceback.
        return f"Node({self.type})"


def node_of(value: Any, kind: str, model: Model) -> Node:  # noqa: ANN401 - JSON is any value
    """Make a JSON value of a declared type a node; a resource says itself what it is."""
    if type(value) is dict:
        named = value.get("resourceType")
        if type(named) is str and named in model.resources:
            return Node(value, named)
    return Node(value, kind)


def named(node: Node, name: str, model: Model, out: Items) -> None:
    """Add the children of a node that have a name to `out`."""
    value, elements = node.value, model.elements(node.type)
    if elements is None:
        _untyped(node, name, model, out)
        return
    if type(value) is not dict:
        _of_primitive(node, name, out)
        return
    properties = elements.by_name.get(name)
    if properties is None:
        return
    if len(properties) > 1:
        # Few properties are there, many could be.
        choice = elements.choices[name]
        properties = tuple((key, choice[key]) for key in _bare(value) if key in choice)
    primitives = model.primitives
    for key, kind in properties:
        if kind in primitives:
            sibling = value.get("_" + key)
            found = value.get(key)
            if found is not None or sibling is not None:
                _primitives(found, sibling, kind, out)
        else:
            found = value.get(key)
            if found is not None:
                _complexes(found, kind, model, out)


def _bare(value: Json) -> list[str]:
    keys = {key.removeprefix("_"): None for key in value if type(key) is str}
    return list(keys)


def _of_primitive(node: Node, name: str, out: Items) -> None:
    extra = node.extra
    if type(extra) is not dict:
        return
    if name == "extension":
        found = extra.get("extension")
        if type(found) is list:
            out.extend([Node(item, "Extension") for item in found if type(item) is dict])
    elif name == "id" and type(extra.get("id")) is str:
        out.append(Node(extra["id"], "string"))


def _primitives(found: Any, sibling: Any, kind: str, out: Items) -> None:  # noqa: ANN401 - JSON is any value
    if type(found) is not list and type(sibling) is not list:
        extra = sibling if type(sibling) is dict else None
        if type(found) is dict:
            found = None
        if found is not None or extra is not None:
            out.append(Node(found, kind, extra))
        return
    values = found if type(found) is list else []
    extras = sibling if type(sibling) is list else []
    for place in range(max(len(values), len(extras))):
        value = values[place] if place < len(values) else None
        extra = extras[place] if place < len(extras) else None
        if type(value) is dict or type(value) is list:
            value = None
        if type(extra) is not dict:
            extra = None
        if value is not None or extra is not None:
            out.append(Node(value, kind, extra))


def _complexes(found: Any, kind: str, model: Model, out: Items) -> None:  # noqa: ANN401 - JSON is any value
    values = found if type(found) is list else (found,)
    if kind == "Resource":
        out.extend([node_of(value, kind, model) for value in values if type(value) is dict])
    else:
        out.extend([Node(value, kind) for value in values if type(value) is dict])


def _untyped(node: Node, name: str, model: Model, out: Items) -> None:
    """Read an element of something the definitions do not know by its JSON property alone."""
    value = node.value
    if type(value) is not dict:
        _of_primitive(node, name, out)
        return
    for key in (name, *(key for key in _bare(value) if _is_choice(key, name, model))):
        found, sibling = value.get(key), value.get("_" + key)
        kind = "" if key == name else _suffix_type(key[len(name) :], model)
        for item in found if type(found) is list else (found,):
            if item is not None:
                extra = sibling if type(sibling) is dict else None
                out.append(node_of(item, kind, model) if type(item) is dict else Node(item, kind, extra))


def _is_choice(key: str, name: str, model: Model) -> bool:
    return len(key) > len(name) and key.startswith(name) and bool(_suffix_type(key[len(name) :], model))


def _suffix_type(suffix: str, model: Model) -> str:
    if not suffix[0].isupper():
        return ""
    small = suffix[0].lower() + suffix[1:]
    return small if small in model.primitives else suffix if model.knows(suffix) else ""


def children(node: Node, model: Model, out: Items) -> None:
    """Add all children of a node to `out`, in the order of the JSON."""
    value = node.value
    if type(value) is not dict:
        _of_primitive(node, "id", out)
        _of_primitive(node, "extension", out)
        return
    elements = model.elements(node.type)
    for key in _bare(value):
        if key == "resourceType":
            continue
        kind = elements.properties.get(key) if elements is not None else ""
        if kind is None:
            continue
        if kind == "":
            _untyped(node, key, model, out)
        elif kind in model.primitives:
            _primitives(value.get(key), value.get("_" + key), kind, out)
        elif value.get(key) is not None:
            _complexes(value[key], kind, model, out)


def system(item: Item) -> Item:
    """Give the System value of a primitive or a quantity; anything else stays what it is.

    A primitive without a value gives None.

    Spec: FHIR R4 fhirpath.html, 'Using FHIR types in expressions'.
    """
    if type(item) is not Node:
        return item
    value, kind = item.value, item.type
    of = type(value)
    if of is str:
        reader = _TEMPORAL.get(kind)
        if reader is None:
            return value
        found = reader(value)
        return value if found is None else found
    if of is int:
        return Decimal(value) if kind == "decimal" else value
    if of is dict:
        if kind in _QUANTITIES:
            found_quantity = quantity(value)
            return item if found_quantity is None else found_quantity
        return item
    if of is float:
        return Decimal(repr(value))
    return item if of is list else value


def quantity(value: Json) -> Quantity | None:
    """Read a FHIR Quantity; nothing for one without a value, with a comparator, or with a value that is no number.

    Spec: FHIR R4 fhirpath.html: UCUM 'a' and 'mo' map to calendar years and months.
    """
    number, unit, code, namespace = (value.get(name) for name in ("value", "unit", "code", "system"))
    if (type(number) is not int and type(number) is not Decimal) or value.get("comparator") is not None:
        return None
    number = Decimal(number)
    if not number.is_finite():
        return None
    if namespace == UCUM and type(code) is str:
        word = _YEARS_AND_MONTHS.get(code)
        return Quantity(number, code) if word is None else Quantity(number, word, calendar=True)
    label = code if type(code) is str else unit if type(unit) is str else "1"
    if type(namespace) is str:
        return Quantity(number, label, system=namespace)
    return Quantity(number, CALENDAR[label], calendar=True) if label in CALENDAR else Quantity(number, label)


def system_type(value: Item) -> str:
    """Name the System type of a value that is no element."""
    of = type(value)
    if of is Temporal:
        return str(value.kind)
    return _SYSTEM_TYPES.get(of, "Any")


_SYSTEM_TYPES: Final[dict[type, str]] = {
    str: "String", bool: "Boolean", int: "Integer", Decimal: "Decimal", Quantity: "Quantity",
}  # fmt: skip
