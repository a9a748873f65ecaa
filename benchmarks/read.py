"""How much of a raw ASGI app is left: an authorized, consented, audited read of a held resource against the same bytes raw."""

from __future__ import annotations

import re
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.figures import Report
from benchmarks.processes import Cores, Load, Process
from benchmarks.records import bsns, messages
from benchmarks.region import Region, free_port, push
from profiles import exact
from profiles.identifiers import BSN_SYSTEM, URA_SYSTEM

OBSERVED: Final = "90000901"  # agreement with basis "observation": no permit needed
PERMITTED: Final = "90000902"  # agreement with basis "explicit": each patient's Consent is read
CONNECTIONS: Final = 32


@dataclass(frozen=True, slots=True)
class Size:
    """How long and how much is measured."""

    rounds: int = 7
    seconds: float = 3.0
    patients: int = 40
    results: int = 5


def run(directory: Path, size: Size, profile: Path | None = None) -> Report:
    """Measure, interleaved: raw, read by observation, read by explicit consent; each round in another order."""
    cores = Cores.of_this_machine()
    region = Region.at(directory)
    region.profile = profile
    region.custodian(OBSERVED, "observation", {"id": "ambulance", "kind": "mllp", "listen": "127.0.0.1:0"}, "AMB")
    region.custodian(PERMITTED, "explicit", {"id": "post", "kind": "mllp", "listen": "127.0.0.1:0"}, "N6")
    region.write()
    talk = directory / "gateway.log"
    with (
        Process(region.serve, cores.server, talk=talk) as gateway,
        Load(cores.other) as load,
    ):
        gateway.ready(region.port)
        held = fill(region, talk, size)
        bodies = directory / "bodies.json"
        kept = {f"/fhir/{path}": body.decode() for paths in held.values() for path, body in paths.items()}
        bodies.write_bytes(exact.encode(kept))
        port = free_port()
        with Process(["benchmarks.servers", "raw", "--bodies", str(bodies), "--port", str(port)], cores.server) as raw:
            raw.ready(port)
            return _measured(region, held, gateway, raw, port, load, size)


def told(talk: Path, count: int) -> dict[str, str]:
    """Where each feed connects to; the gateway may be ready a moment before its words are in the file."""
    for _ in range(1_000):
        feeds = dict(re.findall(r"feed (\S+) connects to (\S+)\n", talk.read_text()))
        if len(feeds) == count:
            return feeds
        time.sleep(0.01)
    message = f"{len(feeds)} of {count} feeds said where they connect to"
    raise SystemExit(message)


def fill(region: Region, talk: Path, size: Size) -> dict[str, dict[str, bytes]]:
    """Push every patient's results through both feeds, and read each back once: bytes by path, by custodian."""
    feeds = told(talk, sum(source["kind"] == "mllp" for source in region.tree["sources"]))
    persons = bsns(size.patients)
    for feed, address in feeds.items():
        push(address, [message for bsn in persons for message in messages(bsn, feed, size.results)])
    region.register(PERMITTED, persons, permit=True, listed=False)
    held: dict[str, dict[str, bytes]] = {OBSERVED: {}, PERMITTED: {}}
    for bsn in persons:
        form = f"patient.identifier={BSN_SYSTEM}|{bsn}&_count=500".encode()
        found = exact.decode(region.ask("POST", "Observation/_search", form, "application/x-www-form-urlencoded"))
        for entry in found["entry"]:
            if entry["search"]["mode"] == "match":
                tags = {tag["code"] for tag in entry["resource"]["meta"]["tag"] if tag["system"] == URA_SYSTEM}
                path = f"Observation/{entry['resource']['id']}"
                held[tags.pop()][path] = region.ask("GET", path)
    return held


def _measured(region: Region, held: dict[str, dict[str, bytes]], gateway: Process, raw: Process, port: int, load: Load,
              size: Size) -> Report:  # fmt: skip
    paths = {custodian: list(found) for custodian, found in held.items()}
    jobs: dict[str, tuple[Process, int, list[str]]] = {
        "raw": (raw, port, paths[OBSERVED]),
        "observation": (gateway, region.port, paths[OBSERVED]),
        "explicit": (gateway, region.port, paths[PERMITTED]),
    }
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in jobs}
    records, answers = _records(region), 0
    for number in range(-1, size.rounds):  # the first round warms up and is not counted
        order = list(jobs)[number % 3 :] + list(jobs)[: number % 3]
        for name in order:
            server, where, asked = jobs[name]
            job = {"kind": "steady", "port": where, "connections": CONNECTIONS, "count": 10_000_000, "seconds": size.seconds,
                   "requests": [region.request("GET", path) for path in asked], "seed": number}  # fmt: skip
            before = server.cpu_seconds()
            result = load.run(job)
            result["cpu"] = server.cpu_seconds() - before
            answers += result["count"] if server is gateway else 0
            if number >= 0:
                found[name].append(result)
    if _records(region) - records != answers:
        message = f"{answers} answers left {_records(region) - records} records"
        raise SystemExit(message)
    sizes = sorted(len(body) for bodies in held.values() for body in bodies.values())
    conditions = {
        "connections": CONNECTIONS,
        "resources": len(sizes),
        "bytes": f"{sizes[0]}-{sizes[-1]}",
        "rounds": size.rounds,
    }
    return _report(found, conditions)


def _report(found: dict[str, list[dict[str, Any]]], conditions: dict[str, Any]) -> Report:
    report = Report("read", conditions)
    cost = {name: [one["cpu"] / one["count"] * 1e6 for one in results] for name, results in found.items()}
    for name in ("observation", "explicit"):
        share = [100 * ours_raw / ours for ours_raw, ours in zip(cost["raw"], cost[name], strict=True)]
        report.add(f"share of raw, {name}", "% (CPU)", share, at_least=25)
    for name, results in found.items():
        rates = [one["count"] / one["seconds"] for one in results]
        if name != "raw":
            raw = [one["count"] / one["seconds"] for one in found["raw"]]
            report.add(
                f"share of raw, {name}", "% (requests/s)", [100 * a / b for a, b in zip(rates, raw, strict=True)]
            )
        report.add(f"{name}: requests", "/s", rates, digits=0)
        report.add(f"{name}: CPU a request", "us", cost[name])
        for point in ("p50", "p99"):
            report.add(f"{name}: {point}", "ms", [one[point] * 1e3 for one in results], digits=2)
    return report


def _records(region: Region) -> int:
    """How many records the log holds: read beside the serving process, as an auditor's tool would."""
    with sqlite3.connect(f"{(region.directory / 'gateway.db').as_uri()}?mode=ro", uri=True) as reader:
        return int(reader.execute("SELECT COUNT(*) FROM audit_log").fetchone()[0])


def quick() -> Size:
    """Just enough to see that it runs."""
    return Size(rounds=1, seconds=0.2, patients=2, results=2)
