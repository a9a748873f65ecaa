"""What stands where in FHIR XML: for each type its elements in order, and the text form of each primitive."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Any, Final, Literal

from profiles.definitions import Member, definitions

Kind = Literal["primitive", "complex", "resource", "xhtml"]

FHIR: Final = "{http://hl7.org/fhir}"
XHTML_DIV: Final = "{http://www.w3.org/1999/xhtml}div"

_INTEGER: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,18})", re.ASCII)
_DECIMAL: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?", re.ASCII)
_BOOLEANS: Final = {"true": True, "false": False}
_LONGEST_INTEGER: Final = 19  # digits; a longer number is kept as a decimal
_SMALLEST_WRITTEN_OUT: Final = -40  # 0.00000001 stays so, a number with an exponent of thousands does not


@dataclass(frozen=True, slots=True, eq=False)
class Slot:
    """One property of a type: its place, its name in both forms, what it holds."""

    position: int
    name: str
    type: str
    kind: Kind
    many: bool


@dataclass(frozen=True, slots=True, eq=False)
class Form:
    """One type: its slots in order, found by JSON property and by XML tag; `attributes` are no elements in XML."""

    slots: tuple[Slot, ...]
    positions: dict[str, int]
    tags: dict[str, Slot]
    attributes: frozenset[str]
    is_resource: bool


@cache
def form(name: str) -> Form:
    """Give the form of a type."""
    type_ = definitions().types[name]
    members = [(member, element.attribute) for element in type_.elements for member in element.members]
    slots = tuple(
        Slot(n, member.name, member.type, "primitive" if is_attribute else _kind(member), member.many)
        for n, (member, is_attribute) in enumerate(members)
    )
    attributes = frozenset(member.name for member, is_attribute in members if is_attribute)
    positions = {slot.name: slot.position for slot in slots}
    positions |= {
        "_" + slot.name: slot.position for slot in slots if slot.kind == "primitive" and slot.name not in attributes
    }
    tags = {
        XHTML_DIV if slot.kind == "xhtml" else FHIR + slot.name: slot for slot in slots if slot.name not in attributes
    }
    return Form(slots, positions, tags, attributes, type_.is_resource)


def _kind(member: Member) -> Kind:
    if member.type == "Resource":
        return "resource"
    if member.type == "xhtml":
        return "xhtml"
    return "primitive" if member.type in definitions().primitives else "complex"


def value_of(text: str, type_: str) -> Any:  # noqa: ANN401 - JSON is any value
    """Read the text of a primitive; None when it is no text of that type."""
    shape = _shape(type_)
    if shape == "string":
        return text
    if shape == "boolean":
        return _BOOLEANS.get(text)
    if shape == "integer":
        return int(text) if _INTEGER.fullmatch(text) else None
    if not _DECIMAL.fullmatch(text):
        return None
    if len(text) <= _LONGEST_INTEGER and text.lstrip("-").isdigit() and text != "-0":
        return int(text)
    try:
        return Decimal(text)
    except ArithmeticError:  # an exponent beyond all bounds
        return None


def text_of(value: Any, type_: str) -> str | None:  # noqa: ANN401 - JSON is any value
    """Write a primitive as text, a number with its digits; None when the value is not of that type."""
    shape, kind = _shape(type_), type(value)
    if kind is str:
        return str(value) if shape == "string" else None
    if kind is bool:
        return ("true" if value else "false") if shape == "boolean" else None
    if shape not in ("decimal", "integer"):
        return None
    if kind is int:
        return str(value) if value.bit_length() <= 10_000 else None
    if kind is Decimal and value.is_finite():
        return _digits(value) if shape == "decimal" or value.as_tuple().exponent == 0 else None
    return None


def _digits(value: Decimal) -> str:
    exponent = value.as_tuple().exponent
    return f"{value:f}" if isinstance(exponent, int) and _SMALLEST_WRITTEN_OUT < exponent <= 0 else str(value)


@cache
def _shape(type_: str) -> str:
    return definitions().primitives[type_].json
