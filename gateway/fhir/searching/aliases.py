"""What dialects call things here: names of parameters, of what comes along, of code systems, and of codes."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Any, Final

NOTHING: Final = "none"  # an alias of a code: also an item in which no code stands


def parameter(type_: str, name: str) -> str:
    """The name of a parameter in R4; modifiers and chains behind it stay as they are."""
    known = _table()["parameters"].get(type_)
    if not known:
        return name
    for mark in (":", "."):
        bare, found, rest = name.partition(mark)
        if bare in known:
            return f"{known[bare]}{found}{rest}"
    return name


def includes(value: str) -> tuple[str, ...]:
    """What an `_include` asks in R4; the type behind it stays."""
    source, _, rest = value.partition(":")
    source = _table()["types"].get(source, source)
    name, mark, target = rest.partition(":")
    found = _table()["includes"].get(f"{source}:{name}")
    return tuple(f"{one}{mark}{target}" for one in found) if found else (f"{source}:{rest}" if rest else value,)


def codes(type_: str, name: str, token: str) -> Iterator[str]:
    """What else a code asked of a parameter of a type means; `NOTHING` among it for an item without one."""
    if name == "_profile":
        profiles = _table()["profiles"]
        yield from (NOTHING,) if token.removeprefix(profiles["base"]) in profiles.get(type_, ()) else ()
        return
    system, bar, code = token.partition("|")
    if not bar:
        return
    moved = _system(system)
    if moved != system:
        yield f"{moved}|{code}"
    yield from _table()["codes"].get(f"{type_}.{name}", {}).get(f"{moved}|{code}", ())


def _system(system: str) -> str:
    for beginning, now in _table()["systems"].items():
        if system.startswith(beginning):
            return f"{now}{system[len(beginning) :]}"
    return system


@cache
def _table() -> dict[str, Any]:
    return tomllib.loads(files(__package__).joinpath("aliases.toml").read_text("utf-8"))
