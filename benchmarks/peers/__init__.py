"""Our audited read beside other FHIR servers that read the same resource by id, each on one core, in interleaved rounds."""

from __future__ import annotations

import http.client
import json
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Final
from urllib.parse import urlsplit

from benchmarks.figures import Report
from benchmarks.peers.installing import NotInstalled, Peer, peers
from benchmarks.peers.plot import plot
from benchmarks.processes import Cores, Load, Process
from benchmarks.records import bsns, messages
from benchmarks.region import Region, free_port, push
from profiles import exact
from profiles.identifiers import BSN_SYSTEM

CUSTODIAN: Final = "90000901"
TYPES: Final = ("Patient", "Observation")  # made of what was pushed on reading, and kept as it is given
CONNECTIONS: Final = 32
_READY_SECONDS: Final = 60
_FORM: Final = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Size:
    """How long and how much is measured; `installed` keeps the peers for a next time, `base_urls` are servers that run already."""

    rounds: int = 5
    seconds: float = 3.0
    patients: int = 40
    base_urls: tuple[str, ...] = ()
    installed: Path | None = None
    only: tuple[str, ...] | None = None  # names of peers; None = all
    picture: Path | None = None


@dataclass(slots=True)
class Runner:
    """One server that is measured: where it listens, what it is asked, and whose processor time counts."""

    name: str
    port: int
    requests: dict[str, list[str]]  # by resource type
    process: Process | None = None
    target: float | None = None
    notes: str = ""
    found: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: {kind: [] for kind in TYPES})


class Server(Process):
    """A server of any program on one core."""

    def __init__(self, command: list[str], core: int, talk: Path) -> None:
        own = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {core})  # inherited by the child and by every thread it starts
        try:
            self.began = monotonic()
            with talk.open("wb") as said:
                self.popen = subprocess.Popen(
                    command,
                    cwd=talk.parent,
                    stdin=subprocess.DEVNULL,
                    stdout=said,
                    stderr=said,
                    text=True,
                    env={**os.environ, "FHIR_SEQUENCE": "R4B", "NODE_ENV": "production"},
                )  # fmt: skip
        finally:
            os.sched_setaffinity(0, own)

    def answering(self, port: int, path: str, resource: dict[str, Any]) -> None:
        """Wait until it gives the resource.

        Raises: NotInstalled when it ends, does not answer, or answers with another id.
        """
        until = monotonic() + _READY_SECONDS
        while monotonic() < until:
            if self.popen.poll() is not None:
                message = f"its server ended with {self.popen.returncode}"
                raise NotInstalled(message)
            try:
                given = json.loads(_get(port, path))
            except (OSError, ValueError, http.client.HTTPException):
                sleep(0.1)
                continue
            if given.get("id") != resource["id"] or given.get("resourceType") != resource["resourceType"]:
                raise NotInstalled("its server gave another resource")
            return
        raise NotInstalled("its server did not become ready in time")


def run(directory: Path, size: Size, profile: Path | None = None) -> Report:
    """Measure, interleaved: ours, each peer that can be installed, each base URL that was given."""
    cores = Cores.of_this_machine()
    region = Region.at(directory)
    region.profile = profile
    region.custodian(CUSTODIAN, "observation", {"id": "ambulance", "kind": "mllp", "listen": "127.0.0.1:0"}, "AMB")
    region.write()
    talk = directory / "gateway.log"
    skipped: dict[str, str] = {}
    with ExitStack() as stack:
        gateway = stack.enter_context(Process(region.serve, cores.server, talk=talk))
        load = stack.enter_context(Load(cores.other))
        gateway.ready(region.port)
        held = _fill(region, talk, size)
        runners = [_ours(region, gateway, held)]
        for peer in peers():
            if size.only is None or peer.name in size.only:
                with _skipping(peer.name, skipped):
                    runners.append(_started(peer, directory, size, cores.server, held, stack))
        for url in size.base_urls:
            with _skipping(url, skipped):
                runners.append(_given(url, size.patients))
        _measure(runners, load, size)
    report = _report(runners, skipped, held, size)
    if size.picture is not None:
        plot(report, size.picture)
    return report


def quick() -> Size:
    """Just enough to see that it runs: nothing is installed."""
    return Size(rounds=1, seconds=0.2, patients=2, only=())


def _fill(region: Region, talk: Path, size: Size) -> dict[str, dict[str, Any]]:
    """Push every patient's results, and read everything back once: resource by path."""
    ((feed, address),) = re.findall(r"feed (\S+) connects to (\S+)", talk.read_text())
    persons = bsns(size.patients)
    push(address, [message for bsn in persons for message in messages(bsn, feed, 1)])
    held: dict[str, dict[str, Any]] = {}
    for bsn in persons:
        for kind, parameter in (("Patient", "identifier"), ("Observation", "patient.identifier")):
            form = f"{parameter}={BSN_SYSTEM}|{bsn}".encode()
            found = exact.decode(region.ask("POST", f"{kind}/_search", form, _FORM))
            for entry in found["entry"]:
                if entry["search"]["mode"] == "match":
                    path = f"{kind}/{entry['resource']['id']}"
                    held[path] = exact.decode(region.ask("GET", path))
    return held


def _ours(region: Region, gateway: Process, held: dict[str, Any]) -> Runner:
    requests = {kind: [region.request("GET", path) for path in held if path.startswith(kind)] for kind in TYPES}
    notes = (
        "access token, scope, agreement and consent checked; audit record durable before the first byte; SQLite on disk"
    )
    return Runner("gateway", region.port, requests, gateway, notes=notes)


