r"""Separators in the value of a parameter, and the backslash that makes one an ordinary character."""

from __future__ import annotations

import re
from typing import Final

_ESCAPED: Final = re.compile(r"\\([,|$\\])")


def split(text: str, separator: str) -> list[str]:
    r"""The parts between separators that no backslash stands before; the parts keep their backslashes.

    Spec: FHIR R4 3.1.1.4.0.1 'Escaping Search Parameters'.
    """
    if "\\" not in text:
        return text.split(separator)
    parts, start, at = [], 0, 0
    while at < len(text):
        if text[at] == "\\":
            at += 2
            continue
        if text[at] == separator:
            parts.append(text[start:at])
            start = at + 1
        at += 1
    return [*parts, text[start:]]


def plain(text: str) -> str:
    """A part without its backslashes."""
    return _ESCAPED.sub(r"\1", text) if "\\" in text else text


def escaped(text: str) -> str:
    """A text as it must be written to be read as itself."""
    return re.sub(r"([,|$\\])", r"\\\1", text)
