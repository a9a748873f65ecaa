"""Each benchmark runs to its end at tiny sizes, measures what its table names, and reports a missed target as missed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.figures import Report

ROOT = Path(__file__).resolve().parents[2]

needs_two_cores = pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2,
    reason="a server must not share its core with the load: needs Linux and two cores",
)


@pytest.mark.proof
@pytest.mark.network
@pytest.mark.timeout(120)
@needs_two_cores
@pytest.mark.parametrize(
    ("name", "targets"),
    [
        ("read", {"share of raw, observation", "share of raw, explicit"}),
        ("read_postgresql", {"times raw with one query, observation", "times raw with one query, explicit"}),
        (
            "summary",
            {
                "1 client: added to the slowest source, p50",
                "8 clients: summaries",
                "a hung source: added, over the deadline",
            },
        ),
        ("start", {"serve: process start to ready", "demo: process start to ready"}),
        (
            "audit",
            {
                "append, SQLite",
                "append, SQLite, a second of processor time",
                "append, PostgreSQL, with 512 callers",
                "CPU a record, event loop, writer and hashing",
                "records per fsync of 5 ms, 128 connections",
                "taking in what is asked by",
                "first page of a period, p50",
                "first page of a purpose nobody had, p50",
                "first page of an employee, p50",
                "first page of emergencies, p50",
                "first page of what was denied, p50",
                "question about a patient, 2000 records, p50",
                "verify",
                "verify: memory it needed more",
            },
        ),
        ("forms", {"summary: XML against JSON", "search of 20: XML against JSON"}),
        (
            "overviews",
            {
                "everything, newest 50",
                "by patient",
                "by employee",
                "one day",
                "denied",
                "emergency",
                "emergency by one patient",
                "denied by one employee",
                "nobody of that name",
                "sums of a month",
                "sums of the whole log",
            },
        ),
    ],
)
def test_runs(name: str, targets: set[str], tmp_path: Path) -> None:
    found = tmp_path / "figures.json"
    command = [sys.executable, "-m", "benchmarks", name, "--quick", "--json", str(found)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False)
    assert ended.returncode == 0, ended.stderr
    (report,) = json.loads(found.read_text())
    assert {figure["name"] for figure in report["figures"] if figure["target"]} == targets
    assert all(figure["rounds"]["values"] for figure in report["figures"])
    assert f"== {name} (" in ended.stdout


@pytest.mark.slow
def test_a_missed_target_stays_visible() -> None:
    report = Report("read", {"rounds": 3})
    report.add("share", "%", [24.0, 20.0, 30.0], at_least=25)
    report.add("time", "ms", [9.0, 12.0, 8.0], at_most=10)
    report.add("context", "us", [1.0])
    share, time, context = report.text().splitlines()[2:]
    assert share.split()[1] == "24.0"
    assert share.endswith("MISSED")
    assert time.endswith("met")
    assert context.endswith("us")
    assert [figure["met"] for figure in report.as_object()["figures"]] == [False, True, None]
