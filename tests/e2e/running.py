"""A `gateway demo` as its users meet it: the console script in a process of its own, seen through its sockets only."""

from __future__ import annotations

import io
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx2

from gateway.cli import main

Json = dict[str, Any]

GATEWAY: Final = str(Path(sys.executable).with_name("gateway"))
STARTS_WITHIN: Final = 60.0  # seconds, on a machine that does other things as well
BSN: Final = "http://fhir.nl/fhir/NamingSystem/bsn"
SECTION_SOURCE: Final = "https://roaz-gateway.example/fhir/StructureDefinition/section-source"
ERROR: Final = "https://roaz-gateway.example/fhir/CodeSystem/error"
FHIR_JSON: Final = "application/fhir+json"


def environment(temporary: Path) -> dict[str, str]:
    """The environment of a command, with a directory for temporary files of its own."""
    return {**os.environ, "TMPDIR": str(temporary), "PYTHONUNBUFFERED": "1"}


def command(
    *arguments: str, temporary: Path, text: str = "", cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command of the gateway to its end."""
    return subprocess.run(
        [GATEWAY, *arguments], input=text, capture_output=True, text=True, timeout=60, check=False, cwd=cwd,
        env=environment(temporary),
    )  # fmt: skip


def here(*arguments: str, variables: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """The same in this process, where starting another adds nothing; for commands that leave no trace in it."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            exit_code = main(arguments, variables or {})
        except SystemExit as end:  # argparse
            exit_code = int(end.code or 0)
    return subprocess.CompletedProcess(list(arguments), exit_code, out.getvalue(), err.getvalue())


@dataclass
class Process:
    """A command that serves until it is told to stop."""

    arguments: tuple[str, ...]
    temporary: Path
    cwd: Path | None = None
    _process: subprocess.Popen[bytes] = field(init=False)

    def __post_init__(self) -> None:
        self._errors = (self.temporary.parent / f"{self.temporary.name}.stderr").open("w+b")
        self._process = subprocess.Popen(
            [GATEWAY, *self.arguments], stdout=subprocess.PIPE, stderr=self._errors, cwd=self.cwd,
            env=environment(self.temporary), start_new_session=True,
        )  # fmt: skip

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        return self._process.poll()

    def read(self, end: bytes = b"\n") -> bytes:
        """Standard output up to and including `end`."""
        stdout, found, latest = self._process.stdout, b"", time.monotonic() + STARTS_WITHIN
        assert stdout is not None
        while not found.endswith(end):
            assert time.monotonic() < latest, f"no answer in time; stderr: {self.said()}"
            ready, _, _ = select.select([stdout], [], [], 1.0)
            if ready:
                piece = os.read(stdout.fileno(), 65536)
                assert piece, f"ended with {self._process.wait(10)}; stderr: {self.said()}"
                found += piece
        return found

    def said(self) -> str:
        """Standard error so far."""
        self._errors.flush()
        return Path(self._errors.name).read_text("utf-8")

    def stop(self, number: int = signal.SIGINT) -> tuple[int, bytes]:
        """Send a signal; gives the exit code and what was still printed."""
        if self._process.poll() is None:
            self._process.send_signal(number)
        rest, _ = self._process.communicate(timeout=30)
        return self._process.returncode, rest

    def close(self) -> None:
        """Leave nothing running, whatever the test did."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.communicate(timeout=10)
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._errors.close()

    def ports(self) -> set[int]:
        """The TCP ports this process listens on, as the kernel tells them."""
        inodes = set()
        for handle in Path(f"/proc/{self.pid}/fd").iterdir():
            try:
                target = str(handle.readlink())
            except FileNotFoundError:  # closed while we looked
                continue
            if target.startswith("socket:["):
                inodes.add(target[8:-1])
        rows = [line.split() for line in Path(f"/proc/{self.pid}/net/tcp").read_text().splitlines()[1:]]
        return {int(row[1].rpartition(":")[2], 16) for row in rows if row[3] == "0A" and row[9] in inodes}


@contextmanager
def process(*arguments: str, temporary: Path, cwd: Path | None = None) -> Iterator[Process]:
    """A serving command, for as long as the block lasts."""
    temporary.mkdir(exist_ok=True)
    started = Process(arguments, temporary, cwd)
    try:
        yield started
    finally:
        started.close()


@dataclass
class Demo:
    """A running region: what it printed, and clients for it."""

    process: Process
    line: bytes
    said: Json
    http: httpx2.Client
    _kept: dict[tuple[str, str, str], httpx2.Response] = field(default_factory=dict)

    @property
    def base(self) -> str:
        return str(self.said["base"])

    @property
    def root(self) -> str:
        return self.base.removesuffix("/fhir")

    def person(self, words: str) -> Json:
        """The one person whose story holds these words."""
        (found,) = [person for person in self.said["patients"] if words in person["shows"]]
        return dict(found)

    def client(self, id_: str) -> Json:
        (found,) = [client for client in self.said["clients"] if client["id"] == id_]
        return dict(found)

    def headers(self, role: str, **more: str) -> dict[str, str]:
        given = {name.replace("_", "-"): value for name, value in more.items()}
        return {"Authorization": f"Bearer {self.said['tokens'].get(role, role)}", **given}

    def summary(self, person: Json, role: str = "physician", **headers: str) -> httpx2.Response:
        """`POST Patient/$summary` for a person."""
        return self.post("Patient/$summary", parameters(person), role, **headers)

    def once(self, words: str, accept: str = FHIR_JSON, language: str = "nl") -> httpx2.Response:
        """The summary of a person for the physician, asked once for all tests."""
        key = (words, accept, language)
        if key not in self._kept:
            self._kept[key] = self.summary(self.person(words), Accept=accept, Accept_Language=language)
        return self._kept[key]

    def post(self, path: str, body: Json, role: str = "physician", **headers: str) -> httpx2.Response:
        sent = self.headers(role, Content_Type=FHIR_JSON, **headers)
        return self.http.post(f"{self.base}/{path}", content=json.dumps(body), headers=sent)

    def put(self, path: str, body: Json, role: str) -> httpx2.Response:
        sent = self.headers(role, Content_Type=FHIR_JSON)
        return self.http.put(f"{self.base}/{path}", content=json.dumps(body), headers=sent)

    def get(self, path: str, role: str = "physician", **headers: str) -> httpx2.Response:
        """A path below the base, or a whole URL as links give it."""
        url = path if path.startswith("http") else f"{self.base}/{path}"
        return self.http.get(url, headers=self.headers(role, **headers))

    def search(self, type_: str, form: dict[str, str], role: str = "physician") -> httpx2.Response:
        """`POST {type}/_search`."""
        return self.http.post(f"{self.base}/{type_}/_search", data=form, headers=self.headers(role))

    def patient_id(self, person: Json, role: str = "physician") -> str:
        """The id the gateway gives a person."""
        found = self.search("Patient", {"identifier": token(person), "birthdate": person["birthDate"]}, role).json()
        (entry,) = [entry for entry in found["entry"] if entry["resource"]["resourceType"] == "Patient"]
        return str(entry["resource"]["id"])


@contextmanager
def running(temporary: Path, *more: str) -> Iterator[Demo]:
    """`gateway demo --port 0 --json`, for as long as the block lasts."""
    with process("demo", "--port", "0", "--json", *more, temporary=temporary) as started:
        line = started.read()
        with httpx2.Client(timeout=30) as http:
            yield Demo(started, line, json.loads(line), http)


def listens(port: int) -> bool:
    """Claim that somebody answers at a port of this machine."""
    with socket.socket() as probe:
        probe.settimeout(2)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def token(person: Json) -> str:
    """The identifier of a person as a token parameter carries it."""
    return f"{person['identifier']['system']}|{person['identifier']['value']}"


def parameters(person: Json) -> Json:
    """What `$summary` asks for."""
    asked = [
        {"name": "identifier", "valueIdentifier": person["identifier"]},
        {"name": "birthDate", "valueDate": person["birthDate"]},
    ]
    return {"resourceType": "Parameters", "parameter": asked}


def code(answer: httpx2.Response) -> str:
    """The code of the first issue of an OperationOutcome, in the gateway's own table."""
    outcome = answer.json()
    assert outcome["resourceType"] == "OperationOutcome", outcome
    (coding,) = [one for one in outcome["issue"][0]["details"]["coding"] if one["system"] == ERROR]
    return str(coding["code"])


def of_type(bundle: Json, type_: str) -> list[Json]:
    """The resources of a type in a Bundle."""
    return [entry["resource"] for entry in bundle.get("entry", ()) if entry["resource"]["resourceType"] == type_]
