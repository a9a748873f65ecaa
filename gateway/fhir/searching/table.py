"""The table of search parameters: what each is called for a type, of what kind it is, and where its values stand."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final, TypeVar

Json = dict[str, Any]

ANY: Final = frozenset({"*"})
MODIFIERS: Final[dict[str, frozenset[str]]] = {
    "number": frozenset({"missing"}),
    "date": frozenset({"missing"}),
    "string": frozenset({"missing", "exact", "contains"}),
    "token": frozenset({"missing", "not", "text", "of-type", "in", "not-in", "above", "below"}),
    "reference": frozenset({"missing", "identifier"}),  # and the name of a type
    "composite": frozenset({"missing"}),
    "quantity": frozenset({"missing"}),
    "uri": frozenset({"missing", "above", "below"}),
    "special": frozenset({"missing"}),
}
_OF_CODES: Final = frozenset({"in", "not-in", "above", "below"})
_STEP: Final = re.compile(r"(?:[^.\[]|\[[^\]]*\])+")


@dataclass(frozen=True, slots=True)
class Step:
    """One element on the way to a value; `key` and `value` keep only those of which a property has that value."""

    name: str
    key: str = ""
    value: str = ""
    exists: bool = False


Path = tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Parameter:
    """One row of the table; `parts` are those of a composite."""

    name: str
    kind: str
    paths: tuple[Path, ...]
    targets: frozenset[str] = frozenset()
    systems: frozenset[str] = frozenset()
    parts: tuple[Parameter, ...] = ()

    @property
    def modifiers(self) -> frozenset[str]:
        """The modifiers it takes, beside the name of a type for a reference."""
        if self.name in ("_text", "_content"):
            return frozenset()
        if self.name == "phonetic":
            return MODIFIERS["special"]
        if self.kind != "token":
            return MODIFIERS[self.kind]
        identifies = any(path and path[-1].name.lower().endswith("identifier") for path in self.paths)
        if identifies:
            return MODIFIERS["token"] - _OF_CODES
        return MODIFIERS["token"] - ({"of-type"} | (_OF_CODES if self.name == "_id" else set()))

    def leads_to(self, type_: str) -> bool:
        """Claim that a reference can lead to this type."""
        return type_ in self.targets or self.targets == ANY

    def values(self, resource: Json) -> list[Any]:
        """Every value in a resource, in the order of the paths."""
        found: list[Any] = []
        for path in self.paths:
            _collect(resource, path, 0, found)
        if not found and self.paths[0] and self.paths[0][-1].exists:
            found.append(False)
        return found


V = TypeVar("V")


class _ByType(Mapping[str, V]):
    """Something of every type; the file is read when it is first asked for."""

    def __init__(self, of: Callable[[str], V]) -> None:
        self._of = of

    def __getitem__(self, type_: str) -> V:
        if type_ not in _types():
            raise KeyError(type_)
        return self._of(type_)

    def __iter__(self) -> Iterator[str]:
        return iter(_types())

    def __len__(self) -> int:
        return len(_types())


def parameters(type_: str) -> Mapping[str, Parameter]:
    """The parameters of a type; none for one that is not searched."""
    return _rows(type_) if type_ in _types() else {}


@cache
def _includes(type_: str) -> tuple[str, ...]:
    return tuple(f"{type_}:{name}" for name, row in parameters(type_).items() if row.kind == "reference")


@cache
def _revincludes(type_: str) -> tuple[str, ...]:
    return tuple(
        f"{source}:{name}"
        for source in _types()
        for name, row in parameters(source).items()
        if row.kind == "reference" and row.leads_to(type_)
    )


@cache
def _file() -> Json:
    return tomllib.loads(files("gateway.fhir").joinpath("parameters.toml").read_text("utf-8"))


@cache
def _types() -> tuple[str, ...]:
    return tuple(name for name in _file() if name not in ("common", "own"))


@cache
def _rows(type_: str) -> Mapping[str, Parameter]:
    tree = _file()
    rows = {**tree["common"], **tree[type_], **tree["own"].get(type_, {})}
    return {name: parsed(name, text) for name, text in rows.items()}


def parsed(name: str, text: str) -> Parameter:
    """One row of the file as a value."""
    kind, _, rest = text.partition(" ")
    if kind == "composite":
        places, *parts = (part.strip() for part in rest.split("$"))
        inside = tuple(parsed(f"{name}${number}", part) for number, part in enumerate(parts, 1))
        return Parameter(name, kind, _paths(places), parts=inside)
    rest, _, systems = rest.partition(" @ ")
    rest, _, targets = rest.partition(" > ")
    return Parameter(name, kind, _paths(rest), frozenset(targets.split()), frozenset(systems.split()))


def _paths(text: str) -> tuple[Path, ...]:
    return tuple(
        () if path.strip() == "." else tuple(_step(step) for step in _STEP.findall(path.strip()))
        for path in text.split("|")
    )


def _step(text: str) -> Step:
    bare, _, condition = text.rstrip("]").partition("[")
    key, _, value = condition.partition("=")
    return Step(bare.rstrip("?"), key, value, bare.endswith("?"))


def _collect(node: Any, path: Path, at: int, found: list[Any]) -> None:  # noqa: ANN401 - an element of a resource
    if node.__class__ is list:
        for element in node:
            _collect(element, path, at, found)
    elif at == len(path):
        found.append(node)
    elif node.__class__ is dict:
        step = path[at]
        child = node.get(step.name)
        if step.exists:
            if child is not None and child is not False:
                found.append(True)
        elif child is not None:
            if step.key:
                held = child if child.__class__ is list else [child]
                child = [one for one in held if one.__class__ is dict and one.get(step.key) == step.value]
            _collect(child, path, at + 1, found)


PARAMETERS: Final[Mapping[str, Mapping[str, Parameter]]] = _ByType(_rows)
# What `_include` can name of a type, and what `_revinclude` can name: the references of others that can lead to it.
INCLUDES: Final[Mapping[str, tuple[str, ...]]] = _ByType(_includes)
REVINCLUDES: Final[Mapping[str, tuple[str, ...]]] = _ByType(_revincludes)
