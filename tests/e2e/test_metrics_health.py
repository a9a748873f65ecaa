"""`gateway serve` on what `gateway init` wrote: health, metrics on a port of their own, and every way it refuses to start."""

from __future__ import annotations

import shutil
import socket
import sqlite3
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
import tomli_w

from tests.e2e.running import Process, command, here, listens, process

pytestmark = [pytest.mark.slow, pytest.mark.network]

Json = dict[str, Any]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def change(config: Path, **gateway: Any) -> None:
    """Set keys of the table [gateway]."""
    tree = tomllib.loads(config.read_text())
    tree["gateway"] |= gateway
    config.write_text(tomli_w.dumps(tree))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `gateway init` writes."""
    directory = tmp_path_factory.mktemp("init") / "region"
    ended = command("init", str(directory), temporary=directory.parent)
    assert (ended.returncode, ended.stdout) == (0, ""), ended.stderr
    assert "region.toml" in ended.stderr
    return directory


@pytest.fixture
def region(made: Path, tmp_path: Path) -> Path:
    """A copy of it with ports of its own; gives the configuration file."""
    directory = tmp_path / "region"
    shutil.copytree(made, directory)
    config = directory / "region.toml"
    change(config, listen=f"127.0.0.1:{free_port()}", metrics_listen=f"127.0.0.1:{free_port()}")
    return config


def check(config: Path, variables: dict[str, str] | None = None) -> tuple[int, dict[str, str]]:
    """Exit code of `gateway check`, and what it says by subject."""
    ended = here("check", "--config", str(config), variables=variables)
    assert "Traceback" not in ended.stderr
    rows = [line.split("\t", 2) for line in ended.stdout.splitlines()]
    return ended.returncode, {row[0]: f"{row[1]} {row[2]}" for row in rows}


@dataclass
class Served:
    """A serving gateway."""

    process: Process
    config: Path
    base: str
    metrics: str


@pytest.fixture(scope="module")
def served(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """`gateway serve`, until Ctrl-C."""
    root = tmp_path_factory.mktemp("serve")
    shutil.copytree(made, root / "region")
    config = root / "region" / "region.toml"
    base, metrics = (f"127.0.0.1:{free_port()}" for _ in range(2))
    change(config, listen=base, base=f"http://{base}", metrics_listen=metrics)
    with process("serve", "--config", str(config), temporary=root / "t") as started:
        latest = time.monotonic() + 30
        while not listens(int(base.rpartition(":")[2])):
            assert started.exit_code is None, started.said()
            assert time.monotonic() < latest
        yield Served(started, config, f"http://{base}", f"http://{metrics}")
        assert started.stop() == (0, b"")
        assert "Traceback" not in started.said()


def test_init_writes_a_region_that_checks_out(region: Path) -> None:
    directory = region.parent
    assert (directory / "gateway.db").exists()
    assert any((directory / "keys").iterdir())
    for file in (directory / "keys").iterdir():
        assert file.stat().st_mode & 0o077 == 0, file.name
    exit_code, said = check(region)
    assert exit_code == 0, said
    assert {"config", "keys", "clock", "database", "listen"} <= set(said)
    assert all(told.startswith("ok ") for told in said.values())


def test_init_touches_nothing_that_is_there(region: Path) -> None:
    before = region.read_bytes()
    ended = here("init", str(region.parent))
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "exists" in ended.stderr
    assert region.read_bytes() == before


@pytest.mark.parametrize("path", ["/health/live", "/health/ready"])
def test_health(served: Served, path: str) -> None:
    assert httpx2.get(served.base + path, timeout=10).status_code == 200


def test_public_documents_need_no_token(served: Served) -> None:
    assert httpx2.get(f"{served.base}/fhir/metadata", timeout=10).json()["fhirVersion"] == "4.0.1"
    assert httpx2.get(f"{served.base}/fhir/.well-known/smart-configuration", timeout=10).status_code == 200
    assert httpx2.get(f"{served.base}/fhir/Patient/x", timeout=10).status_code == 401


def test_metrics_have_a_port_of_their_own(served: Served) -> None:
    answer = httpx2.get(f"{served.metrics}/metrics", timeout=10)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    assert "gateway_ready 1.0" in answer.text
    assert httpx2.get(f"{served.base}/metrics", timeout=10).status_code == 404
    assert httpx2.get(f"{served.metrics}/fhir/metadata", timeout=10).status_code == 404


def test_a_second_process_on_the_file_is_refused(served: Served) -> None:
    second = served.config.with_name("second.toml")
    shutil.copy(served.config, second)
    change(second, listen=f"127.0.0.1:{free_port()}", metrics_listen="")
    ended = command("serve", "--config", str(second), temporary=served.config.parent.parent)
    assert (ended.returncode, ended.stdout) == (3, "")
    assert "gateway.db" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert httpx2.get(f"{served.base}/health/ready", timeout=10).status_code == 200


def test_a_port_in_use_is_exit_3(served: Served, region: Path) -> None:
    taken = served.base.removeprefix("http://")
    change(region, listen=taken)
    ended = command("serve", "--config", str(region), temporary=region.parent.parent)
    assert (ended.returncode, ended.stdout) == (3, "")
    assert taken in ended.stderr
    assert check(region)[0] == 1


@pytest.mark.parametrize(
    ("gateway", "subject", "words"),
    [
        ({"lissten": "127.0.0.1:1"}, "config", ["gateway.lissten", "did you mean 'listen'"]),
        ({"deadline": 4}, "config", ["deadline"]),
        ({"keys": "elsewhere"}, "keys", ["elsewhere"]),
        ({"listen": "0.0.0.0:0"}, "listen", ["TLS"]),
    ],
)
def test_a_wrong_configuration_is_named(region: Path, gateway: Json, subject: str, words: list[str]) -> None:
    change(region, **gateway)
    exit_code, said = check(region)
    assert exit_code == 1
    assert said[subject].startswith("wrong ")
    assert [word for word in words if word not in said[subject]] == []


def test_an_unreadable_key_is_named(region: Path) -> None:
    key = next(file for file in sorted((region.parent / "keys").iterdir()) if file.is_file())
    key.write_bytes(b"no key")
    exit_code, said = check(region)
    assert exit_code == 1
    assert said["keys"].startswith("wrong ")
    assert key.name in said["keys"]
    ended = command("serve", "--config", str(region), temporary=region.parent.parent)
    assert ended.returncode == 3
    assert key.name in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_key_file_of_a_client_that_is_not_there_is_named(region: Path) -> None:
    with region.open("a") as config:
        config.write('\n[[organizations]]\nura = "90000001"\nname = "A"\nfacility_type = "V4"\n')
        config.write('[[clients]]\nid = "ed"\norganization = "90000001"\njwks_file = "nowhere.json"\n')
    exit_code, said = check(region)
    assert exit_code == 1
    assert "nowhere.json" in said["clients"]


def test_a_missing_database_is_not_made_in_silence(region: Path) -> None:
    (region.parent / "gateway.db").unlink()
    exit_code, said = check(region)
    assert exit_code == 1
    assert "gateway db upgrade" in said["database"]
    ended = command("serve", "--config", str(region), temporary=region.parent.parent)
    assert (ended.returncode, ended.stdout) == (3, "")
    assert "gateway db upgrade" in ended.stderr
    assert not (region.parent / "gateway.db").exists()
    assert here("db", "upgrade", "--config", str(region)).returncode == 0
    assert check(region)[0] == 0


def test_a_newer_database_is_left_alone(region: Path) -> None:
    connection = sqlite3.connect(region.parent / "gateway.db")
    connection.execute("INSERT INTO schema_version (version, name) VALUES (9999, 'from the future')")
    connection.commit()
    connection.close()
    exit_code, said = check(region)
    assert exit_code == 1
    assert "9999" in said["database"]
    for ended in (
        command("serve", "--config", str(region), temporary=region.parent.parent),
        here("db", "upgrade", "--config", str(region)),
    ):
        assert ended.returncode == 3, ended.stderr
        assert "newer" in ended.stderr
        assert "Traceback" not in ended.stderr


def test_a_source_that_is_not_there_is_named(region: Path) -> None:
    with region.open("a") as config:
        config.write('\n[[organizations]]\nura = "90000001"\nname = "A"\nfacility_type = "Z3"\n')
        config.write('[[sources]]\nid = "gp"\ncustodian = "90000001"\nkind = "fhir-r4"\ndialect = "360@1.0"\n')
        config.write(f'url = "http://127.0.0.1:{free_port()}/fhir"\n')
    change(region, source_networks=["127.0.0.0/8"])
    exit_code, said = check(region)
    assert exit_code == 1
    assert "cannot be reached" in said["source gp"]


def test_no_configuration_at_all(tmp_path: Path) -> None:
    for word in ("serve", "check"):
        ended = here(word, "--config", str(tmp_path / "nowhere.toml"))
        assert ended.returncode == 1
        assert "gateway init" in ended.stdout + ended.stderr


def test_the_environment_overrides_the_file(region: Path) -> None:
    assert "elsewhere" in check(region, {"GATEWAY__GATEWAY__KEYS": "elsewhere"})[1]["keys"]
