"""Reads the synthetic persons: one YAML file each, with dates relative to today where a story needs it."""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta
from functools import cache
from importlib.resources import files
from typing import Any, Final

import msgspec
import yaml

from gateway.demo.facts import Coding, Person
from gateway.policy import ZONE

_RELATIVE: Final = re.compile(r"T((?:-\d+[ymdh])+)(?: (\d\d):(\d\d))?")
# It builds only text, lists and mappings: safer than SafeLoader.
_LOADER: Final[type] = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
_STEP: Final = re.compile(r"-(\d+)([ymdh])")


def persons(now: datetime) -> tuple[Person, ...]:
    """Every person of the region, the one with everything present first."""
    return _folder("persons", now)


def scenario_persons(scenario: str, now: datetime) -> tuple[Person, ...]:
    """The persons a scenario adds; none when it adds nobody."""
    return tuple(person for name, person in _named("scenarios", now) if name == f"{scenario}.yaml")


@cache
def vocabulary() -> dict[str, Any]:
    """The words of the person files in each dialect."""
    loaded: dict[str, Any] = document("vocabulary.yaml")
    return loaded


@cache
def document(name: str) -> Any:  # noqa: ANN401 - YAML is any value
    """One YAML file of this package, read once; every scalar stays text, so that 1.50 keeps its digits."""
    return yaml.load((files("gateway.demo") / name).read_text(encoding="utf-8"), Loader=_LOADER)  # noqa: S506 - a BaseLoader either way


def _folder(folder: str, now: datetime) -> tuple[Person, ...]:
    return tuple(person for _, person in _named(folder, now))


def _named(folder: str, now: datetime) -> list[tuple[str, Person]]:
    names = sorted(entry.name for entry in (files("gateway.demo") / folder).iterdir() if entry.name.endswith(".yaml"))
    return [(name, _person(f"{folder}/{name}", now)) for name in names]


def _person(name: str, now: datetime) -> Person:
    """Read one person.

    Raises:
        ValueError: an unknown key or a wrong value; the text names the file and the place.
    """
    tree = _dated(document(name), now.astimezone(ZONE))
    try:
        return msgspec.convert(tree, Person, strict=False, dec_hook=_coding)
    except msgspec.ValidationError as error:
        message = f"{name}: {error}"
        raise ValueError(message) from None


def _coding(kind: type, value: object) -> object:
    if kind is Coding:
        return Coding(str(value))
    raise NotImplementedError(kind)


def _dated(node: Any, now: datetime) -> Any:  # noqa: ANN401 - YAML is any value
    """Replace "T-9d", "T-15y-40d", "T-3d 16:20" and "T-2h" by what they are today."""
    if isinstance(node, dict):
        return {key: _dated(value, now) for key, value in node.items()}
    if isinstance(node, list):
        return [_dated(value, now) for value in node]
    found = _RELATIVE.fullmatch(node)
    return _resolve(found, now) if found else node


def _resolve(found: re.Match[str], now: datetime) -> str:
    day, hours = now.date(), 0
    for count, unit in _STEP.findall(found[1]):
        if unit == "h":
            hours += int(count)
        else:
            day = _back(day, int(count), unit)
    if hours:
        return (now - timedelta(hours=hours)).replace(microsecond=0).isoformat()
    if found[2]:
        return datetime.combine(day, time(int(found[2]), int(found[3])), ZONE).isoformat()
    return day.isoformat()


def _back(day: date, count: int, unit: str) -> date:
    if unit == "d":
        return day - timedelta(days=count)
    months = day.year * 12 + day.month - 1 - count * (12 if unit == "y" else 1)
    return day.replace(year=months // 12, month=months % 12 + 1, day=min(day.day, 28))
