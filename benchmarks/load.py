"""The load generator, a process of its own: reads one job a line, keeps its connections busy, writes one result a line."""

from __future__ import annotations

import asyncio
import json
import random
import re
import sys
from itertools import cycle
from time import perf_counter, process_time
from typing import Any, cast

from gateway import serving
from profiles import exact

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


class Run:
    """One job on its way: how much is left, and what was measured."""

    def __init__(self, job: dict[str, Any]) -> None:
        requests = [request.encode("latin-1") for request in job["requests"]]
        random.Random(job.get("seed", 1)).shuffle(requests)
        self.next = cycle(requests).__next__
        self.left = int(job["count"])
        self.until = perf_counter() + float(job["seconds"])
        self.latencies: list[float] = []
        self.bytes = 0
        self.failed = ""


class Connection(asyncio.Protocol):
    """One keep-alive connection: sends the next request when the answer before it is complete."""

    def __init__(self, run: Run, closed: asyncio.Future[None]) -> None:
        self._run = run
        self._closed = closed
        self._head = b""
        self._missing = 0
        self._began = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own is none by name
        self._send()

    def data_received(self, data: bytes) -> None:
        if self._missing:
            self._missing -= len(data)
        else:
            data = self._head + data
            end = data.find(b"\r\n\r\n")
            if end < 0:
                self._head = data
                return
            length = _LENGTH.search(data, 0, end)
            if data[9:12] != b"200" or length is None:
                self._run.failed = self._run.failed or data[:300].decode("latin-1")
                self._transport.close()
                return
            self._head = b""
            self._missing = end + 4 + int(length[1]) - len(data)
            self._run.bytes += int(length[1])
        if self._missing == 0:
            self._run.latencies.append(perf_counter() - self._began)
            self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None:
            self._run.failed = self._run.failed or type(exc).__name__
        if not self._closed.done():
            self._closed.set_result(None)

    def _send(self) -> None:
        run = self._run
        now = perf_counter()
        if run.left <= 0 or now >= run.until or run.failed:
            self._transport.close()
            return
        run.left -= 1
        self._began = now
        self._transport.write(run.next())


async def steady(job: dict[str, Any]) -> dict[str, Any]:
    """Keep `connections` busy with `requests` until `count` answers or `seconds` have passed."""
    loop, run = asyncio.get_running_loop(), Run(job)
    began = perf_counter()
    ends = []
    for _ in range(job["connections"]):
        closed = loop.create_future()
        await loop.create_connection(lambda closed=closed: Connection(run, closed), "127.0.0.1", job["port"])  # type: ignore[misc]
        ends.append(closed)
    await asyncio.wait(ends, timeout=float(job["seconds"]) + 30)
    seconds = perf_counter() - began
    found = sorted(run.latencies)
    if not found:
        return {"failed": run.failed or "no answer"}
    return {
        "failed": run.failed,
        "count": len(found),
        "seconds": seconds,
        "bytes": run.bytes,
        "p50": _at(found, 0.50),
        "p99": _at(found, 0.99),
        "worst": found[-1],
    }


async def together(job: dict[str, Any]) -> dict[str, Any]:
    """Send all requests at the same time, each on its own connection, and wait for the slowest; again and again.

    The floor under a fan-out: what a client without any work of its own would see.
    """
    streams = [await asyncio.open_connection("127.0.0.1", port, limit=1 << 20) for port in job["ports"]]

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> None:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = _LENGTH.search(head)
        await reader.readexactly(int(length[1]) if length else 0)

    found = []
    requests = [request.encode("latin-1") for request in job["requests"]]
    for _ in range(job["count"]):
        began = perf_counter()
        await asyncio.gather(*(one(*pair, request) for pair, request in zip(streams, requests, strict=True)))
        found.append(perf_counter() - began)
    for _, writer in streams:
        writer.close()
    found.sort()
    return {"failed": "", "count": len(found), "p50": _at(found, 0.50), "p99": _at(found, 0.99), "worst": found[-1]}


async def parse(job: dict[str, Any]) -> dict[str, Any]:
    """Read and write some JSON exactly: a measure of the machine at this moment, for a core that does much else."""
    bodies = [body.encode() for body in job["bodies"]]
    costs = []
    for _ in range(20):
        began = process_time()
        for body in bodies:
            exact.encode(exact.decode(body))
        costs.append(process_time() - began)
    return {"failed": "", "cpu": sorted(costs)[len(costs) // 2]}


def _at(found: list[float], share: float) -> float:
    return found[min(len(found) - 1, int(len(found) * share))]


def main() -> None:
    for line in sys.stdin:
        job = json.loads(line)
        try:
            result = serving.run({"steady": steady, "together": together, "parse": parse}[job["kind"]](job))
        except (OSError, EOFError) as error:
            result = {"failed": f"{type(error).__name__}: {error}"}
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
