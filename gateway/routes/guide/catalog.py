"""The catalogue of errors: what each code means, where it comes from and what helps, in both languages."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

from gateway.errors import TABLE

LANGUAGES: Final = ("en", "nl")


@dataclass(frozen=True, slots=True)
class Entry:
    """One code: cause and cure are in English and Dutch."""

    code: str
    status: int  # 0 for a remark beside an answer
    issue: str
    text: tuple[str, str]
    cause: tuple[str, str]
    cure: tuple[str, str]


@cache
def catalog() -> dict[str, Entry]:
    """Every code of an error or a remark."""
    told = tomllib.loads(files(__package__).joinpath("errors.toml").read_text("utf-8"))
    return {code: _entry(code, told.get(code, {})) for code in (*TABLE, *(code for code in told if code not in TABLE))}


def _entry(code: str, told: dict[str, list[str]]) -> Entry:
    row = TABLE.get(code)
    text = (_plain(row.en), _plain(row.nl)) if row else ("", "")
    cause, cure = (told.get(name, ["", ""]) for name in ("cause", "cure"))
    return Entry(
        code, row.status if row else 0, row.issue if row else "", text, (cause[0], cause[1]), (cure[0], cure[1])
    )


def _plain(text: str) -> str:
    """The words that are filled in as an ellipsis."""
    return text.replace("{{", "<").replace("}}", ">").replace("{", "<").replace("}", ">")
