"""A report or document in words: its title, and what its sections say that no coded item says."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from typing import Final

from gateway.model import Json
from gateway.summary.values import concept
from profiles.narrative import clean

_TAG: Final = re.compile(r"<[^>]*>")


def title(composition: Json) -> str:
    """What the report is called; its type when it has no title."""
    return str(composition.get("title") or concept(composition.get("type")))


def told(composition: Json) -> Iterator[str]:
    """The words of every section without coded entries, under its title; coded entries are lines of their own.

    What the report itself contains has no line of its own, so its words are told.
    """
    for section in composition.get("section") or ():
        entries = section.get("entry") or ()
        contained = any(str(one.get("reference")).startswith("#") for one in entries if isinstance(one, dict))
        silent = entries and not contained
        text = "" if silent else words(str((section.get("text") or {}).get("div") or ""))
        name = str(section.get("title") or concept(section.get("code")))
        if text:
            yield f"{name}: {text}" if name else text
        yield from told(section)


def words(div: str) -> str:
    """The text of a narrative without its markup; empty when it is not safe to read."""
    return " ".join(html.unescape(_TAG.sub(" ", clean(div) or "")).split())
