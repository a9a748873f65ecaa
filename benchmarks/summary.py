"""What the gateway adds to its sources: the time of a summary over ten of them, its cost, and what a hung source costs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.figures import Report
from benchmarks.processes import Cores, Load, Process
from benchmarks.records import OBSERVATIONS, bsns, searchset
from benchmarks.region import Region, free_port
from profiles import exact
from profiles.identifiers import BSN_SYSTEM

SOURCES: Final = 10
DELAY_MS: Final = 20.0
DEADLINE_MS: Final = 1000.0
CLIENTS: Final = 8
_HANGING: Final = 3  # patients the first source never answers about


@dataclass(frozen=True, slots=True)
class Size:
    """How long and how much is measured."""

    rounds: int = 7
    seconds: float = 60.0  # at most, for each measurement of a round
    patients: int = 40
    tokens: int = 4  # times the patients = summaries a round at eight clients
    deadline_ms: float = DEADLINE_MS


def run(directory: Path, size: Size, profile: Path | None = None) -> Report:
    """Measure, interleaved: the sources alone, one client, eight clients, one client with a hung source."""
    cores = Cores.of_this_machine()
    ports = [free_port() for _ in range(SOURCES)]
    region = _region(directory, ports, size.deadline_ms)
    region.profile = profile
    persons = bsns(size.patients + _HANGING)
    hanging = persons[size.patients :]
    words = ["--ports", *map(str, ports), "--delay", str(DELAY_MS / 1000), "--hang", *hanging]
    door = free_port()
    with (
        Process(["benchmarks.servers", "sources", "--port", str(door), *words], cores.other) as sources,
        Process(region.serve, cores.server, talk=directory / "gateway.log") as gateway,
        Load(cores.other) as load,
        Load(cores.server) as yardstick,
    ):
        sources.ready(door)
        gateway.ready(region.port)
        for number in range(SOURCES):
            region.register(_ura(number), persons, permit=True, listed=True)
        _check(region, persons[0])
        return _measured(region, persons[: size.patients], hanging, ports, gateway, load, yardstick, size)


def _region(directory: Path, ports: list[int], deadline_ms: float) -> Region:
    region = Region.at(directory, deadline=f"{deadline_ms:.0f}ms")
    for number, port in enumerate(ports):
        source = {"id": f"source-{number}", "kind": "fhir-r4", "dialect": "r4-identifier@1.0", "url": f"http://127.0.0.1:{port}/fhir",
                  "categories": ["Patient", "ObservationVitalSigns"]}  # fmt: skip
        region.custodian(_ura(number), "explicit", source)
    region.write()
    return region


def _ura(number: int) -> str:
    return f"900010{number:02d}"


def _body(bsn: str) -> bytes:
    identifier = {"name": "identifier", "valueIdentifier": {"system": BSN_SYSTEM, "value": bsn}}
    return exact.encode({"resourceType": "Parameters", "parameter": [identifier]})


def _check(region: Region, bsn: str) -> None:
    """Raises: SystemExit when a summary does not hold every observation of every source."""
    document = exact.decode(region.ask("POST", "Patient/$summary", _body(bsn)))
    found = sum(entry["resource"]["resourceType"] == "Observation" for entry in document["entry"])
    if found != SOURCES * OBSERVATIONS:
        message = f"the summary holds {found} observations, not {SOURCES * OBSERVATIONS}"
        raise SystemExit(message)


def _measured(region: Region, persons: list[str], hanging: list[str], ports: list[int], gateway: Process, load: Load,
              yardstick: Load, size: Size) -> Report:  # fmt: skip
    common = {"kind": "steady", "port": region.port, "seconds": size.seconds}
    found: dict[str, list[dict[str, Any]]] = {}
    parse = {"kind": "parse", "bodies": [searchset(kind, number, persons[0]).decode() for number in range(SOURCES)
                                         for kind in ("Patient", "Observation")]}  # fmt: skip
    for number in range(-1, size.rounds):  # the first round warms up and is not counted
        once, many = _asked(region, persons, 1), _asked(region, persons, size.tokens)
        again, hung = _asked(region, persons[: max(1, size.patients // 4)], 1), _asked(region, hanging, 1)
        jobs: dict[str, dict[str, Any]] = {
            "floor": _floor(ports, persons[0], size.patients),
            "one": common | {"connections": 1, "count": len(once), "requests": once},
            "eight": common | {"connections": CLIENTS, "count": len(many), "requests": many},
            # Between two silences the first source is heard, or it would be left alone after a while.
            "one again": common | {"connections": 1, "count": len(again), "requests": again},
            "hung": common | {"connections": 1, "count": 1, "requests": hung},
        }
        for name, job in jobs.items():
            before = gateway.cpu_seconds()
            result = load.run(job | {"seed": number})
            result["cpu"] = gateway.cpu_seconds() - before
            if number >= 0:
                found.setdefault(name, []).append(result)
        if number >= 0:
            found.setdefault("parse", []).append(yardstick.run(parse))
    sent = len(searchset("Observation", 0, persons[0])) // OBSERVATIONS
    conditions = {"sources": SOURCES, "delay ms": DELAY_MS, "observations a source": OBSERVATIONS, "bytes an observation": sent,
                  "answer bytes": found["one"][0]["bytes"] // found["one"][0]["count"], "rounds": size.rounds}  # fmt: skip
    return _report(found, conditions, size.deadline_ms)


def _asked(region: Region, persons: list[str], tokens: int) -> list[str]:
    """A summary of every person under each of some new tokens: no two are of one episode, each decides anew."""
    return [
        region.request("POST", "Patient/$summary", _body(bsn), token=token)
        for token in [region.new_token() for _ in range(tokens)]
        for bsn in persons
    ]


def _floor(ports: list[int], bsn: str, count: int) -> dict[str, Any]:
    """The same twenty searches by a client that only waits for the slowest."""
    twice = [port for port in ports for _ in range(2)]
    requests = []
    for number, port in enumerate(twice):
        kind, parameter = ("Patient", "identifier") if number % 2 else ("Observation", "patient.identifier")
        form = f"{parameter}=x%7C{bsn}"
        requests.append(
            f"POST /fhir/{kind}/_search HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: {len(form)}\r\n\r\n{form}"
        )
    return {"kind": "together", "ports": twice, "requests": requests, "count": count}


def _report(found: dict[str, list[dict[str, Any]]], conditions: dict[str, Any], deadline_ms: float) -> Report:
    report = Report("summary", conditions)
    p50 = {name: [one["p50"] * 1e3 for one in results] for name, results in found.items() if name != "parse"}
    eight, one = found["eight"], found["one"]
    report.add("1 client: added to the slowest source, p50", "ms", [each - DELAY_MS for each in p50["one"]], at_most=10)
    report.add("8 clients: summaries", "/s", [each["count"] / each["seconds"] for each in eight], at_least=80)
    over = [each - deadline_ms for each in p50["hung"]]
    report.add("a hung source: total over the deadline", "ms", over)
    added = [each - base - deadline_ms for each, base in zip(p50["hung"], p50["one again"], strict=True)]
    report.add("a hung source: added, over the deadline", "ms", added, at_most=20)
    work = [each["cpu"] / each["count"] / parsed["cpu"] for each, parsed in zip(eight, found["parse"], strict=True)]
    report.add("8 clients: CPU, times reading and writing the sources' JSON once", "x", work)
    report.add("8 clients: CPU a summary", "ms", [each["cpu"] / each["count"] * 1e3 for each in eight], digits=2)
    report.add("1 client: CPU a summary", "ms", [each["cpu"] / each["count"] * 1e3 for each in one], digits=2)
    report.add("sources alone (a client that only waits): p50", "ms", p50["floor"])
    ratio = [mine / floor for mine, floor in zip(p50["one"], p50["floor"], strict=True)]
    report.add("1 client: times the sources alone", "x", ratio, digits=2)
    report.add("1 client: p50", "ms", p50["one"])
    report.add("1 client: p99", "ms", [each["p99"] * 1e3 for each in one])
    report.add("8 clients: p50", "ms", p50["eight"])
    report.add("8 clients: p99", "ms", [each["p99"] * 1e3 for each in eight])
    return report


def quick() -> Size:
    """Just enough to see that it runs."""
    return Size(rounds=1, patients=2, tokens=2, deadline_ms=5_000)
