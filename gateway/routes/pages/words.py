"""The words of the pages in Dutch and English, read from one file a desk; both languages hold the same keys."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from typing import Any

from gateway.summary.texts import Words


@cache
def words_of(language: str, part: str) -> Words:
    """The texts of one desk ("frame", "coordinator", …) over those every page has."""
    return Words(language, _read("frame")[language] | (_read(part)[language] if part != "frame" else {}))


@cache
def _read(part: str) -> dict[str, dict[str, Any]]:
    place = files("gateway.routes.pages").joinpath("texts", f"{part}.toml")
    return tomllib.loads(place.read_text(encoding="utf-8"))
