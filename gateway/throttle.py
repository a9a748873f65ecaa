"""Counting within a window, so that a flood of refusals cannot fill the log and nobody asks more than is right."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import Any, Final

from gateway.errors import Refused, Unavailable

MAXIMUM_KEYS = 100_000
MISSES: Final = 5  # birth dates that are not a patient's, before the number is locked for everybody (attack 163)
LOCKED_FOR: Final = timedelta(minutes=15)  # from the last of them


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


class Variety:
    """How many different patients each client asked for within a window: who walks through numbers is stopped (attack 59)."""

    def __init__(self, bound: int, window: timedelta) -> None:
        self.bound = bound
        self.window = window
        self._started: datetime | None = None
        self._seen: dict[str, set[str]] = {}

    def look(self, client: str, patient: str, now: datetime) -> bool:
        """Count a patient a client asks for; false when that is one too many. Asking again for the same is no more."""
        if self._started is None or not timedelta(0) <= now - self._started < self.window:
            self._started, self._seen = now, {}
        seen = self._seen.get(client)
        if seen is None:
            seen = self._seen[client] = set()
        if patient in seen:
            return True
        if len(seen) >= self.bound:
            return False
        seen.add(patient)
        return True


@dataclass(frozen=True, slots=True)
class Quota:
    """How many requests a client may make within a window of fixed length."""

    name: str
    requests: int
    seconds: int

    @property
    def policy(self) -> str:
        """The quota as a policy header says it. Spec: draft-ietf-httpapi-ratelimit-headers-10 section 3."""
        return f'"{self.name}";q={self.requests};w={self.seconds}'


@dataclass(frozen=True, slots=True)
class Spent:
    """Requests of one client in one window. Units: seconds, `started` since 1970."""

    client: str
    seconds: int
    started: int
    requests: int


class _Window:
    """One quota of one client: what is known of all processes, and what of it is counted here and not told yet."""

    __slots__ = ("started", "untold", "used")

    def __init__(self) -> None:
        self.started = self.used = self.untold = 0


class Allowances:
    """What each client may still ask within its quotas; counted here, and shared with other processes as it is told."""

    def __init__(self, quotas: Sequence[Quota], own: Mapping[str, Sequence[Quota]] | None = None) -> None:
        self._quotas = tuple(quotas)
        self._own = {client: tuple(found) for client, found in (own or {}).items()}
        self._policies: dict[tuple[Quota, ...], str] = {}
        self._used: dict[str, list[_Window]] = {}  # client -> its window of each quota
        self._clients: dict[bytes, str] = {}  # Authorization header -> client, as it was proven

    def take(self, authorization: bytes, client: str, now: float) -> None:
        """Count a request of a client.

        Raises:
            Refused: `too-many-requests`, with the seconds until the window ends.
        """
        quotas = self._own.get(client, self._quotas)
        if not quotas:
            return
        if self._clients.get(authorization) != client:
            _forget_oldest(self._clients)
            self._clients[authorization] = client
        used = self._opened(client, quotas)
        for quota, window in zip(quotas, used, strict=True):
            if not 0 <= now - window.started < quota.seconds:
                window.started, window.used, window.untold = int(now), 0, 0
            window.used += 1
            window.untold += 1
        over = [quota.seconds - (now - window.started) for quota, window in zip(quotas, used, strict=True)
                if window.used > quota.requests]  # fmt: skip
        if over:
            raise Refused("too-many-requests", retry_after=max(1, ceil(max(over))))

    def client_of(self, authorization: bytes) -> str:
        """The client this header proved a moment ago; empty when it proved none."""
        return self._clients.get(authorization, "")

    def headers(self, client: str, now: float) -> tuple[tuple[str, str], ...]:
        """What a client is told about its quotas. Spec: draft-ietf-httpapi-ratelimit-headers-10 section 3 and 4."""
        quotas, used = self._own.get(client, self._quotas), self._used.get(client)
        if not quotas or used is None:
            return ()
        policy = self._policies.get(quotas)
        if policy is None:
            policy = self._policies[quotas] = ", ".join(quota.policy for quota in quotas)
        left = ", ".join(
            [
                f'"{quota.name}";r={max(0, quota.requests - window.used)};t={max(0, ceil(quota.seconds - now + window.started))}'
                for quota, window in zip(quotas, used, strict=True)
            ]
        )
        return ("ratelimit-policy", policy), ("ratelimit", left)

    def untold(self) -> list[Spent]:
        """What was counted here and not told to the others yet."""
        return [
            Spent(client, quota.seconds, window.started, window.untold)
            for client, used in self._used.items()
            for quota, window in zip(self._own.get(client, self._quotas), used, strict=True)
            if window.untold
        ]

    def learn(self, told: Iterable[Spent], totals: Iterable[Spent]) -> None:
        """Take up what all processes counted together; `told` of it was counted here and is among it."""
        for one in told:
            for window in self._windows_of(one):
                if window.started == one.started:
                    window.untold -= one.requests
        for one in totals:
            for window in self._windows_of(one):
                if window.started + one.seconds <= one.started:  # this client asked elsewhere only since then
                    window.untold = 0
                window.started, window.used = one.started, one.requests + window.untold

    def _windows_of(self, spent: Spent) -> list[_Window]:
        quotas = self._own.get(spent.client, self._quotas)
        used = self._opened(spent.client, quotas)
        return [window for quota, window in zip(quotas, used, strict=True) if quota.seconds == spent.seconds]

    def _opened(self, client: str, quotas: Sequence[Quota]) -> list[_Window]:
        used = self._used.get(client)
        if used is None:
            _forget_oldest(self._used)
            used = self._used[client] = [_Window() for _ in quotas]
        return used


def _forget_oldest(kept: dict[Any, Any]) -> None:
    while len(kept) >= MAXIMUM_KEYS:
        del kept[next(iter(kept))]
