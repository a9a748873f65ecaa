"""Search in memory, over one patient's permitted items: the table of parameters compiled to predicates; strict by default."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from importlib.resources import files
from typing import Any, Final
from unicodedata import combining, normalize

from gateway.errors import Invalid
from gateway.model import Item, Json
from profiles import dates

Predicate = Callable[[Json], bool]

DEFAULT_COUNT: Final = 50
MAXIMUM_COUNT: Final = 500
_PREFIX: Final = re.compile(r"(eq|ne|gt|lt|ge|le|sa|eb|ap)?(.+)", re.DOTALL)
_RESULT: Final = frozenset({"_count", "_sort", "_format", "_pretty", "_cursor", "_total"})
_MODIFIERS: Final = {
    "token": {"", "not", "missing", "text"},
    "date": {"", "missing"},
    "uri": {"", "missing", "below"},
    "string": {"", "missing", "exact", "contains"},
    "quantity": {"", "missing"},
}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One row of the table."""

    name: str
    kind: str
    path: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Search:
    """A search, understood: what items must satisfy, how to order and cut them, and what was left out."""

    predicates: tuple[Predicate, ...]
    count: int | None
    sort: tuple[tuple[str, bool], ...]  # parameter name, descending
    cursor: str
    used: tuple[tuple[str, str], ...]  # parameters that were applied: the truthful self link
    ignored: tuple[str, ...]  # names ignored because the caller asked for leniency

    def matches(self, item: Item) -> bool:
        """Claim that an item satisfies every parameter."""
        return all(predicate(item.resource) for predicate in self.predicates)


def _load() -> dict[str, dict[str, Parameter]]:
    tree = tomllib.loads(files("gateway.fhir").joinpath("parameters.toml").read_text("utf-8"))
    common = tree.pop("common")
    return {
        type_: {
            name: Parameter(name, row["kind"], tuple(tuple(path.split(".")) for path in row["path"]))
            for name, row in {**common, **rows}.items()
        }
        for type_, rows in tree.items()
    }


PARAMETERS: Final = _load()


def understand(type_: str, given: Sequence[tuple[str, str]], *, lenient: bool = False) -> Search:
    """Read the parameters of a search, or say which one is not known.

    An unknown value is an error even when lenient; an unknown name is ignored then, and said so.

    Raises:
        Invalid: `unknown-parameter` or `invalid-parameter`.

    Spec: FHIR R4 3.1.1; handling of unknown parameters 3.1.1.3.2 ('servers MAY be instructed by Prefer').
    """
    known = PARAMETERS.get(type_, {})
    predicates: list[Predicate] = []
    used: list[tuple[str, str]] = []
    ignored: list[str] = []
    result: dict[str, str] = {}
    for name, value in given:
        if name in _RESULT:
            if name in result:
                raise Invalid("invalid-parameter", name=name, why="give it once")
            result[name] = value
            continue
        bare, _, modifier = name.partition(":")
        parameter = known.get(bare)
        if parameter is None or modifier not in _MODIFIERS[parameter.kind]:
            if not lenient:
                raise Invalid(
                    "unknown-parameter", name=_printable(name), type=type_, known=", ".join(sorted(("patient", *known)))
                )
            ignored.append(_printable(name))
            continue
        predicates.append(_predicate(parameter, modifier, value))
        used.append((name, value))
    return Search(
        tuple(predicates),
        _count(result.get("_count")),
        _sort(result.get("_sort", ""), known),
        result.get("_cursor", ""),
        (*used, *((k, v) for k, v in result.items() if k in {"_count", "_sort"})),
        tuple(ignored),
    )


def ordered(items: list[Item], search: Search, type_: str) -> list[Item]:
    """Sort as asked; else newest fact first, then by id, so that pages are stable."""
    found = sorted(items, key=lambda item: item.id)
    if not search.sort:
        return sorted(found, key=lambda item: _moment(item.date), reverse=True)
    for name, descending in reversed(search.sort):
        parameter = PARAMETERS[type_][name]
        found.sort(key=lambda item, parameter=parameter: _sort_key(item.resource, parameter), reverse=descending)  # type: ignore[misc]
    return found


