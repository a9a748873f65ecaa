"""An expression as a list of tokens."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from profiles.fhirpath.errors import InvalidExpression

LONGEST: Final = 50_000
_CLOCK: Final = r"[0-9]{2}(?::[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?)?"
_TOKEN: Final = re.compile(
    r"""
      (?P<blank>[ \t\r\n\f\u00a0]+|//[^\r\n]*|/\*(?s:.*?)\*/)
    | @(?P<time>T{clock})
    | @(?P<date>[0-9]{4}(?:-[0-9]{2}(?:-[0-9]{2})?)?(?:T(?:{clock}(?:Z|[+-][0-9]{2}:[0-9]{2})?)?)?)
    | (?P<number>[0-9]+(?:\.[0-9]+)?)
    | (?P<string>'(?:[^'\\]|\\.)*')
    | (?P<delimited>`(?:[^`\\]|\\.)*`)
    | (?P<variable>\$(?:this|index|total))
    | %(?P<external>[A-Za-z_][A-Za-z0-9_-]*|`(?:[^`\\]|\\.)*`|'(?:[^'\\]|\\.)*')
    | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
    | (?P<mark><=|>=|!=|!~|[.,()\[\]{}+\-*/&|<>=~])
    """.replace("{clock}", _CLOCK),
    re.VERBOSE | re.DOTALL,
)
_ESCAPE: Final = re.compile(r"\\(u[0-9A-Fa-f]{4}|.)", re.DOTALL)
_CHARACTERS: Final = {
    "'": "'", '"': '"', "`": "`", "\\": "\\", "/": "/", "f": "\f", "n": "\n", "r": "\r", "t": "\t",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Token:
    """One token: its kind, its text with escapes read, and where it stands."""

    kind: str
    text: str
    position: int


def tokens(expression: str) -> list[Token]:
    """Cut an expression in tokens, with an `end` token after the last.

    Raises:
        InvalidExpression: a character or an escape that FHIRPath does not have, or far too long.

    Spec: FHIRPath N1 10.1 'Lexical elements', appendix B.
    """
    if len(expression) > LONGEST:
        message = f"the expression is longer than {LONGEST} characters"
        raise InvalidExpression(message)
    found: list[Token] = []
    position = 0
    while position < len(expression):
        match = _TOKEN.match(expression, position)
        if match is None or match.lastgroup is None:
            message = "not FHIRPath"
            raise InvalidExpression(message, position)
        kind, text = match.lastgroup, match[match.lastgroup]
        if kind != "blank":
            found.append(Token(kind, _read(kind, text, position), position))
        position = match.end()
    found.append(Token("end", "", position))
    return found


def _read(kind: str, text: str, position: int) -> str:
    if kind == "delimited" and len(text) == 2:
        message = "a name is empty"
        raise InvalidExpression(message, position)
    if kind in ("string", "delimited"):
        return _unescaped(text[1:-1], position)
    if kind == "external" and text[0] in "`'":
        return _unescaped(text[1:-1], position)
    return text


def _unescaped(text: str, position: int) -> str:
    def character(match: re.Match[str]) -> str:
        code = match[1]
        if len(code) == 5:
            return chr(int(code[1:], 16))
        if code not in _CHARACTERS:
            message = "an escape in a string that FHIRPath does not have"
            raise InvalidExpression(message, position + match.start())
        return _CHARACTERS[code]

    return _ESCAPE.sub(character, text) if "\\" in text else text
