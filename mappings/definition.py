"""Read a map file into checked lines: where each target element comes from, how, when and on whose word."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

_STEP: Final = re.compile(r"([A-Za-z_]\w*(?:\[x\])?|\d+|\^)(?:\(([^)]*)\))?(?:[.\-]|\Z)")
_WORDS: Final = frozenset(
    {"from", "type", "with", "concept", "when", "value", "elements", "link", "default", "spec", "arguments"}
)
_COMPARISON: Final = re.compile(r"(not )?(several )?(\S+)(?:\s+(!=|=|in|contains)\s+(.+))?\Z")


class MapError(ValueError):
    """A map file is not well formed; the text names the map, the line and the rule."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a source path: a child by name, and which of its repetitions count."""

    name: str
    filter_key: str = ""
    filter_value: str = ""


@dataclass(frozen=True, slots=True)
class Path:
    """A place in the source, seen from the node a line stands at, or from the root."""

    steps: tuple[Step, ...]
    rooted: bool = False


@dataclass(frozen=True, slots=True)
class Condition:
    """A claim about the source: something is there, or has one of some values."""

    path: Path
    values: tuple[str, ...] = ()  # empty: it is enough that something is there
    negated: bool = False
    part: bool = False  # the value need only contain one of them
    several: bool = False  # one is not enough


@dataclass(frozen=True, slots=True)
class Line:
    """One element of the target."""

    target: str
    sources: tuple[Path, ...] = ()
    types: tuple[str, ...] = ()
    many: bool = False
    transform: str = ""
    arguments: Any = None
    concept: str = ""
    when: tuple[Condition, ...] = ()
    value: Any = None
    default: Any = None
    elements: tuple[Line, ...] = ()
    link: str = ""
    spec: str = ""

    @property
    def is_choice(self) -> bool:
        """Claim that the target element has one of several types."""
        return self.target.endswith("[x]")


@dataclass(frozen=True, slots=True)
class Definition:
    """One map: which source nodes it takes and the lines that make the target resource."""

    name: str
    version: str
    source: str
    target: str
    when: tuple[Condition, ...]
    lines: tuple[Line, ...]
    key: tuple[Path, ...]
    profile: str
    ignored: dict[str, str]
    after: tuple[str, ...]
    requires: tuple[str, ...]  # without these target elements the resource says nothing and is not made
    spec: str
    refused: tuple[tuple[tuple[Condition, ...], str], ...] = ()  # what the target cannot say safely, and why


def path(text: str) -> Path:
    """Read "PID-3.1", "code.coding", "extension(http://x).value" or, from the root, "/MSH-7".

    Raises:
        MapError: not a path.
    """
    rooted = text.startswith("/")
    rest, steps, position = text.removeprefix("/"), [], 0
    if rest == ".":
        return Path((), rooted)
    while position < len(rest):
        match = _STEP.match(rest, position)
        if match is None:
            message = f"not a path: {text!r}"
            raise MapError(message)
        key, _, value = (
            (match[2] or "").rpartition("=") if not (match[2] or "").startswith("http") else ("", "", match[2])
        )
        steps.append(Step(match[1], key or ("url" if value else ""), value))
        position = match.end()
    return Path(tuple(steps), rooted)


def conditions(value: Any) -> tuple[Condition, ...]:  # noqa: ANN401 - a YAML value
    """Read one condition or a list that must all hold: "a.b", "not a.b", "a = x", "a in x, y", "a != x", "a contains x", "several a".

    Raises:
        MapError: not a condition.
    """
    if value is None:
        return ()
    return tuple(_condition(text) for text in (value if isinstance(value, list) else [value]))


def _condition(text: str) -> Condition:
    match = _COMPARISON.match(text.strip())
    if match is None:
        message = f"not a condition: {text!r}"
        raise MapError(message)
    values = tuple(part.strip() for part in match[5].split(",")) if match[5] else ()
    negated = bool(match[1]) != (match[4] == "!=")
    return Condition(path(match[3]), values, negated, match[4] == "contains", bool(match[2]))


def line(target: str, value: Any) -> Line:  # noqa: ANN401 - a YAML value
    """Read one line: a type name, a list of one type name (many), or a mapping of words.

    Raises:
        MapError: an unknown word, or a value of the wrong shape.
    """
    if isinstance(value, (str, list)):
        types, many = _types(value)
        return Line(target, (path(target.removesuffix("[x]")),), types, many)
    if not isinstance(value, dict) or not _WORDS.issuperset(value):
        unknown = sorted(set(value) - _WORDS) if isinstance(value, dict) else value
        message = f"{target}: unknown words {unknown}"
        raise MapError(message)
    types, many = _types(value.get("type", ""))
    origin = value.get("from")
    if origin is None and not {"value", "link"} & value.keys():
        origin = target.removesuffix("[x]")
    sources = tuple(path(text) for text in (origin if isinstance(origin, list) else [origin] if origin else []))
    return Line(
        target,
        sources,
        types,
        many,
        value.get("with", ""),
        value.get("arguments"),
        value.get("concept", ""),
        conditions(value.get("when")),
        value.get("value"),
        value.get("default"),
        lines(value.get("elements", {})),
        value.get("link", ""),
        value.get("spec", ""),
    )


def _types(value: Any) -> tuple[tuple[str, ...], bool]:  # noqa: ANN401 - a YAML value
    many = isinstance(value, list)
    text = value[0] if many else value
    return tuple(part.strip() for part in text.split("|") if part.strip()), many


def lines(elements: dict[str, Any]) -> tuple[Line, ...]:
    """Read the lines of a map or type, in order; a list of mappings gives a target several lines.

    Raises:
        MapError: see `line`.
    """
    found: list[Line] = []
    for target, value in elements.items():
        several = isinstance(value, list) and bool(value) and isinstance(value[0], dict)
        found.extend(line(target, one) for one in (value if several else [value]))
    return tuple(found)


def definition(name: str, content: dict[str, Any]) -> Definition:
    """Read one map file.

    Raises:
        MapError: what is wrong, with the name of the map.
    """
    try:
        return Definition(
            name=name,
            version=str(content["version"]),
            source=content["source"],
            target=content["target"],
            when=conditions(content.get("when")),
            lines=lines(content["elements"]),
            key=tuple(path(text) for text in content.get("key", [])),
            profile=content.get("profile", ""),
            ignored=content.get("ignored", {}),
            after=tuple(content.get("after", [])),
            requires=tuple(content.get("requires", [])),
            spec=content.get("spec", ""),
            refused=tuple((conditions(claim), reason) for claim, reason in content.get("refused", {}).items()),
        )
    except KeyError as error:
        message = f"{name}: {error.args[0]} is missing"
        raise MapError(message) from None
    except MapError as error:
        message = f"{name}: {error}"
        raise MapError(message) from None
