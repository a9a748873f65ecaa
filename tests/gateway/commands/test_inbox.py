"""`gateway inbox`: beside a gateway that serves, each step on the record, no content and no BSN on any screen."""

from __future__ import annotations

import asyncio
import io
import sqlite3
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest

from gateway.app import Gateway, assemble
from gateway.audit.record import Record, decode
from gateway.cli import main
from gateway.crypto.ring import KeyRing
from gateway.errors import Unavailable
from gateway.intake import desk
from gateway.intake.letters import Posting
from gateway.intake.messages import Taken, take
from gateway.ports import Ports
from gateway.settings import load
from gateway.storage import upgrade
from gateway.storage.inbox_progress import Progress
from gateway.version import __version__
from mappings import translation
from mappings.model import NotMappable, Origin, Translation
from tests.gateway.charts import BSN, OTHER_BSN, allergy, person
from tests.gateway.intake.desk import latex, penicillin, resident
from tests.gateway.world import bundle

CONFIG = """
[gateway]
name = "Test"
ura = "90000006"
[[organizations]]
ura = "90000006"
name = "Center"
facility_type = "N6"
[[organizations]]
ura = "90000008"
name = "Verpleeghuis"
facility_type = "X3"
[[sources]]
id = "nursing"
custodian = "90000008"
kind = "inbox"
inbox = "drop"
expected_every = "25h"
"""


@dataclass
class Region:
    """A gateway that serves, and the command line beside it."""

    gateway: Gateway
    directory: Path

    async def take(self, body: bytes, format_: str = "fhir-r4") -> Taken:
        ports = self.gateway.ports
        posting = Posting(ports.policy.sources["nursing"], body, format_, ports.now())
        return (await take(posting, "x", ports))[0]

    async def command(self, *words: str) -> int:
        """Run a command in another thread, as another process would."""
        return await asyncio.to_thread(main, ["inbox", *words, "--config", str(self.directory / "region.toml")], {})

    def query(self, sql: str) -> list[tuple[object, ...]]:
        with sqlite3.connect(self.directory / "gateway.db") as connection:
            return connection.execute(sql).fetchall()

    def records(self) -> list[Record]:
        rows = self.query("SELECT body FROM audit_log ORDER BY log, epoch, seq")
        return [decode(row[0]) for row in rows if isinstance(row[0], bytes)]

    def shown(self) -> int:
        return int(str(self.query("SELECT COUNT(*) FROM held_item WHERE shown = 1")[0][0]))


@pytest.fixture
async def region(tmp_path: Path) -> AsyncIterator[Region]:
    (tmp_path / "region.toml").write_text(CONFIG)
    (tmp_path / "drop").mkdir()
    KeyRing.create(tmp_path / "keys")
    upgrade(f"sqlite:///{tmp_path}/gateway.db")
    gateway = await assemble(load(tmp_path / "region.toml"), tmp_path)
    await gateway.start()
    yield Region(gateway, tmp_path)
    await gateway.close()


pytestmark = pytest.mark.anyio


@pytest.mark.slow
async def test_show_gives_a_line_a_message_without_content(region: Region, capsys: pytest.CaptureFixture[str]) -> None:
    kept, dead = await region.take(resident(BSN, penicillin())), await region.take(b"{nonsense")
    assert await region.command("show") == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [(line[0], line[1], line[5]) for line in lines] == [
        (kept.message.receipt, "nursing", "accepted"), (dead.message.receipt, "nursing", "dead"),
    ]  # fmt: skip
    assert await region.command("show", "--state", "dead", "--source", "nursing") == 0
    text = capsys.readouterr().out
    assert len(text.splitlines()) == 1
    assert "Jansen" not in text
    assert BSN not in text
    assert any(record.interaction == "inbox-show" for record in region.records())


async def test_release_shows_what_waited(region: Region) -> None:
    taken = await region.take(bundle([person("one", BSN), allergy("a", "one")]))
    assert taken.state == "quarantined"
    assert region.shown() == 0
    assert await region.command("release", taken.message.receipt) == 0
    assert region.shown() > 0
    assert await region.command("release", taken.message.receipt) == 1
    assert await region.command("release", "nothing") == 1
    assert [one.interaction for one in region.records()].count("inbox-release") == 1


