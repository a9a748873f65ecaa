"""A `[[sources]]` table for region.toml, accepted by the settings as it is printed."""

from __future__ import annotations

import json
import re
import tomllib
from typing import Any, Final

from gateway import settings

PLACEHOLDER: Final = "00000000"
_NOT_IN_AN_ID: Final = re.compile(r"[^a-z0-9]+")
_HINTS: Final = {
    "custodian": "URA of the organization that holds the data; declare it in [[organizations]]",
    "listen": "one port for each source that pushes",
    "inbox": "directory the files are dropped in, one for each source",
    "categories": "only what the source was found to answer",
    "auth": "client_id: the one the source gave to this gateway",
    "phase": '"production" when `gateway source test` is content',
}


def named(text: str) -> str:
    """An id for a source, made of a host name or file name."""
    return _NOT_IN_AN_ID.sub("-", text.lower()).strip("-")[:40].rstrip("-") or "source"


def written(table: dict[str, Any]) -> str:
    """The table as TOML, with a remark where somebody must still choose.

    Raises:
        StartError: the settings would refuse it, which is a defect of the probe.
    """
    lines = ["[[sources]]"]
    for key, value in table.items():
        hint = _HINTS.get(key, "")
        remark = f"  # {hint}" if hint and (key != "custodian" or value == PLACEHOLDER) else ""
        lines.append(f"{key} = {_value(value)}{remark}")
    text = "\n".join(lines) + "\n"
    settings.parse(tomllib.loads(text), "the stanza")
    return text


def _value(value: Any) -> str:  # noqa: ANN401 - texts, lists of texts and one table of texts
    """A text and a list of texts are the same in TOML and JSON."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_value(one)}" for key, one in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False)
