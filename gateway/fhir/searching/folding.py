"""Texts as people compare them: case, accents, punctuation and spaces that mean nothing do not count."""

from __future__ import annotations

import re
from typing import Final
from unicodedata import category, combining, normalize

# Letters that decompose into none, and what they are written as without them.
_LETTERS: Final = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ı": "i", "ŧ": "t", "ħ": "h"}
)
_SPACES: Final = re.compile(r"\s+")


def folded(text: str) -> str:
    """A text without case, accents and punctuation, with single spaces.

    Spec: FHIR R4 3.1.1.4.8 'string'.
    """
    if text.isascii() and text.isalnum():
        return text.lower()
    return _folded(text)


def variants(text: str) -> tuple[str, ...]:
    """A text folded, and folded with its punctuation as spaces: "Anne-Marie" is "annemarie" and "anne marie"."""
    one = folded(text)
    if text.isascii() and text.replace(" ", "").isalnum():
        return (one,)
    spaced = folded("".join(" " if category(character)[0] == "P" else character for character in text))
    return (one,) if spaced == one else (one, spaced)


def _folded(text: str) -> str:
    bare = "".join(
        character
        for character in normalize("NFKD", text.casefold())
        if not combining(character) and category(character)[0] != "P"
    )
    return _SPACES.sub(" ", bare.translate(_LETTERS)).strip()
