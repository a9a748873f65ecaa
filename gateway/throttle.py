"""Counting within a window, so that a flood of refusals cannot fill the log and a birth date cannot be guessed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from gateway.errors import Unavailable

MAXIMUM_KEYS = 100_000


@dataclass(frozen=True, slots=True)
class Counted:
    """The verdict on one occurrence, and what went over the bound in the window that just ended."""

    within: bool
    sums: Sequence[tuple[str, int]] = ()


class Counts:
    """Occurrences per key in a window of fixed length; bounded in memory."""

    def __init__(self, bound: int, window: timedelta) -> None:
        self.bound = bound
        self.window = window
        self.full = False  # there is hardly any space left to record what is counted
        self._started: datetime | None = None
        self._counts: dict[str, int] = {}

    def count(self, key: str, now: datetime) -> Counted:
        """Count one more; `within` is false when the key went over its bound.

        Raises:
            Unavailable: `audit-unavailable`: the space that is left is for callers who are known.
        """
        if self.full:
            raise Unavailable("audit-unavailable")
        sums = self._roll(now)
        if key not in self._counts and len(self._counts) >= MAXIMUM_KEYS:
            return Counted(within=False, sums=sums)
        seen = self._counts[key] = self._counts.get(key, 0) + 1
        return Counted(within=seen <= self.bound, sums=sums)

    def exceeded(self, key: str, now: datetime) -> bool:
        """Claim that the key reached its bound in this window."""
        self._roll(now)
        return self._counts.get(key, 0) >= self.bound

    def _roll(self, now: datetime) -> Sequence[tuple[str, int]]:
        if self._started is not None and now - self._started < self.window:
            return ()
        over = [(key, seen - self.bound) for key, seen in self._counts.items() if seen > self.bound]
        self._started, self._counts = now, {}
        return over
