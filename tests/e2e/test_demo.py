"""`gateway demo`: what it prints, what it refuses, what its lines and scenarios really do, and that Ctrl-C removes it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.e2e.running import Demo, command, here, listens, of_type, process

pytestmark = [pytest.mark.slow, pytest.mark.network]

Json = dict[str, Any]
ROLES = {"physician", "coordinator", "ambulance", "auditor", "system"}


def states(bundle: Json) -> set[tuple[str, str]]:
    """Every (state, name of the source) that any section tells."""
    found = set()
    for section in of_type(bundle, "Composition")[0]["section"]:
        for told in section.get("extension", ()):
            if told["url"].endswith("/section-source"):
                parts = {part["url"]: part for part in told["extension"]}
                found.add(
                    (parts["state"]["valueCode"], parts.get("source", {}).get("valueReference", {}).get("display", ""))
                )
    return found


def test_json_is_one_line_with_what_was_promised(demo: Demo) -> None:
    assert demo.line.count(b"\n") == 1
    assert set(demo.said) == {"base", "pages", "tokens", "patients", "clients"}
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/fhir", demo.base)
    assert set(demo.said["tokens"]) == ROLES
    assert all({"id", "key_file", "token_endpoint"} == set(client) for client in demo.said["clients"])
    assert {"demo-physician", "demo-coordinator", "demo-ambulance", "demo-auditor", "demo-system"} <= {
        client["id"] for client in demo.said["clients"]
    }
    for client in demo.said["clients"]:
        assert Path(client["key_file"]).stat().st_mode & 0o077 == 0


def test_at_least_fourteen_persons_with_test_numbers(demo: Demo) -> None:
    persons = demo.said["patients"]
    assert len(persons) >= 14
    assert all({"bsn", "birthDate", "shows"} <= set(person) and person["shows"] for person in persons)
    numbers = [person["bsn"] for person in persons if person["bsn"]]
    assert len(set(numbers)) == len(numbers) == len(persons) - 1
    for number in numbers:
        assert re.fullmatch(r"99999\d{4}", number)
        assert (
            sum(int(digit) * weight for digit, weight in zip(number, (9, 8, 7, 6, 5, 4, 3, 2, -1), strict=True)) % 11
            == 0
        )


def test_the_first_person_has_everything(demo: Demo) -> None:
    answer = demo.summary(demo.said["patients"][0])
    assert answer.status_code == 200
    bundle = answer.json()
    for type_ in ("AllergyIntolerance", "Condition", "Consent", "Encounter", "Flag", "MedicationStatement",
                  "MedicationRequest", "Observation", "RelatedPerson", "Provenance"):  # fmt: skip
        assert of_type(bundle, type_), type_
    assert {name for _, name in states(bundle)} == {
        "Huisartsenpraktijk De Proef", "Streekziekenhuis Oefenstad", "Regionale Ambulancevoorziening Demo",
    }  # fmt: skip
    assert not {state for state, _ in states(bundle)} & {"withheld", "unavailable"}


def test_every_page_answers(demo: Demo) -> None:
    for name, url in demo.said["pages"].items():
        assert demo.http.get(url).status_code == 200, name


def test_tokens_live_a_working_day(demo: Demo) -> None:
    import base64

    for token in demo.said["tokens"].values():
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        assert claims["exp"] - claims["iat"] == 8 * 3600


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::"])
def test_another_address_than_loopback_is_refused(host: str) -> None:
    ended = here("demo", "--host", host, "--port", "0")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert host in ended.stderr


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = command("demo", "--port", port, temporary=tmp_path)
    assert (ended.returncode, ended.stdout) == (3, "")
    assert f"127.0.0.1:{port}" in ended.stderr
    assert "--port" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_scenario_names_the_known_ones(tmp_path: Path) -> None:
    ended = command("demo", "--port", "0", "--scenario", "flood", temporary=tmp_path)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert all(name in ended.stderr for name in ("flood", "source-down", "no-consent", "duplicate-bsn"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("options", [["--port", "many"], ["--scenari0", "x"]])
def test_wrong_use_is_exit_2(options: list[str]) -> None:
    assert here("demo", *options).returncode == 2


def test_not_ready_before_every_feed_is_loaded(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    seen: list[int] = []
    with (
        process("demo", "--port", str(port), "--json", temporary=tmp_path / "t") as started,
        httpx2.Client(timeout=60) as http,
    ):
        while not seen or seen[-1] != 200:
            assert started.exit_code is None, started.said()
            try:
                seen.append(http.get(f"http://127.0.0.1:{port}/health/ready", timeout=5).status_code)
            except httpx2.TransportError:
                continue
        assert {*seen[:-1]} <= {503}
        assert len(seen) > 1  # it answered while it was loading
        said = json.loads(started.read())
        held = http.post(
            f"{said['base']}/Encounter/_search",
            data={"patient.identifier": f"http://fhir.nl/fhir/NamingSystem/bsn|{said['patients'][0]['bsn']}"},
            headers={"Authorization": f"Bearer {said['tokens']['physician']}"},
            timeout=20,
        )
        sources = {one["meta"]["source"].split("#")[0] for one in of_type(held.json(), "Encounter")}
        assert sources == {"urn:roaz:gp-a", "urn:roaz:hospital", "urn:roaz:ambulance"}
        with socket.create_connection(("127.0.0.1", port)) as waiting:  # Ctrl-C while a slow question is open
            slow = next(person["bsn"] for person in said["patients"] if "5 s" in person["shows"])
            body = f"patient.identifier=http://fhir.nl/fhir/NamingSystem/bsn|{slow}"
            head = (
                f"POST /fhir/Condition/_search HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {said['tokens']['physician']}\r\n"
                f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n\r\n{body}"
            )
            waiting.sendall(head.encode())
            assert started.stop() == (0, b"")
        assert "Traceback" not in started.said()
    assert list((tmp_path / "t").iterdir()) == []


LINE = re.compile(r"^# (?P<comment>.+)\n(?P<line>curl .+)$", re.MULTILINE)
OPENED = {"open a case": 201, "a refusal explained": 403}  # the others are 200


def test_the_page_in_the_terminal_and_every_line_it_prints(tmp_path: Path) -> None:
    """Text mode: copied and pasted into /bin/sh, each line does what its comment says."""
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    with process("demo", "--port", "0", temporary=tmp_path / "t") as started:
        page = started.read(b'"\n\n').decode()
        base = re.search(r"^FHIR base +(\S+)$", page, re.MULTILINE)
        assert base is not None
        for path in ("/health/live", "/health/ready", "/fhir/metadata", "/fhir/.well-known/smart-configuration"):
            assert base[1].removesuffix("/fhir") + path in page
        tokens = re.findall(r"^([A-Z]+=\S+)$", page, re.MULTILINE)
        assert {token.split("=")[0].lower() for token in tokens} == ROLES
        assert len(re.findall(r"^9999\d{5}  \d{4}-\d\d-\d\d  \S", page, re.MULTILINE)) >= 13
        assert re.search(r"^- +1979-06-21  no BSN", page, re.MULTILINE)
        lines = [(found["comment"], found["line"]) for found in LINE.finditer(page)]
        assert len(lines) >= 8
        for comment, line in lines:
            script = "\n".join([*tokens, line.replace("curl -s", "curl -s -w '\\n%{http_code}'", 1)])
            ended = subprocess.run(
                ["/bin/sh", "-c", script], capture_output=True, timeout=30, check=False, cwd=tmp_path
            )
            body, _, status = ended.stdout.rpartition(b"\n")
            expected = next((status for words, status in OPENED.items() if comment.startswith(words)), 200)
            assert (comment, ended.returncode, int(status)) == (comment, 0, expected), body[:500]
            if "-o " not in line:
                assert json.loads(body)["resourceType"]
        assert b"<html" in (tmp_path / "summary.html").read_bytes()
        ports = started.ports()
        assert len(list((tmp_path / "t").iterdir())) == 1
        assert started.stop(signal.SIGTERM) == (0, b"")
        assert "Traceback" not in started.said()
    assert not any(listens(port) for port in ports)
    assert list((tmp_path / "t").iterdir()) == []


@pytest.fixture(scope="module")
def scenarios(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Demo]]:
    """A region in each scenario; started together, because starting is what takes time."""
    names = ("source-down", "no-consent", "duplicate-bsn")
    with ExitStack() as stack:
        started = {
            name: stack.enter_context(
                process("demo", "--port", "0", "--json", "--scenario", name, temporary=tmp_path_factory.mktemp(name))
            )
            for name in names
        }
        http = stack.enter_context(httpx2.Client(timeout=30))
        lines = {name: one.read() for name, one in started.items()}
        yield {name: Demo(one, lines[name], json.loads(lines[name]), http) for name, one in started.items()}
        assert [one.stop() for one in started.values()] == [(0, b"")] * 3


def test_scenario_source_down(scenarios: dict[str, Demo]) -> None:
    demo = scenarios["source-down"]
    bundle = demo.summary(demo.said["patients"][0]).json()
    assert ("unavailable", "Streekziekenhuis Oefenstad") in states(bundle)
    assert ("data", "Streekziekenhuis Oefenstad") not in states(bundle)
    assert {("data", "Huisartsenpraktijk De Proef"), ("data", "Regionale Ambulancevoorziening Demo")} <= states(bundle)
    form = {"patient.identifier": f"http://fhir.nl/fhir/NamingSystem/bsn|{demo.said['patients'][0]['bsn']}"}
    found = demo.search("AllergyIntolerance", form).json()
    outcomes = [entry for entry in found["entry"] if entry["search"]["mode"] == "outcome"]
    assert any("Streekziekenhuis Oefenstad" in json.dumps(outcome, ensure_ascii=False) for outcome in outcomes)
    assert len(of_type(found, "AllergyIntolerance")) == 2
    alone = demo.person("tourist")
    form = {"patient.identifier": f"{alone['identifier']['system']}|{alone['identifier']['value']}"}
    down = demo.summary(alone)
    assert down.status_code == 200  # all sources down: a summary with states
    assert {state for state, _ in states(down.json())} <= {"unavailable", "unknown"}
    assert ("unavailable", "Streekziekenhuis Oefenstad") in states(down.json())


def test_scenario_no_consent(scenarios: dict[str, Demo]) -> None:
    demo = scenarios["no-consent"]
    answer = demo.summary(demo.said["patients"][0])
    assert answer.status_code == 200  # consent refused everywhere: a summary with states, never an error
    bundle = answer.json()
    told = {state for state, _ in states(bundle)}
    assert "withheld" in told
    assert not told & {"data", "none"}
    clinical = {
        "AllergyIntolerance",
        "Condition",
        "MedicationStatement",
        "Observation",
        "Encounter",
        "Flag",
        "Consent",
    }
    texts = json.dumps(bundle, ensure_ascii=False)
    assert not any("meta" in one and "source" in one["meta"] for type_ in clinical for one in of_type(bundle, type_))
    assert "er kan meer zijn" in texts
    for word in ("amoxicilline", "APIXABAN", "MRSA", "Druk op de borst"):
        assert word not in texts


def test_scenario_duplicate_bsn(scenarios: dict[str, Demo]) -> None:
    demo = scenarios["duplicate-bsn"]
    first, again = [person for person in demo.said["patients"] if person["bsn"] == "999990019"]
    assert first["birthDate"] != again["birthDate"]
    for person in (first, again):
        answer = demo.summary(person)
        assert answer.status_code == 409
        assert answer.json()["issue"][0]["details"]["coding"][0]["code"] == "patient-ambiguous"
        assert "Voorbeeld" not in answer.text
        assert "liesbreuk" not in answer.text


def test_the_process_list_shows_no_token_and_no_number(demo: Demo) -> None:
    words = Path(f"/proc/{demo.process.pid}/cmdline").read_bytes()
    assert b"9999" not in words
    assert b"eyJ" not in words
    assert os.getpid() != demo.process.pid
