"""Rule C4: what was pushed stays as long as it may; then nothing of it is left, also after a restore."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from gateway.adapters.inbox import InboxDirectory
from gateway.background import Background
from gateway.intake.messages import push
from gateway.storage import open_stores
from gateway.storage.erasures import Erasures
from gateway.storage.scrubbing import scrub
from tests.gateway.charts import BSN, OTHER_BSN
from tests.gateway.intake.desk import DeskWorld, latex, penicillin, resident
from tests.gateway.test_push import arrival, measured
from tests.gateway.world import run


def background(world: DeskWorld, *inboxes: InboxDirectory) -> Background:
    stores = open_stores(world.database, world.keys.seal, world.keys.unseal, world.clock)
    return Background(world.ports, stores, inboxes, erasures(world))


def erasures(world: DeskWorld) -> Erasures:
    return Erasures(world.directory / "erasures.jsonl", world.desk, world.url)


def test_an_open_contact_keeps_what_was_pushed_and_its_end_starts_the_term(world: DeskWorld) -> None:
    run(push("ambulance", arrival(), "x", world.ports))
    run(push("ambulance", measured(), "x", world.ports))
    world.clock.advance(timedelta(days=20))
    assert world.codes("Observation") == ["8867-4"]
    gone = arrival("A3").replace(b"ADT^A04^ADT_A01", b"ADT^A03^ADT_A03").replace(b"EVN|A04", b"EVN|A03")
    gone = gone.replace(b"20260302100000+0100\rE", b"20260302100000+0100\rE")
    gone = gone.replace(
        b"|||||||||||||||||||||||||20260302100000+0100\r",
        b"|||||||||||||||||||||||||20260302100000+0100|20260322100000+0100\r",
    )
    run(push("ambulance", gone, "x", world.ports))
    ends = {slip.expires for slip in world.slips()}
    assert ends == {world.clock.now() + timedelta(hours=72)}, "the whole contact expires together"
    world.clock.advance(timedelta(hours=71))
    assert world.codes("Observation") == ["8867-4"]
    world.clock.advance(timedelta(hours=2))
    assert world.codes("Observation") == []
    assert run(world.ports.index.entries(world.patient, world.clock.now())) == ()


def test_what_has_expired_is_not_read_even_before_it_is_erased(world: DeskWorld) -> None:
    world.takes(resident(BSN, penicillin()))
    item = world.search().items[0]
    world.clock.advance(timedelta(days=34))
    assert world.get(f"AllergyIntolerance/{item['id']}").code == "item-expired"
    assert run(world.desk.items(world.patient, "nursing")) == []


def test_a_source_has_its_own_term(tmp_path: Path) -> None:
    world = DeskWorld(tmp_path, source={"retention": "1h", "open_contact": "2h"})
    world.takes(resident(BSN, penicillin()))
    assert [slip.expires for slip in world.slips()] == [world.clock.now() + timedelta(hours=3)]
    world.close()


def test_erased_is_erased_to_the_last_byte(world: DeskWorld) -> None:
    world.takes(resident(BSN, penicillin()))
    world.takes(resident(OTHER_BSN, latex()))
    sealed = [row[0] for row in world.query("SELECT sealed FROM held_item UNION ALL SELECT raw FROM message")]
    mine = [row[0] for row in world.query(f"SELECT sealed FROM held_item WHERE patient = '{world.patient}'")]
    assert len(mine) >= 3
    assert all(one in world.bytes_on_disk() or len(one) > 3000 for one in mine)
    receipts = run(world.desk.about((world.patient,), world.clock.now()))
    assert run(world.desk.erase(receipts, world.clock.now())) == 1
    scrub(world.url)
    left = world.bytes_on_disk()
    for one in mine:
        assert one not in left
        assert all(one[start : start + 24] not in left for start in range(14, len(one) - 24, 64))
    assert world.patient.encode() not in b"".join(str(row).encode() for row in world.query("SELECT * FROM delivery"))
    assert world.codes(bsn=OTHER_BSN) == ["1003755004"]
    assert len(sealed) > len(mine)


def test_erased_bytes_sent_again_are_not_taken_in_again(world: DeskWorld) -> None:
    body = resident(BSN, penicillin())
    receipt = world.taken(body)[0].message.receipt
    run(world.desk.erase([receipt], world.clock.now()))
    assert world.takes(body) == ["erased again"]
    assert world.codes() == []


def test_the_job_erases_what_is_over_and_says_so_on_the_record(world: DeskWorld) -> None:
    world.takes(resident(BSN, penicillin()))
    job = background(world)
    assert run(job.erase()) == 0
    world.clock.advance(timedelta(days=34))
    assert run(job.erase()) == 1
    assert [slip.state for slip in world.slips()] == ["erased"]
    assert world.records[-1].interaction == "inbox-expire"
    assert run(job.erase()) == 0


def test_an_erasure_is_repeated_in_a_database_from_an_older_backup(world: DeskWorld, tmp_path: Path) -> None:
    world.takes(resident(BSN, penicillin()))
    world.takes(resident(OTHER_BSN, latex()))
    scrub(world.url)
    backup = tmp_path / "backup.db"
    shutil.copy(world.file, backup)
    receipts = run(world.desk.about((world.patient,), world.clock.now()))
    run(erasures(world).erase(receipts, world.clock.now(), (world.patient,)))
    world.close()
    for left in tmp_path.glob("gateway.db*"):
        left.unlink()
    shutil.copy(backup, world.file)
    restored = DeskWorld(tmp_path)
    assert restored.codes() == ["764146007"]
    run(background(restored).catch_up())
    assert restored.codes() == []
    assert restored.codes(bsn=OTHER_BSN) == ["1003755004"]
    restored.close()


def test_a_line_that_a_crash_cut_off_spoils_no_other(tmp_path: Path, world: DeskWorld) -> None:
    path = tmp_path / "erasures.jsonl"
    path.write_bytes(b'\n{"id":"cut","at":"2026-')
    world.takes(resident(BSN, penicillin()))
    run(erasures(world).erase([], world.clock.now(), (world.patient,)))
    assert run(erasures(world).catch_up(world.clock.now())) == 0
    receipts = [slip.receipt for slip in world.slips()]
    run(erasures(world).erase(receipts, world.clock.now()))
    assert [slip.state for slip in world.slips()] == ["erased"]


def test_an_item_two_messages_brought_stays_with_the_other(world: DeskWorld) -> None:
    first = world.taken(resident(BSN, penicillin()))[0].message.receipt
    world.clock.advance(timedelta(hours=1))
    second = world.taken(resident(BSN, penicillin(criticality="low")))[0].message.receipt
    assert [item["criticality"] for item in world.search().items] == ["low"]
    run(world.desk.erase([second], world.clock.now()))
    assert [item["criticality"] for item in world.search().items] == ["high"]
    run(world.desk.erase([first], world.clock.now()))
    assert world.codes() == []


@pytest.mark.parametrize("receipt", ["", "nothing"])
def test_what_is_not_there_is_not_erased(world: DeskWorld, receipt: str) -> None:
    assert run(world.desk.erase([receipt], world.clock.now())) == 0
