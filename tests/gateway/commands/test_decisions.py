"""`gateway explain` and `gateway agreement`: beside a database, on the record, no number on any screen or argument."""

from __future__ import annotations

import asyncio
import io
import sqlite3
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.audit.record import decode
from gateway.cli import main
from gateway.crypto.ring import KeyRing
from gateway.ports import KeptContract
from gateway.storage import Database, upgrade
from gateway.storage.contract_store import ContractStore
from profiles import exact
from tests.fakes import FixedClock
from tests.gateway.charts import BSN
from tests.gateway.test_contracts import contract, region
from tests.gateway.world import GP, POST, STRANGER

QUESTION = {"organization": POST, "role": "01.015", "person": "x", "purpose": "TREAT", "type": "Condition", "custodian": GP,
            "patient": {"bsn": BSN}}  # fmt: skip

pytestmark = pytest.mark.slow


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration with keys and a database."""
    path = region(tmp_path, "region.toml")
    KeyRing.create(tmp_path / "keys", datetime.now(UTC))
    upgrade(f"sqlite:///{tmp_path / 'gateway.db'}")
    return path


def test_explain_says_rule_by_rule_and_leaves_a_record(
    config: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    asked = tmp_path / "question.json"
    asked.write_bytes(exact.encode(QUESTION))
    assert main(["explain", "--request", str(asked), "--config", str(config)], {}) == 0
    shown = capsys.readouterr()
    assert "Denied." in shown.out
    assert "consent-missing" in shown.out
    assert "agreement  pull" in shown.out
    assert BSN not in shown.out + shown.err
    with sqlite3.connect(tmp_path / "gateway.db") as connection:
        records = [decode(row[0]) for row in connection.execute("SELECT body FROM audit_log")]
    assert [one for one in records if one.interaction == "explain" and one.patient]
    assert BSN not in str(records)


def test_explain_reads_the_question_from_stdin(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(exact.encode(QUESTION))))
    assert main(["explain", "--json", "--config", str(config)], {}) == 0
    found = exact.decode(capsys.readouterr().out.encode())
    assert found["outcome"] == "deny"
    assert {step["kind"] for step in found["steps"]} == {"gate", "agreement"}


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"nonsense": 1}', b'{"type": "Nonsense"}', b'{"patient": {"bsn": "1"}}']
)
def test_explain_says_what_is_wrong_with_a_question(config: Path, tmp_path: Path, body: bytes) -> None:
    asked = tmp_path / "question.json"
    asked.write_bytes(body)
    assert main(["explain", "--request", str(asked), "--config", str(config)], {}) == 1
    assert main(["explain", "--request", str(tmp_path / "absent"), "--config", str(config)], {}) == 1


def test_what_waits_for_a_second_person_is_said_before_it_is_active(
    config: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    async def keep() -> None:
        database = Database.open(f"sqlite:///{tmp_path / 'gateway.db'}", exclusive=False)
        try:
            store = ContractStore(database, FixedClock())
            body = contract() | {"id": "contract-1"}
            assert await store.put(KeptContract("contract-1", 1, "offered", "uzi|1", exact.encode(body)), None) == 1
        finally:
            await database.close()

    asyncio.run(keep())
    assert main(["agreement", "diff", str(config)], {}) == 1
    said = capsys.readouterr().out
    assert said.startswith("opens\tcontract-1\t")
    assert "Ver Weg could see everything" in said
    assert main(["agreement", "list", "--config", str(config)], {}) == 0
    listed = capsys.readouterr().out.splitlines()
    assert any("contract-1\tdatabase, offered\tnot in force" in line and STRANGER in line for line in listed)
    assert any(line.startswith("pull\tregion.toml\t") for line in listed)