async def test_a_dead_letter_is_read_anew_after_the_map_was_mended(
    region: Region, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    translators = translation._TRANSLATORS
    mended = translators["fhir-r4"]

    def broken(body: bytes, origin: Origin) -> Translation:
        raise NotMappable("not yet", "Bundle")

    monkeypatch.setitem(translators, "fhir-r4", broken)
    taken = await region.take(resident(BSN, penicillin()))
    assert taken.state == "dead"
    assert await region.command("replay", "--dead") == 1
    monkeypatch.setitem(translators, "fhir-r4", mended)
    assert await region.command("replay", "--dead") == 0
    assert region.shown() > 0
    assert [row[0] for row in region.query("SELECT state FROM message")] == ["accepted"]
    assert (await region.take(resident(BSN, penicillin()))).outcome == "again"
    assert await region.command("replay", "--dead") == 0
    capsys.readouterr()


async def test_remap_twice_gives_the_same(region: Region) -> None:
    await region.take(resident(BSN, penicillin(), latex()))
    await region.take(resident(BSN, penicillin(criticality="low")))
    await region.take(resident(OTHER_BSN, latex()))
    quarantined = await region.take(bundle([person("one", "999990032"), allergy("a", "one")]))
    await region.command("release", quarantined.message.receipt)
    state = "SELECT id, patient, content_date FROM held_item WHERE shown = 1 ORDER BY id"
    before, count = region.query(state), region.query("SELECT COUNT(*) FROM held_item")
    for _ in range(2):
        assert await region.command("remap", "--since", "2020-01-01") == 0
        assert region.query(state) == before
        assert region.query("SELECT COUNT(*) FROM held_item") == count
    low = region.query("SELECT COUNT(*) FROM message WHERE state = 'accepted'")
    assert low == [(4,)]
    assert await region.command("remap", "--since", "2999-01-01") == 0


async def test_erase_by_receipt_and_by_patient(
    region: Region, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first = await region.take(resident(BSN, penicillin()))
    await region.take(resident(OTHER_BSN, latex()))
    dead = await region.take(f'{{"half": "{BSN}'.encode())
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{BSN}\n"))
    assert await region.command("erase", "--patient-file", "-") == 0
    rows = region.query("SELECT delivery.receipt, state FROM message JOIN delivery ON message = number")
    states = {str(receipt): str(state) for receipt, state in rows}
    assert states[first.message.receipt] == "erased"
    assert states[dead.message.receipt] == "erased", "a dead letter that holds the number is about the patient too"
    assert sorted(states.values()) == ["accepted", "erased", "erased"]
    other = next(receipt for receipt, state in states.items() if state == "accepted")
    assert await region.command("erase", other) == 0
    assert await region.command("erase", other) == 1
    assert region.shown() == 0
    erasures = (tmp_path / "erasures.jsonl").read_text()
    assert BSN not in erasures + capsys.readouterr().err + str(region.records())
    assert [one.interaction for one in region.records()].count("inbox-erase") == 2


@pytest.mark.parametrize("text", ["", "999990018", "not a number", "1" * 300])
async def test_what_is_no_bsn_erases_nothing(region: Region, tmp_path: Path, text: str) -> None:
    (tmp_path / "who").write_text(text)
    assert await region.command("erase", "--patient-file", str(tmp_path / "who")) == 1
    assert not (tmp_path / "erasures.jsonl").exists()


async def test_the_gateway_goes_on_writing_its_log_beside_the_commands(region: Region) -> None:
    for number in range(3):
        assert (
            await region.take(resident(BSN, penicillin(criticality=("low", "high", "unable-to-assess")[number])))
        ).state == "accepted"
        assert await region.command("show") == 0
    heads = region.query("SELECT log, COUNT(*), MAX(seq) FROM audit_log GROUP BY log ORDER BY log")
    assert [row[0] for row in heads] == [1, 2]
    assert all(row[1] == row[2] for row in heads), "dense, in each log"


async def test_remap_goes_on_where_it_was_broken_off(
    region: Region, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for bsn in (BSN, OTHER_BSN, "999990032", "999990044"):
        await region.take(resident(bsn, penicillin()))
    capsys.readouterr()
    read_anew, seen = desk.read_anew, list[str]()

    async def breaks(receipt: str, ports: Ports) -> list[Taken]:
        if len(seen) == 2:
            raise Unavailable("store-unavailable")
        seen.append(receipt)
        return await read_anew(receipt, ports)

    monkeypatch.setattr(desk, "read_anew", breaks)
    assert await region.command("remap", "--since", "2020-01-01") == 3
    kept = (tmp_path / "remap.progress").read_text()
    assert BSN not in kept
    assert (tmp_path / "remap.progress").stat().st_mode & 0o077 == 0

    async def noted(receipt: str, ports: Ports) -> list[Taken]:
        seen.append(receipt)
        return await read_anew(receipt, ports)

    monkeypatch.setattr(desk, "read_anew", noted)
    capsys.readouterr()
    assert await region.command("remap", "--since", "2020-01-01") == 0
    said = capsys.readouterr()
    assert len(seen) == len(set(seen)) == 4, "each once, in two runs"
    assert len(said.out.splitlines()) == 2
    assert "goes on after the 2 message(s)" in said.err
    assert "4 message(s) read anew, none unreadable" in said.err
    assert not (tmp_path / "remap.progress").exists()
    seen.clear()
    assert await region.command("remap", "--since", "2020-01-01") == 0
    assert len(seen) == 4, "a run that was done begins at the beginning"


@pytest.mark.slow
@pytest.mark.parametrize("change", ["--again", "other day", "half a file"])
async def test_another_job_begins_at_the_beginning(region: Region, tmp_path: Path, change: str) -> None:
    for bsn in (BSN, OTHER_BSN):
        await region.take(resident(bsn, penicillin()))
    day = "2020-01-01"
    left = Progress.of(tmp_path / "remap.progress", f"remap {day}  {__version__}")
    left.advance(2**60, "z", dead=False)
    if change == "half a file":
        (tmp_path / "remap.progress").write_bytes((tmp_path / "remap.progress").read_bytes()[:20])
    words = ["--again"] if change == "--again" else []
    versions = region.query("SELECT MAX(number) FROM message")
    assert await region.command("remap", "--since", "2020-01-02" if change == "other day" else day, *words) == 0
    assert region.query("SELECT MAX(number) FROM message") != versions


async def test_feeds_tells_who_was_heard_and_who_is_late(region: Region, capsys: pytest.CaptureFixture[str]) -> None:
    async def line() -> list[str]:
        assert await region.command("feeds") == 0
        (one,) = capsys.readouterr().out.splitlines()
        return one.split("\t")

    assert await line() == ["nursing", "90000008", "inbox", "-", "-", "never"]
    ports = region.gateway.ports
    posting = Posting(ports.policy.sources["nursing"], resident(BSN, latex()), "fhir-r4", ports.now())
    await take(replace(posting, heard=ports.now() - timedelta(hours=30)), "x", ports)
    late = await line()
    assert (late[-1], late[3] < late[4]) == ("late", True)
    await region.take(resident(OTHER_BSN, latex()))
    assert (await line())[-1] == "ok"
    assert any(record.interaction == "inbox-feeds" for record in region.records())
