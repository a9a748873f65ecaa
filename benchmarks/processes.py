"""Real processes, each kept on one core: started, waited for, measured through /proc, and ended."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).resolve().parent.parent
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Cores:
    """One core for the server that is measured, another for everything around it."""

    server: int
    other: int

    @classmethod
    def of_this_machine(cls) -> Cores:
        """Raises: SystemExit where cores cannot be chosen, or there is one only."""
        if not hasattr(os, "sched_setaffinity") or len(found := sorted(os.sched_getaffinity(0))) < 2:
            raise SystemExit(
                "the benchmarks need Linux and two cores: the server must not share its core with the load"
            )
        return cls(found[0], found[-1])


class Process:
    """One Python process on one core. `python -m <arguments>`."""

    def __init__(self, arguments: Sequence[str], core: int, *, talk: Path | None = None, piped: bool = False) -> None:
        own = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {core})  # inherited by the child and by every thread it starts
        try:
            self.began = monotonic()
            self.popen = subprocess.Popen(
                [sys.executable, "-m", *arguments],
                cwd=ROOT,
                stdin=subprocess.PIPE if piped else subprocess.DEVNULL,
                stdout=subprocess.PIPE if piped else subprocess.DEVNULL,
                stderr=talk.open("wb") if talk else None,
                text=True,
            )
        finally:
            os.sched_setaffinity(0, own)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.popen.terminate()
        try:
            self.popen.wait(15)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
        for pipe in (self.popen.stdin, self.popen.stdout):
            if pipe is not None:
                pipe.close()

    def cpu_seconds(self) -> float:
        """Processor time of all its threads, in user and kernel."""
        after_name = Path(f"/proc/{self.popen.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(after_name[11]) + int(after_name[12])) / TICKS

    def memory_mib(self) -> dict[str, float]:
        """Resident memory, and the part of it that is private to the process."""
        lines = Path(f"/proc/{self.popen.pid}/status").read_text().splitlines()
        found = {name: float(rest.split()[0]) / 1024 for name, _, rest in (line.partition(":") for line in lines)
                 if name in {"VmRSS", "RssAnon"}}  # fmt: skip
        return {"resident": found["VmRSS"], "private": found["RssAnon"]}

    def ready(self, port: int, seconds: float = 30) -> float:
        """Wait until `/health/ready` says 200; gives the seconds since the process was started."""
        until = monotonic() + seconds
        while monotonic() < until:
            if self.popen.poll() is not None:
                message = f"a server ended with exit code {self.popen.returncode} before it was ready"
                raise SystemExit(message)
            if _answers(port):
                return monotonic() - self.began
            sleep(0.004)
        raise SystemExit("a server did not become ready in time")


class Load(Process):
    """The load generator: one job at a time, each bounded in count and time."""

    def __init__(self, core: int) -> None:
        super().__init__(["benchmarks.load"], core, piped=True)

    def run(self, job: dict[str, Any]) -> dict[str, Any]:
        """Do one job.

        Raises: SystemExit when an answer was not 200: measuring refusals is no measurement.
        """
        assert self.popen.stdin is not None
        assert self.popen.stdout is not None
        self.popen.stdin.write(json.dumps(job) + "\n")
        self.popen.stdin.flush()
        result: dict[str, Any] = json.loads(self.popen.stdout.readline() or '{"failed": "load generator ended"}')
        if result.get("failed"):
            message = f"not measured: {result['failed']}"
            raise SystemExit(message)
        return result


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/health/ready")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()
