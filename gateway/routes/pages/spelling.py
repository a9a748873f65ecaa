"""Names as they are spelled on the phone."""

from __future__ import annotations

import tomllib
import unicodedata
from functools import cache
from importlib.resources import files


@cache
def _alphabet(language: str) -> dict[str, str]:
    text = files("gateway.routes.pages").joinpath("spelling.toml").read_text(encoding="utf-8")
    found: dict[str, str] = tomllib.loads(text)["nl" if language == "nl" else "en"]
    return found


def spelled(text: str, language: str) -> str:
    """A name letter by letter: "Yde" is "Ypsilon, Dirk, Eduard"; what has no word is said as it is."""
    words = _alphabet(language)
    said = []
    for letter in unicodedata.normalize("NFC", text):
        plain = unicodedata.normalize("NFD", letter)[0].lower()
        if letter == " ":
            said.append(words["space"])
        elif plain in words:
            said.append(words[plain] if plain == letter.lower() else f"{words[plain]} ({letter})")
        else:
            said.append(letter)
    return ", ".join(said)
