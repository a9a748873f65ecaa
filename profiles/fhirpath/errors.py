"""What can be wrong with an expression, and with evaluating it; no text repeats a value of a resource."""

from __future__ import annotations

from typing import Final


class FhirPathError(ValueError):
    """Any failure of FHIRPath."""


class InvalidExpression(FhirPathError):
    """The expression cannot be compiled: its form, a function, a type or a variable is not known."""

    def __init__(self, text: str, position: int | None = None) -> None:
        super().__init__(text if position is None else f"{text} (character {position + 1})")
        self.position = position


class EvaluationError(FhirPathError):
    """The expression cannot be evaluated on this input: one item was needed and there are more, or a bound is passed."""


class NotJudged(EvaluationError):
    """The answer depends on terminology, a profile or a resource that nobody could judge."""


class NotJudgedType:
    """The answer of a callback that does not know."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "NOT_JUDGED"


NOT_JUDGED: Final = NotJudgedType()
