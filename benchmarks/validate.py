"""From bytes to a verdict with the full profile, beside fhir.resources parsing the same bytes; and what a profile set costs."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fhir.resources.R4B.bundle import Bundle
from fhir.resources.R4B.observation import Observation
from fhir.resources.R4B.patient import Patient

from benchmarks import clinical
from benchmarks.figures import Report
from benchmarks.processes import ROOT
from profiles import exact
from profiles.judgement import accepts
from profiles.library import shipped

# In a process of its own: what the set costs before and after the first verdict with it.
_START: Final = """
import json, time
import profiles.validation, profiles.judgement
from benchmarks import clinical
from profiles import exact
from profiles.definitions import definitions
definitions()
kib = lambda: int(open("/proc/self/statm").read().split()[1]) * 4
before, began = kib(), time.process_time()
from profiles.library import shipped
library = shipped()
usable = time.process_time() - began
for one in (clinical.patient(), clinical.observation()):
    profiles.judgement.accepts(exact.decode(exact.encode(one)), library)
print(json.dumps([usable, time.process_time() - began, (kib() - before) / 1024]))
"""


@dataclass(frozen=True, slots=True)
class Size:
    """How often each is measured."""

    rounds: int = 7
    scale: float = 1.0


def quick() -> Size:
    """Tiny: shows that it runs."""
    return Size(1, 0.02)


def run(directory: Path, size: Size, profile: Path | None = None) -> Report:
    """Measure interleaved, in CPU time of one core: what else the machine does slows neither of the two."""
    del directory, profile
    report = Report("validate", {"rounds": size.rounds, "clock": "CPU time"})
    cases: list[tuple[str, dict[str, Any], Any, int, float]] = [
        ("nl-core Patient", clinical.patient(), Patient, 200, 9),
        ("nl-core Observation", clinical.observation(), Observation, 600, 2.5),
        ("Bundle of 50", clinical.bundle(), Bundle, 8, 5),
    ]
    for name, resource, model, times, least in cases:
        raw, count = exact.encode(resource), max(1, int(times * size.scale))
        assert accepts(exact.decode(raw), shipped()), name
        ours, theirs, decoded = [], [], []
        for number in range(-1, size.rounds):
            mine = _micros(lambda raw=raw: accepts(exact.decode(raw), shipped()), count)  # type: ignore[misc]
            peer = _micros(lambda raw=raw, model=model: model.model_validate_json(raw), max(1, count // 5))  # type: ignore[misc]
            plain = _micros(lambda raw=raw: exact.decode(raw), count)  # type: ignore[misc]
            if number >= 0:
                ours.append(mine)
                theirs.append(peer)
                decoded.append(plain)
        report.add(f"{name} ({len(raw) / 1000:.1f} kB): verdict", "µs", ours, digits=0)
        report.add(f"{name}: of which reading the bytes exactly", "µs", decoded, digits=0)
        report.add(f"{name}: fhir.resources, structure only", "µs", theirs, digits=0)
        ratios = [peer / mine for peer, mine in zip(theirs, ours, strict=True)]
        report.add(f"{name}: times as fast", "x", ratios, at_least=least)
    starts = [_start() for _ in range(max(1, size.rounds // 2))]
    report.add("profile set usable", "s", [one[0] for one in starts], digits=2, at_most=0.5)
    report.add("and two profiles compiled", "s", [one[1] for one in starts], digits=2)
    report.add("profile set: memory", "MiB", [one[2] for one in starts], digits=0, at_most=80)
    return report


def _micros(work: Callable[[], object], count: int) -> float:
    began = time.process_time()
    for _ in range(count):
        work()
    return (time.process_time() - began) / count * 1e6


def _start() -> tuple[float, float, float]:
    done = subprocess.run([sys.executable, "-c", _START], capture_output=True, check=True, cwd=ROOT, text=True)
    usable, compiled, mebibytes = json.loads(done.stdout)
    return usable, compiled, mebibytes
