"""Feed: HL7 v2 over MLLP until each message is stored, translated, on the record and acknowledged; one serving process."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.figures import Report
from benchmarks.mapping import adt
from benchmarks.processes import Cores, Process
from benchmarks.read import told
from benchmarks.records import bsns
from benchmarks.region import Region
from gateway.demo import mllp
from gateway.demo.ambulance import Written

FEED: Final = "90000901"


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured. A listener takes eight connections; a sender waits for each acknowledgment."""

    rounds: int = 5
    messages: int = 2_000
    connections: int = 8
    patients: int = 200


def quick() -> Size:
    """Tiny sizes: shows that it runs."""
    return Size(1, 16, 2, 4)


def run(directory: Path, size: Size, profile: Path | None = None) -> Report:
    """Push rounds of messages; the first warms up and is not counted."""
    cores = Cores.of_this_machine()
    region = Region.at(directory)
    region.profile = profile
    region.custodian(FEED, "observation", {"id": "hospital", "kind": "mllp", "listen": "127.0.0.1:0"}, "V4")
    region.write()
    talk = directory / "gateway.log"
    rates: list[float] = []
    costs: list[float] = []
    with Process(region.serve, cores.server, talk=talk) as gateway:
        gateway.ready(region.port)
        address = told(talk, 1)["hospital"]
        for number in range(-1, size.rounds):
            messages = _messages(size, number)
            before, started = gateway.cpu_seconds(), time.perf_counter()
            asyncio.run(_push(address, messages, size.connections))
            took, cost = time.perf_counter() - started, gateway.cpu_seconds() - before
            if number >= 0:
                rates.append(len(messages) / took)
                costs.append(cost / len(messages) * 1e6)
    kept = _count(directory, "SELECT COUNT(*) FROM message WHERE state = 'accepted'")
    recorded = _count(directory, "SELECT COUNT(*) FROM audit_log")
    sent = size.messages * (size.rounds + 1)
    if kept != sent or recorded < sent:
        message = f"{sent} messages were acknowledged, {kept} are kept and {recorded} records written"
        raise SystemExit(message)
    report = Report("feed", {"connections": size.connections, "messages": size.messages, "segments": 10})
    report.add("MLLP in, stored, translated, recorded, acknowledged", "messages/s", rates, digits=0, at_least=800)
    report.add("processor time of the gateway, a message", "µs", costs, digits=0)
    return report


def _messages(size: Size, round_: int) -> list[Written]:
    persons = bsns(size.patients)
    return [
        Written(control := f"R{round_ + 1}N{number}", adt(number, control, persons[number % len(persons)]))
        for number in range(size.messages)
    ]


async def _push(address: str, messages: Sequence[Written], connections: int) -> None:
    await asyncio.gather(*(mllp.send(address, messages[first::connections]) for first in range(connections)))


def _count(directory: Path, query: str) -> int:
    (database,) = directory.glob("*.db")
    with sqlite3.connect(database) as connection:
        return int(connection.execute(query).fetchone()[0])
