"""What one evaluation knows and may still spend."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from profiles.exact import Json
from profiles.fhirpath.errors import EvaluationError, NotJudgedType
from profiles.fhirpath.model import Model
from profiles.fhirpath.node import Items, Node

STEPS: Final = 1_000_000
LONGEST_TEXT: Final = 2_000_000


@dataclass(frozen=True, slots=True)
class Environment:
    """What only the caller can know: other resources, terminology, profiles and the time.

    A callback that is absent, or that answers NOT_JUDGED, leaves the result open. `now` carries its zone.
    """

    resolve: Callable[[str, Json], Json | NotJudgedType | None] | None = None
    member_of: Callable[[Node, str], bool | NotJudgedType] | None = None
    conforms: Callable[[Node, str], bool | NotJudgedType] | None = None
    now: datetime | None = None
    variables: Mapping[str, Any] | None = None
    trace: Callable[[str, list[Node]], None] | None = None
    steps: int = STEPS


NOTHING: Final = Environment()


class State:
    """The variables of one evaluation.

    `known` holds what parts of the expression gave that do not change during it. `this` is the collection that `$this` names and that arguments are read against. `open` counts the questions nobody
    could answer; `assumed` holds the answers they are given to see whether they matter.
    """

    __slots__ = (
        "assumed", "context", "environment", "index", "known", "model", "open", "resource", "root", "steps", "this", "total",
    )  # fmt: skip

    def __init__(self, model: Model, context: Items, resource: Items, root: Items, environment: Environment) -> None:
        self.model = model
        self.context = context
        self.this = context
        self.resource = resource
        self.root = root
        self.environment = environment
        self.index = 0
        self.total: Items = []
        self.steps = environment.steps
        self.known: dict[object, Any] = {}
        self.open: list[tuple[str, str]] = []
        self.assumed: dict[tuple[str, str], bool] | None = None

    def spend(self, steps: int) -> None:
        """Take steps from what may be spent.

        Raises:
            EvaluationError: nothing is left.
        """
        self.steps -= steps
        if self.steps < 0:
            message = "the expression takes too many steps on this resource"
            raise EvaluationError(message)
