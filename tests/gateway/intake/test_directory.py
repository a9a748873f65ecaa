"""Dropped files: whole ones are taken in and moved, half ones are left alone, and being killed changes nothing."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from gateway.adapters.inbox import InboxDirectory, Limits, date_in
from gateway.errors import StartError, Unavailable
from gateway.intake.files import take_file
from gateway.intake.messages import bury
from gateway.settings import SourceTable
from tests.gateway.charts import BSN, OTHER_BSN
from tests.gateway.intake.desk import DeskWorld, latex, nightly, penicillin, resident
from tests.gateway.world import _KEYS, run

PENICILLIN, LATEX = "764146007", "1003755004"
ROOT = Path(__file__).resolve().parents[3]


class Drop:
    """The drop directory of the nursing home."""

    def __init__(self, world: DeskWorld, path: Path, **other: Any) -> None:
        self.world, self.path = world, path
        path.mkdir(exist_ok=True)

        async def take_in(source: SourceTable, body: bytes, dated: datetime | None, written: datetime) -> str:
            return await take_file(source, body, dated, written, world.ports)

        async def bury_file(source: SourceTable, body: bytes, digest: str, why: str) -> None:
            await bury(source, body, digest, why, world.ports)

        self.inbox = InboxDirectory(world.table(), path, take_in, bury_file, limits=Limits(**other))
        self.inbox.prepare()

    def put(self, name: str, body: bytes, *, done: bool = True) -> Path:
        file = self.path / name
        file.write_bytes(body)
        if done:
            (self.path / f"{name}.done").touch()
        return file

    def sweeps(self, times: int = 2) -> int:
        """A file must look the same twice."""
        return sum(run(self.inbox.sweep(datetime.now(UTC))) for _ in range(times))

    def names(self, place: str = "") -> list[str]:
        return sorted(
            one.name for one in (self.path / place).iterdir() if one.is_file() and not one.name.startswith(".")
        )

    @property
    def states(self) -> list[str]:
        return [slip.state for slip in self.world.slips()]


@pytest.fixture
def drop(world: DeskWorld, tmp_path: Path) -> Drop:
    return Drop(world, tmp_path / "drop")


def test_a_whole_file_is_taken_in_and_moved(drop: Drop) -> None:
    drop.put("export_20260302.json", resident(BSN, penicillin()))
    assert drop.sweeps(1) == 0, "it may still be growing"
    assert drop.sweeps(1) == 1
    assert drop.names() == []
    assert [name[17:] for name in drop.names("processed")] == ["export_20260302.json"]
    assert drop.world.codes() == [PENICILLIN]
    assert drop.sweeps() == 0


def test_a_half_written_file_is_left_alone_until_its_marker_comes(drop: Drop) -> None:
    body = resident(BSN, penicillin())
    drop.put("export.json", body[:100], done=False)
    assert drop.sweeps(3) == 0
    drop.put("export.json", body)
    assert drop.sweeps() == 1
    assert drop.states == ["accepted"]


def test_a_half_written_file_that_stays_so_is_a_dead_letter(drop: Drop) -> None:
    file = drop.put("jansen_999990019.json", b'{"resourceType":"Bun', done=False)
    os.utime(file, (0, time.time() - 7200))
    assert drop.sweeps() == 1
    assert drop.states == ["dead"]
    refused = drop.names("refused")
    assert len(refused) == 2
    reason = next(name for name in refused if name.endswith(".reason.txt"))
    assert (drop.path / "refused" / reason).read_text() == f"{drop.world.slips()[0].reason}\n"
    assert BSN not in str(drop.world.slips()) + str(drop.world.records)


def test_a_marker_of_an_earlier_file_says_nothing(drop: Drop) -> None:
    marker = drop.path / "export.json.done"
    marker.touch()
    os.utime(marker, (0, time.time() - 60))
    drop.put("export.json", b'{"half":', done=False)
    assert drop.sweeps(3) == 0


@pytest.mark.parametrize("name", [".export.json", "export.json.part", "export.json.tmp"])
def test_by_rename_a_temporary_name_is_not_whole(tmp_path: Path, name: str) -> None:
    world = DeskWorld(tmp_path, source={"complete": "rename"})
    drop = Drop(world, tmp_path / "drop")
    file = drop.put(name, resident(BSN, penicillin()), done=False)
    assert drop.sweeps(3) == 0
    file.rename(drop.path / "export.json")
    assert drop.sweeps() == 1
    assert drop.states == ["accepted"]
    world.close()


def test_a_file_that_grows_is_waited_for(tmp_path: Path) -> None:
    world = DeskWorld(tmp_path, source={"complete": "rename"})
    drop = Drop(world, tmp_path / "drop")
    body = resident(BSN, penicillin())
    for end in (50, 100, len(body)):
        drop.put("export.json", body[:end], done=False)
        assert drop.sweeps(1) == 0
    assert drop.sweeps(1) == 1
    assert drop.states == ["accepted"]
    world.close()


@pytest.mark.parametrize(
    "body", [b"", b"\xff\xfe\x00{", b"lies; about; it\n1;2\n", "Ünïcode".encode("utf-16"), b"PK\x03\x04zip"]
)
def test_what_cannot_be_read_is_refused_with_a_reason_without_content(drop: Drop, body: bytes) -> None:
    drop.put("export.json", body)
    assert drop.sweeps() == 1
    assert drop.states == ["dead"]
    reason = next(name for name in drop.names("refused") if name.endswith(".reason.txt"))
    text = (drop.path / "refused" / reason).read_text()
    assert text.strip()
    assert "lies" not in text


def test_links_and_large_files_are_refused(drop: Drop, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(resident(OTHER_BSN, latex()))
    (drop.path / "link.json").symlink_to(secret)
    (drop.path / "link.json.done").touch()
    os.mkfifo(drop.path / "pipe")
    small = Drop(drop.world, drop.path, file_bytes=10)
    small.put("large.json", resident(BSN, penicillin()))
    assert small.sweeps() == 3
    assert drop.states == ["dead"] * 3
    assert secret.exists()
    assert drop.world.codes(bsn=OTHER_BSN) == []


def test_with_the_log_down_files_stay(drop: Drop) -> None:
    drop.put("export.json", resident(BSN, penicillin()))
    drop.sweeps(1)
    drop.world.audit.broken = True
    with pytest.raises(Unavailable):
        drop.sweeps(1)
    assert drop.names() == ["export.json", "export.json.done"]
    drop.world.audit.broken = False
    assert drop.sweeps() == 1
    assert drop.states == ["accepted"]


def test_one_sweep_at_a_time(drop: Drop) -> None:
    drop.put("export.json", resident(BSN, penicillin()))
    drop.sweeps(1)
    with drop.inbox._alone() as alone:
        assert alone
        assert drop.sweeps(1) == 0
    assert drop.sweeps(2) == 1


def test_a_directory_that_is_not_there_is_said_at_the_start(world: DeskWorld, tmp_path: Path) -> None:
    missing = InboxDirectory(world.table(), tmp_path / "nowhere", partial(print), partial(print))  # type: ignore[arg-type]
    with pytest.raises(StartError, match="nursing"):
        missing.prepare()


def test_what_was_erased_leaves_the_moved_file_too(drop: Drop) -> None:
    drop.put("export.json", resident(BSN, penicillin()))
    drop.sweeps()
    receipts = [slip.receipt for slip in drop.world.slips()]
    assert drop.inbox.purge(run(drop.world.desk.erased_files("nursing"))) == 0
    run(drop.world.desk.erase(receipts, drop.world.clock.now()))
    assert drop.inbox.purge(run(drop.world.desk.erased_files("nursing"))) == 1
    assert drop.names("processed") == []


@pytest.mark.usefixtures("by_line")
def test_full_files_of_two_nights_in_the_wrong_order(tmp_path: Path) -> None:
    world = DeskWorld(tmp_path)
    first = nightly(resident(BSN, penicillin()), resident(OTHER_BSN, latex()))
    second = nightly(resident(BSN, latex()))
    world.takes(second, coverage="full", dated=date_in("export_20260303.json"))
    world.takes(first, coverage="full", dated=date_in("export_20260302.json"))
    assert (world.codes(), world.codes(bsn=OTHER_BSN)) == ([LATEX], [])
    world.close()


def test_the_date_in_a_name() -> None:
    assert str(date_in("export_20260302.csv")) == "2026-03-02 00:00:00+01:00"
    assert str(date_in("2026-07-02T0315_full.csv")) == "2026-07-02 03:15:00+02:00"
    assert date_in("export.csv") is None
    assert date_in("999990019.csv") is None
    assert date_in("20260302-20260303.csv") is None


CHILD = """
import sys
from pathlib import Path
import tests.gateway.world as around
from gateway.crypto.ring import KeyRing
from tests.gateway.intake.desk import DeskWorld
from tests.gateway.intake.test_directory import Drop
around.ring = lambda: KeyRing.open(Path(sys.argv[2]), [around.NUMBER_SYSTEM])
world = DeskWorld(Path(sys.argv[1]))
drop = Drop(world, Path(sys.argv[1]) / "drop")
print("ready", flush=True)
while True:
    drop.sweeps(1)
