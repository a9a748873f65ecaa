"""The names under which clients of each dialect say who asks and why, as the names of this gateway."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import resources
from typing import Any, Final

from gateway.errors import Refused

Json = dict[str, Any]

DEFAULT: Final = "hl7-b2b"


@cache
def _table() -> dict[str, Json]:
    return tomllib.loads((resources.files("gateway.oauth") / "dialects.toml").read_text(encoding="utf-8"))


def known() -> tuple[str, ...]:
    """The dialects a client can be registered with."""
    return tuple(_table())


def said(claims: Json, dialect: str) -> Json:
    """What an assertion says about who and why, under the names of this gateway.

    Raises:
        Refused: `oauth-claims`, the place of this dialect does not hold an object.

    INVARIANT: of two names for one thing only that of the dialect counts.
    """
    row = _table()[dialect]
    found: Any = claims
    for step in row["place"]:
        found = found.get(step, {}) if isinstance(found, dict) else None
    if not isinstance(found, dict):
        raise Refused("oauth-claims", why=f"{'.'.join(row['place'])} must be a JSON object")
    names: dict[str, list[str]] = row["names"]
    result = {name: value for name, value in found.items() if name not in names}
    for ours, theirs in names.items():
        parts = [found[name] for name in theirs if found.get(name) not in (None, "")]
        if parts:
            result[ours] = parts[0] if len(theirs) == 1 else " ".join(map(str, parts))
    return result


def in_words(why: str, dialect: str) -> str:
    """A sentence about claims in the words of a dialect: its place and its names."""
    if dialect == DEFAULT:
        return why
    row = _table()[dialect]
    here = ".".join(row["place"])
    text = why.replace(f", extensions.{DEFAULT}", f", {here}" if here else "")
    for ours, theirs in row["names"].items():
        text = text.replace(ours, " ".join(theirs))
    return text
