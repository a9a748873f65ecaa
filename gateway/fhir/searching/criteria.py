"""What one parameter asks of a resource, compiled: its values, its modifiers, and the ways it goes over other resources."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from consent.categories import categories_of_type
from gateway.errors import Invalid
from gateway.fhir.searching import aliases, moments, numbers, places, references, sounds, texts, tokens, valuesets
from gateway.fhir.searching.escaping import plain, split
from gateway.fhir.searching.records import Records
from gateway.fhir.searching.references import ReferenceTest
from gateway.fhir.searching.table import PARAMETERS, Json, Parameter, parameters
from gateway.model import Item

Test = Callable[[Item, Records], bool]

DEEPEST: Final = 5  # steps over other resources
_MOST_VALUES: Final = 200
_TYPED: Final = frozenset({"reference"})


@dataclass(slots=True)
class Reach:
    """The other types a search goes over: those it names, and those it may come by."""

    named: set[str] = field(default_factory=set)
    possible: set[str] = field(default_factory=set)


class Unknown(Exception):
    """A parameter, or a modifier of one, that is not known; `type` is the one that does not know it."""

    def __init__(self, name: str, type_: str) -> None:
        super().__init__(name)
        self.name = name
        self.type = type_


def compiled(type_: str, name: str, value: str, reach: Reach, depth: int = 0) -> Test:
    """What `name=value` asks of an item of a type.

    Raises:
        Unknown: the parameter or modifier is not known.
        Invalid: `invalid-parameter`.
    """
    if depth > DEEPEST:
        raise Invalid("invalid-parameter", name=printable(name), why=f"go over at most {DEEPEST} other resources")
    if name.startswith("_has:"):
        return _reverse(type_, name, value, reach, depth)
    known = parameters(type_)
    if name.partition(":")[0] not in known:
        name = aliases.parameter(type_, name)
    bare, _, modifier = name.partition(":")
    if "." in name and not ("." in bare and bare in known):
        return _chained(type_, name, value, reach, depth)
    parameter = known.get(bare)
    if parameter is None:
        raise Unknown(name, type_)
    target = modifier if parameter.kind in _TYPED and modifier[:1].isupper() else ""
    if target and not (parameter.leads_to(target) and target in PARAMETERS):
        raise Unknown(name, type_)
    if modifier and not target and modifier not in parameter.modifiers:
        raise Unknown(name, type_)
    return _filter(type_, parameter, target or modifier, value)


def _filter(type_: str, parameter: Parameter, modifier: str, value: str) -> Test:
    if modifier == "missing":
        return _missing(parameter, value)
    if parameter.name in ("_text", "_content"):
        return _in_words(parameter.name, value)
    alternatives = [one for one in split(value, ",") if one]
    if not alternatives or len(alternatives) > _MOST_VALUES:
        raise Invalid("invalid-parameter", name=printable(parameter.name), why=f"give one to {_MOST_VALUES} values")
    if parameter.kind == "composite":
        return _composite(parameter, alternatives)
    if parameter.kind in ("token", "uri") and modifier in ("", "not"):
        also = [more for one in alternatives for more in aliases.codes(type_, parameter.name, one)]
        alternatives += [one for one in also if one != aliases.NOTHING]
        without = aliases.NOTHING in also
    else:
        without = False
    tests = [_value_test(parameter, modifier, one) for one in alternatives]
    values = parameter.values

    def test(item: Item, records: Records) -> bool:
        held = values(item.resource)
        return any(one(found, records) for found in held for one in tests) or (without and not held)

    return (lambda item, records: not test(item, records)) if modifier in ("not", "not-in") else test


def _value_test(parameter: Parameter, modifier: str, text: str) -> ReferenceTest:
    """What one of the alternatives asks of one value."""
    if parameter.kind == "reference":
        if modifier == "identifier":
            return references.build_identifier(parameter, text)
        return references.build(parameter, modifier, text)
    if parameter.kind == "date":
        moment = moments.build(parameter.name, plain(text))
        return lambda value, records: moment(value, records.now)
    plain_test = _plain_test(parameter, modifier, text)
    return lambda value, _: plain_test(value)


def _plain_test(parameter: Parameter, modifier: str, text: str) -> Callable[[Any], bool]:
    match parameter.kind:
        case "token":
            return _token_test(parameter, modifier, text)
        case "string" if parameter.name == "phonetic":
            return sounds.build(parameter.name, text)
        case "string":
            return texts.build(parameter.name, modifier, text)
        case "quantity":
            return numbers.build_quantity(parameter.name, text)
        case "number":
            return numbers.build_number(parameter.name, plain(text))
        case "special":
            return places.build(parameter.name, text)
        case _:
            return texts.build_uri(modifier, text)


def _token_test(parameter: Parameter, modifier: str, text: str) -> Callable[[Any], bool]:
    match modifier:
        case "text":
            return tokens.build_text(parameter.name, text)
        case "of-type":
            return tokens.build_of_type(parameter.name, text)
        case "in" | "not-in":
            return valuesets.build_in(parameter, modifier, text)
        case "above" | "below":
            return valuesets.build_place(parameter, modifier, text)
        case _:
            return tokens.build(parameter, text)


def _missing(parameter: Parameter, value: str) -> Test:
    if value not in ("true", "false"):
        raise Invalid("invalid-parameter", name=f"{parameter.name}:missing", why="give true or false")
    wanted = value == "true"
    return lambda item, _: (not parameter.values(item.resource)) is wanted


def _in_words(name: str, value: str) -> Test:
    words = plain(value)
    if not words.strip():
        raise Invalid("invalid-parameter", name=name, why="give words")
    read = texts.narrative if name == "_text" else texts.content
    return lambda item, _: texts.contains(words, read(item.resource))


def _composite(parameter: Parameter, alternatives: list[str]) -> Test:
    """Parts that must hold for the same place of a resource. Spec: FHIR R4 3.1.1.4.15 'composite'."""
    rows: list[list[tuple[Parameter, ReferenceTest]]] = []
    for one in alternatives:
        texts_ = split(one, "$")
        if len(texts_) != len(parameter.parts) or not all(texts_):
            why = f"give {len(parameter.parts)} values joined by $"
            raise Invalid("invalid-parameter", name=parameter.name, why=why)
        rows.append([(part, _value_test(part, "", text)) for part, text in zip(parameter.parts, texts_, strict=True)])

    def holds(place: Json, row: list[tuple[Parameter, ReferenceTest]], records: Records) -> bool:
        return all(any(test(value, records) for value in part.values(place)) for part, test in row)

    def test(item: Item, records: Records) -> bool:
        return any(holds(place, row, records) for place in parameter.values(item.resource) for row in rows)

    return test


def _chained(type_: str, name: str, value: str, reach: Reach, depth: int) -> Test:
    """A parameter of what a reference leads to. Spec: FHIR R4 3.1.1.4.16 'Chained parameters'."""
    head, _, rest = name.partition(".")
    bare, _, wanted = head.partition(":")
    parameter = parameters(type_).get(bare)
    if parameter is None or parameter.kind != "reference" or (wanted and not parameter.leads_to(wanted)):
        raise Unknown(name, type_)
    candidates = (wanted,) if wanted else tuple(sorted(parameter.targets))
    candidates = tuple(one for one in candidates if one == "*" or categories_of_type(one))  # of no category: of nobody
    if candidates == ("*",):
        why = f"it can lead anywhere: name the type, as {bare}:Observation.{printable(rest)}"
        raise Invalid("invalid-parameter", name=printable(name), why=why)
    tests: dict[str, Test] = {}
    for target in candidates:
        inner = Reach()
        try:
            tests[target] = compiled(target, rest, value, inner, depth + 1)
        except Unknown:
            continue
        reach.possible |= inner.possible | inner.named | {target}
        if len(candidates) == 1:
            reach.named |= inner.named | {target}
    if not tests:
        raise Unknown(name, type_)
    return _over(parameter, tests, _logical(rest, value))


def _logical(rest: str, value: str) -> Callable[[Any], bool] | None:
    """A chain to an identifier also holds for a reference that carries the identifier itself."""
    if rest != "identifier":
        return None
    tests = [tokens.build(_IDENTIFIER, one) for one in split(value, ",") if one]
    return lambda found: found.__class__ is dict and any(test(found.get("identifier")) for test in tests)


def _over(parameter: Parameter, tests: Mapping[str, Test], logical: Callable[[Any], bool] | None) -> Test:
    def test(item: Item, records: Records) -> bool:
        for value in parameter.values(item.resource):
            text = value.get("reference") if value.__class__ is dict else value
            found = records.find(text) if text.__class__ is str else None
            if found is None:
                if logical is not None and logical(value):
                    return True
                records.unresolved += 1
            elif found.type in tests and tests[found.type](found, records):
                return True
        return False

    return test


def _reverse(type_: str, name: str, value: str, reach: Reach, depth: int) -> Test:
    """Items that others refer to. Spec: FHIR R4 3.1.1.4.17 'Reverse Chaining'."""
    _, source, by, rest = (*name.split(":", 3), "", "", "")[:4]
    parameter = parameters(source).get(by)
    if parameter is None or parameter.kind != "reference" or not parameter.leads_to(type_) or not rest:
        raise Unknown(name, type_)
    if not categories_of_type(source):  # of no category: of nobody
        raise Unknown(name, type_)
    reach.named.add(source)
    inner = compiled(source, rest, value, reach, depth + 1)

    def test(item: Item, records: Records) -> bool:
        return any(inner(other, records) for other in records.referring(source, parameter, item))

    return test


def printable(name: str) -> str:
    """A name of a parameter as it may be repeated to who sent it."""
    return re.sub(r"[^A-Za-z0-9_:.=\-]", "?", name)[:60]


_IDENTIFIER: Final = Parameter("identifier", "token", ())
