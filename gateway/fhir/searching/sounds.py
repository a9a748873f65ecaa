"""Names by how they sound in Dutch: `phonetic` finds who is written otherwise than they are heard."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any, Final

from gateway.errors import Invalid
from gateway.fhir.searching.escaping import plain
from gateway.fhir.searching.folding import variants
from gateway.fhir.searching.texts import parts

_TWICE: Final = re.compile(r"(.)\1+")


def build(name: str, text: str) -> Callable[[Any], bool]:
    """What one value of a phonetic parameter asks: every word of it sounds as a word of one name.

    Raises:
        Invalid: `invalid-parameter`.

    Spec: FHIR R4 Patient.phonetic, 'some kind of phonetic matching algorithm'; this one is `sounds.toml`.
    """
    wanted = _words(plain(text))
    if not wanted:
        raise Invalid("invalid-parameter", name=name, why="give letters")
    return lambda value: wanted <= frozenset().union(*(_words(part) for part in parts(value)))


@lru_cache(maxsize=4096)
def sound(word: str) -> str:
    """How a folded word sounds: the same for words that are heard as the same."""
    for pattern, to in _rules():
        word = pattern.sub(to, word)
    return _TWICE.sub(r"\1", word)


def _words(text: str) -> frozenset[str]:
    return frozenset(sound(word) for form in variants(text)[-1:] for word in form.split()) - {""}


@cache
def _rules() -> tuple[tuple[re.Pattern[str], str], ...]:
    rows = tomllib.loads(files(__package__).joinpath("sounds.toml").read_text("utf-8"))["rules"]
    return tuple((re.compile(pattern), to) for pattern, to in rows)
