"""Leave a source that keeps failing alone for a moment, then let one question find out whether it is back."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final, Literal

State = Literal["closed", "open", "half-open"]

PROBE_EVERY: Final = 1.0  # seconds, at least, between two probes
JITTER: Final = 0.5  # seconds, at most, added so that replicas do not probe together
FAILURES: Final = 5  # in a row
GAUGE: Final[dict[State, int]] = {"closed": 0, "half-open": 1, "open": 2}


class Breaker:
    """The state of one source: closed (ask), open (do not ask), half-open (one probe is on its way).

    INVARIANT: once open, at most one probe per `PROBE_EVERY` seconds until a probe succeeds.
    """

    def __init__(
        self,
        *,
        failures: int = FAILURES,
        probe_every: float = PROBE_EVERY,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.state: State = "closed"
        self._limit = failures
        self._every = probe_every
        self._jitter = jitter
        self._failures = 0
        self._next_probe = 0.0

    @property
    def gauge(self) -> int:
        """The state as a number for metrics: 0 closed, 1 half-open, 2 open."""
        return GAUGE[self.state]

    @property
    def is_doubtful(self) -> bool:
        """Claim that the source is not known to be back."""
        return self.state != "closed"

    def admits(self, now: float) -> bool:
        """Say whether the source may be asked; in an open state a yes is the one probe.

        Units: `now` seconds of a monotonic clock.
        """
        if self.state == "closed":
            return True
        # A probe that never reported (its caller went away) does not keep the source shut.
        if now < self._next_probe:
            return False
        self.state = "half-open"
        self._wait(now)
        return True

    def succeeded(self) -> None:
        """The source answered, whatever it said."""
        self._failures = 0
        self.state = "closed"

    def failed(self, now: float) -> None:
        """The source did not answer, or answered that it could not."""
        self._failures += 1
        if self.state == "half-open":
            self.state = "open"
        elif self.state == "closed" and self._failures >= self._limit:
            self.state = "open"
            self._wait(now)

    def _wait(self, now: float) -> None:
        self._next_probe = now + self._every + JITTER * self._jitter()
