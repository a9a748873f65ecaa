"""The instances of one element of a type in an object of JSON: value, what stands in its underscore twin, place and type."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from profiles.definitions import Element, Member, definitions
from profiles.exact import Json
from profiles.walk import Path

# value, the object of `_name` beside it, where it is, its type.
Instance = tuple[Any, "Json | None", Path, str]
Reader = Callable[[Json, Path], list[Instance]]

# Types that are a profile of a type carry the name of the type in JSON and in profiles.
CODES: Final = {"SimpleQuantity": "Quantity", "MoneyQuantity": "Quantity"}


def element_of(owner: str, name: str) -> Element | None:
    """Give the element of a type by its name, with or without [x]."""
    wanted = name.removesuffix("[x]")
    kind = definitions().types.get(owner)
    return next((element for element in kind.elements if element.name == wanted), None) if kind else None


def reader(element: Element) -> Reader:
    """Give what finds the instances of an element in an object of its type."""
    if len(element.members) > 1:
        return _choice(element.members)
    member = element.members[0]
    primitive = member.type in definitions().primitives
    if member.type == "Resource":
        return _resources(member)
    if primitive:
        return _primitives(member) if member.many else _choice(element.members)
    return _objects(member) if member.many else _object(member)


def _object(member: Member) -> Reader:
    name, step, kind = member.name, "." + member.expression, member.type

    def read(owner: Json, at: Path) -> list[Instance]:
        return [(owner[name], None, (at, step), kind)] if name in owner else []

    return read


def _objects(member: Member) -> Reader:
    name, step, kind = member.name, "." + member.expression, member.type

    def read(owner: Json, at: Path) -> list[Instance]:
        if name not in owner:
            return []
        here: Path = (at, step)
        return [(value, None, (here, n), kind) for n, value in enumerate(owner[name])]

    return read


def _resources(member: Member) -> Reader:
    name, step = member.name, "." + member.expression

    def read(owner: Json, at: Path) -> list[Instance]:
        found = owner.get(name, ())
        here: Path = (at, step)
        if type(found) is dict:
            return [(found, None, here, found["resourceType"])]
        return [(value, None, (here, n), value["resourceType"]) for n, value in enumerate(found)]

    return read


def _primitives(member: Member) -> Reader:
    name, beside, step, kind = member.name, "_" + member.name, "." + member.expression, member.type

    def read(owner: Json, at: Path) -> list[Instance]:
        values, extras = owner.get(name, ()), owner.get(beside, ())
        here: Path = (at, step)
        return [
            (values[n] if n < len(values) else None, extras[n] if n < len(extras) else None, (here, n), kind)
            for n in range(max(len(values), len(extras)))
        ]

    return read


def _choice(members: tuple[Member, ...]) -> Reader:
    rows = [
        (m.name, "_" + m.name if m.type in definitions().primitives else "", "." + m.expression, m.type)
        for m in members
    ]

    def read(owner: Json, at: Path) -> list[Instance]:
        for name, beside, step, kind in rows:
            if name in owner:
                return [(owner[name], owner.get(beside) if beside else None, (at, step), kind)]
            if beside and beside in owner:
                return [(None, owner[beside], (at, step), kind)]
        return []

    return read
