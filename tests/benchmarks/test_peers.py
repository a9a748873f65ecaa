"""The side-by-side with other servers: it runs without them, says why one is left out, and installs nothing unasked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.peers import CONNECTIONS, Runner, Size, _given, _report, quick
from benchmarks.peers.installing import HERE, NotInstalled, Peer, peers
from benchmarks.peers.plot import text

ROOT = Path(__file__).resolve().parents[2]
TARGETS = {
    "fhirstarter": 20,
    "fhirsnake": 4,
    "@medplum/fhir-router": 0.5,
    "@asymmetrik/node-fhir-server-core": 8,
}


def test_every_peer_is_pinned_and_says_what_it_was_and_was_not() -> None:
    assert {peer.name: peer.target for peer in peers()} == TARGETS
    for peer in peers():
        assert (HERE / "servers" / peer.server).is_file()
        assert peer.packages
        assert all("==" in one or one.rpartition("@")[0] for one in peer.packages), "a version each"
        assert peer.configured
        assert "audit" in peer.without
    assert quick().only == ()


def test_a_peer_that_cannot_be_installed_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    npm = next(peer for peer in peers() if peer.registry == "npm")
    with pytest.raises(NotInstalled, match="node and npm are not on this machine"):
        npm.install(tmp_path)


def test_what_is_installed_is_not_installed_again(tmp_path: Path) -> None:
    peer = Peer("@a/b", "pypi", ("nothing==0",), "x.py", "/", 1, "", "")
    python = tmp_path / "a-b" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.touch()
    program, modules = peer.install(tmp_path)
    assert program == str(python)
    assert peer.command(program, modules, tmp_path / "r.json", 8080)[2:] == [str(tmp_path / "r.json"), "8080", modules]


@pytest.mark.parametrize(
    "url", ["https://127.0.0.1:8080/fhir", "http://elsewhere.example:80/fhir", "http://127.0.0.1/fhir"]
)
def test_a_server_elsewhere_is_not_compared(url: str) -> None:
    with pytest.raises(NotInstalled, match="on this machine"):
        _given(url, 10)


@pytest.mark.network
def test_a_server_that_does_not_answer_is_left_out() -> None:
    with pytest.raises(NotInstalled, match="cannot be read"):
        _given("http://127.0.0.1:9/fhir", 10)


def test_figures_are_ratios_and_what_was_left_out_is_said() -> None:
    def round_(cpu: float) -> dict[str, float]:
        return {"count": 1000, "seconds": 1.0, "cpu": cpu, "p50": 0.001, "p99": 0.002}

    def runner(name: str, cpu: float, target: float | None) -> Runner:
        found = {kind: [round_(cpu), round_(cpu)] for kind in ("Patient", "Observation")}
        requests: dict[str, list[str]] = {"Patient": ["x"], "Observation": ["x"]}
        # Any object stands for the process: only that there is one counts here.
        return Runner(name, 1, requests, object(), target, "notes", found)  # type: ignore[arg-type]

    held = {f"{kind}/1": {"resourceType": kind, "id": "1"} for kind in ("Patient", "Observation")}
    runners = [runner("gateway", 0.1, None), runner("other", 0.8, 4), runner("fast", 0.02, 0.5)]
    report = _report(runners, {"absent": "npm is not on this machine"}, held, Size(rounds=2))
    found = {figure["name"]: figure for figure in report.as_object()["figures"]}
    assert found["Patient: times the reads of other"]["median"] == pytest.approx(8)
    assert found["Patient: times the reads of other"]["met"] is True
    assert found["Patient: times the reads of fast"]["met"] is False
    assert report.conditions["absent"] == "[skipped: npm is not on this machine]"
    assert report.conditions["connections"] == CONNECTIONS
    assert "#" in text([("a", 1.0), ("b", 2.0)])
    assert text([]) == ""


@pytest.mark.proof
@pytest.mark.network
@pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2, reason="needs Linux and two cores"
)
def test_it_runs_without_any_peer(tmp_path: Path) -> None:
    found = tmp_path / "figures.json"
    command = [sys.executable, "-m", "benchmarks", "peers", "--quick", "--json", str(found), "--plot", str(tmp_path / "p.png"),
               "--base-url", "http://127.0.0.1:9/fhir"]  # fmt: skip
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False)
    assert ended.returncode == 0, ended.stderr
    (report,) = json.loads(found.read_text())
    assert {figure["name"] for figure in report["figures"]} >= {
        "Patient: gateway: CPU a read",
        "Observation: gateway: p99",
    }
    assert "skipped" in report["conditions"]["http://127.0.0.1:9/fhir"]
