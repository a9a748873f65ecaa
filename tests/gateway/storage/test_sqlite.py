"""One file, one serving process."""

from __future__ import annotations

import asyncio
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.errors import StartError
from gateway.storage import Database, sqlite, upgrade

SERVE = """
import sys
from gateway.errors import StartError
from gateway.storage import Database
try:
    Database.open(sys.argv[1])
except StartError as error:
    print(error)
    sys.exit(error.exit_code)
"""


@pytest.mark.parametrize(
    ("url", "path"),
    [("sqlite:///gateway.db", "gateway.db"), ("sqlite:///a/b.db", "a/b.db"), ("sqlite:////var/x.db", "/var/x.db")],
)
def test_a_url_names_a_relative_or_absolute_file(url: str, path: str) -> None:
    assert sqlite.path_of(url) == Path(path)


@pytest.mark.parametrize("url", ["", "gateway.db", "sqlite://", "sqlite:///", "sqlite:///a.db?mode=ro", "mysql://x/y"])
def test_another_url_is_refused_with_the_way_out(url: str) -> None:
    with pytest.raises(StartError, match=r"database\.url: expected 'sqlite:///relative\.db'") as raised:
        sqlite.path_of(url)
    assert raised.value.exit_code == 1


@pytest.mark.slow
@pytest.mark.anyio
async def test_a_second_process_is_told_who_serves(database: Database, url: str) -> None:
    second = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", SERVE, url], capture_output=True, text=True, check=False
    )
    assert second.returncode == 3, second.stderr
    assert f"in use by process {os.getpid()}" in second.stdout
    with pytest.raises(StartError, match="in use by process"):
        upgrade(url)


@pytest.mark.anyio
async def test_a_command_may_open_what_is_served(database: Database, url: str) -> None:
    command = Database.open(url, exclusive=False)
    assert await command.append((2, 1), 0, b"by command") == 1
    assert await database.append((1, 1), 0, b"by server") == 1
    await command.close()


@pytest.mark.anyio
async def test_the_file_can_be_served_again_after_closing(url: str) -> None:
    for _ in range(2):
        await Database.open(url).close()


@pytest.mark.anyio
async def test_only_the_gateway_user_can_read_the_files(database: Database, url: str) -> None:
    await database.append((1, 1), 0, b"x")
    directory = sqlite.path_of(url).parent
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in directory.iterdir()}
    assert set(modes) == {"gateway.db", "gateway.db-wal", "gateway.db-shm", "gateway.db.lock", "gateway.db.visits"}
    assert set(modes.values()) == {0o600}


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    file = tmp_path / "gateway.db"
    file.write_text("not a database, and long enough to be read as one" * 100)
    for attempt in (Database.open, upgrade):
        with pytest.raises(StartError, match=r"gateway\.db: the database cannot be"):
            attempt(f"sqlite:///{file}")


def test_a_directory_that_is_absent_is_named(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"absent/gateway\.db\.lock: cannot be opened"):
        Database.open(f"sqlite:///{tmp_path}/absent/gateway.db")
