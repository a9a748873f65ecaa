"""A gateway that is killed under load: every answer a client got has its record, every acknowledged message is kept."""

from __future__ import annotations

import asyncio
import json
import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest

from gateway.adapters.witnesses import FileWitness
from gateway.audit.checkpoints import origin_of
from gateway.audit.examination import Examiner
from gateway.audit.record import Record, decode
from gateway.crypto.ring import KeyRing
from gateway.oauth.tokens import AccessTokens
from gateway.policy import build
from gateway.settings import WitnessTable, parse
from gateway.storage import Database, open_stores, upgrade
from tests.contract.postgres import Server, server
from tests.fakes import FixedClock
from tests.gateway.charts import BSN, BSN_SYSTEM
from tests.gateway.test_push import arrival, measured
from tests.gateway.test_writes import registration
from tests.gateway.world import AMBULANCE, GP, NUMBER_SYSTEM, PHYSICIAN, SETTINGS, custodian
from tests.slack import slack

pytestmark = [pytest.mark.proof, pytest.mark.network, pytest.mark.timeout(1800)]

ROOT = Path(__file__).parents[2]


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def toml(tables: dict[str, Any]) -> str:
    """JSON texts, numbers and lists are TOML ones."""
    lines: list[str] = []
    for name, rows in tables.items():
        for row in rows if isinstance(rows, list) else [rows]:
            lines.append(f"[[{name}]]" if isinstance(rows, list) else f"[{name}]")
            lines += [f"{key} = {json.dumps(value)}" for key, value in row.items()]
    return "\n".join(lines) + "\n"


@dataclass
class Real:
    """A real gateway process on a real file, and what its clients were told."""

    directory: Path
    url: str = ""
    port: int = field(default_factory=free_port)
    feed: int = field(default_factory=free_port)
    answered: dict[str, int] = field(default_factory=dict)  # request id -> status
    acknowledged: set[str] = field(default_factory=set)
    registered: set[str] = field(default_factory=set)
    seconds: list[float] = field(default_factory=list)  # from start to ready
    number: int = 0

    def __post_init__(self) -> None:
        year = datetime.now(UTC).year
        agreements = [
            row | {"start": f"{year - 1}-01-01", "end": f"{year + 1}-12-31"} for row in SETTINGS["agreements"]
        ]
        feed = {"id": "ambulance", "custodian": AMBULANCE, "kind": "mllp", "listen": f"127.0.0.1:{self.feed}"}
        gateway = {"base": self.base, "listen": f"127.0.0.1:{self.port}", "log_level": "error"}
        self.url = self.url or f"sqlite:///{self.directory}/gateway.db"
        tables = SETTINGS | {
            "gateway": gateway,
            "database": {"url": self.url},
            "sources": [feed],
            "agreements": agreements,
        }
        (self.directory / "region.toml").write_text(toml(tables), encoding="utf-8")
        upgrade(self.url)
        self.keys = KeyRing.create(self.directory / "keys", datetime.now(UTC), [NUMBER_SYSTEM])
        settings = parse(tables)
        self.tokens = AccessTokens(self.keys, settings, build(settings))

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> subprocess.Popen[bytes]:
        began = time.monotonic()
        command = [sys.executable, "-m", "gateway", "serve", "--config", str(self.directory / "region.toml")]
        witness = {"ID": "worm", "KIND": "file", "PATH": str(self.directory / "worm")}
        settings = {f"GATEWAY__AUDIT__WITNESSES__0__{key}": value for key, value in witness.items()}
        process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT), **settings})
        while time.monotonic() - began < 30:
            assert process.poll() is None
            with suppress(httpx2.HTTPError):
                if httpx2.get(f"{self.base}/health/ready", timeout=1).status_code == 200:
                    self.seconds.append(time.monotonic() - began)
                    return process
            time.sleep(0.02)
        process.kill()
        process.wait()
        raise AssertionError("not ready within 30 s")

    def headers(self, ura: str = "") -> dict[str, str]:
        caller = custodian(ura) if ura else PHYSICIAN
        return {"authorization": f"Bearer {self.tokens.issue(caller, datetime.now(UTC).timestamp())[0]}"}

    async def ask(self, http: httpx2.AsyncClient, stop: asyncio.Event) -> None:
        """Search, be refused, and register, for as long as there is an answer."""
        patient = self.keys.patient_id(BSN_SYSTEM, BSN)
        asking, writing = self.headers(), self.headers(GP)
        with suppress(httpx2.HTTPError):
            while not stop.is_set():
                asks = [
                    ("GET", f"Observation?patient={patient}", None),
                    ("GET", "Condition/x", None),
                    ("POST", "List", registration()),
                ]
                for method, path, body in asks:
                    answer = await http.request(method, path, json=body, headers=writing if body else asking)
                    assert answer.status_code in {200, 201, 404}, answer.text
                    self.answered[answer.headers["x-request-id"]] = answer.status_code
                    if answer.status_code == 201:
                        self.registered.add(answer.json()["id"])

    async def push(self, stop: asyncio.Event) -> None:
        """Send messages one by one; remember those that were acknowledged."""
        with suppress(OSError, asyncio.IncompleteReadError):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.feed)
            try:
                while not stop.is_set():
                    self.number += 1
                    control = f"M{self.number}"
                    body = arrival(control) if self.number == 1 else measured(control, value=str(40 + self.number % 99))
                    writer.write(b"\x0b" + body + b"\x1c\r")
                    answer = await reader.readuntil(b"\x1c\r")
                    assert b"MSA|AA|" + control.encode() in answer, answer
                    self.acknowledged.add(control)
            finally:
                writer.transport.abort()

    async def load(self, process: subprocess.Popen[bytes], seconds: float) -> None:
        """Work until the process is killed in the middle of it."""
        stop, before = asyncio.Event(), len(self.answered)
        async with httpx2.AsyncClient(base_url=f"{self.base}/fhir/", timeout=30, verify=False) as http:
            working = [
                asyncio.ensure_future(one) for one in (*(self.ask(http, stop) for _ in range(4)), self.push(stop))
            ]
            async with asyncio.timeout(60):
                while len(self.answered) < before + 12:  # until the load is on
                    await asyncio.sleep(0.005)
                    for ended in (one for one in working if one.done()):
                        ended.result()  # an answer that should not be
            await asyncio.sleep(seconds)
            process.kill()
            stop.set()
            await asyncio.gather(*working)

    async def kept(self) -> tuple[list[Record], set[str], set[str]]:
        """The records, the registrations and the messages that are on the disk; the log is whole."""
        database = Database.open(self.url)
        stores = open_stores(database, self.keys.seal, self.keys.unseal, FixedClock())
        records = [
            decode(one.body) for log in await stores.audit.heads() async for one in stores.audit.records(log=log)
        ]
        patient = self.keys.patient_id(BSN_SYSTEM, BSN)
        entries = {entry.id for entry in await stores.index.entries(patient, datetime.now(UTC))}
        messages = {row[0] for row in await database.rows("SELECT DISTINCT key FROM message")}
        base = self.base.removeprefix("http://") + "/audit"
        examiner = Examiner(stores.trees, base, self.keys.audit_keys().values(), datetime.now(UTC))
        worm = FileWitness(WitnessTable("worm", "file"), self.directory / "worm")
        for log in await stores.trees.logs():
            for note in await worm.history(origin_of(base, log)):
                assert examiner.add(note.raw(), "worm")
        report = await examiner.run(None, lambda *_: None)
        assert report.whole, report.findings
        assert sum(one.witnessed for one in report.logs) > 0
        await database.close()
        return records, entries, messages


