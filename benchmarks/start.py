"""From nothing to the first answer: a cold start of `gateway serve`, of the whole demo region, and the memory they take."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Final

from benchmarks.figures import Report
from benchmarks.processes import ROOT, Cores, Process
from benchmarks.region import Region, free_port

_LIBRARIES: Final = "import aiohttp, cryptography, fastapi, jsonschema_rs, lxml, msgspec, uvicorn, uvloop"


@dataclass(frozen=True, slots=True)
class Size:
    """How often it is started."""

    rounds: int = 7
    demos: int = 3


def run(directory: Path, size: Size, profile: Path | None = None) -> Report:
    """Start again and again, interleaved with an interpreter that only imports the libraries; database and keys exist."""
    cores = Cores.of_this_machine()
    region = Region.at(directory)
    region.profile = profile
    region.write()
    starts, imports, memory = [], [], []
    for number in range(-1, size.rounds):  # the first start compiles and warms the page cache, and is not counted
        imported = _imports()
        with Process(region.serve, cores.server) as gateway:
            seconds = gateway.ready(region.port)
            taken = gateway.memory_mib()
        if number >= 0:
            starts.append(seconds)
            imports.append(imported)
            memory.append(taken)
    demos = [_demo(cores) for _ in range(size.demos)]
    report = Report("start", {"rounds": size.rounds, "demos": size.demos})
    report.add("serve: process start to ready", "s", starts, digits=2, at_most=1.5)
    report.add("demo: process start to ready", "s", [seconds for seconds, _ in demos], digits=2, at_most=10)
    report.add("importing the libraries alone", "s", imports, digits=2)
    report.add("serve: times the libraries alone", "x", [a / b for a, b in zip(starts, imports, strict=True)], digits=2)
    report.add("serve: resident memory", "MiB", [one["resident"] for one in memory], digits=0)
    report.add("serve: private memory", "MiB", [one["private"] for one in memory], digits=0)
    report.add("demo: resident memory", "MiB", [one["resident"] for _, one in demos], digits=0)
    return report


def _imports() -> float:
    began = monotonic()
    subprocess.run([sys.executable, "-c", _LIBRARIES], check=True, cwd=ROOT)
    return monotonic() - began


def _demo(cores: Cores) -> tuple[float, dict[str, float]]:
    """The demo needs both its gateway and its sources, so it may use every core."""
    port = free_port()
    with Process(["gateway", "demo", "--json", "--port", str(port)], cores.server) as demo:
        return demo.ready(port), demo.memory_mib()


def quick() -> Size:
    """Just enough to see that it runs."""
    return Size(rounds=1, demos=1)
