"""A bounded memory of what was read last, for as long as nobody changed it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")
Mark = tuple[int | None, int]  # the era, and the own changes in it

_SHARE: Final = 8  # one value is at most this part of all


class Recent(Generic[Key, Value]):
    """Keeps the values used last, as many as weigh `limit` together; for one thread.

    `era` is that of the database: in another one, and while there is none, nothing is remembered.
    INVARIANT: `get` gives what the database would give, provided each own write is followed by `forget`.
    """

    def __init__(self, limit: int, era: Callable[[], int | None], weigh: Callable[[Value], int] = lambda _: 1) -> None:
        self._limit = limit
        self._era = era
        self._weigh = weigh
        self._weight = 0
        self._of: int | None = None  # the era of what is kept
        self._changes = 0
        self._values: OrderedDict[Key, Value] = OrderedDict()

    def get(self, key: Key) -> Value | None:
        """The value, None when it is not remembered."""
        era = self._era()
        if era != self._of or era is None:
            self._values.clear()
            self._weight = 0
            self._of = era
            return None
        value = self._values.get(key)
        if value is not None:
            self._values.move_to_end(key)
        return value

    def mark(self) -> Mark:
        """The moment just before a value is read from the database."""
        return self._era(), self._changes

    def keep(self, key: Key, value: Value, read: Mark) -> None:
        """Remember a value that was read after `read`, unless something was written since, or it would be much of all."""
        if read[0] is None or read[0] != self._of or read != self.mark():
            return
        weight = self._weigh(value)
        if weight * _SHARE > max(self._limit, _SHARE):
            return
        self._drop(key)
        self._values[key] = value
        self._weight += weight
        while self._weight > self._limit:
            self._drop(next(iter(self._values)))

    def forget(self, *keys: Key) -> None:
        """Drop values that may no longer be true, and those being read now."""
        self._changes += 1
        for key in keys:
            self._drop(key)

    def _drop(self, key: Key) -> None:
        value = self._values.pop(key, None)
        if value is not None:
            self._weight -= self._weigh(value)
