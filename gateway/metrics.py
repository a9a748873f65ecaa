"""Counters for operations staff: no patient, no client, no custodian in any label."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator
from itertools import accumulate
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

_BOUNDS: Final = (0.001, 0.005, 0.02, 0.1, 0.5, 1.0, 2.0, 4.0, 8.0)  # seconds


class _Times:
    """How long the answers to one interaction took."""

    __slots__ = ("buckets", "seconds")

    def __init__(self) -> None:
        self.buckets = [0] * (len(_BOUNDS) + 1)
        self.seconds = 0.0


class _Requests(Collector):
    """Counts of one thread, made into metrics when they are read: counting is on the path of every request."""

    def __init__(self) -> None:
        self.counts: dict[tuple[str, int], int] = {}
        self.times: dict[str, _Times] = {}

    def collect(self) -> Iterator[Metric]:
        """What was counted so far."""
        requests = CounterMetricFamily(
            "gateway_requests", "Requests by interaction and status", labels=("interaction", "status")
        )
        for (interaction, status), count in sorted(self.counts.items()):
            requests.add_metric((interaction, str(status)), count)
        yield requests
        seconds = HistogramMetricFamily(
            "gateway_request_seconds", "Time to answer by interaction", labels=("interaction",)
        )
        for interaction, times in sorted(self.times.items()):
            names = [*map(str, _BOUNDS), "+Inf"]
            buckets = list(zip(names, map(float, accumulate(times.buckets)), strict=True))
            seconds.add_metric((interaction,), buckets, times.seconds)
        yield seconds


class _Losses(Collector):
    """What translations could not carry, as it is counted elsewhere."""

    def __init__(self, count: Callable[[], int]) -> None:
        self._count = count

    def collect(self) -> Iterator[Metric]:
        """How many it is by now."""
        yield CounterMetricFamily(
            "gateway_mapping_losses", "Elements of sources that no map had a place for", value=self._count()
        )


class Metrics:
    """The gateway's own registry; served on a port of its own (attack 173)."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = _Requests()
        self.registry.register(self._requests)
        self.messages = Counter(
            "gateway_messages_total", "Pushed messages by outcome", ("outcome",), registry=self.registry
        )
        self.ready = Gauge("gateway_ready", "1 when the gateway can answer", registry=self.registry)

    def request(self, interaction: str, status: int, seconds: float) -> None:
        """Count one answered request."""
        key = interaction, status
        counts = self._requests.counts
        counts[key] = counts.get(key, 0) + 1
        times = self._requests.times.get(interaction)
        if times is None:
            times = self._requests.times[interaction] = _Times()
        times.seconds += seconds
        times.buckets[bisect_left(_BOUNDS, seconds)] += 1

    def losses(self, count: Callable[[], int]) -> None:
        """Show what translations could not carry; `count` knows how many elements it is by now."""
        self.registry.register(_Losses(count))

    def text(self) -> bytes:
        """The exposition format."""
        return generate_latest(self.registry)
