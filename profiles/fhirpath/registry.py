"""The table of functions: what each is called, what it takes and how its arguments are read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from profiles.fhirpath.node import Items
from profiles.fhirpath.state import State

Run = Callable[[Items, State], Items]
Body = Callable[..., Items]
# values: arguments are calculated first; expressions: they are given as closures; type: the one argument names a type.
Reading = Literal["values", "expressions", "type"]


@dataclass(frozen=True, slots=True)
class Function:
    """One function of FHIRPath."""

    reading: Reading
    least: int
    most: int
    body: Body


FUNCTIONS: Final[dict[str, Function]] = {}


def function(
    name: str, least: int = 0, most: int | None = None, *, reading: Reading = "values"
) -> Callable[[Body], Body]:
    """Enter a function in the table."""

    def enter(body: Body) -> Body:
        FUNCTIONS[name] = Function(reading, least, least if most is None else most, body)
        return body

    return enter


def yes_or_no(value: bool | None) -> Items:
    """Give a truth as a collection; unknown is empty."""
    return EMPTY if value is None else TRUE if value else FALSE


# Shared, and so never to be added to: no function changes a collection it did not make.
TRUE: Final[Items] = [True]
FALSE: Final[Items] = [False]
EMPTY: Final[Items] = []
