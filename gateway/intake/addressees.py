"""For whom a pushed message is, as far as it says so itself: the URAs of its addressees."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib import resources
from typing import Any, Final

from mappings.formats import xml_tree
from mappings.model import NotMappable

_URA: Final = re.compile(r"\d{8}")
_LONGEST: Final = 20  # addressees of one message


def addressees(body: bytes, format_: str) -> frozenset[str]:
    """The organizations a message names as its receivers; nobody when it names none by URA."""
    read = _READERS.get(format_)
    found = sorted(set(read(body))) if read else []
    # A list as long as a region is no address: then it was sent to whom the agreement names.
    return frozenset(found) if len(found) <= _LONGEST else frozenset()


@cache
def _table() -> dict[str, Any]:
    return tomllib.loads((resources.files("gateway.intake") / "addressees.toml").read_text(encoding="utf-8"))


def _of_document(body: bytes) -> Iterator[str]:
    try:
        (document,) = xml_tree.read(body).get("ClinicalDocument", [{}])
    except NotMappable:
        return
    stack = [node for name in _table()["cda"]["elements"] for node in document.get(name, [])]
    while stack:
        node = stack.pop()
        for id_ in node.get("id", []):
            if id_.get("root") == _table()["ura"] and _URA.fullmatch(id_.get("extension", "")):
                yield id_["extension"]
        stack += [
            child for value in node.values() if isinstance(value, list) for child in value if isinstance(child, dict)
        ]


def _of_message(body: bytes) -> Iterator[str]:
    segments = body.decode("latin-1").lstrip("\x0b\r\n").replace("\r\n", "\r").replace("\n", "\r").split("\r")
    if len(segments[0]) < 8:
        return
    separator, component, repeat = segments[0][3], segments[0][4], segments[0][5]
    for row in _table()["hl7v2"]:
        for segment in segments:
            fields = segment.split(separator)
            if fields[0] != row["segment"]:
                continue
            if fields[0] == "MSH":
                fields.insert(1, separator)
            when = row.get("when")
            if when is None or _at(fields, when["field"]).split(component)[0] in when["codes"]:
                for one in _at(fields, row["field"]).split(repeat):
                    yield from _ura(one.split(component))


def _at(fields: list[str], place: int) -> str:
    return fields[place] if place < len(fields) else ""


def _ura(parts: list[str]) -> Iterator[str]:
    """A URA as people write it in a component: alone beside its root or the word, or as one OID."""
    root = _table()["ura"]
    named = {root, "URA"} & set(parts[1:])
    for part in parts:
        plain = part.removeprefix(f"{root}.")
        if _URA.fullmatch(plain) and (plain != part or named):
            yield plain


_READERS: Final = {"cda": _of_document, "hl7v2": _of_message}
