"""The breaker, with time as an argument."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from gateway.adapters.breaker import JITTER, PROBE_EVERY, Breaker


def broken(jitter: float = 0.0) -> Breaker:
    breaker = Breaker(failures=3, jitter=lambda: jitter)
    for _ in range(3):
        breaker.failed(100.0)
    return breaker


def test_it_opens_after_failures_in_a_row_only() -> None:
    breaker = Breaker(failures=3)
    for _ in range(10):
        breaker.failed(1.0)
        breaker.failed(1.0)
        breaker.succeeded()
    assert (breaker.state, breaker.gauge) == ("closed", 0)
    assert broken().state == "open"


def test_one_probe_decides() -> None:
    breaker = broken()
    assert not breaker.admits(100.9)
    assert breaker.admits(101.0)
    assert (breaker.state, breaker.gauge) == ("half-open", 1)
    assert not breaker.admits(101.5)
    breaker.failed(101.6)
    assert (breaker.state, breaker.gauge) == ("open", 2)
    assert not breaker.admits(101.9)
    assert breaker.admits(102.0)
    breaker.succeeded()
    assert breaker.admits(102.0)
    assert breaker.admits(102.0)


def test_a_probe_that_never_reports_does_not_keep_it_shut() -> None:
    breaker = broken()
    assert breaker.admits(101.0)
    assert breaker.admits(102.0)


def test_jitter_delays_and_never_hastens() -> None:
    assert not broken(1.0).admits(100 + PROBE_EVERY)
    assert broken(1.0).admits(100 + PROBE_EVERY + JITTER)


@given(st.lists(st.floats(0, 0.4), max_size=200), st.floats(0, 1, exclude_max=True))
def test_whatever_happens_probes_are_a_second_apart(waits: list[float], jitter: float) -> None:
    breaker, now, probes = broken(jitter), 100.0, []
    for wait in waits:
        now += wait
        if breaker.admits(now):
            probes.append(now)
            breaker.failed(now)
    assert all(later - earlier >= PROBE_EVERY for earlier, later in pairwise(probes))
