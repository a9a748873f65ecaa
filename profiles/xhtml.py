"""The XHTML that FHIR allows, as data, and a quick claim that a narrative is of the plain kind most systems generate."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from importlib.resources import files
from typing import Any, Final
from xml.parsers.expat import ExpatError, ParserCreate

import jsonschema_rs

LONGEST: Final = 1_048_576

# The reader of the full examination stops at 256 levels: so many tags cannot be deeper.
_MOST_PLAIN_TAGS: Final = 250
_WORDS: Final = re.compile(r">[\s\ufeff]*+[^<\s\ufeff&]")
_PLAIN_ATTRIBUTES: Final = (
    "class|title|id|lang|xml:lang|dir|align|valign|border|colspan|rowspan|scope|summary|width|height|name|start"
)


class Rules:
    """The allow-lists of the definitions, as qualified names."""

    def __init__(self) -> None:
        text = files("profiles.definitions").joinpath("narrative.toml").read_text(encoding="utf-8")
        table: dict[str, Any] = tomllib.loads(text)
        self.names = tuple(table["elements"])
        self.namespace = "{" + table["namespace"] + "}"
        self.root = self.namespace + "div"
        self.elements = frozenset(self.namespace + name for name in table["elements"])
        self.attributes = frozenset(table["attributes"])
        self.schemes = frozenset(table["schemes"])
        self.image_prefixes = tuple(table["image_prefixes"])
        self.unsafe_style = tuple(table["unsafe_style"])
        self.shown_attributes = frozenset(table["display"]["attributes"])
        self.shown_style = frozenset(table["display"]["style"])
        self.dropped = frozenset(table["display"]["dropped_whole"])


@cache
def rules() -> Rules:
    """Read the allow-lists, once."""
    return Rules()


def is_plain(div: str) -> bool:
    """Claim quickly that a narrative has allowed tags only, balanced, with harmless attributes and with words.

    INVARIANT: True implies that the XML reader and the full examination would find nothing; False means not known.
    """
    try:
        if not _form().is_valid(div):
            return False
    except ValueError:
        return False
    if not _WORDS.search(div) or div.count("</") > _MOST_PLAIN_TAGS:
        return False
    if " style=" in div and any(mark in div.lower() for mark in rules().unsafe_style):
        return False
    return _is_well_formed(div)


def _is_well_formed(div: str) -> bool:
    """Ask expat, which is quickest without a tree; the form has shown that there is no DTD and no entity."""
    try:
        ParserCreate().Parse(div, True)
    except ExpatError:
        return False
    return True


@cache
def _form() -> jsonschema_rs.Draft4Validator:
    """Compile the form of a plain narrative for the linear matcher of the schema library, much faster than `re`."""
    blank, never = r"[ \t\r\n]", r"\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff"
    attribute = (
        rf'(?:{blank}+(?:(?:{_PLAIN_ATTRIBUTES})="[^"<>&{never}]*"|style="[a-zA-Z0-9 :;#%.,\-]*"'
        r'|href="(?:(?:#|https?://)[^"<>&\s\x00-\x1f]*|[A-Za-z0-9_.\-/]*)"))*'
    )
    names = "|".join(name for name in rules().names if name != "img")
    tag = rf"<(?:/(?:{names}){blank}*|(?:{names}){attribute}{blank}*/?)>"
    reference = r"&(?:amp|lt|gt|quot|apos|#(?:3[2-9]|[4-9][0-9]|[1-9][0-9]{2,3}|[1-4][0-9]{4}));"
    root = rf'<div xmlns="http://www\.w3\.org/1999/xhtml"{attribute}{blank}*>'
    pattern = rf"^{root}(?:[^<&{never}]|{reference}|{tag})*</div>$"
    return jsonschema_rs.Draft4Validator(
        {"type": "string", "pattern": pattern, "maxLength": LONGEST}, pattern_options=jsonschema_rs.RegexOptions()
    )
