"""The words of the summary in Dutch and English, read from `texts.toml`."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final

_TEXTS: Final[dict[str, Any]] = tomllib.loads(files(__package__).joinpath("texts.toml").read_text(encoding="utf-8"))


@dataclass(frozen=True, slots=True)
class Words:
    """All texts of one language; a text that does not exist is a defect, never an empty place."""

    language: str
    _texts: dict[str, Any]

    def __getitem__(self, key: str) -> str:
        return str(self._texts[key])

    def say(self, key: str, **words: object) -> str:
        """One text with its blanks filled."""
        return str(self._texts[key]).format(**words)

    def code(self, group: str, code: str) -> str:
        """The word for a code of a small list ("status", "purpose" of a directive …); the code itself if unknown."""
        return str(self._texts[group].get(code, code))


@dataclass(frozen=True, slots=True)
class Note:
    """One remark that is said in the language of the reader."""

    key: str
    words: tuple[tuple[str, str], ...] = ()
    urgent: bool = False

    @classmethod
    def of(cls, key: str, *, urgent: bool = False, **words: str) -> Note:
        """A note whose blanks are `words`."""
        return cls(key, tuple(words.items()), urgent)

    def text(self, words: Words) -> str:
        """The remark as a sentence."""
        return words.say(self.key, **dict(self.words))


@cache
def words_of(language: str) -> Words:
    """The texts of a language; Dutch when there are none."""
    chosen = language if language in _TEXTS else "nl"
    return Words(chosen, _TEXTS[chosen])