def _count(text: str | None) -> int | None:
    if text is None:
        return None
    if not re.fullmatch(r"\d{1,6}", text):
        raise Invalid("invalid-parameter", name="_count", why="give a whole number, 0 or more")
    return min(int(text), MAXIMUM_COUNT)


def _sort(text: str, known: dict[str, Parameter]) -> tuple[tuple[str, bool], ...]:
    names = [(part.removeprefix("-"), part.startswith("-")) for part in text.split(",") if part]
    for name, _ in names:
        if name not in known:
            raise Invalid("invalid-parameter", name="_sort", why=f"sort by one of {', '.join(sorted(known))}")
    return tuple(names)


def _sort_key(resource: Json, parameter: Parameter) -> str:
    value = next(iter(_values(resource, parameter)), "")
    if parameter.kind == "date":
        text = value if isinstance(value, str) else str(value.get("start", "")) if isinstance(value, dict) else ""
        return _moment(text)
    return next(iter(_texts(value)), "") if not isinstance(value, str) else value


def _moment(text: str) -> str:
    found = dates.parse(text)
    return found.lower.isoformat() if found else ""


def _predicate(parameter: Parameter, modifier: str, value: str) -> Predicate:
    if modifier == "missing":
        if value not in {"true", "false"}:
            raise Invalid("invalid-parameter", name=parameter.name + ":missing", why="give true or false")
        wanted = value == "true"
        return lambda resource: (not any(True for _ in _values(resource, parameter))) is wanted
    build = {"token": _token, "date": _date, "uri": _uri, "string": _string, "quantity": _quantity}[parameter.kind]
    alternatives = [build(parameter.name, modifier, part) for part in _split(value)]
    if not alternatives:
        raise Invalid("invalid-parameter", name=parameter.name, why="give a value")

    def test(resource: Json) -> bool:
        values = list(_values(resource, parameter))
        return any(alternative(found) for alternative in alternatives for found in values)

    return (lambda resource: not test(resource)) if modifier == "not" else test


def _split(value: str) -> list[str]:
    r"""Commas separate alternatives; `\,` is a comma. Spec: FHIR R4 3.1.1.4.0.1."""
    parts = re.split(r"(?<!\\),", value)
    return [re.sub(r"\\([,|$\\])", r"\1", part) for part in parts if part]


def _token(name: str, modifier: str, text: str) -> Callable[[Any], bool]:
    if modifier == "text":
        wanted = _folded(text)
        return lambda value: any(_folded(found).startswith(wanted) for found in _texts(value))
    system, bar, code = text.rpartition("|")
    del name
    return lambda value: any(
        (not code or found_code == code) and (not bar or found_system == system)
        for found_system, found_code in _codings(value)
    )


def _uri(name: str, modifier: str, text: str) -> Callable[[Any], bool]:
    del name
    if modifier == "below":
        return lambda value: isinstance(value, str) and value.startswith(text)
    # A canonical may carry a version; the search value without one matches each (R4 3.1.1.4.17).
    return lambda value: (
        value == text or (isinstance(value, str) and "|" not in text and value.partition("|")[0] == text)
    )


def _string(name: str, modifier: str, text: str) -> Callable[[Any], bool]:
    del name
    if modifier == "exact":
        return lambda value: value == text
    wanted = _folded(text)
    if modifier == "contains":
        return lambda value: isinstance(value, str) and wanted in _folded(value)
    return lambda value: isinstance(value, str) and _folded(value).startswith(wanted)