def _started(peer: Peer, directory: Path, size: Size, core: int, held: dict[str, Any], stack: ExitStack) -> Runner:
    program, modules = peer.install(size.installed or directory / "peers")
    home = directory / peer.server.partition(".")[0]
    home.mkdir()
    resources = home / "resources.json"
    resources.write_bytes(exact.encode(held))
    port = free_port()
    server = stack.enter_context(Server(peer.command(program, modules, resources, port), core, home / "talk.log"))
    path = next(iter(held))
    server.answering(port, peer.path + path, held[path])
    requests = {kind: [_plain(peer.path + path) for path in held if path.startswith(kind)] for kind in TYPES}
    return Runner(peer.name, port, requests, server, peer.target, f"{peer.configured}; without {peer.without}")


def _given(url: str, count: int) -> Runner:
    """A server that runs already: whatever Patients and Observations it shows are read by id.

    Raises: NotInstalled when it is elsewhere, does not answer, or shows nothing to read.
    """
    parts = urlsplit(url)
    if parts.scheme != "http" or parts.hostname not in {"127.0.0.1", "localhost"} or parts.port is None:
        raise NotInstalled("only http://127.0.0.1:PORT/…: load and server must be on this machine to be comparable")
    base = parts.path.rstrip("/") + "/"
    requests: dict[str, list[str]] = {}
    for kind in TYPES:
        try:
            entries = json.loads(_get(parts.port, f"{base}{kind}?_count={count}")).get("entry", [])
            ids = [entry["resource"]["id"] for entry in entries if entry["resource"]["resourceType"] == kind]
        except (OSError, ValueError, KeyError, AttributeError, http.client.HTTPException) as error:
            message = f"its search cannot be read ({type(error).__name__})"
            raise NotInstalled(message) from None
        requests[kind] = [_plain(f"{base}{kind}/{id_}") for id_ in ids]
    if not requests["Patient"]:
        raise NotInstalled("its search shows no Patient to read")
    return Runner(
        url, parts.port, requests, notes="as it was found: cores, storage and checks are its own; other resources"
    )


@contextmanager
def _skipping(name: str, skipped: dict[str, str]) -> Iterator[None]:
    try:
        yield
    except NotInstalled as reason:
        skipped[name] = str(reason)


def _measure(runners: list[Runner], load: Load, size: Size) -> None:
    for number in range(-1, size.rounds):  # the first round warms up and is not counted
        shift = number % len(runners)
        for runner in (*runners[shift:], *runners[:shift]):
            for kind, requests in runner.requests.items():
                if not requests:
                    continue
                job = {"kind": "steady", "port": runner.port, "connections": CONNECTIONS, "count": 10_000_000,
                       "seconds": size.seconds, "requests": requests, "seed": number}  # fmt: skip
                before = runner.process.cpu_seconds() if runner.process else 0.0
                result = load.run(job)
                result["cpu"] = runner.process.cpu_seconds() - before if runner.process else 0.0
                if number >= 0:
                    runner.found[kind].append(result)


def _report(runners: list[Runner], skipped: dict[str, str], held: dict[str, Any], size: Size) -> Report:
    sizes = {kind: [len(exact.encode(one)) for path, one in held.items() if path.startswith(kind)] for kind in TYPES}
    conditions: dict[str, Any] = {"connections": CONNECTIONS, "rounds": size.rounds, "cores a server": 1}
    conditions |= {f"bytes {kind}": f"{min(found)}-{max(found)}" for kind, found in sizes.items()}
    conditions |= {runner.name: f"[{runner.notes}]" for runner in runners}
    conditions |= {name: f"[skipped: {reason}]" for name, reason in skipped.items()}
    report = Report("peers", conditions)
    ours, *others = runners
    for kind in TYPES:
        own = [_cost(one) for one in ours.found[kind]]
        for other in others:
            if other.process is not None:
                ratio = [_cost(theirs) / mine for theirs, mine in zip(other.found[kind], own, strict=True) if mine]
                report.add(
                    f"{kind}: times the reads of {other.name}",
                    "x (CPU)",
                    ratio or [0.0],
                    digits=2,
                    at_least=other.target,
                )
        for runner in runners:
            if runner.found[kind]:
                if runner.process is not None:
                    report.add(f"{kind}: {runner.name}: CPU a read", "us", [_cost(one) for one in runner.found[kind]])
                report.add(
                    f"{kind}: {runner.name}: reads",
                    "/s",
                    [one["count"] / one["seconds"] for one in runner.found[kind]],
                    digits=0,
                )
                for point in ("p50", "p99"):
                    report.add(
                        f"{kind}: {runner.name}: {point}",
                        "ms",
                        [one[point] * 1e3 for one in runner.found[kind]],
                        digits=2,
                    )
    return report


def _cost(result: dict[str, Any]) -> float:
    return float(result["cpu"]) / int(result["count"]) * 1e6


def _plain(path: str) -> str:
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: application/fhir+json\r\n\r\n"


def _get(port: int, path: str) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path, headers={"Accept": "application/fhir+json"})
        answer = connection.getresponse()
        body = answer.read()
    finally:
        connection.close()
    if answer.status != 200:
        message = f"status {answer.status}"
        raise ValueError(message)
    return body
