"""Counters for operations staff: no patient, no client, no custodian in any label."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest


class Metrics:
    """The gateway's own registry; served on a port of its own (attack 173)."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._bound: dict[tuple[str, int], tuple[Counter, Histogram]] = {}
        self._requests = Counter(
            "gateway_requests_total",
            "Requests by interaction and status",
            ("interaction", "status"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "gateway_request_seconds",
            "Time to answer by interaction",
            ("interaction",),
            buckets=(0.001, 0.005, 0.02, 0.1, 0.5, 1, 2, 4, 8),
            registry=self.registry,
        )
        self.messages = Counter(
            "gateway_messages_total", "Pushed messages by outcome", ("outcome",), registry=self.registry
        )
        self.ready = Gauge("gateway_ready", "1 when the gateway can answer", registry=self.registry)

    def request(self, interaction: str, status: int, seconds: float) -> None:
        """Count one answered request."""
        bound = self._bound.get((interaction, status))
        if bound is None:
            bound = self._requests.labels(interaction, str(status)), self._seconds.labels(interaction)
            self._bound[interaction, status] = bound
        requests, times = bound
        requests.inc()
        times.observe(seconds)

    def text(self) -> bytes:
        """The exposition format."""
        return generate_latest(self.registry)
