"""The schema: made once, never half, never by an older program."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from gateway.errors import StartError
from gateway.storage import Database, check_version, migrate, upgrade
from gateway.storage.migrate import Migration

KNOWN = [step.name for step in migrate.migrations()]


def test_a_new_database_gets_every_step_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/gateway.db"
    assert upgrade(url) == KNOWN
    assert upgrade(url) == []
    check_version(url)


def test_versions_are_dense_from_one() -> None:
    assert [step.version for step in migrate.migrations()] == list(range(1, len(KNOWN) + 1))


def test_serving_without_the_schema_is_refused_with_the_way_out(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/gateway.db"
    with pytest.raises(StartError, match="run gateway db upgrade") as raised:
        Database.open(url)
    assert raised.value.exit_code == 3
    assert not (tmp_path / "gateway.db").exists()
    upgrade(url)
    check_version(url)


def test_an_interrupted_step_leaves_nothing_and_can_be_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path}/gateway.db"
    known = migrate.migrations()
    half = Migration(len(known) + 1, "half", ("CREATE TABLE half (id TEXT)", "CREATE TABLE consent (id TEXT)"))
    with monkeypatch.context() as patch:
        patch.setattr(migrate, "migrations", lambda: (*known, half))
        with pytest.raises(StartError, match="cannot be used"):
            upgrade(url)
    connection = sqlite3.connect(tmp_path / "gateway.db")
    assert not connection.execute("SELECT name FROM sqlite_master WHERE name = 'half'").fetchall()
    connection.close()
    check_version(url)  # the steps before it stand
    whole = Migration(len(known) + 1, "whole", ("CREATE TABLE half (id TEXT)",))
    monkeypatch.setattr(migrate, "migrations", lambda: (*known, whole))
    with pytest.raises(
        StartError, match=f"schema version {len(known)}, this program needs {len(known) + 1}; run gateway db upgrade"
    ):
        check_version(url)
    assert upgrade(url) == ["whole"]


def test_a_newer_database_is_refused_naming_both_versions(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/gateway.db"
    upgrade(url)
    connection = sqlite3.connect(tmp_path / "gateway.db")
    connection.execute("INSERT INTO schema_version (version, name) VALUES (99, 'future')")
    connection.commit()
    connection.close()
    for attempt in (upgrade, check_version, Database.open):
        with pytest.raises(StartError, match=f"schema version 99, newer than {len(KNOWN)} of this program") as raised:
            attempt(url)
        assert raised.value.exit_code == 3