@pytest.fixture(scope="module")
def postgresql() -> Iterator[Server]:
    with server() as started:
        yield started


@pytest.mark.parametrize(("engine", "times"), [("sqlite", 40), ("postgresql", 10)])
def test_g6_g7_146_a_kill_loses_nothing_that_was_answered(
    engine: str, times: int, tmp_path: Path, scale: int, request: pytest.FixtureRequest
) -> None:
    url = request.getfixturevalue("postgresql").new_database() if engine == "postgresql" else ""
    real, chance = Real(tmp_path, url), random.Random(6)
    for _ in range(times * scale):
        process = real.start()
        try:
            asyncio.run(real.load(process, chance.uniform(0.15, 0.5)))
        finally:
            process.kill()
            process.wait()
    records, entries, messages = asyncio.run(real.kept())
    ended = {record.request: record.status for record in records if record.kind in {"outcome", "refusal"}}
    assert len(real.answered) > 5 * times * scale
    assert real.answered.items() <= ended.items(), "an answer without its record"
    assert real.registered <= entries
    assert len(real.acknowledged) > times * scale
    assert real.acknowledged <= messages
    assert sum(record.kind == "start" for record in records) == times * scale
    ended_at_all = {record.request for record in records if record.kind in {"outcome", "refusal"}}
    begun = [record.request for record in records if record.kind == "intent"]
    if engine == "sqlite":  # on a server the log of a process that died is taken up when its lease ends
        assert set(begun[: len(begun) - 64]) <= ended_at_all, "what the last kill left open is for the next start"
    assert sorted(real.seconds)[len(real.seconds) // 2] <= 2.0 * slack(), real.seconds
