"""Units of UCUM as powers of base units and an exact factor, so that a number in one is found by a number in another."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any, Final

UCUM: Final = "http://unitsofmeasure.org"
_LONGEST: Final = 64
_ANNOTATION: Final = re.compile(r"\{[^{}]*\}")
_ALONE: Final = re.compile(r"(^|[./(])\{[^{}]*\}")  # an annotation without a unit stands for 1
_TOKEN: Final = re.compile(
    r"([./()])|(10[*^]|(?:\[[^\[\]]*\]|[A-Za-z_%'\"])+)([+-]?[0-9]{1,2})?|([0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]{1,2})?)| "
)
# A temperature is a number plus a distance to absolute zero: (factor, what is added before it).
_OFFSETS: Final = {"Cel": (Fraction(1), Fraction(27315, 100)), "[degF]": (Fraction(5, 9), Fraction(45967, 100))}


@dataclass(frozen=True, slots=True)
class Unit:
    """What one of it is: `(value + offset) * factor` in base units."""

    powers: tuple[tuple[str, int], ...]
    factor: Fraction
    offset: Fraction = Fraction(0)

    def of(self, value: Fraction, other: Unit) -> Fraction:
        """A value of another unit of the same dimension, in this one."""
        return (value + other.offset) * other.factor / self.factor - self.offset


@lru_cache(maxsize=1024)
def unit(code: str) -> Unit | None:
    """Read a UCUM code; nothing for one that is not in the table, which then equals only itself.

    Spec: UCUM 2.1, sections 2.1 'grammar' and 2.5.
    """
    if len(code) > _LONGEST:
        return None
    if code in _OFFSETS:
        factor, offset = _OFFSETS[code]
        return Unit((("K", 1),), factor, offset)
    if " " in code:
        return None
    text = _ANNOTATION.sub("", _ALONE.sub(r"\g<1>1", code))
    return _read(text.lstrip("/") if text.startswith("/") else text, inverse=text.startswith("/"))


def comparable(one: str, other: str) -> tuple[Unit, Unit] | None:
    """Two units of the same dimension, or nothing."""
    first, second = unit(one), unit(other)
    return (first, second) if first and second and first.powers == second.powers else None


def _read(text: str, *, inverse: bool = False) -> Unit | None:
    if not text:
        return Unit((), Fraction(1))
    tokens = list(_TOKEN.finditer(text))
    if "".join(token[0] for token in tokens) != text:
        return None
    try:
        powers, factor, at = _term(tokens, 0, -1 if inverse else 1, 0)
    except (IndexError, KeyError, ValueError, ZeroDivisionError):
        return None
    if at != len(tokens):
        return None
    return Unit(tuple(sorted((name, power) for name, power in powers.items() if power)), factor)


def _term(tokens: list[re.Match[str]], at: int, sign: int, depth: int) -> tuple[dict[str, int], Fraction, int]:
    """Components joined by dots and slashes; a slash turns the one that follows it upside down."""
    powers: dict[str, int] = {}
    factor = Fraction(1)
    while True:
        inner, by, power, at = _component(tokens, at, depth)
        factor *= by ** (power * sign)
        _add(powers, inner, power * sign)
        if at == len(tokens) or tokens[at][1] == ")":
            return powers, factor, at
        if tokens[at][0] not in (".", "/", " "):
            raise ValueError
        sign = -1 if tokens[at][0] == "/" else 1
        at += 1


def _component(tokens: list[re.Match[str]], at: int, depth: int) -> tuple[dict[str, int], Fraction, int, int]:
    token = tokens[at]
    if token[1] == "(":
        inner, by, at = _inside(tokens, at, depth)
        return inner, by, 1, at
    if token[4]:
        return {}, Fraction(token[4]), 1, at + 1
    if not token[2]:
        raise ValueError
    inner, by = _atom(token[2])
    return inner, by, int(token[3] or 1), at + 1


def _inside(tokens: list[re.Match[str]], at: int, depth: int) -> tuple[dict[str, int], Fraction, int]:
    if depth > 4:
        raise ValueError
    powers, factor, at = _term(tokens, at + 1, 1, depth + 1)
    if tokens[at][1] != ")":
        raise ValueError
    return powers, factor, at + 1


def _add(powers: dict[str, int], more: dict[str, int], times: int) -> None:
    for name, power in more.items():
        powers[name] = powers.get(name, 0) + power * times


@cache
def _atom(symbol: str) -> tuple[dict[str, int], Fraction]:
    """One unit with or without a prefix. Raises KeyError for one that is not known."""
    table = _table()
    if symbol in table["base"]:
        return {symbol: 1}, Fraction(1)
    definition = table["fixed"].get(symbol) or table["metric"].get(symbol)
    scale = Fraction(1)
    if definition is None:
        for length in (1, 2):
            prefix, rest = symbol[:length], symbol[length:]
            if prefix in table["prefixes"] and rest in table["metric"]:
                scale, definition = Fraction(10) ** table["prefixes"][prefix], table["metric"][rest]
                if rest in table["base"]:
                    return {rest: 1}, scale
                break
    if definition is None:
        raise KeyError(symbol)
    found = _read(definition)
    if found is None:
        raise KeyError(symbol)
    return dict(found.powers), found.factor * scale


@cache
def _table() -> dict[str, Any]:
    return tomllib.loads(files(__package__).joinpath("ucum.toml").read_text("utf-8"))