def _date(name: str, modifier: str, text: str) -> Callable[[Any], bool]:
    del modifier
    found = _PREFIX.fullmatch(text)
    asked = dates.parse(found[2]) if found else None
    if found is None or asked is None:
        raise Invalid(
            "invalid-parameter", name=name, why="give a date as YYYY, YYYY-MM, YYYY-MM-DD or with a time and zone"
        )
    prefix = found[1] or "eq"
    low, high = asked.lower, asked.upper

    def test(value: Any) -> bool:  # noqa: ANN401 - an element of a resource
        start, end = _span(value)
        if start is None or end is None:
            return False
        verdicts: dict[str, bool] = {
            "eq": low <= start and end <= high,
            "ne": not (low <= start and end <= high),
            "gt": end > high,
            "lt": start < low,
            "ge": end > high or (low <= start and end <= high),
            "le": start < low or (low <= start and end <= high),
            "sa": start >= high,
            "eb": end <= low,
            "ap": start < high and end > low,
        }
        return verdicts[prefix]

    return test


def _span(value: Any) -> tuple[Any, Any]:  # noqa: ANN401 - an element of a resource
    """The interval an element covers; an open end of a Period reaches to the end of time."""
    if isinstance(value, dict):
        start, end = dates.parse(str(value.get("start", ""))), dates.parse(str(value.get("end", "")))
        if start is None and end is None:
            return None, None
        return (start.lower if start else dates.EARLIEST), (end.upper if end else dates.LATEST)
    found = dates.parse(value) if isinstance(value, str) else None
    return (found.lower, found.upper) if found else (None, None)


def _quantity(name: str, modifier: str, text: str) -> Callable[[Any], bool]:
    del modifier
    found = _PREFIX.fullmatch(text)
    number, _, rest = (found[2] if found else "").partition("|")
    try:
        asked = Decimal(number)
    except InvalidOperation:
        raise Invalid("invalid-parameter", name=name, why="give number, or number|system|code") from None
    system, _, code = rest.partition("|")
    prefix = (found[1] if found else None) or "eq"
    exponent = asked.as_tuple().exponent
    half = Decimal((0, (5,), (exponent if isinstance(exponent, int) else 0) - 1))

    def test(value: Any) -> bool:  # noqa: ANN401 - an element of a resource
        if not isinstance(value, dict) or value.get("value") is None:
            return False
        if (system and value.get("system") != system) or (code and code not in {value.get("code"), value.get("unit")}):
            return False
        actual = Decimal(str(value["value"]))
        near = asked - half <= actual < asked + half
        return {
            "eq": near,
            "ne": not near,
            "gt": actual > asked,
            "lt": actual < asked,
            "ge": actual >= asked,
            "le": actual <= asked,
            "sa": actual > asked,
            "eb": actual < asked,
            "ap": abs(actual - asked) <= abs(asked) / 10,
        }[prefix]

    return test


def _values(resource: Json, parameter: Parameter) -> Iterator[Any]:
    for path in parameter.path:
        yield from _walk(resource, path)


def _walk(node: Any, path: tuple[str, ...]) -> Iterator[Any]:  # noqa: ANN401 - an element of a resource
    if isinstance(node, list):
        for element in node:
            yield from _walk(element, path)
    elif not path:
        yield node
    elif isinstance(node, dict) and path[0] in node:
        yield from _walk(node[path[0]], path[1:])


def _codings(value: Any) -> Iterator[tuple[str, str]]:  # noqa: ANN401 - an element of a resource
    if isinstance(value, bool):
        yield "", "true" if value else "false"
    elif isinstance(value, str):
        yield "", value
    elif isinstance(value, dict):
        if "coding" in value:
            for coding in value["coding"]:
                yield coding.get("system", ""), coding.get("code", "")
        elif "code" in value or "value" in value:  # Coding or Identifier
            yield value.get("system", ""), str(value.get("code", value.get("value", "")))


def _texts(value: Any) -> Iterator[str]:  # noqa: ANN401 - an element of a resource
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from (value[name] for name in ("text", "display") if isinstance(value.get(name), str))
        for coding in value.get("coding", ()):
            yield from (coding[name] for name in ("display", "code") if isinstance(coding.get(name), str))


def _folded(text: str) -> str:
    """Case and accents do not count. Spec: FHIR R4 3.1.1.4.8 'string'."""
    return "".join(character for character in normalize("NFKD", text.casefold()) if not combining(character))


def _printable(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_:.\-]", "?", name)[:60]
