"""`gateway serve`: run the gateway of a configuration."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from gateway import logs, serving, settings
from gateway.app import Gateway, assemble
from gateway.envelope import Receive, Scope, Send
from gateway.errors import StartError
from gateway.metrics import Metrics


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--config", type=Path, default=Path("region.toml"), help="the configuration file")
    parser.add_argument(
        "--role", choices=("api", "intake", "all"), default="all", help="answer HTTP, listen to feeds, or both"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Serve until Ctrl-C."""
    read = settings.load(options.config, options.environment)
    logs.configure(read.gateway.log_level)
    if read.gateway.demo and not serving.is_loopback(read.gateway.listen):
        message = f"gateway.demo is on, so gateway.listen may only be a loopback address, not {read.gateway.listen}"
        raise StartError(message, 1)
    serving.run(_serve(read, options.config.parent, options.role))
    return 0


async def _serve(read: settings.Settings, directory: Path, role: str) -> None:
    gateway = await assemble(read, directory, listen=role != "api")
    try:
        doors = [] if role == "intake" else [serving.Serving(gateway, serving.bind(read.gateway.listen))]
        if read.gateway.metrics_listen:
            doors.append(serving.Serving(metrics_app(gateway.metrics), serving.bind(read.gateway.metrics_listen)))
        await gateway.start()
        for door in doors:
            await door.start()
        _say(gateway, read)
        await gateway.warm()
        serving.settle()
        await serving.until_signal()
        for door in doors:
            await door.stop()
    finally:
        await gateway.close()


def _say(gateway: Gateway, read: settings.Settings) -> None:
    print(f"gateway: {read.gateway.base}/fhir ready, policy {gateway.ports.policy.revision}", file=sys.stderr)
    for source, (host, port) in gateway.addresses.items():
        print(f"gateway: feed {source} connects to {host}:{port}", file=sys.stderr)


class _MetricsApp:
    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del receive
        found = scope["path"] == "/metrics"
        headers = [(b"content-type", b"text/plain; version=0.0.4")]
        await send({"type": "http.response.start", "status": 200 if found else 404, "headers": headers})
        await send({"type": "http.response.body", "body": self._metrics.text() if found else b""})


def metrics_app(metrics: Metrics) -> _MetricsApp:
    """`GET /metrics` on a port of its own (attack 173)."""
    return _MetricsApp(metrics)
