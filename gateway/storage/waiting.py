"""Operations that wait for the next commit, alone or together with their like."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from gateway.storage.writer import Cursor, Log

A = TypeVar("A")
T = TypeVar("T")
Operation = Callable[["Cursor"], T]
Operations = Callable[["Cursor", Sequence[A]], Sequence[T]]  # many arguments, as many results


class Write:
    """One operation that waits for its commit."""

    __slots__ = ("after", "future", "operation")
    code: Final = "store-unavailable"

    def __init__(
        self, future: asyncio.Future[Any], operation: Operation[Any], after: Callable[[], None] | None
    ) -> None:
        self.future = future
        self.operation = operation
        self.after = after

    def apply(self, cursor: Cursor, heads: dict[Log, int]) -> object:  # noqa: ARG002 - same shape as a record
        """Run the operation."""
        return self.operation(cursor)


class Joint:
    """One argument of an operation that takes several at once: those that wait next to each other are one step."""

    __slots__ = ("after", "argument", "future", "operation")
    code: Final = "store-unavailable"

    def __init__(
        self,
        future: asyncio.Future[Any],
        operation: Operations[Any, Any],
        argument: object,
        after: Callable[[], None] | None,
    ) -> None:
        self.future = future
        self.operation = operation
        self.argument = argument
        self.after = after

    def apply(self, cursor: Cursor, heads: dict[Log, int]) -> object:  # noqa: ARG002 - same shape as a record
        """Run the operation for this one alone."""
        return self.operation(cursor, [self.argument])[0]
