"""An expression as a tree: an operator-precedence parser for FHIRPath."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from profiles.fhirpath.errors import InvalidExpression
from profiles.fhirpath.lexer import Token, tokens
from profiles.fhirpath.quantity import CALENDAR, Quantity
from profiles.fhirpath.syntax import At, Binary, Call, External, Literal, Name, Term, TypeTest, Unary, Variable
from profiles.fhirpath.temporal import literal

DEEPEST: Final = 120
# Spec: FHIRPath N1 6.8 'Operator precedence'; a higher number binds tighter.
_POWER: Final = {
    "implies": 1,
    "or": 2, "xor": 2,
    "and": 3,
    "in": 4, "contains": 4,
    "=": 5, "~": 5, "!=": 5, "!~": 5,
    "<": 6, ">": 6, "<=": 6, ">=": 6,
    "|": 7,
    "is": 8, "as": 8,
    "+": 9, "-": 9, "&": 9,
    "*": 10, "/": 10, "div": 10, "mod": 10,
}  # fmt: skip
_SIGN: Final = 11
_KEYWORDS: Final = frozenset(("div", "mod", "and", "or", "xor", "implies", "true", "false"))


def parse(expression: str) -> Term:
    """Read one expression.

    Raises:
        InvalidExpression: it has not the form of FHIRPath, or nests deeper than `DEEPEST`.

    Spec: FHIRPath N1, grammar of appendix B.
    """
    reader = _Reader(tokens(expression))
    term = reader.expression(0)
    reader.expect("end", "")
    return term


class _Reader:
    """The tokens that are left and how deep the reading is."""

    def __init__(self, found: list[Token]) -> None:
        self._tokens = found
        self._at = 0
        self._depth = 0

    def _peek(self) -> Token:
        return self._tokens[self._at]

    def _next(self) -> Token:
        token = self._tokens[self._at]
        self._at += 1
        return token

    def _deeper(self, position: int) -> None:
        self._depth += 1
        if self._depth > DEEPEST:
            message = "the expression nests too deeply"
            raise InvalidExpression(message, position)

    def _takes(self, mark: str) -> bool:
        token = self._peek()
        if token.kind == "mark" and token.text == mark:
            self._at += 1
            return True
        return False

    def expect(self, kind: str, text: str) -> None:
        """Take one token that must be there."""
        token = self._next()
        if token.kind != kind or token.text != text:
            message = f"expected {text!r}" if text else "something follows the expression"
            raise InvalidExpression(message, token.position)

    def expression(self, power: int) -> Term:
        """Read a term with every operator that binds tighter than `power`."""
        before = self._depth
        self._deeper(self._peek().position)
        left = self._signed()
        while True:
            token = self._peek()
            binding = _POWER.get(token.text, 0) if token.kind in ("mark", "word") else 0
            if binding <= power:
                self._depth = before
                return left
            # Each operator of a chain is one level of the tree.
            self._deeper(token.position)
            self._at += 1
            if token.text in ("is", "as"):
                left = TypeTest(token.text, left, self._type(), token.position)
            else:
                left = Binary(token.text, left, self.expression(binding), token.position)

    def _signed(self) -> Term:
        token = self._peek()
        if token.kind == "mark" and token.text in "+-":
            self._at += 1
            return Unary(token.text, self.expression(_SIGN - 1), token.position)
        return self._invoked()

    def _invoked(self) -> Term:
        term = self._term()
        while True:
            token = self._peek()
            if self._takes("."):
                self._deeper(token.position)
                following = self._next()
                if following.kind == "variable":
                    message = f"{following.text} cannot follow a path"
                    raise InvalidExpression(message, following.position)
                term = self._step(term, following)
            elif self._takes("["):
                self._deeper(token.position)
                index = self.expression(0)
                self.expect("mark", "]")
                term = At(term, index, token.position)
            else:
                return term

    def _step(self, target: Term | None, token: Token) -> Term:
        if token.kind not in ("word", "delimited") or (token.kind == "word" and token.text in _KEYWORDS):
            message = "expected a name"
            raise InvalidExpression(message, token.position)
        if not self._takes("("):
            return Name(target, token.text, token.position)
        arguments: list[Term] = []
        if not self._takes(")"):
            arguments.append(self.expression(0))
            while self._takes(","):
                arguments.append(self.expression(0))
            self.expect("mark", ")")
        return Call(target, token.text, tuple(arguments), token.position)

    def _term(self) -> Term:
        token = self._next()
        if token.kind == "mark":
            return self._group(token)
        if token.kind == "variable":
            return Variable(token.text, token.position)
        if token.kind == "external":
            return External(token.text, token.position)
        if token.kind == "string":
            return Literal(token.text, token.position)
        if token.kind == "number":
            return Literal(self._number(token), token.position)
        if token.kind in ("date", "time"):
            value = literal(token.text)
            if value is None:
                message = "not a date or time of the calendar"
                raise InvalidExpression(message, token.position)
            return Literal(value, token.position)
        if token.kind == "word" and token.text in ("true", "false"):
            return Literal(token.text == "true", token.position)
        return self._step(None, token)

    def _group(self, token: Token) -> Term:
        if token.text == "(":
            inner = self.expression(0)
            self.expect("mark", ")")
            return inner
        if token.text == "{":
            self.expect("mark", "}")
            return Literal(None, token.position)
        message = "expected a value, a name or a parenthesis"
        raise InvalidExpression(message, token.position)

    def _number(self, token: Token) -> object:
        number = Decimal(token.text) if "." in token.text else int(token.text) if len(token.text) <= 28 else None
        if number is None or (type(number) is int and number > 2147483648):
            # The sign comes later: the smallest Integer is written with 2147483648.
            message = "a whole number beyond what an Integer can hold; write it as a decimal"
            raise InvalidExpression(message, token.position)
        unit = self._peek()
        if unit.kind == "string":
            self._at += 1
            return Quantity(Decimal(number), unit.text)
        if unit.kind == "word" and unit.text in CALENDAR:
            self._at += 1
            return Quantity(Decimal(number), CALENDAR[unit.text], calendar=True)
        return number

    def _type(self) -> str:
        token = self._next()
        if token.kind not in ("word", "delimited"):
            message = "expected a type"
            raise InvalidExpression(message, token.position)
        name = token.text
        if self._takes("."):
            name += "." + self._next().text
        return name
