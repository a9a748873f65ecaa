"""Every command leaves an intent and an outcome (rule F2), beside whoever serves; without a record nothing is done."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from gateway.audit.record import Record, decode
from gateway.cli import COMMANDS, KEEP_THEIR_OWN, main
from gateway.storage.database import Database
from tests.gateway.charts import BSN

pytestmark = pytest.mark.slow

ADD = ["client", "add", "new-app", "--organization", "90000001", "--jwks-uri", "https://app.example/jwks"]


@pytest.fixture
def region(tmp_path: Path) -> Path:
    assert main(["init", str(tmp_path)], {}) == 0
    return tmp_path


def run(region: Path, *arguments: str, **variables: str) -> int:
    return main([*arguments, "--config", str(region / "region.toml")], variables)


def records(region: Path, command: str = "") -> list[Record]:
    with sqlite3.connect(f"file:{region / 'gateway.db'}?mode=ro", uri=True) as connection:
        rows = connection.execute("SELECT body FROM audit_log ORDER BY at, seq").fetchall()
    found = [decode(body) for (body,) in rows]
    return [one for one in found if one.type == command or not command]


def told(found: list[Record]) -> list[tuple[str, int]]:
    return [(one.kind, one.status) for one in found]


def test_a_command_is_recorded_before_and_after_with_who_ran_it(region: Path) -> None:
    assert run(region, "keys", "list") == 0
    found = records(region, "keys list")
    assert told(found) == [("intent", 0), ("command", 200)]
    assert len({one.request for one in found}) == 1
    assert all(one.person.startswith("os|") and one.address and one.policy for one in found)


def test_a_command_that_fails_is_recorded_as_failed(region: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(region, "client", "disable", "nobody") == 1
    found = records(region, "client disable")
    assert told(found) == [("intent", 0), ("command", 422)]
    assert (found[1].error, found[1].reasons) == ("exit-1", ("id=nobody",))
    assert "nobody" in capsys.readouterr().err


def test_what_makes_the_log_is_recorded_afterwards(region: Path) -> None:
    assert told(records(region, "init")) == [("command", 200)]
    (region / "gateway.db").unlink()
    assert run(region, "db", "upgrade") == 0
    (made,) = records(region, "db upgrade")
    assert (made.kind, made.status) == ("command", 200)
    assert made.reasons[0] == "migration=0001_first", "each step of the schema is on the record"


def test_what_is_configured_is_recorded_with_what_it_is_about(region: Path) -> None:
    with (region / "region.toml").open("a", encoding="utf-8") as file:
        file.write('\n[[organizations]]\nura = "90000001"\nname = "Huisarts"\nfacility_type = "Z3"\n')
    assert run(region, *ADD) == 0
    assert records(region, "client add")[-1].reasons == ("id=new-app", "organization=90000001")
    assert run(region, "keys", "rotate", "token") == 0
    assert records(region, "keys rotate")[-1].reasons == ("kind=token",)


def test_a_number_on_the_command_line_does_not_reach_the_log(region: Path) -> None:
    assert run(region, "client", "disable", BSN) == 1
    assert records(region, "client disable")[-1].reasons == ("id=***",)
    assert BSN.encode() not in (region / "gateway.db").read_bytes() + b"".join(
        path.read_bytes() for path in region.glob("gateway.db-*")
    )


def test_without_a_record_nothing_is_done(
    region: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from gateway.commands import recording
    from gateway.errors import Unavailable

    async def broken(*_: Any) -> None:
        raise Unavailable("audit-unavailable")

    monkeypatch.setattr(recording, "_append", broken)
    before = sorted((region / "keys").iterdir())
    assert run(region, "keys", "rotate", "token") == 3
    assert sorted((region / "keys").iterdir()) == before
    assert "nothing was done" in capsys.readouterr().err
    assert run(region, "keys", "list") == 3
    assert capsys.readouterr().out == ""
    assert main(["validate", str(region / "region.toml")], {}) == 1, "what shows no patient works without"


def test_a_command_writes_beside_a_gateway_that_serves(region: Path) -> None:
    async def serving() -> int:
        database = Database.open(f"sqlite:///{region / 'gateway.db'}")
        try:
            return await asyncio.to_thread(run, region, "keys", "list")
        finally:
            await database.close()

    assert asyncio.run(serving()) == 0
    assert told(records(region, "keys list")) == [("intent", 0), ("command", 200)]


def test_a_patient_file_that_is_mapped_is_recorded(region: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(region)
    (region / "jansen.json").write_text('{"resourceType":"Patient"}', encoding="utf-8")
    assert main(["map", "jansen.json"], {}) == 0
    found = records(region, "map")
    assert told(found) == [("intent", 0), ("command", 200)]
    assert "jansen" not in str(found)


def test_without_a_configuration_there_is_no_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["validate", "nothing.json"], {}) == 3
    assert list(tmp_path.iterdir()) == []


def test_every_command_is_recorded_or_keeps_its_own_records() -> None:
    assert set(COMMANDS) >= KEEP_THEIR_OWN
    assert {"serve", "demo", "inbox", "selftest-client"} == KEEP_THEIR_OWN  # the last asks somebody else's gateway
