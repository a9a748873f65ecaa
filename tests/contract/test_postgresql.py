"""The PostgreSQL engine: its schema is made once and whole, and a server that forgets is not served from."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from gateway.cli import main
from gateway.errors import StartError
from gateway.storage import Database, check_version, migrate, upgrade
from gateway.storage.engines import engine_of
from gateway.storage.migrate import Migration
from gateway.storage.postgresql_connection import name_of, numbered
from tests.contract.postgres import Server

KNOWN = [step.name for step in migrate.migrations()]


@pytest.fixture
def url(postgresql: Server) -> str:
    """A database without a schema."""
    return postgresql.new_database()


def test_a_new_database_gets_every_step_once(url: str) -> None:
    with pytest.raises(StartError, match=r"schema version 0, this program needs \d+; run gateway db upgrade") as raised:
        Database.open(url)
    assert raised.value.exit_code == 3
    assert upgrade(url) == KNOWN
    assert upgrade(url) == []
    check_version(url)


@pytest.mark.anyio
async def test_of_two_that_upgrade_one_does_the_work(url: str) -> None:
    taken = await asyncio.gather(*(asyncio.to_thread(upgrade, url) for _ in range(3)))
    assert sorted(name for steps in taken for name in steps) == KNOWN  # each step by one of them


def test_an_interrupted_step_leaves_nothing_and_can_be_run_again(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    known = migrate.migrations()
    half = Migration(len(known) + 1, "half", ("CREATE TABLE half (id TEXT)", "CREATE TABLE consent (id TEXT)"))
    with monkeypatch.context() as patch:
        patch.setattr(migrate, "migrations", lambda: (*known, half))
        with pytest.raises(StartError, match="cannot be used: DuplicateTableError"):
            upgrade(url)
    check_version(url)  # the steps before it stand
    whole = Migration(len(known) + 1, "whole", ("CREATE TABLE half (id TEXT)",))
    monkeypatch.setattr(migrate, "migrations", lambda: (*known, whole))
    with pytest.raises(StartError, match="run gateway db upgrade"):
        check_version(url)
    assert upgrade(url) == ["whole"]


def test_a_newer_database_is_refused_naming_both_versions(url: str, postgresql: Server) -> None:
    upgrade(url)
    postgresql.run(
        "INSERT INTO schema_version (version, name) VALUES (99, 'future')", url.partition("?")[0].rpartition("/")[2]
    )
    for attempt in (upgrade, check_version, Database.open):
        with pytest.raises(StartError, match=f"schema version 99, newer than {len(KNOWN)} of this program"):
            attempt(url)


def test_both_engines_make_the_same_tables(url: str, tmp_path: Path) -> None:
    upgrade(url)
    upgrade(f"sqlite:///{tmp_path}/gateway.db")
    shapes = []
    for each in (url, f"sqlite:///{tmp_path}/gateway.db"):
        engine = engine_of(each)
        shapes.append(
            engine.snapshot(
                each,
                lambda read, engine=engine: {  # type: ignore[misc]
                    table: [row for page in read(engine.columns_of(table)) for row in page]
                    for table in migrate.tables()
                },
            )
        )
    assert shapes[0] == shapes[1]
    assert all(shapes[0].values())


def test_a_server_that_may_forget_is_refused(url: str, postgresql: Server) -> None:
    upgrade(url)
    database = url.partition("?")[0].rpartition("/")[2]
    postgresql.run(f"ALTER DATABASE {database} SET synchronous_commit = off")
    for attempt in (check_version, Database.open, upgrade):
        with pytest.raises(StartError, match="synchronous_commit = off"):
            attempt(url)


def test_a_server_that_knows_other_texts_is_refused(postgresql: Server) -> None:
    postgresql.run("CREATE DATABASE ascii ENCODING 'SQL_ASCII' TEMPLATE template0 LOCALE 'C'")
    with pytest.raises(StartError, match="server_encoding = SQL_ASCII"):
        upgrade(postgresql.url("ascii"))


@pytest.mark.network
@pytest.mark.parametrize(
    "url",
    [
        "postgresql://user:secret@127.0.0.1:1/gateway",
        "postgresql://user:secret@127.0.0.1:port/gateway",
        "postgresql://user:secret@[127.0.0.1/gateway",
        "postgresql://user:secret@/gateway?host=/absent",
    ],
)
def test_a_database_that_is_not_there_is_named_without_its_password(url: str) -> None:
    for attempt in (check_version, upgrade, Database.open):
        with pytest.raises(StartError, match="cannot be used") as raised:
            attempt(url)
        assert "secret" not in str(raised.value)


@pytest.mark.slow
def test_check_says_what_is_wrong_with_it(
    url: str, postgresql: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["init", str(tmp_path / "region")], {})
    config = ["--config", str(tmp_path / "region" / "region.toml")]
    environment = {"GATEWAY__DATABASE__URL": url}

    def said(*command: str) -> str:
        main([*command, *config], environment)
        return capsys.readouterr().out

    assert "database\twrong\t" in said("check")
    assert said("db", "upgrade").split() == KNOWN
    assert "database\tok\tpostgresql" in said("check")
    postgresql.run(f"ALTER DATABASE {url.partition('?')[0].rpartition('/')[2]} SET synchronous_commit = off")
    assert "synchronous_commit = off" in said("check")


def test_a_name_never_holds_the_password() -> None:
    assert (
        name_of("postgresql://user:secret@db.example:5432/gateway?sslmode=verify-full")
        == "postgresql://db.example/gateway"
    )


def test_marks_become_numbers_in_one_place() -> None:
    assert numbered("SELECT a FROM b WHERE c = ? AND d > ?") == "SELECT a FROM b WHERE c = $1 AND d > $2"


def test_a_url_without_its_driver_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    for name in [name for name in sys.modules if name.startswith("gateway.storage.postgresql")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(StartError, match=r"roaz-gateway\[postgresql\]"):
        Database.open("postgresql://localhost/gateway")
