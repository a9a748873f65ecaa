"""`gateway check` refuses what would lose records when the power goes."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.errors import StartError
from gateway.storage import upgrade
from gateway.storage.engines import engine_of
from gateway.storage.sqlite import filesystem_of, judged


def test_what_this_program_makes_is_durable(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/gateway.db"
    upgrade(url)
    assert engine_of(url).durability(url).startswith("write-ahead log, full sync")
    assert filesystem_of(tmp_path) != ""


@pytest.mark.parametrize(
    ("journal", "synchronous", "filesystem", "text"),
    [
        ("delete", 2, "ext4", "journal_mode = delete"),
        ("wal", 1, "ext4", "synchronous = 1"),
        ("wal", 0, "ext4", "synchronous = 0"),
        ("wal", 2, "nfs4", "on nfs4"),
        ("wal", 3, "cifs", "on cifs"),
    ],
)
def test_what_loses_records_is_refused(journal: str, synchronous: int, filesystem: str, text: str) -> None:
    with pytest.raises(StartError, match=text):
        judged(Path("gateway.db"), journal, synchronous, filesystem)


def test_what_is_no_database_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "gateway.db").write_bytes(b"no database at all" * 100)
    url = f"sqlite:///{tmp_path}/gateway.db"
    with pytest.raises(StartError, match="cannot be used"):
        engine_of(url).durability(url)