"""


@pytest.mark.proof
def test_killed_at_any_step_nothing_is_lost_and_nothing_is_there_twice(tmp_path: Path) -> None:
    """Ten times kill -9 while files are picked up; then everything is as if nothing had happened."""
    world = DeskWorld(tmp_path)
    drop = Drop(world, tmp_path / "drop")
    world.close()
    keys = os.environ | {"PYTHONPATH": str(ROOT)}
    rolls, number = random.Random(7), 0
    for _ in range(10):
        for _ in range(8):
            number += 1
            observed = penicillin(note=[{"text": f"note {number}"}]) | {"id": f"a-{number}"}
            drop.put(f"export-{number}.json", resident(BSN, observed))
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(tmp_path), str(_KEYS / "keys")],
            cwd=ROOT,
            env=keys,
            stdout=subprocess.PIPE,
        )
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(rolls.random() * 0.25)
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
    again = DeskWorld(tmp_path)
    drop = Drop(again, tmp_path / "drop")
    for _ in range(6):
        drop.sweeps()
    assert drop.names() == []
    assert len(drop.names("processed")) == number
    assert drop.names("refused") == []
    kept = again.slips()
    assert [slip.state for slip in kept] == ["accepted"] * number
    assert len({slip.digest for slip in kept}) == number
    again.close()
